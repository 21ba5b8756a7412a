//! A person under all their numbers: the one that is used, and those that were merged into it.

use super::rows::{EncounterRow, PatientRow, Rows};
use crate::domain::encounter::Encounter;
use crate::domain::patient::Patient;
use crate::kernel::{BedId, Mrn, Timestamp};

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

impl Rows {
    /// A person's records as they are now.
    pub fn person_now(&self, mrn: &Mrn) -> Vec<(Mrn, Patient)> {
        let record = |mrn: &Mrn| Ok::<_, std::convert::Infallible>(self.get::<PatientRow>("patient", mrn.as_str()).unwrap_or_default().patient);
        person(mrn, record).unwrap_or_default()
    }

    /// The beds whose wards look after whoever a record is of: where they lie or lay until yesterday, where they are to come.
    pub fn beds_of(&self, record: &Patient, now: Timestamp) -> Vec<BedId> {
        let stays = record.stay.iter().chain(&record.last_stay).chain(&record.plans);
        let mut beds = Vec::new();
        for stay in stays {
            match self.get::<EncounterRow>("encounter", stay.as_str()).unwrap_or_default().encounter {
                Encounter::Planned { bed, .. } => beds.extend(bed),
                Encounter::Open(stay) => beds.extend(stay.bed.into_iter().chain(stay.transfer.map(|(bed, _)| bed))),
                Encounter::Closed { stay, at, .. } if now.seconds_since(at) < NOTES_SECONDS => beds.extend(stay.bed),
                Encounter::Closed { .. } | Encounter::None => {}
            }
        }
        beds
    }

    /// The bed that a ward is asked to take a patient into.
    pub fn asked_bed(&self, mrn: &Mrn) -> Option<BedId> {
        let stays = self.person_now(mrn).into_iter().filter_map(|(_, record)| record.stay);
        stays.into_iter().find_map(|stay| match self.get::<EncounterRow>("encounter", stay.as_str())?.encounter {
            Encounter::Open(stay) => stay.transfer.map(|(bed, _)| bed),
            _ => None,
        })
    }
}
