//! From the configuration to values: prices, layout, device settings, links.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::certificates::Certificates;
use super::{AppError, profiles};
use crate::access::{House, Provider, ProviderSettings, Secret, Station};
use crate::actor::{Layout, Site};
use crate::api;
use crate::config::{Config, Device, Link, Mqtt, Printer, ScanPurpose, Subscriber};
use crate::domain::account::{Price, PriceList};
use crate::domain::census::Policy;
use crate::domain::chart::Forms;
use crate::domain::encounter::Clearance;
use crate::domain::rights::Roles;
use crate::domain::vitals::Catalogue;
use crate::gateway::Serving;
use crate::journal::{KeyRing, Log};
use crate::kernel::{Clock, DeviceId};
use crate::link::mqtt::Broker;
use crate::link::serial::{LineFlow, LineParity, Parameters};
use crate::link::tls::{Connecting, Listening};
use crate::link::{SerialLink, TcpConnector, TcpServer};
use crate::outbound::{Feed, Forwarding, Hooks, Line, Subscription};
use crate::profile::{Flow, Parity, Profile};
use crate::projection::History;
use crate::routing::Purpose;
use crate::telemetry;

/// The key ring: what systemd hands over, or the configured file.
pub(super) fn keys(config: &Config) -> Result<KeyRing, AppError> {
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| PathBuf::from(folder).join("wardd-keyring")).filter(|path| path.exists());
    // What systemd hands over is nearer to the machine than a file that is named for all of them.
    let path = credential.or_else(|| config.journal.keyring.clone()).ok_or(AppError::NoKeys)?;
    Ok(KeyRing::load(&path)?)
}

pub(super) fn prices(config: &Config) -> Result<PriceList, AppError> {
    let Some(file) = config.price_file()? else { return Ok(PriceList::default()) };
    let entries = file.price.iter().map(|entry| (entry.code.clone(), Price { price: file.money(entry), from: entry.from, until: entry.until }));
    PriceList::new(entries).map_err(|source| AppError::Prices { path: config.prices.clone().unwrap_or_default(), source })
}

/// The roles of the configured file, or those that come with wardd.
pub(super) fn roles(config: &Config) -> Result<Roles, AppError> {
    const OURS: &str = include_str!("../../config/roles.toml");
    let (path, text) = ours_or_configured(config.access.roles.as_deref(), "config/roles.toml", OURS)?;
    let wrong = |error: &dyn std::fmt::Display| AppError::Setting(format!("WD-0504 {}: {error}", path.display()));
    let roles: Roles = toml::from_str(&text).map_err(|error| wrong(&error))?;
    roles.check().map_err(|error| wrong(&error))?;
    Ok(roles)
}

/// The forms of the configured file, or those that come with wardd.
pub(super) fn forms(config: &Config) -> Result<Forms, AppError> {
    const OURS: &str = include_str!("../../config/forms.toml");
    let (path, text) = ours_or_configured(config.forms.as_deref(), "config/forms.toml", OURS)?;
    let wrong = |error: &dyn std::fmt::Display| AppError::Setting(format!("WD-0603 {}: {error}", path.display()));
    let forms: Forms = toml::from_str(&text).map_err(|error| wrong(&error))?;
    forms.check().map_err(|error| wrong(&error))?;
    Ok(forms)
}

/// The vital signs of the configured file, or those that come with wardd.
pub(super) fn vitals(config: &Config) -> Result<Catalogue, AppError> {
    const OURS: &str = include_str!("../../config/vitals.toml");
    let (path, text) = ours_or_configured(config.vitals.as_deref(), "config/vitals.toml", OURS)?;
    let wrong = |error: &dyn std::fmt::Display| AppError::Setting(format!("WD-0601 {}: {error}", path.display()));
    let catalogue: Catalogue = toml::from_str(&text).map_err(|error| wrong(&error))?;
    catalogue.check().map_err(|error| wrong(&error))?;
    Ok(catalogue)
}

/// The text of a configured file, or of the one that comes with wardd, and how to name it.
fn ours_or_configured(configured: Option<&Path>, name: &str, ours: &str) -> Result<(PathBuf, String), AppError> {
    match configured {
        None => Ok((PathBuf::from(name), ours.to_owned())),
        Some(path) => match std::fs::read_to_string(path) {
            Ok(text) => Ok((path.to_owned(), text)),
            Err(source) => Err(AppError::File { path: path.to_owned(), source }),
        },
    }
}

