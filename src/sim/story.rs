//! The living hospital: chooses what people do next, and moves patients; `story_lab` and `story_cabinet` are their errands.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::clock::Clock;
use super::device::AnalyzerCommand;
use super::epc::{giai_96, gsrn_96, sgtin_96};
use super::hospital_feed::{FeedCommand, Movement, Person};
use super::http::{Answer, HttpClient};
use super::random::Random;
use super::rfid_reader::TagPass;
use super::scanner::{AIM_GS1_DATAMATRIX, ScanCommand};
use super::tally::Tally;
use super::wiring::{BedPlace, CabinetPlace};

const ACTION_SECONDS: f64 = 0.4;
const FEED_WAIT: Duration = Duration::from_secs(10);
const WHEELCHAIRS: u64 = 6;
const PUMPS: u64 = 10;
const FAMILIES: [&str; 8] = ["Berg", "Okafor", "Silva", "Tanaka", "Novak", "Haddad", "Moreau", "Lind"];
const GIVEN: [&str; 8] = ["Ida", "Chidi", "Ana", "Ken", "Petra", "Omar", "Jean", "Sven"];

/// An analyzer as the laboratory's people see it.
pub(super) struct Seat {
    pub(super) tests: Vec<String>,
    pub(super) commands: mpsc::Sender<AnalyzerCommand>,
    pub(super) serial: bool,
}

/// A scanner in somebody's hand.
pub(super) struct HandScanner {
    pub(super) commands: mpsc::Sender<ScanCommand>,
    pub(super) serial: bool,
}

/// Everything that people can lay hands on.
#[derive(Default)]
pub(super) struct Hands {
    pub(super) feed: Option<mpsc::Sender<FeedCommand>>,
    pub(super) seats: Vec<Seat>,
    pub(super) collect: Vec<HandScanner>,
    pub(super) receive: Vec<HandScanner>,
    pub(super) goods: Vec<HandScanner>,
    pub(super) readers: Vec<mpsc::Sender<TagPass>>,
}

/// The places of the story.
pub(super) struct Places {
    pub(super) beds: Vec<BedPlace>,
    pub(super) cabinets: Vec<CabinetPlace>,
}

struct Patient {
    person: Person,
    bed: BedPlace,
    wristband: String,
}

pub(super) struct Tube {
    pub(super) accession: String,
    pub(super) tests: Vec<String>,
    pub(super) stage: Stage,
    pub(super) due: Instant,
}

#[derive(Clone, Copy)]
pub(super) enum Stage {
    Collect,
    Receive,
    Load,
}

pub(super) struct Vend {
    pub(super) cabinet: String,
    pub(super) pocket: String,
    pub(super) mrn: String,
}

/// The people; owns their knowledge and the tally.
pub(super) struct Story {
    pub(super) hands: Hands,
    pub(super) places: Places,
    http: HttpClient,
    pub(super) random: Random,
    action: Duration,
    free_beds: Vec<BedPlace>,
    patients: Vec<Patient>,
    pub(super) tubes: VecDeque<Tube>,
    pub(super) vends: VecDeque<Vend>,
    seed_number: u64,
    run: i64,
    last_person: u64,
    last_request: u64,
    pub(super) tally: Tally,
}

impl Story {
    /// People at the start of a shift: nobody in a bed. `seed` gives the patients' numbers, so another seed brings other
    /// patients; request keys and visit numbers also carry the start time, as they must never repeat.
    pub(super) fn new(hands: Hands, places: Places, http: HttpClient, seed: u64, pace: f64) -> Story {
        let pace = if pace.is_finite() && pace > 0.0 { pace } else { 1.0 };
        let random = Random::new(seed).fork("story");
        Story {
            free_beds: places.beds.clone(),
            hands,
            places,
            http,
            random,
            action: Duration::from_secs_f64((ACTION_SECONDS / pace).clamp(0.001, 600.0)),
            patients: Vec::new(),
            tubes: VecDeque::new(),
            vends: VecDeque::new(),
            seed_number: seed % 10_000,
            run: Clock::default().now().unix_ms,
            last_person: 0,
            last_request: 0,
            tally: Tally::default(),
        }
    }

