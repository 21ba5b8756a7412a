//! Everything that can be said of a configuration without starting anything: `wardd check`, and the start itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::{profiles, wiring};
use crate::config::{Config, Device, Link};
use crate::kernel::DeviceId;
use crate::outbound;
use crate::profile::{Codec, Framing, Profile};

/// Every fault, each with the thing and the way out; none when wardd can start with it.
pub fn check(config: &Config, source: &profiles::Source) -> Vec<String> {
    let mut faults = config.faults();
    let mut known = BTreeMap::new();
    for device in &config.devices {
        match wiring::load_profile(device, source) {
            Ok(profile) => {
                faults.extend(misfits(device, &profile).map(|why| format!("device {}: {why}", device.id)));
                known.insert(device.id.clone(), Arc::new(profile));
            }
            Err(error) => faults.push(format!("device {}: {error}", device.id)),
        }
    }
    faults.extend(drawers(config, &known));
    faults.extend(super::certificates::Read::new(config).err().map(|error| error.to_string()));
    faults.extend(unknown_events(config));
    faults.extend(wiring::policy(config).err().map(|error| error.to_string()));
    faults.extend(wiring::provider(config, super::real_clock()).err().map(|error| error.to_string()));
    faults.extend(wiring::roles(config).err().map(|error| error.to_string()));
    faults.extend(wiring::prices(config).err().map(|error| error.to_string()));
    faults.extend(wiring::keys(config).err().map(|error| error.to_string()));
    let password = config.mqtt.as_ref().and_then(|mqtt| mqtt.password_file.as_ref());
    faults.extend(password.and_then(|path| unreadable(path)));
    faults.extend(config.mqtt.as_ref().filter(|_| password.is_none_or(|path| path.exists())).and_then(|mqtt| wiring::broker(mqtt, None).err()).map(|error| error.to_string()));
    faults
}

/// Events that no subscriber can be told.
fn unknown_events(config: &Config) -> Vec<String> {
    let known = || outbound::TRIGGERS.map(|trigger| trigger.event).join(", ");
    let named = config.subscribers.iter().flat_map(|subscriber| subscriber.events.iter().map(move |event| (&subscriber.id, event)));
    named.filter(|(_, event)| outbound::trigger(event).is_none()).map(|(id, event)| format!("subscriber {id}: {event:?} is no event that is told: there are {}", known())).collect()
}

fn unreadable(path: &Path) -> Option<String> {
    std::fs::read(path).err().map(|error| format!("{}: {error}", path.display()))
}

/// What of a device does not go with its profile.
pub(super) fn misfits(device: &Device, profile: &Profile) -> impl Iterator<Item = String> {
    let is_scanner = profile.codec == Codec::Scan;
    let speaks_mqtt = matches!(profile.framing, Framing::Mqtt { .. });
    let id = &profile.id;
    [
        (is_scanner && device.purpose.is_none(), format!("{id} is a scanner: say what it is for with purpose = \"collect\", \"receive\" or \"load\"")),
        (!is_scanner && device.purpose.is_some(), format!("{id} is no scanner: take purpose away")),
        (speaks_mqtt && device.link != Link::Mqtt, format!("{id} speaks MQTT: its link is {{ kind = \"mqtt\" }}")),
        (!speaks_mqtt && device.link == Link::Mqtt, format!("{id} does not speak MQTT: give it a tcp or serial link")),
    ]
    .into_iter()
    .filter_map(|(is_wrong, why)| is_wrong.then_some(why))
}

/// Cabinets whose drawers would be opened by something that opens none.
fn drawers(config: &Config, profiles: &BTreeMap<DeviceId, Arc<Profile>>) -> Vec<String> {
    let opens = |profile: &Profile| matches!((&profile.framing, &profile.codec), (Framing::Mqtt { commands: Some(_), .. }, _) | (_, Codec::RelayWords));
    let driven = config.cabinets.iter().filter_map(|cabinet| Some((&cabinet.id, cabinet.drawers.as_ref()?)));
    driven
        .filter(|(_, device)| profiles.get(*device).is_some_and(|profile| !opens(profile)))
        .map(|(cabinet, device)| format!("cabinet {cabinet}: device {device} opens no drawers: name a relay board, or a cabinet that takes commands by MQTT"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[hospital]\nname = \"T\"\nfacility = \"T\"\n[data]\ndirectory = \"/nowhere\"\n";

    fn faults(text: &str) -> String {
        let config: Config = toml::from_str(&format!("{HEAD}{text}")).unwrap();
        check(&config, &profiles::Source::BuiltIn).join("\n")
    }

    fn device(id: &str, profile: &str, more: &str, link: &str) -> String {
        format!("[[devices]]\nid = \"{id}\"\nprofile = \"{profile}\"\nversion = 1\n{more}link = {{ kind = {link} }}\n")
    }

    #[test]
    fn what_does_not_fit_is_said_before_anything_starts() {
        const LISTEN: &str = "\"tcp-listen\", bind = \"127.0.0.1:0\"";
        let drawers = |device: &str| format!("[[cabinets]]\nid = \"C\"\ndrawers = \"{device}\"\n");
        let cases = [
            (device("s", "generic/network-scanner", "", LISTEN), "purpose = \"collect\""),
            (device("x", "sysmex/xn-550", "purpose = \"collect\"\n", LISTEN), "is no scanner"),
            (device("x", "sysmex/xn-550", "", "\"mqtt\""), "does not speak MQTT"),
            (device("r", "generic/rfid-mqtt", "", LISTEN), "its link is"),
            (drawers("x") + &device("x", "sysmex/xn-550", "", LISTEN), "opens no drawers"),
            (device("x", "sysmex/xn-55", "", LISTEN), "profile \"sysmex/xn-55\""),
            ("[journal]\nkeyring = \"/nowhere/ring\"\n".to_owned(), "wardctl keyring new"),
            ("[access]\nroles = \"/nowhere/roles\"\n".to_owned(), "/nowhere/roles"),
            ("[http]\ntls_certificate = \"/nowhere/c\"\ntls_key = \"/nowhere/k\"\n".to_owned(), "/nowhere/c"),
            ("[mqtt]\nbroker = \"nohost\"\n".to_owned(), "host:port"),
        ];
        for (text, part) in cases {
            let found = faults(&text);
            assert!(found.contains(part), "{part}: {found}");
        }
    }
}
