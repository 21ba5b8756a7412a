//! Reading and checking: all faults at once, each with its file and the way out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::{Config, Link, PriceFile, ScanPurpose};

/// Why a configuration is not used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{path}: {source}: write one, `config/wardd.toml` is the commented reference")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {why}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What, with line and column.
        why: String,
    },
    /// The parts do not fit together.
    #[error("{path}:\n{}", faults.join("\n"))]
    Faults {
        /// The file.
        path: PathBuf,
        /// Every fault, a line each.
        faults: Vec<String>,
    },
}

/// The number of single-character edits between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The known word that is nearest to a mistaken one, when it is near enough to be meant.
pub fn near<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known.into_iter().map(|word| (distance(given, word), word)).filter(|(edits, word)| *edits <= 1 + word.len() / 3).min().map(|(_, word)| word)
}

/// Adds "did you mean" to serde's "unknown field `x`, expected one of `a`, `b`".
fn with_suggestion(message: &str) -> String {
    let mut quoted = message.lines().last().unwrap_or_default().split('`').skip(1).step_by(2);
    let suggestion = if message.contains("unknown field") || message.contains("unknown variant") { quoted.next().and_then(|given| near(given, quoted)) } else { None };
    match suggestion {
        Some(word) => format!("{}\ndid you mean `{word}`?", message.trim_end()),
        None => message.trim_end().to_owned(),
    }
}

/// Reads one TOML file strictly.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(&text, path)
}

fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::Form { path: path.to_owned(), why: with_suggestion(&error.to_string()) })
}

