//! The hospital information system: ADT^A01, A02 and A03 (v2.5.1) over MLLP to the daemon, each until it is answered.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::astm_line::scaled;
use super::clock::Clock;
use super::counts::Counts;
use super::device::until_stopped;
use super::mllp::{Answer, MllpLine};
use super::random::Random;
use super::wiring::BedPlace;

const ATTEMPTS_MAX: u32 = 100;
const CONNECT_WAIT: Duration = Duration::from_secs(5);
const REPEAT_PER_MILLE: u32 = 60;

/// A patient as the feed knows one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Medical record number.
    pub mrn: String,
    /// Visit number, PV1-19.
    pub visit: String,
    /// Family name.
    pub family: String,
    /// Given name.
    pub given: String,
    /// `YYYYMMDD`.
    pub birth: String,
    /// F or M.
    pub sex: &'static str,
}

/// What happens to a patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Movement {
    /// A01 into a bed.
    Admit(BedPlace),
    /// A02 from the second bed into the first.
    Transfer {
        /// New place, PV1-3.
        to: BedPlace,
        /// Prior place, PV1-6.
        from: BedPlace,
    },
    /// A03 from a bed.
    Discharge(BedPlace),
}

/// One message to send, and where to tell whether it was accepted.
pub struct FeedCommand {
    /// Who.
    pub person: Person,
    /// What.
    pub movement: Movement,
    /// True for AA or CA, false for a refusal or silence.
    pub accepted: Option<oneshot::Sender<bool>>,
}

/// A running feed.
pub struct HospitalFeed {
    name: String,
    time_scale: f64,
    clock: Clock,
    random: Random,
    last_control_id: u64,
    counts: Counts,
    line: Option<MllpLine<TcpStream>>,
}

impl HospitalFeed {
    /// A feed that names itself `name` in MSH-3.
    pub fn new(name: &str, time_scale: f64, clock: Clock, random: Random) -> HospitalFeed {
        let last_control_id = u64::try_from(clock.now().unix_ms).unwrap_or(0);
        HospitalFeed { name: name.to_owned(), time_scale, clock, random, last_control_id, counts: Counts::default(), line: None }
    }

    /// Sends to `address` until the commands end or `stop` turns true.
    pub async fn run(mut self, address: SocketAddr, mut commands: mpsc::Receiver<FeedCommand>, stop: watch::Receiver<bool>) -> Counts {
        let work = async {
            while let Some(command) = commands.recv().await {
                self.counts.given += 1;
                self.last_control_id += 1;
                let control_id = format!("HIS{}", self.last_control_id);
                let text = self.message(&control_id, &command.person, &command.movement);
                self.counts.sent += 1;
                let accepted = self.deliver(address, &control_id, &text).await;
                if let Some(tell) = command.accepted {
                    // The story may have stopped waiting.
                    let _ = tell.send(accepted);
                }
            }
        };
        until_stopped(work, stop).await;
        self.counts
    }

    async fn deliver(&mut self, address: SocketAddr, control_id: &str, text: &str) -> bool {
        let wait = scaled(10.0, self.time_scale).max(Duration::from_millis(500));
        let mut repeat_anyway = self.random.chance(REPEAT_PER_MILLE);
        for attempt in 0..ATTEMPTS_MAX {
            self.counts.resends += u64::from(attempt > 0);
            if self.line.is_none() {
                let connected = timeout(CONNECT_WAIT, TcpStream::connect(address)).await;
                self.line = connected.ok().and_then(Result::ok).map(MllpLine::new);
            }
            let answer = match &mut self.line {
                Some(line) => line.exchange(text, control_id, wait, None, &mut self.counts).await.ok(),
                None => None,
            };
            match answer {
                Some(Answer::Accepted) if repeat_anyway => {
                    repeat_anyway = false;
                    self.counts.noise += 1;
                }
                Some(Answer::Accepted) => {
                    self.counts.acknowledged += 1;
                    return true;
                }
                Some(Answer::Refused) => {
                    self.counts.refused += 1;
                    return false;
                }
                Some(Answer::Silence) => {}
                None => {
                    self.line = None;
                    self.counts.reconnects += 1;
                    sleep(Duration::from_millis(200)).await;
                }
            }
        }
        self.counts.abandoned += 1;
        false
    }

