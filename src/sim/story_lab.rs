//! The way of a tube: ordered over HTTP, collected at the bed, received in the laboratory, loaded into an analyzer.

use serde_json::{Value, json};

use super::device::AnalyzerCommand;
use super::scanner::{AIM_CODE_128, ScanCommand};
use super::story::{Seat, Stage, Story, Tube};

const TUBES_MAX: usize = 1_024;

impl Story {
    pub(super) async fn order(&mut self) {
        let Some(mrn) = self.some_mrn() else { return };
        let Some(offered) = self.random.pick(&self.hands.seats).map(|seat| seat.tests.clone()) else {
            return;
        };
        let Some(first) = self.random.index(offered.len()) else {
            return;
        };
        let count = usize::try_from(self.random.between(1, offered.len() as u64)).unwrap_or(1);
        let tests: Vec<String> = offered.iter().cycle().skip(first).take(count).cloned().collect();
        let priority = if self.random.chance(150) { "stat" } else { "routine" };
        let body = json!({ "patient": { "mrn": mrn }, "tests": tests, "priority": priority });
        let Some(answer) = self.post("/api/v1/lab-orders", &body).await else {
            return;
        };
        let accession = answer.body.get("accession").and_then(Value::as_str);
        match accession {
            Some(accession) if answer.status == 201 => {
                self.tally.orders_placed += 1;
                if self.tubes.len() >= TUBES_MAX {
                    self.tally.hands_full += 1;
                    return;
                }
                let due = self.soon();
                self.tubes.push_back(Tube { accession: accession.to_owned(), tests, stage: Stage::Collect, due });
            }
            _ => self.tally.orders_refused += 1,
        }
    }

    pub(super) fn handle(&mut self, mut tube: Tube) {
        let scan = ScanCommand::Scan { aim: AIM_CODE_128.to_owned(), data: tube.accession.clone() };
        let (scanners, next) = match tube.stage {
            Stage::Collect => (&self.hands.collect, Stage::Receive),
            Stage::Receive => (&self.hands.receive, Stage::Load),
            Stage::Load => return self.load(tube),
        };
        if let Some(scanner) = self.random.pick(scanners) {
            if scanner.commands.try_send(scan).is_ok() {
                self.tally.tubes_scanned += 1;
            } else {
                self.tally.hands_full += 1;
            }
        }
        tube.stage = next;
        tube.due = self.soon();
        self.tubes.push_back(tube);
    }

    pub(super) fn load(&mut self, tube: Tube) {
        let fitting: Vec<&Seat> = self.hands.seats.iter().filter(|seat| tube.tests.iter().all(|test| seat.tests.contains(test))).collect();
        let Some(seat) = self.random.pick(&fitting) else {
            return;
        };
        let command = AnalyzerCommand::Tube { accession: tube.accession, tests: tube.tests };
        if seat.commands.try_send(command).is_ok() {
            self.tally.tubes_loaded += 1;
        } else {
            self.tally.hands_full += 1;
        }
    }
}
