//! The keys of the configuration. `config/wardd.toml` is the commented reference.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::kernel::{BedId, CabinetId, CompanyPrefix, DeviceId, Gtin, ItemId, Loinc, PocketId, WardId};
use crate::telemetry::LogTarget;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whose it is.
    pub hospital: Hospital,
    /// Where data is kept.
    pub data: Data,
    /// How the journal is kept.
    #[serde(default)]
    pub journal: Journal,
    /// The web server.
    #[serde(default)]
    pub http: Http,
    /// Certificates for the lines to devices.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Log lines.
    #[serde(default)]
    pub log: Log,
    /// Traces for OpenTelemetry, where somebody looks at them.
    #[serde(default)]
    pub traces: Option<Traces>,
    /// The MQTT broker, where devices use one.
    #[serde(default)]
    pub mqtt: Option<Mqtt>,
    /// What the house has decided about admissions and discharges.
    #[serde(default)]
    pub admission: Admission,
    /// Who may do what.
    #[serde(default)]
    pub access: Access,
    /// Where the audit is forwarded to, if anywhere.
    #[serde(default)]
    pub audit: Option<AuditCollector>,
    /// Wards and beds.
    #[serde(default)]
    pub wards: Vec<Ward>,
    /// Dispensing cabinets.
    #[serde(default)]
    pub cabinets: Vec<Cabinet>,
    /// Wristbands, where the house prints them.
    #[serde(default)]
    pub wristbands: Option<Wristbands>,
    /// Printers of wristbands.
    #[serde(default)]
    pub printers: Vec<Printer>,
    /// Reminders of appointments, where somebody sends them.
    #[serde(default)]
    pub reminders: Option<Reminders>,
    /// Other systems that are told what happens here.
    #[serde(default)]
    pub subscribers: Vec<Subscriber>,
    /// Where programs may have themselves told of changes (FHIR Subscription).
    #[serde(default)]
    pub subscriptions: Subscriptions,
    /// Tests that can be ordered.
    #[serde(default)]
    pub tests: Vec<CatalogueTest>,
    /// Devices.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// The folder of device profiles, relative to this file.
    #[serde(default = "profiles_folder")]
    pub profiles: PathBuf,
    /// The file of vital signs and their limits, relative to this file; without it those that come with wardd.
    #[serde(default)]
    pub vitals: Option<PathBuf>,
    /// The file of forms, relative to this file; without it those that come with wardd.
    #[serde(default)]
    pub forms: Option<PathBuf>,
    /// The emergency department.
    #[serde(default)]
    pub emergency: Emergency,
    /// The file of prices, relative to this file.
    #[serde(default)]
    pub prices: Option<PathBuf>,
}

fn profiles_folder() -> PathBuf {
    PathBuf::from("../device-profiles")
}

/// What the house has decided about admissions and discharges.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    /// Whether a bed that somebody has left waits for housekeeping before the next patient is admitted by hand.
    #[serde(default = "yes")]
    pub housekeeping: bool,
    /// Who must agree before a patient is discharged by hand: `clinical`, `nursing`, `pharmacy`, `billing`.
    #[serde(default)]
    pub clearances: Vec<String>,
}

/// The emergency department.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Emergency {
    /// Within how many minutes somebody of each level of triage is to be treated, from level 1 to 5.
    pub seen_within_minutes: [u32; 5],
}

impl Default for Emergency {
    /// As the Australasian Triage Scale has it (ACEM policy P06).
    fn default() -> Self {
        Self { seen_within_minutes: [0, 10, 30, 60, 120] }
    }
}

/// Who may do what.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// The file of roles, relative to this file; without it those that come with wardd.
    pub roles: Option<PathBuf>,
    /// Nobody is asked who they are, and everybody may do everything: for demonstrations on loopback alone.
    pub open: bool,
    /// After so many minutes without use a session ends.
    pub idle_minutes: u32,
    /// Places where people sign in.
    pub stations: Vec<Station>,
    /// The hospital's identity provider, where people may sign in at one.
    pub provider: Option<IdentityProvider>,
}

/// An identity provider (OpenID Connect).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityProvider {
    /// What people call it.
    pub name: String,
    /// Its issuer, as it writes it itself.
    pub issuer: String,
    /// Our name there.
    pub client_id: String,
    /// The file with our secret there, relative to this file.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// Where browsers reach wardd, such as `https://wardd.hospital.example`.
    pub public_url: String,
    /// The claim that holds the name of the user.
    #[serde(default = "claim")]
    pub claim: String,
    /// Words of the claim `amr` that stand for a second factor.
    #[serde(default = "second_factors")]
    pub second_factors: Vec<String>,
    /// The authorities that sign its certificate, PEM, relative to this file.
    #[serde(default)]
    pub authorities: Option<PathBuf>,
}

fn claim() -> String {
    "preferred_username".to_owned()
}

