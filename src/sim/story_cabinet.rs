//! What nurses do at cabinets over HTTP: vend, return, waste, ask for too much, press twice.

use serde_json::json;

use super::story::{Story, Vend};

const VENDS_KEPT_MAX: usize = 64;
const EXCESSIVE_QUANTITY: &str = "100000";

impl Story {
    pub(super) async fn vend(&mut self) {
        let Some((path, pocket, mrn)) = self.some_pocket() else {
            return;
        };
        let quantity = self.random.between(1, 3).to_string();
        let body = json!({ "pocket": pocket, "quantity": quantity, "patient": mrn, "user": self.nurse() });
        let Some(answer) = self.post(&format!("{path}/vend"), &body).await else {
            return;
        };
        if answer.is_success() {
            self.tally.vends_accepted += 1;
            self.remember_vend(path, pocket, mrn);
        } else {
            self.tally.vends_refused += 1;
        }
    }

    pub(super) async fn vend_too_much(&mut self) {
        let Some((path, pocket, mrn)) = self.some_pocket() else {
            return;
        };
        let body = json!({ "pocket": pocket, "quantity": EXCESSIVE_QUANTITY, "patient": mrn, "user": self.nurse() });
        let Some(answer) = self.post(&format!("{path}/vend"), &body).await else {
            return;
        };
        if answer.is_success() {
            self.tally.excessive_vends_accepted += 1;
        } else {
            self.tally.excessive_vends_refused += 1;
        }
    }

    pub(super) async fn vend_twice(&mut self) {
        let Some((path, pocket, mrn)) = self.some_pocket() else {
            return;
        };
        let body = json!({ "pocket": pocket, "quantity": "1", "patient": mrn, "user": self.nurse() });
        let key = self.request_key();
        let path_vend = format!("{path}/vend");
        let Some(first) = self.post_keyed(&path_vend, &body, &key).await else {
            return;
        };
        let Some(second) = self.post_keyed(&path_vend, &body, &key).await else {
            return;
        };
        if first == second {
            self.tally.repeats_same += 1;
        } else {
            self.tally.repeats_different += 1;
        }
        if first.is_success() {
            self.tally.vends_accepted += 1;
            self.remember_vend(path, pocket, mrn);
        } else {
            self.tally.vends_refused += 1;
        }
    }

    pub(super) async fn give_back(&mut self, verb: &str) {
        let Some(index) = self.random.index(self.vends.len()) else {
            return self.vend().await;
        };
        let Some(vend) = self.vends.remove(index) else {
            return;
        };
        let mut body = json!({ "pocket": vend.pocket, "quantity": "1", "patient": vend.mrn, "user": "nurse-a" });
        if verb == "waste" {
            body["witness"] = json!("nurse-b");
        }
        let Some(answer) = self.post(&format!("{}/{verb}", vend.cabinet), &body).await else {
            return;
        };
        match (verb, answer.is_success()) {
            ("waste", true) => self.tally.wastes_accepted += 1,
            ("waste", false) => self.tally.wastes_refused += 1,
            (_, true) => self.tally.returns_accepted += 1,
            (_, false) => self.tally.returns_refused += 1,
        }
    }

    fn remember_vend(&mut self, cabinet: String, pocket: String, mrn: String) {
        if self.vends.len() >= VENDS_KEPT_MAX {
            self.vends.pop_front();
        }
        self.vends.push_back(Vend { cabinet, pocket, mrn });
    }

    // Path of the cabinet, pocket, patient.
    fn some_pocket(&mut self) -> Option<(String, String, String)> {
        let mrn = self.some_mrn()?;
        let cabinet = self.random.pick(&self.places.cabinets)?;
        let pocket = self.random.pick(&cabinet.pockets)?;
        Some((format!("/api/v1/cabinets/{}", cabinet.id), pocket.clone(), mrn))
    }

    fn nurse(&mut self) -> &'static str {
        if self.random.chance(500) { "nurse-a" } else { "nurse-b" }
    }
}
