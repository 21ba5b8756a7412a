//! A search among many patients: `cargo bench --bench people [-- PATIENTS]`, a million by default. From the words of the search to the
//! rows of at most twenty people, as the API answers it; beside it what the index takes in memory, and a start.
#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use wardd::actor::Origin;
use wardd::domain::patient::{Event, Identifier, Name, Person, Sex};
use wardd::journal::views::SledViews;
use wardd::journal::{FileLog, KeyRing, Log, NewEvent, Options, StoredBatch, StoredEvent};
use wardd::kernel::{CommandId, Date, Principal, StreamId, StreamKind, Timestamp};
use wardd::projection::{PatientRow, Projector, Rows, Search};

/// Numbers that look like chance and are the same in each run (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// One of many names; small numbers come more often, as with people.
fn name(chance: &mut Chance, names: u64) -> String {
    const SYLLABLES: [&str; 20] = ["ba", "ne", "lo", "ri", "ta", "mu", "ke", "so", "vi", "da", "fe", "go", "hu", "ji", "la", "mo", "pe", "ra", "su", "wi"];
    let mut number = chance.below(chance.0 % names + 1);
    let mut text = String::new();
    for _ in 0..3 {
        text.push_str(SYLLABLES[(number % 20) as usize]);
        number /= 20;
    }
    text
}

fn person(number: u64, chance: &mut Chance) -> Person {
    let born = Date::new(1930 + chance.below(95) as i16, 1 + chance.below(12) as i8, 1 + chance.below(28) as i8).unwrap();
    Person {
        name: Name { family: name(chance, 8_000), given: vec![name(chance, 2_000)] },
        birth_date: Some(born),
        sex: if chance.below(2) == 0 { Sex::Female } else { Sex::Male },
        phones: vec![format!("0{:09}", chance.below(1_000_000_000))],
        identifiers: vec![Identifier { kind: "NI".to_owned(), value: format!("N{number:09}"), issuer: "GOV".to_owned() }],
        ..Person::default()
    }
}

fn registered(number: u64, person: &Person) -> StoredBatch {
    let now = Timestamp::from_micros(1_767_268_800_000_000);
    let event = Event::PersonRecorded { person: Box::new(person.clone()), as_of: now };
    let new = NewEvent::new(StreamId::new(StreamKind::Patient, format!("M{number:08}")), "PersonRecorded", 1, &event).unwrap();
    let command = CommandId::from_bytes(u128::from(number).to_be_bytes());
    let meta = Origin::new(command, Principal::System("bench".to_owned()), now).meta();
    StoredBatch { meta, events: vec![StoredEvent { sequence: number + 1, stream_version: 1, event: new }] }
}

fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1_024.0
}

fn main() {
    let patients: u64 = std::env::args().filter_map(|text| text.parse().ok()).next().unwrap_or(1_000_000);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-people");
    let _ = std::fs::remove_dir_all(&folder);
    let keys = Arc::new(KeyRing::ephemeral().unwrap());
    let log: Arc<dyn Log> = Arc::new(FileLog::open(&folder.join("journal"), keys.clone(), Options::default()).unwrap().0);
    let began = Instant::now();
    {
        let rows = Arc::new(Rows::open(Arc::new(SledViews::open(&folder.join("views"), &keys).unwrap().0), patients).unwrap());
        let projector = Projector::new(rows.clone(), log.clone());
        let mut chance = Chance(1);
        for number in 0..patients {
            projector.apply(&registered(number, &person(number, &mut chance))).unwrap();
            if number % 50_000 == 49_999 {
                rows.write().unwrap();
            }
        }
        rows.write().unwrap();
    }
    println!("{patients} patients registered in the read models in {:.0} s", began.elapsed().as_secs_f64());
    let (began, before) = (Instant::now(), memory());
    let rows = Rows::open(Arc::new(SledViews::open(&folder.join("views"), &keys).unwrap().0), patients).unwrap();
    println!("opened in {:.1} s", began.elapsed().as_secs_f64());
    rows.learn_people().unwrap();
    println!("everybody can be found after {:.1} s, {:.0} MB more", began.elapsed().as_secs_f64(), memory() - before);
    let mut chance = Chance(1);
    let people: Vec<Person> = (0..patients).map(|number| person(number, &mut chance)).collect();
    let mut chance = Chance(2);
    type Question = fn(&Person) -> Search;
    let questions: [(&str, Question); 6] = [
        ("three letters of the family name", |person| Search { name: person.name.family[..3].to_owned(), ..Search::default() }),
        ("two letters of each name", |person| Search { name: format!("{} {}", &person.name.family[..2], &person.name.given[0][..2]), ..Search::default() }),
        ("both names", |person| Search { name: person.name.printed(), ..Search::default() }),
        ("family name and birth date", |person| Search { name: person.name.family.clone(), born: person.birth_date, ..Search::default() }),
        ("phone", |person| Search { phone: person.phones[0].clone(), ..Search::default() }),
        ("another issuer's number", |person| Search { number: person.identifiers[0].value.clone(), ..Search::default() }),
    ];
    for (what, question) in questions {
        let mut took: Vec<f64> = (0..2_000)
            .map(|_| {
                let search = question(&people[chance.below(patients) as usize]);
                let began = Instant::now();
                let found = rows.find_patients(&search, 20);
                let shown = found.iter().filter_map(|mrn| rows.get::<PatientRow>("patient", mrn.as_str())).count();
                assert!(shown > 0, "{search:?}");
                began.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        took.sort_by(f64::total_cmp);
        println!("{what:<36} p50 {:>8.3} ms  p99 {:>8.3} ms", took[took.len() / 2], took[took.len() * 99 / 100]);
    }
    let _ = std::fs::remove_dir_all(&folder);
}
