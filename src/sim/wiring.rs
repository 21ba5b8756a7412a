//! The plan of a simulated hospital: which devices there are, how they are plugged in, what they can measure.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Everything that the story needs to know about the hospital.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// The daemon's HTTP interface.
    pub http: SocketAddr,
    /// Bearer token for it.
    pub token: Option<String>,
    /// Same seed, same decisions.
    pub seed: u64,
    /// Intensity: 1.0 is one patient action each 0.4 s, 2.0 twice as many.
    pub pace: f64,
    /// Multiplies the protocols' waits and the analyzers' run times; 1.0 is real time, demos use about 0.05.
    pub time_scale: f64,
    /// Beds to fill.
    pub beds: Vec<BedPlace>,
    /// Cabinets to vend from.
    pub cabinets: Vec<CabinetPlace>,
    /// Devices to bring to life.
    pub devices: Vec<Device>,
}

/// A bed as PV1-3 names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BedPlace {
    /// Point of care.
    pub ward: String,
    /// Room.
    pub room: String,
    /// Bed.
    pub bed: String,
}

/// A dispensing cabinet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CabinetPlace {
    /// The id in `/api/v1/cabinets/<id>` and in its MQTT topics.
    pub id: String,
    /// Pockets such as `1-1`.
    pub pockets: Vec<String>,
}

/// A test that an analyzer offers.
#[derive(Debug, Clone, PartialEq)]
pub struct Assay {
    /// LOINC code of the order.
    pub loinc: String,
    /// As the device writes it: `WBC` (Sysmex), `10` or `10/1/not` (Roche), `WBC` or a whole `6690-2^WBC^LN` (HL7).
    pub code: String,
    /// As the device writes it; `COI` or `S/CO` makes a Roche value of the form `call^value`.
    pub unit: String,
    /// Lower end of the reference range.
    pub low: f64,
    /// Upper end of the reference range, or the cutoff of a COI.
    pub high: f64,
    /// Digits after the point.
    pub decimals: u8,
}

/// What a scan at this scanner means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanPurpose {
    /// At the bedside: the tube is collected.
    Collect,
    /// At the laboratory's door: the tube is received.
    Receive,
    /// Goods, wristbands and others: GS1 codes.
    Goods,
}

/// A device and its plug. Addresses of the daemon can be replaced when the hospital goes live.
#[derive(Debug, Clone)]
pub enum Device {
    /// Sysmex XN style analyzer on a pty that the daemon opens.
    AstmSerial {
        /// Unique name.
        name: String,
        /// Symlink to create.
        pty: PathBuf,
        /// What it offers.
        tests: Vec<Assay>,
    },
    /// Roche e411 style analyzer with host query that connects to the daemon.
    AstmTcp {
        /// Unique name.
        name: String,
        /// The daemon's listener.
        addr: SocketAddr,
        /// What it offers.
        tests: Vec<Assay>,
    },
    /// Mindray BC-5380 style analyzer that connects to the daemon.
    Hl7Connect {
        /// Unique name.
        name: String,
        /// The daemon's listener.
        addr: SocketAddr,
        /// What it offers.
        tests: Vec<Assay>,
    },
    /// Mindray BC-5150 style analyzer that the daemon connects to.
    Hl7Listen {
        /// Unique name.
        name: String,
        /// Where to listen; port 0 picks a free one, see `Hospital::listen_addr`.
        bind: SocketAddr,
        /// What it offers.
        tests: Vec<Assay>,
    },
    /// A scanner on a pty.
    ScannerSerial {
        /// Unique name.
        name: String,
        /// Symlink to create.
        pty: PathBuf,
        /// What its scans mean.
        purpose: ScanPurpose,
        /// Whether it waits for ACK or NAK after each scan.
        expects_answer: bool,
    },
    /// A scanner that connects to the daemon.
    ScannerTcp {
        /// Unique name.
        name: String,
        /// The daemon's listener.
        addr: SocketAddr,
        /// What its scans mean.
        purpose: ScanPurpose,
        /// Whether it waits for ACK or NAK after each scan.
        expects_answer: bool,
    },
    /// An RFID reader that publishes to the broker.
    RfidReader {
        /// Unique name, also in its topic.
        name: String,
        /// The MQTT broker.
        broker: SocketAddr,
    },
    /// The drawers of a cabinet, commanded by MQTT.
    CabinetMqtt {
        /// The cabinet's id.
        cabinet: String,
        /// The MQTT broker.
        broker: SocketAddr,
    },
    /// The drawers of a cabinet, commanded over a serial line.
    RelayBoard {
        /// The cabinet's id.
        cabinet: String,
        /// Symlink to create.
        pty: PathBuf,
    },
    /// The hospital information system's ADT feed.
    HospitalFeed {
        /// Unique name.
        name: String,
        /// The daemon's listener.
        addr: SocketAddr,
    },
}

impl Device {
    /// The name by which endpoints and tallies know it; for cabinets the cabinet's id.
    pub fn name(&self) -> &str {
        match self {
            Device::AstmSerial { name, .. }
            | Device::AstmTcp { name, .. }
            | Device::Hl7Connect { name, .. }
            | Device::Hl7Listen { name, .. }
            | Device::ScannerSerial { name, .. }
            | Device::ScannerTcp { name, .. }
            | Device::RfidReader { name, .. }
            | Device::HospitalFeed { name, .. } => name,
            Device::CabinetMqtt { cabinet, .. } | Device::RelayBoard { cabinet, .. } => cabinet,
        }
    }
}