/// What the house has decided about access.
pub(super) fn house(config: &Config) -> House {
    let idle_ms = |minutes: u32| u64::from(minutes) * 60_000;
    let access = &config.access;
    House {
        name: config.hospital.name.clone(),
        wards: config.wards.iter().map(|ward| (ward.id.clone(), ward.facility.clone().unwrap_or_else(|| config.hospital.facility.clone()))).collect(),
        cabinets: config.cabinets.iter().filter_map(|cabinet| Some((cabinet.id.clone(), cabinet.ward.clone()?))).collect(),
        stations: access
            .stations
            .iter()
            .map(|station| (station.id.clone(), Station { addresses: station.addresses.clone(), idle_ms: idle_ms(station.idle_minutes.unwrap_or(access.idle_minutes)) }))
            .collect(),
        idle_ms: idle_ms(access.idle_minutes),
        is_open: access.open,
        first_run: config.data.directory.join("first-run"),
    }
}

/// The way to programs that subscribed to changes.
pub(super) fn hooks(config: &Config) -> Result<Hooks, AppError> {
    let told = &config.subscriptions;
    if told.authorities.is_none() && told.endpoints.iter().any(|endpoint| endpoint.starts_with("https:")) {
        return Err(AppError::Setting("subscriptions.authorities is needed: the file of the authorities that sign the certificates of subscriptions.endpoints".to_owned()));
    }
    Hooks::new(told.authorities.as_deref()).map_err(|error| AppError::Setting(format!("subscriptions.authorities: {error}")))
}

/// The identity provider, where there is one.
pub(super) fn provider(config: &Config, clock: Clock) -> Result<Option<Arc<Provider>>, AppError> {
    let Some(provider) = &config.access.provider else { return Ok(None) };
    let wrong = |text: String| AppError::Setting(format!("access.provider: {text}"));
    if !provider.issuer.starts_with("http") || !provider.public_url.starts_with("http") {
        return Err(wrong("issuer and public_url are addresses, such as https://login.hospital.example".to_owned()));
    }
    if provider.issuer.starts_with("https:") && provider.authorities.is_none() {
        return Err(wrong("authorities is needed: the file of the authorities that sign the provider's certificate".to_owned()));
    }
    let client_secret = match &provider.client_secret_file {
        None => None,
        Some(path) => Some(Secret::new(std::fs::read_to_string(path).map_err(|source| AppError::File { path: path.clone(), source })?.trim().to_owned())),
    };
    let settings = ProviderSettings {
        name: provider.name.clone(),
        issuer: provider.issuer.clone(),
        client_id: provider.client_id.clone(),
        client_secret,
        redirect: format!("{}{}", provider.public_url.trim_end_matches('/'), api::PROVIDER_BACK),
        claim: provider.claim.clone(),
        second_factors: provider.second_factors.clone(),
        authorities: provider.authorities.clone(),
    };
    Provider::new(settings, clock).map(|provider| Some(Arc::new(provider))).map_err(|error| wrong(error.to_string()))
}

/// What the house has decided about admissions, discharges and vital signs.
pub(super) fn policy(config: &Config) -> Result<Policy, AppError> {
    let known = || Clearance::ALL.map(Clearance::word).join(", ");
    let clearance = |word: &String| {
        let unknown = || AppError::Setting(format!("admission.clearances: unknown clearance {word:?} (known: {})", known()));
        Clearance::ALL.into_iter().find(|clearance| clearance.word() == word).ok_or_else(unknown)
    };
    let clearances = config.admission.clearances.iter().map(clearance).collect::<Result<_, _>>()?;
    let seen_within_minutes = config.emergency.seen_within_minutes;
    if !seen_within_minutes.is_sorted() || seen_within_minutes[4] > 24 * 60 {
        return Err(AppError::Setting("emergency.seen_within_minutes: five numbers, from level 1 to 5, none smaller than the one before and a day at most".to_owned()));
    }
    let (vitals, forms) = (Arc::new(vitals(config)?), Arc::new(forms(config)?));
    Ok(Policy { housekeeping: config.admission.housekeeping, clearances, vitals, forms, seen_within_minutes })
}

