//! Reports of the census: who lay where and how long, from the events of the beds.
//!
//! **Invariant**: of each ward, who was there at the start and who came is who left and who is there at the end.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::Serialize;

use super::history::History;
use crate::domain::bed::{Event, Leaving};
use crate::journal::JournalError;
use crate::kernel::{BedId, Date, EncounterId, StreamId, StreamKind, Timestamp, WardId};

/// Events of a bed that are read at a time.
const PAGE: usize = 512;
const DAY_SECONDS: i64 = 24 * 3_600;

/// Somebody lay in a bed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupancy {
    bed: BedId,
    encounter: Option<EncounterId>,
    since: Timestamp,
    left: Option<(Timestamp, Leaving)>,
}

/// How a stay ended, as a report counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// When the stay began.
    pub admitted: Timestamp,
    /// Whether by a death.
    pub by_death: bool,
}

/// What happened on a ward in a time, and how full it was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct WardCensus {
    /// Its beds now.
    pub beds: usize,
    /// Who lay there at the start.
    pub at_start: usize,
    /// Who came into the hospital there.
    pub admissions: usize,
    /// Who came from another ward.
    pub transfers_in: usize,
    /// Who went to another ward.
    pub transfers_out: usize,
    /// Who left the hospital alive.
    pub discharges: usize,
    /// Who died.
    pub deaths: usize,
    /// Who lay there at the end.
    pub at_end: usize,
    /// Days that patients lay there, parts of days counted.
    pub patient_days: Decimal,
    /// Patient days in percent of the days that the beds of now have.
    pub occupancy_percent: Decimal,
    /// Mean length of the stays that ended there, from admission to end, in days; none when none ended.
    pub mean_stay_days: Option<Decimal>,
    /// Their median.
    pub median_stay_days: Option<Decimal>,
    /// Stays that ended, to a bed.
    pub turnover: Decimal,
    /// Days that a bed is empty between two stays; none when none ended.
    pub turnover_interval_days: Option<Decimal>,
    /// Who lay there at each midnight (UTC) of the time.
    pub midnights: BTreeMap<String, usize>,
}

fn days(seconds: i64) -> Decimal {
    Decimal::from(seconds) / Decimal::from(DAY_SECONDS)
}

impl History {
    /// Who lay in a bed until a moment, each time from coming to leaving. A cancelled admission never was.
    pub fn occupancies(&self, bed: &BedId, before: Timestamp) -> Result<Vec<Occupancy>, JournalError> {
        let (stream, log) = (StreamId::new(StreamKind::Bed, bed.as_str()), self.log());
        let (mut found, mut lying, mut from): (Vec<Occupancy>, Option<Occupancy>, u64) = (Vec::new(), None, 1);
        loop {
            let page = log.read_stream(&stream, from, PAGE)?;
            from += page.len() as u64;
            for (meta, stored) in &page {
                if meta.recorded > before {
                    found.extend(lying);
                    return Ok(found);
                }
                let event: Event =
                    serde_json::from_str(stored.event.payload.get()).map_err(|error| JournalError::Unreadable(format!("event {} of {stream}: {error}", stored.sequence)))?;
                match event {
                    Event::PatientAdmitted { encounter, at, .. } => lying = Some(Occupancy { bed: bed.clone(), encounter, since: at, left: None }),
                    Event::PatientLeft { reason: Leaving::Cancelled, .. } => lying = None,
                    Event::PatientLeft { at, reason, .. } => found.extend(lying.take().map(|lying| Occupancy { left: Some((at, reason)), ..lying })),
                    _ => {}
                }
            }
            if page.len() < PAGE {
                found.extend(lying);
                return Ok(found);
            }
        }
    }
}

impl Occupancy {
    fn lies_at(&self, moment: Timestamp) -> bool {
        self.since <= moment && self.left.is_none_or(|(at, _)| at > moment)
    }

    fn meets(&self, (from, until): (Timestamp, Timestamp)) -> bool {
        self.since <= until && self.left.is_none_or(|(at, _)| at >= from)
    }

    /// The part of it that lies in a time, in seconds.
    fn seconds_within(&self, (from, until): (Timestamp, Timestamp)) -> i64 {
        let end = self.left.map_or(until, |(at, _)| at.min(until));
        end.seconds_since(self.since.max(from)).max(0)
    }
}

/// The midnights of a time, the last ones where there are too many.
fn midnights((from, until): (Timestamp, Timestamp)) -> Vec<(Date, Timestamp)> {
    let first = from.date().midnight();
    let mut found = Vec::new();
    let mut at = first;
    while at < until && found.len() < 400 {
        if at >= from {
            found.push((at.date(), at));
        }
        at = at.plus_seconds(DAY_SECONDS);
    }
    found
}

