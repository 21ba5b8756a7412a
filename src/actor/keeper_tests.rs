//! Tests of the shell: nothing is answered before its sync, a full port is an answer, a failed actor comes back from the journal.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::*;
use crate::actor::port::Port;
use crate::actor::request::{Origin, Reply};
use crate::actor::supervisor::{Child, Supervisor};
use crate::domain::{Context, Folded};
use crate::journal::views::MemoryViews;
use crate::journal::{Disk, FileLog, KeyRing, Options, RealDisk, Snapshot};
use crate::kernel::{CommandId, Principal, Timestamp, limits};

/// The simplest aggregate: a sum that refuses to go below zero, and breaks when told to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Sum(i64);

#[derive(Debug, Clone)]
enum Command {
    Add(i64),
    Break,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event")]
enum Event {
    Added { amount: i64 },
}

#[derive(Debug, thiserror::Error, Serialize)]
#[serde(tag = "rejection", rename_all = "snake_case")]
enum Rejection {
    #[error("below zero")]
    BelowZero,
}

impl Folded for Sum {
    const KIND: StreamKind = StreamKind::Bed;
    const SNAPSHOT: u16 = 1;
    type Event = Event;

    fn apply(&mut self, event: &Event) {
        let Event::Added { amount } = event;
        self.0 += amount;
    }

    fn name(_: &Event) -> (&'static str, u16) {
        ("Added", 1)
    }
}

impl Aggregate for Sum {
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, _: &Context, command: &Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Add(amount) if self.0 + amount < 0 => Err(Rejection::BelowZero),
            Command::Add(amount) => Ok(vec![Event::Added { amount: *amount }]),
            Command::Break => panic!("a planted failure"),
        }
    }
}

/// A disk whose syncs wait at a gate.
struct Gated {
    is_open: Mutex<bool>,
    changed: Condvar,
}

impl Gated {
    fn set(&self, is_open: bool) {
        *self.is_open.lock().unwrap() = is_open;
        self.changed.notify_all();
    }

