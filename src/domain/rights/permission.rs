//! What can be permitted: one word for each kind of thing that somebody does or sees.

use serde::{Deserialize, Serialize, Serializer};

use crate::kernel::Invalid;

/// Declares the permissions with their words.
macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// One kind of thing that somebody may do or see.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub enum Permission {
            $($(#[$doc])* $name,)*
        }

        impl Permission {
            /// All of them.
            pub const ALL: &'static [Permission] = &[$(Permission::$name),*];

            /// The word that stands in `roles.toml`.
            pub fn word(self) -> &'static str {
                match self {
                    $(Permission::$name => $word,)*
                }
            }
        }
    };
}

permissions! {
    /// Search for patients.
    FindPatients = "patient.find",
    /// Look into a patient's record: person, allergies, stays.
    ViewPatient = "patient.view",
    /// Look into records that are restricted, without an emergency.
    ViewRestricted = "patient.view-restricted",
    /// Register, and change what is known of the person.
    RegisterPatient = "patient.register",
    /// Merge two numbers, and take it back.
    MergePatients = "patient.merge",
    /// Restrict a record, and lift it.
    RestrictPatient = "patient.restrict",
    /// Erase a person for ever, with a second one who may.
    ErasePatient = "patient.erase",
    /// Print a wristband.
    PrintWristband = "patient.print-wristband",
    /// Record allergies, and refute them.
    RecordAllergies = "chart.record-allergies",
    /// Record problems, resolve and refute them.
    RecordProblems = "chart.record-problems",
    /// Write notes, and change one's own.
    WriteNotes = "chart.write-notes",
    /// Record immunisations, and withdraw them.
    Immunise = "chart.record-immunisations",
    /// Record illnesses of the family, and withdraw them.
    RecordFamily = "chart.record-family",
    /// Ask others by a referral, and answer as who was asked.
    Refer = "chart.refer",
    /// File documents, and withdraw them.
    FileDocuments = "chart.file-documents",
    /// Tell who looked at a patient's record in another system, and who made what it sent.
    TellAudit = "audit.tell",
    /// Plan what nurses do, and stop it.
    PlanTasks = "task.plan",
    /// Say what was done, and what was not.
    DoTasks = "task.do",
    /// Stand for what was done in an emergency.
    AcknowledgeTasks = "task.acknowledge",
    /// Record vital signs, intake and output.
    RecordVitals = "vitals.record",
    /// Give a patient limits of their own.
    SetLimits = "vitals.set-limits",
    /// Take an alert.
    TakeAlerts = "vitals.take-alerts",
    /// Plan a stay, admit, and take either back.
    Admit = "stay.admit",
    /// Say how urgent somebody is, and who treats them.
    Triage = "stay.triage",
    /// Transfer, move, swap, leave of absence, expected end.
    Transfer = "stay.transfer",
    /// Agree to a discharge as physician.
    ClearClinically = "stay.clear-clinical",
    /// Agree to a discharge as nurse.
    ClearNursing = "stay.clear-nursing",
    /// Agree to a discharge for the pharmacy.
    ClearPharmacy = "stay.clear-pharmacy",
    /// Agree to a discharge for billing.
    ClearBilling = "stay.clear-billing",
    /// Discharge, and take it back.
    Discharge = "stay.discharge",
    /// Record a death, and withdraw it.
    RecordDeath = "stay.record-death",
    /// See schedules and who is booked.
    ViewSchedules = "schedule.view",
    /// Make schedules, open sessions, close times.
    ManageSchedules = "schedule.manage",
    /// Book, move and cancel appointments.
    Book = "schedule.book",
    /// Take more than the places of a slot.
    Overbook = "schedule.overbook",
    /// Say who has come or has not, and call whoever waits.
    CallPatients = "schedule.call",
    /// See beds and who lies in them.
    ViewBeds = "bed.view",
    /// Say that a bed is clean.
    CleanBeds = "bed.clean",
    /// Block a bed, and free it.
    BlockBeds = "bed.block",
    /// Isolate whoever lies in a bed.
    IsolateBeds = "bed.isolate",
    /// Order tests.
    OrderTests = "lab.order",
    /// See specimens and results.
    ViewSpecimens = "lab.view",
    /// Collect a specimen.
    CollectSpecimens = "lab.collect",
    /// Receive a specimen in the laboratory.
    ReceiveSpecimens = "lab.receive",
    /// File results that a device reported and that wait.
    FileResults = "lab.file-results",
    /// See what is in cabinets.
    ViewCabinets = "cabinet.view",
    /// Say what belongs in which pocket.
    AssignPockets = "cabinet.assign",
    /// Load and unload.
    StockCabinets = "cabinet.stock",
    /// Take out for a patient, give, bring back.
    Dispense = "cabinet.dispense",
    /// Waste.
    Waste = "cabinet.waste",
    /// Count a pocket.
    CountPockets = "cabinet.count",
    /// Explain a count that did not agree.
    ResolveDiscrepancies = "cabinet.resolve",
    /// Vouch for what somebody else does.
    Witness = "cabinet.witness",
    /// See accounts.
    ViewAccounts = "account.view",
    /// Charge by hand.
    Charge = "account.charge",
    /// Take payments.
    TakePayments = "account.pay",
    /// See devices and where tags were seen.
    ViewDevices = "device.view",
    /// See what waits for a person.
    ViewQuarantine = "quarantine.view",
    /// Retry, bind or discard what waits.
    ResolveQuarantine = "quarantine.resolve",
    /// Read metrics.
    ViewMetrics = "ops.metrics",
    /// See reports of the census, lengths of stay and turnover.
    ViewReports = "report.view",
    /// Keep the directory of organisations, places and equipment.
    ManageDirectory = "directory.manage",
    /// See users.
    ViewUsers = "user.view",
    /// Add users, give them roles, badges and tokens, lock them out.
    ManageUsers = "user.manage",
    /// Be told of changes by FHIR (for programs).
    Subscribe = "subscription.manage",
    /// See who saw and did what.
    ViewAudit = "audit.view",
    /// Open a record in an emergency.
    BreakGlass = "emergency.open",
    /// Review what was opened in emergencies.
    ReviewGlass = "emergency.review",
}

impl Permission {
    /// What it lets somebody do, for a sentence: the word with a blank, `cabinet waste`.
    pub fn spoken(self) -> String {
        self.word().replace(['.', '-'], " ")
    }
}

impl TryFrom<String> for Permission {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        let found = Permission::ALL.iter().copied().find(|permission| permission.word() == text);
        found.ok_or_else(|| Invalid::new("permission", &text, format!("known: {}", Permission::ALL.iter().map(|known| known.word()).collect::<Vec<_>>().join(", "))))
    }
}

impl Serialize for Permission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}