/// The report of each ward. `ended` says of a stay when it began and whether it ended by a death.
pub fn report(
    beds: &BTreeMap<WardId, Vec<BedId>>,
    occupancies: &[Occupancy],
    window: (Timestamp, Timestamp),
    ended: impl Fn(&EncounterId) -> Option<Ended>,
) -> BTreeMap<WardId, WardCensus> {
    let (from, until) = window;
    // Whoever leaves one bed by a transfer comes into another at the same moment.
    let moved: BTreeMap<(&EncounterId, Timestamp), &str> = occupancies
        .iter()
        .filter_map(|known| match (&known.encounter, known.left) {
            (Some(encounter), Some((at, Leaving::Transfer))) => Some(((encounter, at), known.bed.ward())),
            _ => None,
        })
        .collect();
    let came: BTreeSet<(&EncounterId, Timestamp, &str)> = occupancies.iter().filter_map(|known| Some((known.encounter.as_ref()?, known.since, known.bed.ward()))).collect();
    // Whoever comes at the first moment is there at the start.
    let is_within = |at: Timestamp| from < at && at <= until;
    let mut wards = BTreeMap::new();
    for (ward, beds) in beds {
        let mut census = WardCensus { beds: beds.len(), ..WardCensus::default() };
        let mut stays: Vec<Decimal> = Vec::new();
        let mut seconds = 0;
        let here: Vec<&Occupancy> = occupancies.iter().filter(|known| known.bed.ward() == ward.as_str() && known.meets(window)).collect();
        for known in &here {
            seconds += known.seconds_within(window);
            census.at_start += usize::from(known.lies_at(from));
            census.at_end += usize::from(known.lies_at(until));
            let came_from = known.encounter.as_ref().and_then(|encounter| moved.get(&(encounter, known.since)).copied());
            match came_from {
                _ if !is_within(known.since) => {}
                None => census.admissions += 1,
                Some(other) if other != ward.as_str() => census.transfers_in += 1,
                Some(_) => {}
            }
            let Some((at, reason)) = known.left.filter(|(at, _)| is_within(*at)) else { continue };
            let stay = known.encounter.as_ref().and_then(&ended);
            match reason {
                Leaving::Transfer => {
                    let stays_here = known.encounter.as_ref().is_some_and(|encounter| came.contains(&(encounter, at, ward.as_str())));
                    census.transfers_out += usize::from(!stays_here);
                }
                Leaving::Cancelled => {}
                Leaving::Discharge => {
                    let by_death = stay.is_some_and(|stay| stay.by_death);
                    census.deaths += usize::from(by_death);
                    census.discharges += usize::from(!by_death);
                    stays.extend(stay.map(|stay| days(at.seconds_since(stay.admitted))));
                }
            }
        }
        measure(&mut census, (seconds, window), stays);
        let lying = |moment: Timestamp| here.iter().filter(|known| known.lies_at(moment)).count();
        census.midnights = midnights(window).into_iter().map(|(date, moment)| (date.to_string(), lying(moment))).collect();
        wards.insert(ward.clone(), census);
    }
    wards
}

