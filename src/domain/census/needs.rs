//! What each command about people, stays and beds needs to be permitted, and of whom or what it is.

use super::{Command, Measured};
use crate::domain::encounter::Clearance;
use crate::domain::rights::Permission;
use crate::domain::{chart, task, vitals};
use crate::kernel::{BedId, EncounterId, Mrn};

/// Of whom or what a command is, for the question who may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About<'a> {
    /// A bed.
    Bed(&'a BedId),
    /// Somebody comes into a bed: its ward must take them, and who is looked after elsewhere, or restricted, is not simply taken.
    Arriving {
        /// Who.
        patient: &'a Mrn,
        /// Into which.
        bed: &'a BedId,
        /// The stay that is named: a plan of another ward is not simply changed.
        encounter: Option<&'a EncounterId>,
    },
    /// A patient is put into a bed: both must be within reach, else the other ward is asked by a transfer.
    Into(&'a Mrn, &'a BedId),
    /// A patient.
    Patient(&'a Mrn),
    /// The ward that is asked to take a patient: it alone accepts.
    Receiver(&'a Mrn),
    /// Two patients: both must be within reach.
    Both(&'a Mrn, &'a Mrn),
    /// Somebody who is nowhere yet, or whose record is not looked into.
    Anybody,
}

impl Command {
    /// The permission that it needs.
    pub fn needs(&self) -> Permission {
        match self {
            Command::Register { .. } | Command::Replace { .. } | Command::TakePhoto { .. } | Command::RemovePhoto { .. } => Permission::RegisterPatient,
            // Leave is asked for each of them; this is where the request begins.
            Command::All(commands) => commands.first().map_or(Permission::RegisterPatient, Command::needs),
            Command::Merge { .. } | Command::Unmerge { .. } | Command::MoveStay { .. } | Command::MoveAccount { .. } => Permission::MergePatients,
            Command::RecordAllergy { .. } | Command::RefuteAllergy { .. } | Command::NoKnownAllergies { .. } => Permission::RecordAllergies,
            Command::Restrict { .. } => Permission::RestrictPatient,
            Command::Erase { .. } => Permission::ErasePatient,
            Command::PrintWristband { .. } | Command::ConfirmWristband { .. } => Permission::PrintWristband,
            Command::Plan { .. }
            | Command::CancelPlan { .. }
            | Command::Admit(_)
            | Command::CancelAdmission { .. }
            | Command::RemoveStay { .. }
            | Command::NameGuarantor { .. } => Permission::Admit,
            Command::Triage { .. } | Command::BeginTreatment { .. } => Permission::Triage,
            Command::FileDocument { .. } => Permission::FileDocuments,
            Command::Task { command, .. } => match command {
                task::Command::Plan(_) | task::Command::Stop { .. } => Permission::PlanTasks,
                task::Command::Answer { .. } | task::Command::DoneInEmergency { .. } => Permission::DoTasks,
                task::Command::Acknowledge { .. } => Permission::AcknowledgeTasks,
            },
            Command::RequestTransfer { .. }
            | Command::AcceptTransfer { .. }
            | Command::CancelTransfer { .. }
            | Command::Move { .. }
            | Command::MoveBack { .. }
            | Command::Swap { .. }
            | Command::ChangeClass { .. }
            | Command::Depart { .. }
            | Command::Arrive { .. }
            | Command::BeginLeave { .. }
            | Command::EndLeave { .. }
            | Command::Lodge { .. }
            | Command::CompanionLeaves { .. }
            | Command::ExpectEnd { .. } => Permission::Transfer,
            Command::Clear { clearance, .. } => match clearance {
                Clearance::Clinical => Permission::ClearClinically,
                Clearance::Nursing => Permission::ClearNursing,
                Clearance::Pharmacy => Permission::ClearPharmacy,
                Clearance::Billing => Permission::ClearBilling,
            },
            Command::Discharge { .. } | Command::EndVisit { .. } | Command::CancelDischarge { .. } => Permission::Discharge,
            Command::RecordDeath { .. } | Command::WithdrawDeath { .. } => Permission::RecordDeath,
            Command::OfVisit { command, .. } => command.needs(),
            Command::Block { .. } | Command::Unblock { .. } => Permission::BlockBeds,
            Command::Clean { .. } => Permission::CleanBeds,
            Command::Isolate { .. } => Permission::IsolateBeds,
            Command::Chart { command, .. } => match command {
                chart::Command::RecordProblem { .. } | chart::Command::ResolveProblem { .. } | chart::Command::ReopenProblem { .. } | chart::Command::RefuteProblem { .. } => {
                    Permission::RecordProblems
                }
                chart::Command::WriteNote { .. } | chart::Command::AmendNote { .. } | chart::Command::SignNote { .. } | chart::Command::WithdrawNote { .. } => {
                    Permission::WriteNotes
                }
                chart::Command::BeginProgramme { .. } | chart::Command::FinishProgramme { .. } | chart::Command::RefuteProgramme { .. } => Permission::RecordProblems,
                chart::Command::RecordImmunisation(_) | chart::Command::WithdrawImmunisation { .. } => Permission::Immunise,
                chart::Command::RecordFamilyIllness(_) | chart::Command::WithdrawFamilyIllness { .. } => Permission::RecordFamily,
                chart::Command::Refer { .. } | chart::Command::AnswerReferral { .. } | chart::Command::DeclineReferral { .. } | chart::Command::CancelReferral { .. } => {
                    Permission::Refer
                }
                chart::Command::FilePaper(_) | chart::Command::WithdrawPaper { .. } => Permission::FileDocuments,
                chart::Command::TellLook(_) | chart::Command::TellOrigin(_) => Permission::TellAudit,
            },
            Command::Vitals { command, .. } => match command {
                vitals::Command::Take { .. } | vitals::Command::WithdrawReading { .. } | vitals::Command::WithdrawFluid { .. } => Permission::RecordVitals,
                vitals::Command::SetLimits { .. } | vitals::Command::LiftLimits { .. } => Permission::SetLimits,
                vitals::Command::TakeAlert { .. } | vitals::Command::Escalate { .. } => Permission::TakeAlerts,
            },
        }
    }

    /// Of whom or what it is.
    pub fn about(&self) -> About<'_> {
        match self {
            // Whoever keeps restrictions lifts them too, without a look into the record.
            Command::Register { is_new: true, .. } | Command::Restrict { .. } | Command::Erase { .. } => About::Anybody,
            Command::Plan { admission, .. } | Command::Admit(admission) => match &admission.bed {
                Some(bed) => About::Arriving { patient: &admission.patient, bed, encounter: admission.encounter.as_ref() },
                None => About::Patient(&admission.patient),
            },
            Command::Move { patient, to } => About::Into(patient, to),
            Command::Lodge { patient, bed, .. } => About::Into(patient, bed),
            Command::ChangeClass { patient, bed: Some(bed), .. } | Command::CancelDischarge { patient, bed: Some(bed) } => About::Into(patient, bed),
            Command::Merge { survivor, merged } => About::Both(survivor, merged),
            Command::Swap { patient, with, .. } => About::Both(patient, with),
            Command::MoveStay { from, to, .. } | Command::MoveAccount { from, to, .. } => About::Both(from, to),
            Command::Block { bed, .. } | Command::Unblock { bed } | Command::Clean { bed } | Command::Isolate { bed, .. } => About::Bed(bed),
            Command::Vitals { whom: Measured::InBed(bed), .. } => About::Bed(bed),
            Command::Vitals { whom: Measured::PatientInBed(patient, bed), .. } => About::Into(patient, bed),
            Command::Vitals { whom: Measured::Patient(patient), .. } => About::Patient(patient),
            Command::AcceptTransfer { patient } => About::Receiver(patient),
            Command::OfVisit { command, .. } => command.about(),
            Command::All(commands) => commands.first().map_or(About::Anybody, Command::about),
            Command::Unmerge { merged, .. } => About::Patient(merged),
            Command::Register { patient, .. }
            | Command::Replace { patient, .. }
            | Command::TakePhoto { patient, .. }
            | Command::RemovePhoto { patient }
            | Command::RecordAllergy { patient, .. }
            | Command::RefuteAllergy { patient, .. }
            | Command::NoKnownAllergies { patient }
            | Command::PrintWristband { patient, .. }
            | Command::ConfirmWristband { patient, .. }
            | Command::CancelPlan { patient, .. }
            | Command::CancelAdmission { patient, .. }
            | Command::RequestTransfer { patient, .. }
            | Command::CancelTransfer { patient }
            | Command::MoveBack { patient, .. }
            | Command::ChangeClass { patient, .. }
            | Command::RemoveStay { patient, .. }
            | Command::Depart { patient, .. }
            | Command::Arrive { patient, .. }
            | Command::BeginLeave { patient }
            | Command::EndLeave { patient }
            | Command::CompanionLeaves { patient }
            | Command::ExpectEnd { patient, .. }
            | Command::Clear { patient, .. }
            | Command::Discharge { patient, .. }
            | Command::EndVisit { patient, .. }
            | Command::RecordDeath { patient, .. }
            | Command::WithdrawDeath { patient }
            | Command::Chart { patient, .. }
            | Command::Task { patient, .. }
            | Command::FileDocument { patient, .. }
            | Command::Triage { patient, .. }
            | Command::BeginTreatment { patient }
            | Command::NameGuarantor { patient, .. }
            | Command::CancelDischarge { patient, .. } => About::Patient(patient),
        }
    }
}
