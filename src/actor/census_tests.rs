//! Tests of what a message asks of the census: all of it in one batch, what is refused held, and nothing twice.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::*;
use crate::actor::Hospital;
use crate::actor::device::{Intake, Kept};
use crate::actor::hospital::Layout;
use crate::domain::census::Admission;
use crate::domain::encounter::Class;
use crate::domain::patient::{Allergy, Category, Criticality, Name, Person};
use crate::journal::{FileLog, KeyRing, Options, StoredBatch};
use crate::kernel::{DeviceId, Sealing, Timestamp};
use crate::routing::{Routed, Understood};

/// A hospital of one ward with two beds, one device, on a real log.
struct Bench {
    log: Arc<FileLog>,
    hospital: Hospital,
    folder: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn device(name: &str) -> DeviceId {
    name.parse().unwrap()
}

fn mrn(text: &str) -> Mrn {
    text.parse().unwrap()
}

fn register(patient: &str) -> Command {
    let person = Person { name: Name { family: "Doe".into(), given: vec!["Jane".into()] }, ..Person::default() };
    Command::Register { patient: mrn(patient), person: Box::new(person), as_of: None, is_new: false }
}

fn allergy(patient: &str) -> Command {
    let allergy = Allergy { substance: "Penicillin".into(), category: Category::Medication, criticality: Criticality::High, reaction: String::new() };
    Command::RecordAllergy { patient: mrn(patient), allergy }
}

fn admit(patient: &str, bed: &str) -> Command {
    Command::Admit(Admission { patient: mrn(patient), encounter: None, class: Class::Inpatient, bed: Some(bed.parse().unwrap()), mother: None, account: None, ward: None })
}

impl Bench {
    async fn new() -> Self {
        static FOLDERS: AtomicU64 = AtomicU64::new(0);
        let folder = std::env::temp_dir().join(format!("wardd-census-{}-{}", std::process::id(), FOLDERS.fetch_add(1, Ordering::Relaxed)));
        let _ = std::fs::remove_dir_all(&folder);
        let (log, _) = FileLog::open(&folder, Arc::new(KeyRing::ephemeral().unwrap()), Options { segment_bytes: 1 << 20, ..Options::default() }).unwrap();
        let log = Arc::new(log);
        Self { hospital: Self::hospital(&log).await, log, folder }
    }

    async fn hospital(log: &Arc<FileLog>) -> Hospital {
        let beds = ["W1:1:A", "W1:1:B"].map(|bed| bed.parse().unwrap()).to_vec();
        let layout = Layout { wards: BTreeMap::from([("W1".parse().unwrap(), beds)]), devices: vec![device("adt"), device("other")], ..Layout::default() };
        Hospital::start(layout, log.clone()).await.unwrap()
    }

    /// Hands a message in, and gives the answer and the batches that it made.
    async fn intake(&self, message: u8, commands: Vec<Command>) -> (Kept, Vec<Arc<StoredBatch>>) {
        self.intake_from("adt", message, (commands, false)).await
    }

