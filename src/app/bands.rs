//! What stands on a patient's wristband, and where the printer's word goes.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::actor::{Hospital, Origin, Outcome};
use crate::codec::zpl::Wristband;
use crate::domain::census::Command;
use crate::domain::patient::{Person, Sex};
use crate::kernel::{Clock, CommandId, CompanyPrefix, DeviceId, Gsrn, Mrn, Principal};
use crate::outbound::{Bands, Doing};
use crate::projection::Rows;

/// The house's knowledge of bands.
pub(super) struct House {
    pub(super) prefix: CompanyPrefix,
    pub(super) hospital: Arc<Hospital>,
    pub(super) rows: Arc<Rows>,
    pub(super) clock: Clock,
}

impl Bands for House {
    fn band(&self, mrn: &Mrn, number: u32) -> Option<Wristband> {
        let gsrn = Gsrn::issue(&self.prefix, self.rows.band_reference(mrn)?).ok()?;
        let records = self.rows.person_now(mrn);
        // One that was replaced would be refused at the bedside.
        let newest = records.iter().map(|(_, record)| record.wristband).max()?;
        if newest != number {
            return None;
        }
        let mut known = records.iter().filter_map(|(_, record)| record.person.clone());
        let first = known.next()?;
        let Person { name, birth_date, sex, is_temporary, .. } = known.fold(first, |known, other| known.completed_by(&other));
        let name = match name.printed() {
            nobody if nobody.is_empty() => "UNKNOWN".to_owned(),
            name if is_temporary => format!("{name} (temporary)"),
            name => name,
        };
        let sex = match sex {
            Sex::Female => 'F',
            Sex::Male => 'M',
            Sex::Other => 'X',
            Sex::Unknown => '?',
        };
        Some(Wristband { name, born: birth_date, sex, mrn: mrn.to_string(), gsrn, number })
    }

    fn delivered<'a>(&'a self, mrn: &'a Mrn, number: u32, printer: &'a DeviceId) -> Doing<'a> {
        let digest = Sha256::digest(format!("wristband {mrn} {number}"));
        let id = CommandId::from_bytes(digest.first_chunk().copied().unwrap_or_default());
        let command = Command::ConfirmWristband { patient: mrn.clone(), number, printer: printer.clone() };
        let origin = Origin::new(id, Principal::System("wristbands".to_owned()), self.clock.now());
        Box::pin(async move { matches!(self.hospital.census(command, origin).await, Outcome::Done(_) | Outcome::Repeated | Outcome::Nothing) })
    }
}