pub(super) fn layout(config: &Config, policy: Policy) -> Layout {
    Layout {
        policy,
        wards: config.wards.iter().map(|ward| (ward.id.clone(), ward.bed_ids().into_iter().flatten().collect())).collect(),
        sites: config.wards.iter().map(|ward| (ward.id.clone(), Site { name: ward.name.clone(), facility: ward.facility.clone(), building: ward.building.clone() })).collect(),
        cabinets: config.cabinets.iter().map(|cabinet| cabinet.id.clone()).collect(),
        devices: config.devices.iter().map(|device| device.id.clone()).collect(),
    }
}

/// The profile of a device, in the version that it was checked with.
pub(super) fn load_profile(device: &Device, source: &profiles::Source) -> Result<Profile, profiles::ProfileError> {
    let mut profile = source.load(&device.profile)?;
    // Whose numbers a system sends is the house's to say, and stands in the profile for what is the same everywhere.
    profile.identity.authority = device.authority.clone().or(profile.identity.authority);
    match profile.version == device.version {
        true => Ok(profile),
        false => Err(profiles::ProfileError::Version { id: device.profile.clone(), device: device.id.to_string(), found: profile.version, pinned: device.version }),
    }
}

/// The profiles of all devices.
pub(super) fn load_profiles(config: &Config, source: &profiles::Source) -> Result<BTreeMap<DeviceId, Arc<Profile>>, AppError> {
    // Devices of one kind share one profile: its patterns are large when they are compiled.
    let mut known: BTreeMap<(&str, u32, Option<&str>), Arc<Profile>> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for device in &config.devices {
        let profile = match known.entry((device.profile.as_str(), device.version, device.authority.as_deref())) {
            Entry::Occupied(entry) => entry.get().clone(),
            Entry::Vacant(entry) => entry.insert(Arc::new(load_profile(device, source)?)).clone(),
        };
        found.insert(device.id.clone(), profile);
    }
    Ok(found)
}

pub(super) fn purpose(device: &Device) -> Purpose {
    match (device.purpose, &device.cabinet) {
        (Some(ScanPurpose::Collect), _) => Purpose::Collect,
        (Some(ScanPurpose::Load), Some(cabinet)) => Purpose::Load(cabinet.clone()),
        (Some(ScanPurpose::Receive | ScanPurpose::Load) | None, _) => Purpose::Receive,
    }
}

/// The link of a device; none for one on the broker.
pub(super) async fn serving(device: &Device, profile: &Profile, certificates: &Certificates) -> Result<Option<Serving>, AppError> {
    let figures = telemetry::device(device.id.as_str());
    Ok(match &device.link {
        Link::TcpListen { bind, peers, certificate } => {
            let tls = certificate.clone().zip(certificates.listening.as_ref()).map(|(name, config)| Listening { config: config.subscribe(), name });
            let server = TcpServer::bind(*bind, peers.clone(), tls, figures).await.map_err(|source| AppError::Listen { device: device.id.to_string(), address: *bind, source })?;
            Some(Serving::Listen(server))
        }
        Link::TcpConnect { address, certificate } => {
            let tls = certificate.clone().zip(certificates.connecting.as_ref()).map(|(name, config)| Connecting { config: config.subscribe(), name });
            Some(Serving::Connect(TcpConnector::new(address.clone(), tls, figures)))
        }
        Link::Serial { path, baud } => {
            let serial = &profile.serial;
            let parameters = Parameters {
                baud: baud.unwrap_or(serial.baud),
                data_bits: serial.data_bits,
                parity: match serial.parity {
                    Parity::None => LineParity::None,
                    Parity::Even => LineParity::Even,
                    Parity::Odd => LineParity::Odd,
                },
                stop_bits: serial.stop_bits,
                flow: match serial.flow {
                    Flow::None => LineFlow::None,
                    Flow::Software => LineFlow::Software,
                    Flow::Hardware => LineFlow::Hardware,
                },
            };
            Some(Serving::Serial(SerialLink::new(path.clone(), parameters, figures)))
        }
        Link::Mqtt => None,
    })
}