    async fn intake_from(&self, name: &str, message: u8, (commands, is_replay): (Vec<Command>, bool)) -> (Kept, Vec<Arc<StoredBatch>>) {
        let before = self.log.head();
        let (sender, receiver) = oneshot::channel();
        let understood = Understood { items: commands.into_iter().map(Routed::Census).collect(), control_id: "1".into(), device_time: None };
        let now = Timestamp::from_micros(1_000_000);
        let intake = Intake {
            message: CommandId::from_bytes([message; 16]),
            raw: Bytes::from_static(b"MSH|"),
            understood,
            received: now,
            now,
            is_replay,
            place: None,
            reply: Box::new(move |result| drop(sender.send(result))),
        };
        assert!(self.hospital.intake(&device(name), intake).is_ok());
        let kept = receiver.await.unwrap().unwrap();
        (kept, self.log.read_all(before + 1, 100).unwrap())
    }
}

fn kinds(batch: &StoredBatch) -> Vec<String> {
    batch.events.iter().map(|event| format!("{} {}", event.event.stream.kind().word(), event.event.kind)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_message_asks_is_one_batch_that_is_handled_and_sealed_for_its_patient() {
    let bench = Bench::new().await;
    let (kept, batches) = bench.intake(1, vec![register("1"), allergy("1"), admit("1", "W1:1:A")]).await;
    assert!(kept.holds.is_empty() && !kept.is_repeated);
    let [batch] = &batches[..] else { panic!("{} batches", batches.len()) };
    assert_eq!(kinds(batch)[..3], ["device MessageReceived", "patient PersonRecorded", "patient AllergyRecorded"]);
    assert!(kinds(batch).contains(&"bed PatientAdmitted".to_owned()), "{:?}", kinds(batch));
    assert!(batch.events[0].event.payload.get().contains("\"is_handled\":true"), "{}", batch.events[0].event.payload.get());
    assert_eq!(batch.events[0].event.sealing, batch.events[1].event.sealing);
    assert!(matches!(batch.events[0].event.sealing, Sealing::Key(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_held_beside_what_is_done() {
    let bench = Bench::new().await;
    bench.intake(1, vec![register("1"), admit("1", "W1:1:A")]).await;
    // The bed is taken; what is known of the second patient counts all the same.
    let (kept, batches) = bench.intake(2, vec![register("2"), admit("2", "W1:1:A"), allergy("2")]).await;
    assert!(matches!(&kept.holds[..], [Reason::Refused { .. }]), "{:?}", kept.holds);
    let [batch] = &batches[..] else { panic!("{} batches", batches.len()) };
    assert_eq!(kinds(batch), ["device MessageReceived", "patient PersonRecorded", "quarantine Held", "patient AllergyRecorded"]);
    let held = batch.events[2].event.payload.get();
    assert!(held.contains("\"index\":1") && held.contains("\"of\":3"), "{held}");
    // Nothing at all can be done: the message is kept, and all of it waits.
    let (kept, batches) = bench.intake(3, vec![admit("3", "W1:1:A"), admit("4", "W1:1:A")]).await;
    assert_eq!((kept.holds.len(), batches.len()), (2, 1));
    let (kept, _) = bench.intake(4, vec![register("3"), admit("3", "W1:1:B")]).await;
    assert!(kept.holds.is_empty(), "{:?}", kept.holds);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_has_no_second_effect_when_its_device_has_forgotten_it() {
    let bench = Bench::new().await;
    let (first, _) = bench.intake(1, vec![register("1"), admit("1", "W1:1:A")]).await;
    let (again, batches) = bench.intake(1, vec![register("1"), admit("1", "W1:1:A")]).await;
    assert!(again.is_repeated && again.holds == first.holds && batches.is_empty());
    // Another device's actor does not know the message, but the streams do; what an earlier part did meanwhile is forgotten.
    let (other, batches) = bench.intake_from("other", 1, (vec![allergy("9"), admit("1", "W1:1:B")], false)).await;
    assert!(other.holds.is_empty() && batches.is_empty());
    let (_, batches) = bench.intake(2, vec![allergy("9"), admit("9", "W1:1:B")]).await;
    assert_eq!(kinds(&batches[0])[..2], ["device MessageReceived", "patient AllergyRecorded"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_has_handled_again_is_held_no_second_time() {
    let bench = Bench::new().await;
    bench.intake(1, vec![register("1"), admit("1", "W1:1:A")]).await;
    let (kept, batches) = bench.intake_from("adt", 2, (vec![register("2"), admit("2", "W1:1:A")], true)).await;
    assert!(matches!(&kept.holds[..], [Reason::Refused { .. }]), "{:?}", kept.holds);
    assert_eq!(batches.iter().flat_map(|batch| kinds(batch)).collect::<Vec<_>>(), ["patient PersonRecorded"]);
}