fn second_factors() -> Vec<String> {
    ["mfa", "otp", "hwk", "sc", "fpt", "face"].map(str::to_owned).to_vec()
}

impl Default for Access {
    fn default() -> Self {
        Self { roles: None, open: false, idle_minutes: 10, stations: Vec::new(), provider: None }
    }
}

/// A place where people sign in; whoever does ends the session of who was there before.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Station {
    /// Its name, unique.
    pub id: String,
    /// The addresses that it has; without them whoever signs in says where they are.
    #[serde(default)]
    pub addresses: Vec<std::net::IpAddr>,
    /// After so many minutes without use a session there ends; without it as elsewhere.
    #[serde(default)]
    pub idle_minutes: Option<u32>,
}

fn yes() -> bool {
    true
}

impl Default for Admission {
    fn default() -> Self {
        Self { housekeeping: yes(), clearances: Vec::new() }
    }
}

/// Traces for OpenTelemetry.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// Where a collector takes OTLP over HTTP, on this machine: `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
}

/// Whose configuration it is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hospital {
    /// The hospital's name, shown on pages.
    pub name: String,
    /// Its code in messages (MSH-4).
    pub facility: String,
}

/// Where data is kept.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The folder of journal and views, relative to this file.
    pub directory: PathBuf,
}

/// How the journal is kept.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Journal {
    /// The key ring, relative to this file; without it the credential `wardd-keyring` of systemd.
    pub keyring: Option<PathBuf>,
    /// Size of a segment in MiB, 1 to 1024.
    pub segment_mib: u64,
    /// A second copy of the journal, on another disk: written with the first, and the first is healed from it.
    pub mirror: Option<PathBuf>,
}

impl Default for Journal {
    fn default() -> Self {
        Self { keyring: None, segment_mib: 64, mirror: None }
    }
}

/// The web server.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port; port 0 takes a free one. Other than loopback needs certificate and key.
    pub bind: SocketAddr,
    /// The certificate chain, PEM.
    pub tls_certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub tls_key: Option<PathBuf>,
}

impl Default for Http {
    fn default() -> Self {
        Self { bind: SocketAddr::from(([127, 0, 0, 1], 8_080)), tls_certificate: None, tls_key: None }
    }
}

/// Certificates for the lines to devices.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Our certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The authorities that sign the certificates of devices and of the broker, PEM.
    pub authorities: PathBuf,
}

impl Tls {
    /// Our certificate and its key.
    pub fn identity(&self) -> super::tls::Identity {
        super::tls::Identity { certificate: self.certificate.clone(), key: self.key.clone() }
    }
}

impl Http {
    /// The web server's certificate and its key.
    pub fn identity(&self) -> Option<super::tls::Identity> {
        let (certificate, key) = self.tls_certificate.clone().zip(self.tls_key.clone())?;
        Some(super::tls::Identity { certificate, key })
    }
}

/// Log lines.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `auto`, `json`, `text` or `journald`.
    pub target: LogTarget,
    /// What is logged, such as `info,wardd::link=debug`.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { target: LogTarget::Auto, filter: "info,rumqttc=warn,ractor=warn,sled=warn".to_owned() }
    }
}

/// The MQTT broker.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mqtt {
    /// Host and port.
    pub broker: String,
    /// The client's name, one for each wardd.
    #[serde(default = "client_id")]
    pub client_id: String,
    /// The user, where the broker wants one.
    #[serde(default)]
    pub user: Option<String>,
    /// A file with the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Whether TLS is spoken to it, with the certificates of `[tls]`.
    #[serde(default)]
    pub tls: bool,
}

fn client_id() -> String {
    "wardd".to_owned()
}

/// A ward.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ward {
    /// Its code in messages (PV1-3.1).
    pub id: WardId,
    /// Its name, shown on pages.
    pub name: String,
    /// The facility that it belongs to; without it the hospital's own.
    #[serde(default)]
    pub facility: Option<String>,
    /// The building that it is in.
    #[serde(default)]
    pub building: Option<String>,
    /// Its beds as `ROOM:BED`.
    pub beds: Vec<String>,
}

impl Ward {
    /// The ids of its beds.
    pub fn bed_ids(&self) -> Vec<Result<BedId, crate::kernel::Invalid>> {
        self.beds.iter().map(|bed| format!("{}:{bed}", self.id).parse()).collect()
    }
}

/// A dispensing cabinet.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cabinet {
    /// Its code; `SYSTEM.DEVICE` for one of another system that reports by HL7.
    pub id: CabinetId,
    /// Its name, shown on pages.
    #[serde(default)]
    pub name: String,
    /// The ward that it stands in; without it only roles for the house reach it.
    #[serde(default)]
    pub ward: Option<WardId>,
    /// The device that opens its drawers, where one does.
    #[serde(default)]
    pub drawers: Option<DeviceId>,
    /// What belongs in which pocket.
    #[serde(default)]
    pub pockets: Vec<Pocket>,
}

