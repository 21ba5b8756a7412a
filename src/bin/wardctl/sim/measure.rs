//! What a full house does: searches, the board of beds, admissions, each beside its limit; and one sync of the same disk.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::house::House;
use super::load::somebody;
use super::{Chance, Size, bed, mrn};
use crate::out;

/// What is asked of a house of this size, in milliseconds at p99.
const SEARCH_MS: f64 = 50.0;
const BOARD_MS: f64 = 100.0;
const ADMISSION_MS: f64 = 10.0;
/// Bytes of one sync: what an admission writes, about.
const SYNCED: usize = 4_096;

/// Waits, in milliseconds.
struct Waits(Vec<f64>);

impl Waits {
    fn of(count: u32, mut once: impl FnMut(u32) -> Result<(), String>) -> Result<Self, String> {
        let mut waits = Vec::new();
        for number in 0..count {
            let began = Instant::now();
            once(number)?;
            waits.push(began.elapsed().as_secs_f64() * 1_000.0);
        }
        waits.sort_by(f64::total_cmp);
        Ok(Self(waits))
    }

    fn at(&self, share: f64) -> f64 {
        self.0.get(((self.0.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or(0.0)
    }

    /// Says what was asked and what is; whether it is within.
    fn say(&self, what: &str, asked: Option<f64>) -> bool {
        let is_within = asked.is_none_or(|asked| self.at(0.99) <= asked);
        let verdict = match asked {
            None => String::new(),
            Some(asked) if is_within => format!("  (asked: p99 {asked} ms)"),
            Some(asked) => format!("  MISSED: p99 {asked} ms is asked"),
        };
        out::line(&format!("{what:<44} p50 {:>7.2} ms  p99 {:>7.2} ms  longest {:>7.2} ms{verdict}", self.at(0.5), self.at(0.99), self.at(1.0)));
        is_within
    }
}

/// Searches as people type them; who is looked for must be found.
fn search(house: &House, size: Size, kind: &str, query: impl Fn(&super::load::Somebody, u32) -> String, finds: bool) -> Result<bool, String> {
    let mut chance = Chance(11);
    let waits = Waits::of(size.samples, |_| {
        let number = u32::try_from(chance.below(u64::from(size.patients))).unwrap_or(0);
        let found = house.get(&format!("/api/v1/patients?{}", query(&somebody(number), number)))?;
        match !finds || found.contains(&mrn(number)) {
            true => Ok(()),
            false => Err(format!("{} was registered and is not found by {kind}: {found}", mrn(number))),
        }
    })?;
    Ok(waits.say(&format!("search by {kind}"), Some(SEARCH_MS)))
}

/// All of it; whether each figure is within what is asked.
pub(super) fn measure(house: &House, size: Size, folder: &Path) -> Result<bool, String> {
    let mut is_within = true;
    is_within &= search(house, size, "three letters of the family name", |who, _| format!("name={}", &who.family[..3]), false)?;
    is_within &= search(house, size, "name and birth date", |who, _| format!("name={}%20{}&born={}", who.family, who.given, who.born), true)?;
    is_within &= search(house, size, "phone", |who, _| format!("phone={}", who.phone), true)?;
    is_within &= search(house, size, "another issuer's number", |_, number| format!("number=N{number:09}"), true)?;
    let occupied = size.beds as usize;
    let board = Waits::of(size.samples.min(200), |_| {
        let page = house.get("/beds")?;
        match page.matches("class=\"occupied\"").count() {
            count if count == occupied => Ok(()),
            count => Err(format!("the board shows {count} beds with somebody in them, {occupied} are full")),
        }
    })?;
    is_within &= board.say(&format!("the board of {} beds, as a whole page", size.beds), Some(BOARD_MS));
    is_within &= admissions(house, size)?.say("an admission, durable, over HTTP", Some(ADMISSION_MS));
    sync(folder, size)?.say("one write and fdatasync of the same disk", None);
    Ok(is_within)
}

/// Somebody goes home, and the next one is admitted into that bed; the second is measured.
fn admissions(house: &House, size: Size) -> Result<Waits, String> {
    // Nobody of these is in hospital: only the first have beds.
    let next = |number: u32| size.beds + number % (size.patients - size.beds).max(1);
    let mut waits = Vec::new();
    let mut last: Option<(u32, u32)> = None;
    for number in 0..size.samples.min(size.patients - size.beds) {
        let (place, patient) = (number % size.beds, next(number));
        // Who lies there: first those who were loaded, then those of this loop.
        let before = last.filter(|(bed, _)| *bed == place).map_or(if number < size.beds { place } else { next(number - size.beds) }, |(_, patient)| patient);
        house.post(&format!("/api/v1/patients/{}/discharge", mrn(before)), &json!({}))?;
        let body = json!({ "bed": bed(place).join(":") });
        waits.extend(Waits::of(1, |_| house.post(&format!("/api/v1/patients/{}/admit", mrn(patient)), &body))?.0);
        last = Some((place, patient));
    }
    waits.sort_by(f64::total_cmp);
    Ok(Waits(waits))
}

/// The disk's own time, in the same folder and minute.
fn sync(folder: &Path, size: Size) -> Result<Waits, String> {
    let path = folder.join("sync");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = std::fs::File::create(&path).map_err(failed)?;
    let bytes = [0x5a; SYNCED];
    file.write_all(&[0; SYNCED * 16]).and_then(|()| file.sync_all()).map_err(failed)?;
    let waits = Waits::of(size.samples, |number| {
        let at = SeekFrom::Start(u64::from(number % 16) * SYNCED as u64);
        file.seek(at).and_then(|_| file.write_all(&bytes)).and_then(|()| file.sync_data()).map_err(failed)
    });
    // Where it cannot be removed it goes with the folder.
    let _ = std::fs::remove_file(&path);
    waits
}