impl Config {
    /// Reads and checks a configuration; its paths become relative to the working directory.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// The same from a text; `path` is where it stands.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config: Config = parse(text, path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        config.rebase(folder);
        // systemd's StateDirectory, which is the one place that the unit may write to.
        if let Some(directory) = std::env::var_os("STATE_DIRECTORY") {
            config.data.directory = directory.into();
        }
        let faults = config.faults();
        if faults.is_empty() { Ok(config) } else { Err(ConfigError::Faults { path: path.to_owned(), faults }) }
    }

    /// Reads the file of prices, where there is one.
    pub fn price_file(&self) -> Result<Option<PriceFile>, ConfigError> {
        self.prices.as_deref().map(read).transpose()
    }

    fn rebase(&mut self, folder: &Path) {
        let rebase = |path: &mut PathBuf| *path = folder.join(&*path);
        rebase(&mut self.data.directory);
        rebase(&mut self.profiles);
        let optional = [
            &mut self.vitals,
            &mut self.forms,
            &mut self.prices,
            &mut self.journal.keyring,
            &mut self.journal.mirror,
            &mut self.http.tls_certificate,
            &mut self.http.tls_key,
            &mut self.access.roles,
            &mut self.subscriptions.authorities,
        ];
        optional.into_iter().flatten().for_each(rebase);
        if let Some(tls) = &mut self.tls {
            [&mut tls.certificate, &mut tls.key, &mut tls.authorities].into_iter().for_each(rebase);
        }
        if let Some(path) = self.mqtt.as_mut().and_then(|mqtt| mqtt.password_file.as_mut()) {
            rebase(path);
        }
        if let Some(provider) = &mut self.access.provider {
            [&mut provider.client_secret_file, &mut provider.authorities].into_iter().flatten().for_each(rebase);
        }
    }

    /// Everything that does not fit together.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.journal.mirror.as_ref().is_some_and(|mirror| mirror.starts_with(&self.data.directory) || self.data.directory.starts_with(mirror)) {
            faults.push("journal.mirror lies in the data directory or holds it: name a folder on another disk".to_owned());
        }
        if !(1..=1_024).contains(&self.journal.segment_mib) {
            faults.push(format!("journal.segment_mib is {}, it must be 1 to 1024", self.journal.segment_mib));
        }
        self.http_faults(&mut faults);
        self.access_faults(&mut faults);
        if let Some(traces) = self.traces.as_ref().filter(|traces| !is_on_this_machine(&traces.endpoint)) {
            faults.push(format!(
                "WD-0310 traces.endpoint is {:?}: traces leave this machine by a collector only; name one on it, such as http://127.0.0.1:4318/v1/traces",
                traces.endpoint
            ));
        }
        if let Some(reminders) = &self.reminders {
            if !is_on_this_machine(&reminders.endpoint) {
                faults.push(format!(
                    "WD-0310 reminders.endpoint is {:?}: names and phone numbers go to a gateway on this machine only, such as http://127.0.0.1:9000/remind",
                    reminders.endpoint
                ));
            }
            if reminders.hours_before.is_empty() || reminders.hours_before.iter().any(|hours| !(1..=24 * 60).contains(hours)) {
                faults.push("reminders.hours_before names hours from 1 to 1440, such as [48, 2]".to_owned());
            }
        }
        for endpoint in &self.subscriptions.endpoints {
            if !super::web::is_behind(endpoint, std::slice::from_ref(endpoint)) || !endpoint.ends_with('/') {
                faults.push(format!(
                    "WD-0311 subscriptions.endpoints: {endpoint:?} is no address that patients' data may go to: write https://host/path/ with a slash at its end, or http:// on this machine"
                ));
            }
        }
        if let Some(mqtt) = &self.mqtt {
            if mqtt.tls && self.tls.is_none() {
                faults.push("mqtt.tls needs [tls] with our certificate, its key and the authorities".to_owned());
            }
            if !mqtt.tls && !is_pinned(&mqtt.broker) {
                faults.push(format!("WD-0302 mqtt.broker {} is a name and the line is not encrypted: set mqtt.tls, or name the broker's address in digits", mqtt.broker));
            }
        }
        self.place_faults(&mut faults);
        self.device_faults(&mut faults);
        self.printer_faults(&mut faults);
        self.subscriber_faults(&mut faults);
        if let Some(audit) = &self.audit {
            if self.tls.is_none() {
                faults.push("audit needs [tls] with our certificate, its key and the authorities: the audit is never sent in the clear".to_owned());
            }
            if !audit.address.contains(':') {
                faults.push(format!("audit.address {:?} is host:port", audit.address));
            }
        }
        faults
    }

    fn http_faults(&self, faults: &mut Vec<String>) {
        let http = &self.http;
        let has_tls = http.tls_certificate.is_some() && http.tls_key.is_some();
        if http.tls_certificate.is_some() != http.tls_key.is_some() {
            faults.push("http: tls_certificate and tls_key belong together: give both or none".to_owned());
        }
        if !http.bind.ip().is_loopback() && (!has_tls || self.access.open) {
            faults.push(format!(
                "WD-0301 http.bind is {}, which is not loopback: patients' data would be open to the network; set tls_certificate and tls_key and take access.open away, or bind to 127.0.0.1",
                http.bind
            ));
        }
    }

    fn access_faults(&self, faults: &mut Vec<String>) {
        const MINUTES: std::ops::RangeInclusive<u32> = 1..=720;
        let mut stations = BTreeSet::new();
        for station in &self.access.stations {
            if !stations.insert(&station.id) {
                faults.push(format!("access: station {} stands twice", station.id));
            }
            if station.id.is_empty() || station.id.len() > 64 || !station.id.bytes().all(|byte| byte.is_ascii_graphic()) {
                faults.push(format!("access: station {:?}: a station's id has 1 to 64 visible ASCII characters", station.id));
            }
        }
        let minutes = self.access.stations.iter().filter_map(|station| station.idle_minutes).chain([self.access.idle_minutes]);
        for minutes in minutes.filter(|minutes| !MINUTES.contains(minutes)) {
            faults.push(format!("access: idle_minutes is {minutes}, it must be 1 to 720"));
        }
        for cabinet in &self.cabinets {
            if let Some(ward) = cabinet.ward.as_ref().filter(|ward| !self.wards.iter().any(|known| known.id == **ward)) {
                faults.push(format!("cabinet {}: there is no ward {ward} that it could stand in", cabinet.id));
            }
        }
    }

    fn place_faults(&self, faults: &mut Vec<String>) {
        let mut seen = BTreeSet::new();
        let mut wards = BTreeSet::new();
        for ward in &self.wards {
            if !wards.insert(&ward.id) {
                faults.push(format!("ward {} stands twice: put all its beds into one", ward.id));
            }
            for (bed, name) in ward.bed_ids().into_iter().zip(&ward.beds) {
                match bed {
                    Ok(bed) if !seen.insert(bed.to_string()) => faults.push(format!("bed {bed} stands twice")),
                    Ok(_) => {}
                    Err(error) => faults.push(format!("ward {}: bed {name:?}: {error}", ward.id)),
                }
            }
        }
        let mut tests = BTreeSet::new();
        for test in self.tests.iter().filter(|test| !tests.insert(&test.loinc)) {
            faults.push(format!("test {} stands twice", test.loinc));
        }
        let mut cabinets = BTreeSet::new();
        for cabinet in &self.cabinets {
            if !cabinets.insert(&cabinet.id) {
                faults.push(format!("cabinet {} stands twice", cabinet.id));
            }
            let mut pockets = BTreeSet::new();
            for pocket in cabinet.pockets.iter().filter(|pocket| !pockets.insert(&pocket.id)) {
                faults.push(format!("cabinet {}: pocket {} stands twice", cabinet.id, pocket.id));
            }
            if let Some(drawers) = &cabinet.drawers
                && !self.devices.iter().any(|device| device.id == *drawers)
            {
                let nearest = near(drawers.as_str(), self.devices.iter().map(|device| device.id.as_str())).map(|name| format!(", did you mean {name}?")).unwrap_or_default();
                faults.push(format!("cabinet {}: there is no device {drawers} to open its drawers{nearest}", cabinet.id));
            }
        }
    }

    fn printer_faults(&self, faults: &mut Vec<String>) {
        let mut ids: BTreeSet<&crate::kernel::DeviceId> = self.devices.iter().map(|device| &device.id).collect();
        for printer in &self.printers {
            if !ids.insert(&printer.id) {
                faults.push(format!("printer {} stands twice, or is a device's name", printer.id));
            }
            match &printer.link {
                Link::TcpConnect { address, .. } if !address.contains(':') => faults.push(format!("printer {}: link.address {address:?} is host:port", printer.id)),
                Link::TcpConnect { address, certificate: None } if !is_pinned(address) => faults.push(format!(
                    "WD-0302 printer {}: {address} is a name and the line is not encrypted: name its certificate in link.certificate, or its address in digits",
                    printer.id
                )),
                Link::TcpConnect { certificate: Some(_), .. } if self.tls.is_none() => faults.push(format!("printer {}: link.certificate needs [tls]", printer.id)),
                Link::TcpConnect { .. } | Link::Serial { .. } => {}
                Link::TcpListen { .. } | Link::Mqtt => faults.push(format!("printer {}: its link is tcp-connect or serial", printer.id)),
            }
            if let Some(ward) = printer.ward.as_ref().filter(|ward| !self.wards.iter().any(|known| known.id == **ward)) {
                faults.push(format!("printer {}: there is no ward {ward} that it could stand in", printer.id));
            }
        }
        if self.wristbands.is_none() && !self.printers.is_empty() {
            faults.push("printers need [wristbands] with the company_prefix that GS1 has issued to the house".to_owned());
        }
    }

    fn subscriber_faults(&self, faults: &mut Vec<String>) {
        let mut ids = BTreeSet::new();
        for subscriber in &self.subscribers {
            let id = &subscriber.id;
            if !ids.insert(id) || self.printers.iter().any(|printer| printer.id == *id) {
                faults.push(format!("subscriber {id} stands twice, or is a printer's name"));
            }
            match &subscriber.link {
                Link::TcpConnect { address, .. } if !address.contains(':') => faults.push(format!("subscriber {id}: link.address {address:?} is host:port")),
                Link::TcpConnect { address, certificate: None } if !is_pinned(address) => faults.push(format!(
                    "WD-0302 subscriber {id}: {address} is a name and the line is not encrypted: name its certificate in link.certificate, or its address in digits"
                )),
                Link::TcpConnect { certificate: Some(_), .. } if self.tls.is_none() => faults.push(format!("subscriber {id}: link.certificate needs [tls]")),
                Link::TcpConnect { .. } => {}
                Link::TcpListen { .. } | Link::Serial { .. } | Link::Mqtt => faults.push(format!("subscriber {id}: its link is tcp-connect: wardd calls it")),
            }
            if let Some(unknown) = subscriber.not_from.iter().find(|named| !self.devices.iter().any(|device| device.id == **named)) {
                faults.push(format!("subscriber {id}: not_from names {unknown}, which is no device of the configuration"));
            }
        }
    }

    fn device_faults(&self, faults: &mut Vec<String>) {
        let mut ids = BTreeSet::new();
        let mut binds = BTreeSet::new();
        binds.insert(self.http.bind);
        for device in &self.devices {
            if !ids.insert(&device.id) {
                faults.push(format!("device {} stands twice", device.id));
            }
            if self.subscribers.iter().any(|subscriber| subscriber.id == device.id) {
                faults.push(format!("subscriber {}: a device has this name: give the subscriber another", device.id));
            }
            if ["broker", "audit"].contains(&device.id.as_str()) {
                faults.push(format!("device {}: this name stands for the MQTT broker or the collector of the audit in metrics: give the device another", device.id));
            }
            match &device.link {
                Link::TcpListen { bind, peers, certificate } => {
                    if bind.port() != 0 && !binds.insert(*bind) {
                        faults.push(format!("device {}: {bind} is taken by another device or the web server: two on one listener cannot be told apart", device.id));
                    }
                    if !bind.ip().is_loopback() && peers.is_empty() && certificate.is_none() {
                        faults.push(format!(
                            "WD-0302 device {}: {bind} is not loopback and the line is not encrypted: name the device's certificate in link.certificate, or the addresses that may connect in link.peers",
                            device.id
                        ));
                    }
                }
                Link::Mqtt if self.mqtt.is_none() => faults.push(format!("device {}: there is no [mqtt] broker to connect to", device.id)),
                Link::TcpConnect { address, .. } if !address.contains(':') => faults.push(format!("device {}: link.address {address:?} is host:port", device.id)),
                Link::TcpConnect { address, certificate: None } if !is_pinned(address) => faults.push(format!(
                    "WD-0302 device {}: {address} is a name and the line is not encrypted: whoever answers for the name would get patients' data; name the device's certificate in link.certificate, or its address in digits",
                    device.id
                )),
                Link::Mqtt | Link::TcpConnect { .. } | Link::Serial { .. } => {}
            }
            let is_named = matches!(&device.link, Link::TcpListen { certificate: Some(_), .. } | Link::TcpConnect { certificate: Some(_), .. });
            if is_named && self.tls.is_none() {
                faults.push(format!("device {}: link.certificate needs [tls] with our certificate, its key and the authorities", device.id));
            }
            if device.purpose == Some(ScanPurpose::Load) {
                match &device.cabinet {
                    None => faults.push(format!("device {}: a scanner that loads needs the cabinet that it stands at", device.id)),
                    Some(cabinet) if !self.cabinets.iter().any(|known| known.id == *cabinet) => faults.push(format!("device {}: there is no cabinet {cabinet}", device.id)),
                    Some(_) => {}
                }
            }
        }
    }
}

