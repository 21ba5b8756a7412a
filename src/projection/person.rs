//! A person under all their numbers: the one that is used, and those that were merged into it.

use super::history::History;
use super::rows::{EncounterRow, PatientRow, Rows};
use crate::domain::encounter::{Encounter, Stay};
use crate::domain::patient::Patient;
use crate::journal::JournalError;
use crate::kernel::{BedId, EncounterId, Mrn, Timestamp, WardId};

/// Merges that lead from one number to the next, at most; there are no circles, so this is never met.
const MERGES: usize = 1_000;
/// For so long after a stay the ward that looked after a patient still does: what was done is written down.
const NOTES_SECONDS: i64 = 24 * 3_600;

/// The number to use, and all records of the person, its own first.
pub fn person<E>(mrn: &Mrn, record: impl Fn(&Mrn) -> Result<Patient, E>) -> Result<Vec<(Mrn, Patient)>, E> {
    let (mut to_use, mut own) = (mrn.clone(), record(mrn)?);
    for _ in 0..MERGES {
        let Some(survivor) = own.merged_into.clone() else { break };
        own = record(&survivor)?;
        to_use = survivor;
    }
    let mut records = vec![(to_use, own)];
    let mut next = 0;
    while let Some((_, known)) = records.get(next) {
        for merged in known.merged.clone() {
            let known = record(&merged)?;
            records.push((merged, known));
        }
        next += 1;
    }
    Ok(records)
}

/// Where those are who look after a person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Whereabouts {
    /// Their numbers, the one to use first.
    pub numbers: Vec<Mrn>,
    /// Beds whose wards look after them: where they lie or lay until yesterday, where they are asked for; a newborn's mother's.
    pub beds: Vec<BedId>,
    /// Who looks after them where they are here and lie in no bed.
    pub units: Vec<WardId>,
    /// They are here, in no bed, and nobody has said who looks after them.
    pub is_anywhere: bool,
    /// Whether a record of theirs is restricted.
    pub is_restricted: bool,
}

/// Where a person is, by their records. A plan is not yet a stay: who plans one does not look after anybody by that.
pub fn whereabouts<E>(mrn: &Mrn, now: Timestamp, record: impl Fn(&Mrn) -> Result<Patient, E>, encounter: impl Fn(&EncounterId) -> Result<Encounter, E>) -> Result<Whereabouts, E> {
    let mut found = Whereabouts::default();
    for (number, known) in person(mrn, &record)? {
        found.is_restricted |= known.restricted.is_some();
        found.numbers.push(number);
        for stay in known.stay.iter().chain(&known.last_stay) {
            match encounter(stay)? {
                Encounter::Open(stay) => {
                    // A newborn who rooms in is looked after where the mother lies, whichever number of hers is known.
                    let mothers = match stay.mother.as_ref().filter(|_| stay.bed.is_none()) {
                        Some(mother) => person(mother, &record)?.into_iter().find_map(|(_, mother)| mother.stay),
                        None => None,
                    };
                    let mothers = match mothers.map(|stay| encounter(&stay)).transpose()? {
                        Some(Encounter::Open(stay)) => stay.bed,
                        _ => None,
                    };
                    match (&stay.bed, &mothers, &stay.ward) {
                        (None, None, Some(ward)) => found.units.push(ward.clone()),
                        (None, None, None) => found.is_anywhere = true,
                        (Some(_), _, _) | (None, Some(_), _) => {}
                    }
                    found.beds.extend(stay.bed.into_iter().chain(mothers).chain(stay.transfer.map(|(bed, _)| bed)));
                }
                Encounter::Closed { stay, at, .. } if now.seconds_since(at) < NOTES_SECONDS => found.beds.extend(stay.bed),
                Encounter::Planned { .. } | Encounter::Closed { .. } | Encounter::None => {}
            }
        }
    }
    Ok(found)
}

impl Rows {
    fn record(&self, mrn: &Mrn) -> Patient {
        self.get::<PatientRow>("patient", mrn.as_str()).unwrap_or_default().patient
    }

    fn stay(&self, encounter: &EncounterId) -> Encounter {
        self.get::<EncounterRow>("encounter", encounter.as_str()).unwrap_or_default().encounter
    }

    /// A person's records as they are now.
    pub fn person_now(&self, mrn: &Mrn) -> Vec<(Mrn, Patient)> {
        person(mrn, |mrn| Ok::<_, std::convert::Infallible>(self.record(mrn))).unwrap_or_default()
    }

    /// Where a person is, by what the rows say.
    pub fn whereabouts(&self, mrn: &Mrn, now: Timestamp) -> Whereabouts {
        whereabouts(mrn, now, |mrn| Ok::<_, std::convert::Infallible>(self.record(mrn)), |encounter| Ok(self.stay(encounter))).unwrap_or_default()
    }

    /// The stay that is open, of whichever number.
    pub fn open_stay(&self, mrn: &Mrn) -> Option<Stay> {
        let stay = self.person_now(mrn).into_iter().find_map(|(_, record)| record.stay)?;
        self.stay(&stay).stay().cloned()
    }

    /// The bed that is kept for a stay that is to come.
    pub fn planned_bed(&self, encounter: &EncounterId) -> Option<BedId> {
        match self.stay(encounter) {
            Encounter::Planned { bed, .. } => bed,
            _ => None,
        }
    }

    /// The bed that a ward is asked to take a patient into.
    pub fn asked_bed(&self, mrn: &Mrn) -> Option<BedId> {
        self.person_now(mrn).into_iter().filter_map(|(_, record)| record.stay).find_map(|stay| match self.stay(&stay) {
            Encounter::Open(stay) => stay.transfer.map(|(bed, _)| bed),
            _ => None,
        })
    }
}

impl Rows {
    /// A patient's first band gives them their service reference for ever: the number of its event, which nothing else has.
    pub(super) fn wristband_printed(&self, mrn: &Mrn, sequence: u64) {
        self.update("band", mrn.as_str(), |reference: Option<u64>| reference.is_none().then_some(sequence));
        // Each time: a crash may have come between the two rows.
        let reference = self.band_reference(mrn).unwrap_or(sequence);
        self.update("tag-band", &reference.to_string(), |_: Option<Mrn>| Some(mrn.clone()));
    }

    /// The service reference on a patient's bands; none before the first.
    pub fn band_reference(&self, mrn: &Mrn) -> Option<u64> {
        self.get("band", mrn.as_str())
    }

    /// Whose bands bear a service reference.
    pub fn band_owner(&self, reference: u64) -> Option<Mrn> {
        self.get("tag-band", &reference.to_string())
    }
}

impl History {
    /// Where a person is, by the log itself: for a moment when the rows are behind.
    pub fn whereabouts(&self, mrn: &Mrn, now: Timestamp) -> Result<Whereabouts, JournalError> {
        whereabouts(mrn, now, |mrn| self.at(mrn.as_str(), Timestamp::from_micros(i64::MAX)), |encounter| self.at(encounter.as_str(), Timestamp::from_micros(i64::MAX)))
    }
}