    fn message(&self, control_id: &str, person: &Person, movement: &Movement) -> String {
        let time = self.clock.now().compact();
        let (event, place, prior) = match movement {
            Movement::Admit(bed) => ("A01", location(bed), String::new()),
            Movement::Transfer { to, from } => ("A02", location(to), location(from)),
            Movement::Discharge(bed) => ("A03", location(bed), String::new()),
        };
        let (admitted, discharged) = match movement {
            Movement::Admit(_) => (time.as_str(), ""),
            Movement::Transfer { .. } => ("", ""),
            Movement::Discharge(_) => ("", time.as_str()),
        };
        let Person { mrn, visit, family, given, birth, sex } = person;
        let empty = "|".repeat(25);
        let segments = [
            format!("MSH|^~\\&|{}|HOSP|wardd|HOSP|{time}||ADT^{event}^ADT_{event}|{control_id}|P|2.5.1", self.name),
            format!("EVN|{event}|{time}"),
            format!("PID|1||{mrn}^^^HOSP^MR||{family}^{given}||{birth}|{sex}"),
            // PV1-19 is the visit number, PV1-44 and PV1-45 the times of admission and discharge.
            format!("PV1|1|I|{place}|||{prior}|||||||||||||{visit}{empty}{admitted}|{discharged}"),
        ];
        segments.iter().map(|segment| segment.trim_end_matches('|')).flat_map(|segment| [segment, "\r"]).collect()
    }
}

fn location(bed: &BedPlace) -> String {
    format!("{}^{}^{}", bed.ward, bed.room, bed.bed)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    fn bed(number: &str) -> BedPlace {
        BedPlace { ward: "W1".into(), room: "R1".into(), bed: number.into() }
    }

    fn person() -> Person {
        Person { mrn: "M1".into(), visit: "V1".into(), family: "Berg".into(), given: "Ida".into(), birth: "19700102".into(), sex: "F" }
    }

    #[test]
    fn fields_stand_where_they_belong() {
        let feed = HospitalFeed::new("HIS", 1.0, Clock::default(), Random::new(1));
        let cases = [
            (Movement::Admit(bed("1")), "ADT^A01^ADT_A01", "", 44),
            (Movement::Transfer { to: bed("1"), from: bed("2") }, "ADT^A02^ADT_A02", "W1^R1^2", 0),
            (Movement::Discharge(bed("1")), "ADT^A03^ADT_A03", "", 45),
        ];
        for (movement, kind, prior, time_at) in cases {
            let text = feed.message("7", &person(), &movement);
            let segments: Vec<Vec<&str>> = text.trim_end().split('\r').map(|s| s.split('|').collect()).collect();
            assert_eq!((segments[0][8], segments[0][9], segments[0][11]), (kind, "7", "2.5.1"));
            assert_eq!((segments[2][3], segments[2][5]), ("M1^^^HOSP^MR", "Berg^Ida"));
            let visit = &segments[3];
            assert_eq!((visit[2], visit[3], visit[6], visit[19]), ("I", "W1^R1^1", prior, "V1"));
            assert_eq!(visit.iter().rposition(|field| field.len() == 14).unwrap_or(0), time_at, "{visit:?}");
        }
    }

    #[tokio::test]
    async fn repeats_after_a_lost_connection_and_tells_the_outcome() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (commands, inbox) = mpsc::channel(4);
        let (_stop, stopped) = watch::channel(false);
        let feed = HospitalFeed::new("HIS", 0.05, Clock::default(), Random::new(1));
        let running = tokio::spawn(feed.run(address, inbox, stopped));
        let (accepted, outcome) = oneshot::channel();
        let command = FeedCommand { person: person(), movement: Movement::Admit(bed("1")), accepted: Some(accepted) };
        commands.send(command).await.unwrap();
        drop(commands);
        let (first, _) = listener.accept().await.unwrap();
        let lost = MllpLine::new(first).block().await.unwrap();
        let (second, _) = listener.accept().await.unwrap();
        let mut line = MllpLine::new(second);
        let again = line.block().await.unwrap();
        assert_eq!(lost, again);
        let id = String::from_utf8_lossy(&again).split('|').nth(9).unwrap().to_owned();
        let answer = format!("\x0bMSH|^~\\&|wardd\rMSA|AR|{id}\r\x1c\r");
        line.stream_mut().write_all(answer.as_bytes()).await.unwrap();
        assert!(!outcome.await.unwrap());
        let counts = running.await.unwrap();
        assert_eq!((counts.refused, counts.resends, counts.reconnects), (1, 1, 1), "{counts}");
    }
}