/// Whether an address without encryption is of one machine: its digits, or this one.
fn is_pinned(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
}

/// Whether an address is of this machine: there traces need no encryption.
fn is_on_this_machine(endpoint: &str) -> bool {
    let Some((host, _)) = endpoint.strip_prefix("http://").and_then(|rest| rest.split_once('/')) else { return false };
    let is_socket = host.parse::<std::net::SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
    is_socket || host.strip_prefix("localhost:").is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[hospital]
name = "Test"
facility = "T"
[data]
directory = "data"
[[wards]]
id = "W1"
name = "Ward 1"
beds = ["101:A"]
[[cabinets]]
id = "CAB1"
pockets = [{ id = "1-1", item = "PARA500" }]
[[devices]]
id = "xn"
profile = "sysmex/xn"
version = 1
link = { kind = "tcp-listen", bind = "127.0.0.1:0" }
"#;

    fn load(text: &str) -> Result<Config, String> {
        let path = std::env::temp_dir().join(format!("wardd-config-{}-{:?}.toml", std::process::id(), std::thread::current().id()));
        std::fs::write(&path, text).unwrap();
        let result = Config::load(&path).map_err(|error| error.to_string());
        std::fs::remove_file(&path).unwrap();
        result
    }

    #[test]
    fn a_good_configuration_is_taken_and_its_paths_are_rebased() {
        let config = load(GOOD).unwrap();
        assert_eq!(config.data.directory, std::env::temp_dir().join("data"));
    }

    #[test]
    fn each_fault_names_the_thing_and_the_way_out() {
        let cases = [
            (GOOD.replace("facility", "facilty"), "did you mean `facility`?"),
            (GOOD.replace("facility", "facilty"), "line 4"),
            (GOOD.replace("tcp-listen", "tcp-listn"), "did you mean `tcp-listen`?"),
            (GOOD.replace("127.0.0.1:0", "0.0.0.0:2575"), "WD-0302"),
            (format!("{GOOD}\n[http]\nbind = \"0.0.0.0:8080\""), "WD-0301"),
            (format!("{GOOD}\n[http]\ntls_key = \"k\""), "belong together"),
            (format!("{GOOD}\n[journal]\nsegment_mib = 0"), "1 to 1024"),
            (format!("{GOOD}\n[journal]\nmirror = \"data/mirror\""), "another disk"),
            (GOOD.replace("[\"101:A\"]", "[\"101:A\", \"101:A\"]"), "bed W1:101:A stands twice"),
            (GOOD.replace("[\"101:A\"]", "[\"101\"]"), "WARD:ROOM:BED"),
            (format!("{GOOD}\n[[wards]]\nid = \"W1\"\nname = \"Again\"\nbeds = [\"102:A\"]"), "ward W1 stands twice"),
            (format!("{GOOD}\n[[tests]]\nloinc = \"718-7\"\nname = \"x\"\n[[tests]]\nloinc = \"718-7\"\nname = \"y\""), "test 718-7 stands twice"),
            (GOOD.replace("127.0.0.1:0", "127.0.0.1:8080"), "the web server"),
            (GOOD.replace("id = \"CAB1\"", "id = \"CAB1\"\ndrawers = \"xm\""), "did you mean xn?"),
            (format!("{GOOD}\n[access]\nidle_minutes = 0"), "1 to 720"),
            (format!("{GOOD}\n[access]\nstations = [{{ id = \"S1\" }}, {{ id = \"S1\" }}]"), "station S1 stands twice"),
            (format!("{GOOD}\n[access]\nstations = [{{ id = \"S 1\" }}]"), "visible ASCII"),
            (GOOD.replace("id = \"CAB1\"", "id = \"CAB1\"\nward = \"W9\""), "no ward W9"),
            (GOOD.replace("version = 1", "version = 1\npurpose = \"load\""), "needs the cabinet"),
            (GOOD.replace("kind = \"tcp-listen\", bind = \"127.0.0.1:0\"", "kind = \"mqtt\""), "no [mqtt] broker"),
        ];
        for (text, part) in cases {
            let error = load(&text).unwrap_err();
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn off_loopback_needs_certificate_and_key_and_a_house_that_asks_who_somebody_is() {
        for (tls, open) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut text = format!("{GOOD}\n[http]\nbind = \"0.0.0.0:8443\"\n");
            if tls {
                text += "tls_certificate = \"c\"\ntls_key = \"k\"\n";
            }
            text += &format!("[access]\nopen = {open}\n");
            assert_eq!(load(&text).is_ok(), tls && !open, "tls {tls}, open {open}");
        }
    }

    #[test]
    fn traces_go_to_a_collector_on_this_machine_only() {
        for good in ["http://127.0.0.1:4318/v1/traces", "http://[::1]:4318/v1/traces", "http://localhost:4318/v1/traces"] {
            assert!(is_on_this_machine(good), "{good}");
        }
        for bad in ["https://127.0.0.1:4318/v1/traces", "http://10.0.0.1:4318/v1/traces", "http://localhost.example:1/x", "http://127.0.0.1:4318", "http://localhost:x/", ""] {
            assert!(!is_on_this_machine(bad), "{bad}");
        }
    }
}