fn measure(census: &mut WardCensus, (seconds, (from, until)): (i64, (Timestamp, Timestamp)), mut stays: Vec<Decimal>) {
    let beds = Decimal::from(census.beds);
    let bed_days = days(until.seconds_since(from)) * beds;
    let patient_days = days(seconds);
    let ended = Decimal::from(census.discharges + census.deaths);
    census.patient_days = patient_days.round_dp(2);
    census.occupancy_percent = patient_days.checked_div(bed_days).map(|share| (share * Decimal::ONE_HUNDRED).round_dp(1)).unwrap_or_default();
    census.turnover = ended.checked_div(beds).map(|turnover| turnover.round_dp(2)).unwrap_or_default();
    census.turnover_interval_days = (bed_days - patient_days).checked_div(ended).map(|interval| interval.round_dp(2));
    stays.sort_unstable();
    let count = stays.len();
    census.mean_stay_days = stays.iter().sum::<Decimal>().checked_div(Decimal::from(count)).map(|mean| mean.round_dp(2));
    census.median_stay_days = (count > 0).then(|| ((stays[(count - 1) / 2] + stays[count / 2]) / Decimal::TWO).round_dp(2));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(hours: i64) -> Timestamp {
        "2026-11-21T00:00:00Z".parse::<Timestamp>().unwrap().plus_seconds(hours * 3_600)
    }

    fn lay(bed: &str, encounter: &str, since: i64, left: Option<(i64, Leaving)>) -> Occupancy {
        Occupancy { bed: bed.parse().unwrap(), encounter: Some(encounter.parse().unwrap()), since: at(since), left: left.map(|(hours, why)| (at(hours), why)) }
    }

    fn beds() -> BTreeMap<WardId, Vec<BedId>> {
        let beds = |ward: &str, count| (ward.parse().unwrap(), (1..=count).map(|bed| format!("{ward}:1:{bed}").parse().unwrap()).collect());
        BTreeMap::from([beds("A", 2), beds("B", 1)])
    }

    #[test]
    fn a_month_on_paper_comes_out_as_it_does_by_hand() {
        let all = [
            // From the day before; goes home after a day and a half.
            lay("A:1:1", "enc_1", -24, Some((36, Leaving::Discharge))),
            // Comes, changes the bed within the ward, then the ward, and dies there.
            lay("A:1:2", "enc_2", 12, Some((24, Leaving::Transfer))),
            lay("A:1:3", "enc_2", 24, Some((30, Leaving::Transfer))),
            lay("B:1:1", "enc_2", 30, Some((42, Leaving::Discharge))),
            // Stays.
            lay("A:1:2", "enc_3", 40, None),
        ];
        let ended = |encounter: &EncounterId| Some(Ended { admitted: if encounter.as_str() == "enc_1" { at(-24) } else { at(12) }, by_death: encounter.as_str() == "enc_2" });
        let report = report(&beds(), &all, (at(0), at(48)), ended);
        let (a, b) = (&report[&"A".parse::<WardId>().unwrap()], &report[&"B".parse::<WardId>().unwrap()]);
        assert_eq!((a.at_start, a.admissions, a.transfers_in, a.transfers_out, a.discharges, a.deaths, a.at_end), (1, 2, 0, 1, 1, 0, 1));
        assert_eq!((b.at_start, b.admissions, b.transfers_in, b.transfers_out, b.discharges, b.deaths, b.at_end), (0, 0, 1, 0, 0, 1, 0));
        // 36 + 12 + 6 + 8 hours of two beds in two days.
        assert_eq!((a.patient_days.to_string(), a.occupancy_percent.to_string()), ("2.58".to_owned(), "64.6".to_owned()));
        assert_eq!((a.mean_stay_days, a.median_stay_days), (Some("2.5".parse().unwrap()), Some("2.5".parse().unwrap())));
        assert_eq!((a.turnover, a.turnover_interval_days), ("0.5".parse().unwrap(), Some("1.42".parse().unwrap())));
        assert_eq!(b.mean_stay_days, Some("1.25".parse().unwrap()), "from the admission, not from the transfer");
        assert_eq!(a.midnights, BTreeMap::from([("2026-11-21".to_owned(), 1), ("2026-11-22".to_owned(), 2)]));
    }

    #[test]
    fn nobody_was_there_and_nothing_is_divided_by_nothing() {
        let report = report(&beds(), &[], (at(0), at(24)), |_| None);
        let b = &report[&"B".parse::<WardId>().unwrap()];
        assert_eq!((b.patient_days, b.mean_stay_days, b.turnover_interval_days), (Decimal::ZERO, None, None));
    }

    proptest! {
        #[test]
        fn who_was_there_and_who_came_is_who_left_and_who_is_there(
            stays in prop::collection::vec((0_i64..60, prop::collection::vec((1_i64..20, 0_u8..2, 1_u8..3), 1..4), any::<bool>(), any::<bool>()), 0..12),
            window in (0_i64..40, 1_i64..40),
        ) {
            let mut all = Vec::new();
            for (number, (since, beds, is_over, _)) in stays.iter().enumerate() {
                let mut now = *since;
                let last = beds.len() - 1;
                for (step, (hours, ward, bed)) in beds.iter().enumerate() {
                    let bed = format!("{}:1:{bed}", if *ward == 0 { "A" } else { "B" });
                    let left = if step < last { Some((now + hours, Leaving::Transfer)) } else { is_over.then_some((now + hours, Leaving::Discharge)) };
                    all.push(lay(&bed, &format!("enc_{number}"), now, left));
                    now += hours;
                }
            }
            let dead = |encounter: &EncounterId| Some(Ended { admitted: at(0), by_death: encounter.as_str().ends_with('1') });
            let report = report(&beds(), &all, (at(window.0), at(window.0 + window.1)), dead);
            for (ward, census) in &report {
                prop_assert_eq!(
                    census.at_start + census.admissions + census.transfers_in,
                    census.transfers_out + census.discharges + census.deaths + census.at_end,
                    "{}: {:?}", ward, census
                );
            }
        }
    }
}