    fn pass(&self) {
        drop(self.changed.wait_while(self.is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
    }
}

impl Disk for Gated {
    fn sync(&self, file: &File) -> io::Result<()> {
        self.pass();
        RealDisk.sync(file)
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_directory(path)
    }
}

/// A supervised keeper on a real log.
struct Bench {
    log: Arc<FileLog>,
    gate: Arc<Gated>,
    port: Port<Message<Sum>>,
    folder: PathBuf,
    number: AtomicU64,
}

impl Bench {
    async fn new(places: usize, streams: usize) -> Self {
        static FOLDERS: AtomicU64 = AtomicU64::new(0);
        let folder = std::env::temp_dir().join(format!("wardd-keeper-{}-{}", std::process::id(), FOLDERS.fetch_add(1, Ordering::Relaxed)));
        let _ = std::fs::remove_dir_all(&folder);
        let gate = Arc::new(Gated { is_open: Mutex::new(true), changed: Condvar::new() });
        let options = Options { segment_bytes: 1 << 20, disk: gate.clone() };
        let (log, _) = FileLog::open(&folder, Arc::new(KeyRing::ephemeral().unwrap()), options).unwrap();
        let log = Arc::new(log);
        log.keep_snapshots(Arc::new(MemoryViews::default()));
        let (port, announcer) = Port::new("sums", places);
        let child = Child::new("sums", || Keeper::<Sum>(PhantomData), Settings { log: log.clone(), streams }, announcer);
        ractor::Actor::spawn(None, Supervisor, vec![child]).await.unwrap();
        Self { log, gate, port, folder, number: AtomicU64::new(1) }
    }

    fn origin(&self, command: u64) -> Origin {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&command.to_le_bytes());
        let now = Timestamp::from_micros(1);
        let command = CommandId::from_bytes(bytes);
        let principal = Principal::System("test".into());
        Origin::new(command, principal, now)
    }

    fn send_as(&self, id: u64, key: &str, command: Command) -> Result<oneshot::Receiver<Outcome>, ()> {
        let (sender, receiver) = oneshot::channel();
        let reply: Reply = Box::new(move |outcome| drop(sender.send(outcome)));
        let request = Request { key: key.to_owned(), command, origin: self.origin(id), carried: vec![], raw_at: None, reply };
        self.port.send(Message::Ask(Box::new(request))).map_err(drop)?;
        Ok(receiver)
    }

    fn send(&self, key: &str, command: Command) -> Result<oneshot::Receiver<Outcome>, ()> {
        self.send_as(self.number.fetch_add(1, Ordering::Relaxed), key, command)
    }

    async fn ask(&self, key: &str, command: Command) -> Outcome {
        for _ in 0..200 {
            match self.send(key, command.clone()) {
                Ok(receiver) => return receiver.await.unwrap_or(Outcome::Failed(Failure::Lost)),
                // The actor is being started again.
                Err(()) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        panic!("no place in a second");
    }

    async fn sum(&self, key: &str) -> i64 {
        let (sender, receiver) = oneshot::channel();
        let show = Box::new(move |sum: &Sum| -> Shown {
            let sum = sum.0;
            Box::new(move |_| {
                let _ = sender.send(sum);
            })
        });
        assert!(self.port.send(Message::Inspect { key: key.to_owned(), show }).is_ok());
        receiver.await.unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.gate.set(true);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_answered_before_its_sync_and_commands_do_not_wait_for_each_other() {
    let bench = Bench::new(64, 8).await;
    assert!(matches!(bench.ask("a", Command::Add(1)).await, Outcome::Done(_)));
    bench.gate.set(false);
    let mut waiting: Vec<_> = (0..10).map(|_| bench.send("a", Command::Add(1)).unwrap()).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(waiting.iter_mut().all(|receiver| receiver.try_recv().is_err()), "no answer while the disk is busy");
    bench.gate.set(true);
    for receiver in waiting {
        assert!(matches!(receiver.await.unwrap(), Outcome::Done(_)));
    }
    assert_eq!(bench.sum("a").await, 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_port_is_an_answer_and_places_come_back() {
    let bench = Bench::new(4, 8).await;
    assert!(matches!(bench.ask("a", Command::Add(1)).await, Outcome::Done(_)));
    bench.gate.set(false);
    let waiting: Vec<_> = (0..4).map(|_| bench.send("a", Command::Add(1)).unwrap()).collect();
    assert!(bench.send("a", Command::Add(1)).is_err(), "the fifth is refused");
    bench.gate.set(true);
    for receiver in waiting {
        assert!(matches!(receiver.await.unwrap(), Outcome::Done(_)));
    }
    assert!(matches!(bench.ask("a", Command::Add(1)).await, Outcome::Done(_)));
    assert_eq!(bench.sum("a").await, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_actor_comes_back_with_the_state_of_the_journal() {
    let bench = Bench::new(16, 8).await;
    assert!(matches!(bench.ask("a", Command::Add(5)).await, Outcome::Done(_)));
    for _ in 0..3 {
        assert_eq!(bench.ask("a", Command::Break).await, Outcome::Failed(Failure::Lost), "the sender sees that it is lost");
        // What reaches the dying actor is lost too; the sender tries again, as a device's actor does.
        let mut outcome = bench.ask("a", Command::Add(1)).await;
        for _ in 0..100 {
            if outcome != Outcome::Failed(Failure::Lost) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            outcome = bench.ask("a", Command::Add(1)).await;
        }
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    }
    assert_eq!(bench.sum("a").await, 8);
    assert_eq!(bench.port.free(), 16, "lost messages give their places back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_is_a_reply_and_a_repeated_id_has_no_second_effect() {
    let bench = Bench::new(16, 8).await;
    assert!(matches!(bench.ask("a", Command::Add(-1)).await, Outcome::Refused(refusal) if refusal.rule == "below_zero"));
    assert!(matches!(bench.send_as(77, "a", Command::Add(3)).unwrap().await.unwrap(), Outcome::Done(_)));
    assert_eq!(bench.send_as(77, "a", Command::Add(3)).unwrap().await.unwrap(), Outcome::Repeated);
    assert_eq!(bench.ask("a", Command::Break).await, Outcome::Failed(Failure::Lost));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(bench.send_as(77, "a", Command::Add(3)).unwrap().await.unwrap(), Outcome::Repeated, "known from the journal too");
    assert_eq!(bench.sum("a").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_on_an_old_state_is_tried_again_on_the_new_one() {
    let bench = Bench::new(16, 8).await;
    assert!(matches!(bench.ask("a", Command::Add(1)).await, Outcome::Done(_)));
    // Somebody else writes to the stream: what the keeper knows is old.
    let stream = StreamId::new(StreamKind::Bed, "a");
    let event = NewEvent::new(stream, "Added", 1, &Event::Added { amount: 10 }).unwrap();
    let (sender, receiver) = oneshot::channel();
    let batch = Batch { expected: vec![], meta: bench.origin(9_999).meta(), events: vec![event] };
    bench.log.append(batch, Box::new(move |result| drop(sender.send(result))));
    receiver.await.unwrap().unwrap();
    assert_eq!(bench.ask("a", Command::Add(1)).await, Outcome::Failed(Failure::Busy));
    assert!(matches!(bench.ask("a", Command::Add(1)).await, Outcome::Done(_)));
    assert_eq!(bench.sum("a").await, 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cold_streams_are_let_go_and_loaded_again() {
    let bench = Bench::new(64, 4).await;
    for _ in 0..3 {
        for key in 0..20 {
            assert!(matches!(bench.ask(&format!("s{key}"), Command::Add(1)).await, Outcome::Done(_)));
        }
    }
    for key in 0..20 {
        assert_eq!(bench.sum(&format!("s{key}")).await, 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_command_is_decided_anew_when_it_comes_again() {
    let bench = Bench::new(16, 8).await;
    assert!(matches!(bench.send_as(5, "a", Command::Add(-1)).unwrap().await.unwrap(), Outcome::Refused(_)));
    assert!(matches!(bench.ask("a", Command::Add(1)).await, Outcome::Done(_)));
    assert!(matches!(bench.send_as(5, "a", Command::Add(-1)).unwrap().await.unwrap(), Outcome::Done(_)), "it was never done, so it is no repetition");
    assert_eq!(bench.sum("a").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_stream_is_folded_from_its_snapshot_and_a_foreign_snapshot_is_not_used() {
    let bench = Bench::new(256, 1).await;
    let long = limits::SNAPSHOT_AFTER + 10;
    for number in 0..long {
        assert!(matches!(bench.send_as(1_000 + number, "a", Command::Add(1)).unwrap().await.unwrap(), Outcome::Done(_)));
    }
    let stream = StreamId::new(StreamKind::Bed, "a");
    assert!(bench.log.snapshot(&stream).is_none(), "nobody has folded it yet");
    // The keeper has room for one stream: the second lets go of the first, which is folded when asked for again.
    assert!(matches!(bench.ask("b", Command::Add(1)).await, Outcome::Done(_)));
    assert_eq!(bench.sum("a").await, long as i64);
    let snapshot = bench.log.snapshot(&stream).expect("the fold was long");
    assert_eq!((snapshot.version, snapshot.state.get()), (long, long.to_string().as_str()));

    // A planted state shows that the next fold begins with the snapshot, and that its answers are known.
    let planted = |snapshot: Snapshot| Snapshot { state: serde_json::value::to_raw_value(&5_000).unwrap(), ..snapshot };
    bench.log.save_snapshot(&stream, &planted(snapshot.clone())).unwrap();
    assert_eq!(bench.sum("b").await, 1);
    assert_eq!(bench.sum("a").await, 5_000);
    assert_eq!(bench.send_as(1_000 + long - 1, "a", Command::Add(1)).unwrap().await.unwrap(), Outcome::Repeated);

    // Of another history, ahead of the log, or of another form: as if it were not there.
    let other = CommandId::from_bytes([9; 16]);
    for wrong in [
        Snapshot { command: other, ..snapshot.clone() },
        Snapshot { sequence: snapshot.sequence + 1, ..snapshot.clone() },
        Snapshot { version: snapshot.version + 100, ..snapshot.clone() },
        Snapshot { format: 99, ..snapshot.clone() },
    ] {
        bench.log.save_snapshot(&stream, &planted(wrong)).unwrap();
        assert_eq!(bench.sum("b").await, 1);
        assert_eq!(bench.sum("a").await, long as i64);
    }
}
