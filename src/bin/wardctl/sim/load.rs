//! People and stays, told by HL7 ADT over MLLP on many connections, as a hospital's own system would.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use wardd::framing::mllp::{Block, Decoder, frame};

use super::house::House;
use super::{Chance, Size, bed, mrn};
use crate::out;

/// Lines at once.
const LINES: u32 = 64;
const ANSWER: Duration = Duration::from_secs(60);
/// The read models follow within this time.
const CATCH_UP: Duration = Duration::from_secs(900);

const SYLLABLES: [&str; 20] = ["ba", "ne", "lo", "ri", "ta", "mu", "ke", "so", "vi", "da", "fe", "go", "hu", "ji", "la", "mo", "pe", "ra", "su", "wi"];

/// One of many names; some come more often than others, as with people.
fn name(chance: &mut Chance, names: u64) -> String {
    let bound = chance.below(names) + 1;
    let mut number = chance.below(bound);
    let mut text = String::new();
    for _ in 0..3 {
        text.push_str(SYLLABLES[(number % 20) as usize]);
        number /= 20;
    }
    text
}

/// Somebody, the same in each run.
pub(super) struct Somebody {
    pub(super) family: String,
    pub(super) given: String,
    /// `YYYY-MM-DD`.
    pub(super) born: String,
    pub(super) phone: String,
}

/// Who has a number.
pub(super) fn somebody(number: u32) -> Somebody {
    let mut chance = Chance(u64::from(number) << 20);
    Somebody {
        family: name(&mut chance, 8_000),
        given: name(&mut chance, 2_000),
        born: format!("{}-{:02}-{:02}", 1930 + chance.below(95), 1 + chance.below(12), 1 + chance.below(28)),
        phone: format!("0{:09}", chance.below(1_000_000_000)),
    }
}

fn head(event: &str, control: &str) -> String {
    format!("MSH|^~\\&|HIS|LOAD|WARDD|LOAD|20260101120000||ADT^{event}|{control}|P|2.5.1\rEVN|{event}|20260101120000\r")
}

fn registration(number: u32) -> String {
    let Somebody { family, given, born, phone } = somebody(number);
    let (born, sex) = (born.replace('-', ""), ["F", "M"][(number % 2) as usize]);
    format!("{}PID|1||{}^^^LOAD^MR~N{number:09}^^^GOV^NI||{family}^{given}||{born}|{sex}|||||{phone}\rPV1|1|N\r", head("A28", &format!("P{number}")), mrn(number))
}

fn stay(event: &str, number: u32, class: &str, place: Option<u32>) -> String {
    let location = place.map(|place| bed(place).join("^")).unwrap_or_default();
    let head = head(event, &format!("{event}-{number}"));
    format!("{head}PID|1||{}^^^LOAD^MR\rPV1|1|{class}|{location}||||||||||||||||V{number}\r", mrn(number))
}

/// What is told about the stay with a number: of the first ones that the patient lies in a bed, of the others that they came and went.
fn stays(number: u32, size: Size) -> Vec<String> {
    match number < size.beds {
        true => vec![stay("A01", number, "I", Some(number))],
        false => vec![stay("A04", number, "O", None), stay("A03", number, "O", None)],
    }
}

/// Sends each message and waits for its answer.
fn tell(address: SocketAddr, messages: impl Iterator<Item = String>) -> Result<u64, String> {
    let failed = |error: std::io::Error| format!("{address}: {error}");
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    stream.set_read_timeout(Some(ANSWER)).map_err(failed)?;
    let mut decoder = Decoder::new(1 << 16);
    let mut buffer = [0; 4_096];
    let mut count = 0;
    for message in messages {
        stream.write_all(&frame(message.as_bytes())).map_err(failed)?;
        let answer = loop {
            match decoder.next() {
                Some(Block::Message(answer)) => break answer,
                Some(_) => return Err("the answer is no MLLP block".to_owned()),
                None => match stream.read(&mut buffer).map_err(failed)? {
                    0 => return Err("wardd closed the connection".to_owned()),
                    length => decoder.receive(&buffer[..length]),
                },
            }
        };
        let answer = String::from_utf8_lossy(&answer);
        if !answer.contains("MSA|AA|") {
            return Err(format!("{} was answered {}", message.replace('\r', " "), answer.replace('\r', " ")));
        }
        count += 1;
    }
    Ok(count)
}

/// Each line tells of every 64th number, so that what is told of one patient stays in order.
fn by_lines(address: SocketAddr, count: u32, messages: impl Fn(u32) -> Vec<String> + Send + Sync) -> Result<u64, String> {
    let messages = &messages;
    std::thread::scope(|scope| {
        let lines: Vec<_> = (0..LINES).map(|line| scope.spawn(move || tell(address, (line..count).step_by(LINES as usize).flat_map(messages)))).collect();
        lines.into_iter().map(|line| line.join().map_err(|_| "a line's thread failed".to_owned())?).sum()
    })
}

/// Registers everybody and tells of all stays; what that took.
pub(super) fn load(house: &House, size: Size) -> Result<String, String> {
    let address = house.address("feed")?;
    if house.head()?.0 > 0 {
        out::line("the folder's hospital is there already: what it knows is told again, and changes nothing");
    }
    let began = Instant::now();
    let people = by_lines(address, size.patients, |number| vec![registration(number)])?;
    let registered = began.elapsed().as_secs_f64();
    out::line(&format!("{people} people registered in {registered:.0} s, {:.0} a second", people as f64 / registered));
    let began = Instant::now();
    let told = by_lines(address, size.encounters.min(size.patients), |number| stays(number, size))?;
    let stayed = began.elapsed().as_secs_f64();
    let deadline = Instant::now() + CATCH_UP;
    loop {
        let (journal, rows) = house.head()?;
        if journal == rows {
            break;
        }
        if Instant::now() > deadline {
            return Err(format!("the read models do not catch up: they know event {rows} of {journal}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let caught_up = began.elapsed().as_secs_f64() - stayed;
    Ok(format!(
        "{} stays told in {stayed:.0} s, {:.0} messages a second; the read models knew all {caught_up:.0} s later; wardd takes {} MB",
        size.encounters.min(size.patients),
        told as f64 / stayed,
        house.memory_mb()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_stays_are_the_same_in_each_run() {
        assert_eq!(registration(7), registration(7));
        assert_ne!(somebody(7).family.len(), 0);
        let size = Size { patients: 100, encounters: 60, beds: 50, samples: 10 };
        assert_eq!(stays(0, size).len(), 1);
        assert!(stays(0, size)[0].contains("W001^100^A"));
        assert!(stays(26, size)[0].contains("W002^100^B"));
        assert_eq!(stays(50, size).len(), 2);
    }
}