    /// Acts until `shutdown`; the devices' queues close when this returns.
    pub(super) async fn run(mut self, shutdown: watch::Receiver<bool>) -> Tally {
        let mut shutdown = shutdown;
        let mut next_action = Instant::now();
        loop {
            let next_tube = self.tubes.iter().map(|tube| tube.due).min();
            let wake = next_tube.map_or(next_action, |due| due.min(next_action));
            tokio::select! {
                _ = shutdown.wait_for(|stop| *stop) => break,
                () = sleep_until(wake) => {}
            }
            let now = Instant::now();
            if let Some(index) = self.tubes.iter().position(|tube| tube.due <= now) {
                if let Some(tube) = self.tubes.remove(index) {
                    self.handle(tube);
                }
            } else if now >= next_action {
                self.act().await;
                next_action = Instant::now() + self.action.mul_f64(0.5 + self.random.fraction());
            }
        }
        self.tally.tubes_waiting = self.tubes.len() as u64;
        self.tally
    }

    async fn act(&mut self) {
        // An empty ward fills first, a full one empties.
        let beds = self.places.beds.len();
        if self.patients.is_empty() || (self.patients.len() * 2 < beds && self.random.chance(400)) {
            return self.admit().await;
        }
        match self.random.below(100) {
            0..10 => self.admit().await,
            10..40 => self.order().await,
            40..62 => self.vend().await,
            62..68 => self.give_back("return").await,
            68..73 => self.give_back("waste").await,
            73..83 => self.move_tag(),
            83..87 => self.transfer().await,
            87..91 => self.discharge().await,
            91..93 => self.second_into_a_bed().await,
            93..96 => self.vend_too_much().await,
            96..98 => self.vend_twice().await,
            98 => self.scan_goods(),
            _ => self.pull_a_cable(),
        }
    }

    async fn admit(&mut self) {
        let Some(index) = self.random.index(self.free_beds.len()) else {
            return self.discharge().await;
        };
        let bed = self.free_beds.swap_remove(index);
        let person = self.new_person();
        if self.tell_feed(&person, Movement::Admit(bed.clone())).await {
            self.tally.admitted += 1;
            let wristband = gsrn_96(self.seed_number * 100_000 + self.last_person);
            self.pass(&wristband);
            self.patients.push(Patient { person, bed, wristband });
        } else {
            self.tally.admissions_refused += 1;
            self.free_beds.push(bed);
        }
    }

    async fn second_into_a_bed(&mut self) {
        let Some(bed) = self.random.pick(&self.patients).map(|patient| patient.bed.clone()) else {
            return;
        };
        let person = self.new_person();
        if self.hands.feed.is_none() {
            return;
        }
        if self.tell_feed(&person, Movement::Admit(bed)).await {
            self.tally.bed_conflicts_accepted += 1;
        } else {
            self.tally.bed_conflicts_refused += 1;
        }
    }

    async fn transfer(&mut self) {
        let (Some(who), Some(place)) = (self.random.index(self.patients.len()), self.random.index(self.free_beds.len())) else {
            return;
        };
        let (Some(patient), Some(to)) = (self.patients.get(who), self.free_beds.get(place).cloned()) else {
            return;
        };
        let (person, from, wristband) = (patient.person.clone(), patient.bed.clone(), patient.wristband.clone());
        let movement = Movement::Transfer { to: to.clone(), from: from.clone() };
        if !self.tell_feed(&person, movement).await {
            self.tally.movements_refused += 1;
            return;
        }
        self.tally.transferred += 1;
        self.pass(&wristband);
        if let Some(bed) = self.free_beds.get_mut(place) {
            *bed = from;
        }
        if let Some(patient) = self.patients.get_mut(who) {
            patient.bed = to;
        }
    }

    async fn discharge(&mut self) {
        let Some(who) = self.random.index(self.patients.len()) else {
            return;
        };
        let patient = self.patients.swap_remove(who);
        if self.tell_feed(&patient.person, Movement::Discharge(patient.bed.clone())).await {
            self.tally.discharged += 1;
            self.pass(&patient.wristband);
            self.vends.retain(|vend| vend.mrn != patient.person.mrn);
            self.free_beds.push(patient.bed);
        } else {
            self.tally.movements_refused += 1;
            self.patients.push(patient);
        }
    }

    // Without a feed the story plays as if all were accepted.
    async fn tell_feed(&mut self, person: &Person, movement: Movement) -> bool {
        let Some(feed) = &self.hands.feed else {
            return true;
        };
        let (accepted, outcome) = oneshot::channel();
        let command = FeedCommand { person: person.clone(), movement, accepted: Some(accepted) };
        if feed.try_send(command).is_err() {
            self.tally.hands_full += 1;
            return false;
        }
        matches!(timeout(FEED_WAIT, outcome).await, Ok(Ok(true)))
    }