/// How to each printer of wristbands.
pub(super) fn printers(config: &Config, certificates: &Certificates) -> Box<dyn Fn() -> Vec<(DeviceId, Line)> + Send + Sync> {
    let printers = config.printers.clone();
    let connecting = certificates.connecting.as_ref().map(tokio::sync::watch::Sender::subscribe);
    Box::new(move || {
        let line = |printer: &Printer| {
            let figures = telemetry::device(printer.id.as_str());
            match &printer.link {
                Link::TcpConnect { address, certificate } => {
                    let tls = certificate.clone().zip(connecting.clone()).map(|(name, config)| Connecting { config, name });
                    Some(Line::Network(TcpConnector::new(address.clone(), tls, figures)))
                }
                Link::Serial { path, baud } => {
                    let parameters = Parameters { baud: baud.unwrap_or(9_600), data_bits: 8, parity: LineParity::None, stop_bits: 1, flow: LineFlow::Software };
                    Some(Line::Serial(SerialLink::new(path.clone(), parameters, figures)))
                }
                Link::TcpListen { .. } | Link::Mqtt => None,
            }
        };
        printers.iter().filter_map(|printer| Some((printer.id.clone(), line(printer)?))).collect()
    })
}

/// How to the collector of the audit.
pub(super) fn forwarding(config: &Config, certificates: &Certificates, log: Arc<dyn Log>) -> Box<dyn Fn() -> Option<Forwarding> + Send + Sync> {
    let audit = config.audit.clone();
    let connecting = certificates.connecting.as_ref().map(tokio::sync::watch::Sender::subscribe);
    let facility = config.hospital.facility.clone();
    Box::new(move || {
        let (audit, config) = audit.clone().zip(connecting.clone())?;
        let tls = Connecting { config, name: audit.certificate };
        Some(Forwarding::new(TcpConnector::new(audit.address, Some(tls), telemetry::device("audit")), facility.clone(), History::new(log.clone())))
    })
}

/// How to each system that is told what happens.
pub(super) fn feeds(config: &Config, certificates: &Certificates, log: Arc<dyn Log>, clock: Clock) -> Box<dyn Fn() -> Vec<Feed> + Send + Sync> {
    let subscribers = config.subscribers.clone();
    let connecting = certificates.connecting.as_ref().map(tokio::sync::watch::Sender::subscribe);
    let facility = config.hospital.facility.clone();
    Box::new(move || {
        let feed = |subscriber: &Subscriber| {
            // Another link is refused by the check of the configuration.
            let Link::TcpConnect { address, certificate } = &subscriber.link else { return None };
            let tls = certificate.clone().zip(connecting.clone()).map(|(name, config)| Connecting { config, name });
            telemetry::subscriber(subscriber.id.as_str());
            let subscription = Subscription {
                id: subscriber.id.clone(),
                receiver: [subscriber.application.clone(), subscriber.facility.clone()],
                events: subscriber.events.iter().cloned().collect(),
                not_from: subscriber.not_from.iter().cloned().collect(),
                facility: facility.clone(),
            };
            let connector = TcpConnector::new(address.clone(), tls, telemetry::device(subscriber.id.as_str()));
            Some(Feed::new(subscription, connector, History::new(log.clone()), clock.clone()))
        };
        subscribers.iter().filter_map(feed).collect()
    })
}

/// What the API knows of wristbands.
pub(super) fn wristbands(config: &Config) -> api::Wristbands {
    api::Wristbands {
        prefix: config.wristbands.as_ref().map(|bands| bands.company_prefix.clone()),
        printers: config.printers.iter().map(|printer| (printer.id.clone(), printer.ward.clone())).collect(),
    }
}

/// The broker's address and login.
pub(super) fn broker(mqtt: &Mqtt, certificates: Option<&Certificates>) -> Result<Broker, AppError> {
    let wrong = || AppError::Setting(format!("mqtt.broker {:?} is host:port", mqtt.broker));
    let (host, port) = mqtt.broker.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let login = match (&mqtt.user, &mqtt.password_file) {
        (Some(user), Some(path)) => {
            let password = std::fs::read_to_string(path).map_err(|source| AppError::File { path: path.clone(), source })?;
            Some((user.clone(), password.trim_end().to_owned()))
        }
        (Some(user), None) => Some((user.clone(), String::new())),
        (None, _) => None,
    };
    let tls = certificates.and_then(|certificates| certificates.connecting.as_ref()).filter(|_| mqtt.tls).map(tokio::sync::watch::Sender::subscribe);
    Ok(Broker { host: host.to_owned(), port, client_id: mqtt.client_id.clone(), login, tls })
}
