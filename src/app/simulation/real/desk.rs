//! The clerk, the nurse and the reader at the door: HTTP and MQTT by the simulator's own clients, each request and each
//! message until it is answered, always under the same key.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::super::devices::Floor;
use super::super::{TESTS, TUBES, WITHDRAWALS};
use crate::kernel::CommandId;
use crate::sim::Random;
use crate::sim::http::{Answer, HttpClient};
use crate::sim::mqtt_client::{ConnectOptions, MqttClient};

/// Tags that pass the door.
const TAGS: u64 = 30;
const PATIENCE: Duration = Duration::from_secs(5);

/// Whoever asks by HTTP.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) floor: Floor,
    pub(super) endpoints: watch::Receiver<Option<BTreeMap<String, SocketAddr>>>,
}

/// The command that a request under a key becomes (the first half of the digest, of what stands behind /api/v1, by whoever asks in an
/// open house).
fn command(path: &str, key: &str) -> CommandId {
    let digest = Sha256::digest(format!("POST {} person:api {key}", path.trim_start_matches("/api/v1")));
    CommandId::from_bytes(digest.first_chunk().copied().unwrap_or_default())
}

impl Desk {
    /// Asks until there is an answer that is not "later".
    async fn ask(&self, path: &str, body: &Value, key: &str) -> Answer {
        loop {
            let address = self.endpoints.borrow().as_ref().and_then(|all| all.get("http").copied());
            if let Some(address) = address
                && let Ok(answer) = HttpClient::new(address, None, PATIENCE, false).post(path, body, Some(key)).await
                && answer.status < 500
                && answer.status != 429
            {
                return answer;
            }
            self.floor.pause(700).await;
        }
    }

    /// Orders the tubes of the day; their accession numbers.
    pub(super) async fn clerk(&self) -> Result<Vec<String>, String> {
        let mut tubes = Vec::new();
        for number in 0..TUBES {
            let order = json!({ "patient": { "mrn": format!("MRN-{number}") }, "tests": TESTS });
            let answer = self.ask("/api/v1/lab-orders", &order, &format!("order-{number}")).await;
            match answer.body.get("accession").and_then(Value::as_str) {
                Some(accession) if answer.status == 201 => tubes.push(accession.to_owned()),
                _ => return Err(format!("order {number} was answered with {} {}", answer.status, answer.body)),
            }
            self.floor.pause(150).await;
        }
        Ok(tubes)
    }

    /// Fills a pocket and takes doses from it.
    pub(super) async fn nurse(self, mut random: Random) {
        let load = json!({ "pocket": "1-1", "lot": "L", "expires": "2040-01-01", "quantity": "20", "user": "nurse-a" });
        let mut steps = vec![("load", load, Decimal::from(20))];
        for number in 0..WITHDRAWALS {
            let quantity = random.between(1, 3);
            let vend = json!({ "pocket": "1-1", "quantity": quantity.to_string(), "patient": format!("MRN-{}", number % TUBES), "user": "nurse-a" });
            steps.push(("vend", vend, -Decimal::from(quantity)));
        }
        for (number, (what, body, quantity)) in steps.into_iter().enumerate() {
            let (path, key) = (format!("/api/v1/cabinets/CAB1/{what}"), format!("cabinet-{number}"));
            // Twenty are there: the last withdrawals may be refused, and that is right.
            if self.ask(&path, &body, &key).await.is_success() {
                self.floor.claims().moved(command(&path, &key), quantity);
            }
            self.floor.pause(random.between(50, 3_000)).await;
        }
    }

    /// A reader at the door; tags are published until the broker has taken them, and only once wardd has its session there.
    pub(super) async fn reader(self, broker: SocketAddr, mut random: Random) {
        while !self.is_subscribed().await {
            self.floor.pause(300).await;
        }
        let mut client = None;
        for number in 0..TAGS {
            let seen = format!("2026-01-01T12:{:02}:{:02}Z", number / 60, number % 60);
            let payload = json!({ "epc": format!("3476451FD4{number:014X}"), "antenna": 1, "seen": seen }).to_string();
            let mut is_again = false;
            loop {
                if client.is_none() {
                    client = MqttClient::connect(broker, &ConnectOptions::device("sim-door")).await.ok();
                }
                if let Some(connected) = &mut client
                    && connected.publish("wardd/rfid/door/tags", payload.clone().into_bytes(), false, is_again).await.is_ok()
                {
                    break;
                }
                (client, is_again) = (None, true);
                self.floor.pause(400).await;
            }
            self.floor.claims().published("door", payload);
            self.floor.pause(random.between(10, 800)).await;
        }
    }

    async fn is_subscribed(&self) -> bool {
        let address = self.endpoints.borrow().as_ref().and_then(|all| all.get("http").copied());
        let Some(address) = address else { return false };
        let Ok(answer) = HttpClient::new(address, None, PATIENCE, false).get("/api/v1/devices").await else { return false };
        answer.body.as_array().is_some_and(|devices| devices.iter().any(|device| device["device"] == "door" && device["connections"] == 1))
    }
}