    fn move_tag(&mut self) {
        let epc = match self.random.below(4) {
            0 => giai_96(1_000 + self.random.below(WHEELCHAIRS)),
            1 => giai_96(2_000 + self.random.below(PUMPS)),
            2 => sgtin_96(12_345, self.random.below(500)),
            _ => match self.random.pick(&self.patients) {
                Some(patient) => patient.wristband.clone(),
                None => giai_96(1_000),
            },
        };
        self.pass(&epc);
    }

    fn pass(&mut self, epc: &str) {
        let antenna = u8::try_from(self.random.between(1, 4)).unwrap_or(1);
        let reads = u32::try_from(self.random.between(3, 25)).unwrap_or(3);
        let Some(reader) = self.random.pick(&self.hands.readers) else {
            return;
        };
        if reader.try_send(TagPass { epc: epc.to_owned(), antenna, reads }).is_err() {
            self.tally.hands_full += 1;
        }
    }

    fn scan_goods(&mut self) {
        let serial = self.random.below(1_000_000);
        // GTIN, expiry, lot ended by FNC1 as a group separator, serial number.
        let data = format!("01095011015300031728123110LOT7\u{1d}21{serial:06}");
        let scan = ScanCommand::Scan { aim: AIM_GS1_DATAMATRIX.to_owned(), data };
        if let Some(scanner) = self.random.pick(&self.hands.goods)
            && scanner.commands.try_send(scan).is_err()
        {
            self.tally.hands_full += 1;
        }
    }

    fn pull_a_cable(&mut self) {
        let duration = Duration::from_millis(self.random.between(200, 1_500));
        let full = if self.random.chance(500) {
            let serial: Vec<&Seat> = self.hands.seats.iter().filter(|seat| seat.serial).collect();
            self.random.pick(&serial).map(|seat| seat.commands.try_send(AnalyzerCommand::Unplug(duration)).is_err())
        } else {
            let all: Vec<&HandScanner> = self.hands.collect.iter().chain(&self.hands.receive).filter(|scanner| scanner.serial).collect();
            self.random.pick(&all).map(|scanner| scanner.commands.try_send(ScanCommand::Unplug(duration)).is_err())
        };
        self.tally.hands_full += u64::from(full == Some(true));
    }

    fn new_person(&mut self) -> Person {
        self.last_person += 1;
        let year = self.random.between(1930, 2020);
        let month = self.random.between(1, 12);
        let day = self.random.between(1, 28);
        let name = |random: &mut Random, names: &[&str]| random.pick(names).copied().unwrap_or("Doe").to_owned();
        Person {
            mrn: format!("{:04}{:05}", self.seed_number, self.last_person),
            visit: format!("V{}{:05}", self.run, self.last_person),
            family: name(&mut self.random, &FAMILIES),
            given: name(&mut self.random, &GIVEN),
            birth: format!("{year}{month:02}{day:02}"),
            sex: if self.random.chance(500) { "F" } else { "M" },
        }
    }

    pub(super) fn some_mrn(&mut self) -> Option<String> {
        self.random.pick(&self.patients).map(|patient| patient.person.mrn.clone())
    }

    pub(super) fn soon(&mut self) -> Instant {
        Instant::now() + self.action.mul_f64(1.0 + 4.0 * self.random.fraction())
    }

    pub(super) fn request_key(&mut self) -> String {
        self.last_request += 1;
        format!("sim-{}-{}-{}", self.seed_number, self.run, self.last_request)
    }

    pub(super) async fn post(&mut self, path: &str, body: &Value) -> Option<Answer> {
        let key = self.request_key();
        self.post_keyed(path, body, &key).await
    }

    pub(super) async fn post_keyed(&mut self, path: &str, body: &Value, key: &str) -> Option<Answer> {
        match self.http.post(path, body, Some(key)).await {
            Ok(answer) => {
                if !answer.is_success() {
                    tracing::debug!(path, status = answer.status, body = %answer.body, "simulated person was refused");
                }
                Some(answer)
            }
            Err(error) => {
                tracing::debug!(path, %error, "simulated person got no answer");
                self.tally.http_failures += 1;
                None
            }
        }
    }
}

/// The EPCs of the movable assets of the story, with a readable name, so that a demo can register them.
pub fn asset_tags() -> Vec<(String, String)> {
    let wheelchairs = (0..WHEELCHAIRS).map(|n| (format!("wheelchair {}", n + 1), giai_96(1_000 + n)));
    let pumps = (0..PUMPS).map(|n| (format!("pump {}", n + 1), giai_96(2_000 + n)));
    wheelchairs.chain(pumps).collect()
}