/// A collector of the audit: syslog over TLS (RFC 5425).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditCollector {
    /// Host and port; 6514 on most.
    pub address: String,
    /// The name in its certificate: nobody else gets the audit.
    pub certificate: String,
}

/// Wristbands.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wristbands {
    /// What GS1 has issued to the house: patients' numbers on the bands begin with it.
    pub company_prefix: CompanyPrefix,
}

/// A printer of wristbands that understands ZPL II.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Printer {
    /// Its name.
    pub id: DeviceId,
    /// The ward that prints here when no other printer is named.
    #[serde(default)]
    pub ward: Option<WardId>,
    /// How it is connected: `tcp-connect` (port 9100 on most) or `serial`.
    pub link: Link,
}

/// Reminders of appointments.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reminders {
    /// Where a gateway on this machine takes them as JSON: `http://127.0.0.1:9000/remind`.
    pub endpoint: String,
    /// How many hours before an appointment, each once.
    #[serde(default = "hours_before")]
    pub hours_before: Vec<u32>,
}

fn hours_before() -> Vec<u32> {
    vec![48, 2]
}

/// Where programs may have themselves told of changes (FHIR R4, Subscription by rest-hook); nowhere when it names nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscriptions {
    /// Addresses that an endpoint must begin with, each with a slash at its end: `https://ehr.example/hooks/`.
    #[serde(default)]
    pub endpoints: Vec<String>,
    /// The authorities that sign their certificates, PEM, relative to this file; without it those that browsers know.
    #[serde(default)]
    pub authorities: Option<PathBuf>,
}

/// Another system that is told what happens here, by HL7 v2.5.1 over MLLP.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscriber {
    /// Its name here.
    pub id: DeviceId,
    /// How it is reached: `tcp-connect`.
    pub link: Link,
    /// What it calls itself (MSH-5).
    #[serde(default)]
    pub application: String,
    /// Where it stands (MSH-6).
    #[serde(default)]
    pub facility: String,
    /// The events that it wants, such as `A01` and `S12`; all of them when there are none here.
    #[serde(default)]
    pub events: Vec<String>,
    /// What these devices said is not told to it: mostly its own feed.
    #[serde(default)]
    pub not_from: Vec<DeviceId>,
}

/// A pocket.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pocket {
    /// `DRAWER-POCKET`.
    pub id: PocketId,
    /// The item.
    pub item: ItemId,
    /// The trade items that may be loaded.
    #[serde(default)]
    pub gtins: Vec<Gtin>,
    /// Whether waste and counts need a second person.
    #[serde(default)]
    pub controlled: bool,
}

/// A test that can be ordered.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueTest {
    /// Its code.
    pub loinc: Loinc,
    /// Its name, shown on pages.
    pub name: String,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its name, unique.
    pub id: DeviceId,
    /// Its profile, `maker/model`.
    pub profile: String,
    /// The profile's version that it was checked with.
    pub version: u32,
    /// How it is connected.
    pub link: Link,
    /// What a scanner is for.
    #[serde(default)]
    pub purpose: Option<ScanPurpose>,
    /// The cabinet that a scanner stands at.
    #[serde(default)]
    pub cabinet: Option<CabinetId>,
    /// How it must name itself in HL7 messages; another name is refused and held.
    #[serde(default)]
    pub sender: Option<Sender>,
    /// The assigning authority (CX.4.1) whose record numbers are ours, where this system sends others as well.
    #[serde(default)]
    pub authority: Option<String>,
}

/// A sender of HL7 messages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sender {
    /// MSH-3.1.
    pub application: String,
    /// MSH-4.1.
    pub facility: String,
}

/// What a scanner is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScanPurpose {
    /// Tubes at the bedside.
    Collect,
    /// Tubes in the laboratory.
    Receive,
    /// Packages at a cabinet.
    Load,
}

/// How a device is connected.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Link {
    /// wardd listens and the device connects.
    TcpListen {
        /// Address and port; port 0 takes a free one.
        bind: SocketAddr,
        /// The addresses that may connect; needed off loopback, where the line is not encrypted.
        #[serde(default)]
        peers: Vec<std::net::IpAddr>,
        /// The name in the device's certificate: then TLS is spoken, and nobody else is spoken to.
        #[serde(default)]
        certificate: Option<String>,
    },
    /// The device listens and wardd connects.
    TcpConnect {
        /// Host and port.
        address: String,
        /// The name in the device's certificate: then TLS is spoken.
        #[serde(default)]
        certificate: Option<String>,
    },
    /// A serial line, by its stable name under `/dev/serial/by-id`.
    Serial {
        /// The device file.
        path: PathBuf,
        /// Bits a second, when not the profile's.
        #[serde(default)]
        baud: Option<u32>,
    },
    /// The broker of `[mqtt]`.
    Mqtt,
}
