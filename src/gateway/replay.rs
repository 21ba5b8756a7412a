//! A raw message handled again, through the device's profile as it is today: for the quarantine.

use std::sync::Arc;

use crate::codec::{hl7, lis2};
use crate::domain::quarantine::Reason;
use crate::kernel::{Accession, RawBytes};
use crate::profile::Codec;
use crate::routing::{self, Understood};

use super::Device;
use super::intake::{Arrived, identity, store};

fn understand(device: &Device, raw: &[u8]) -> Understood {
    let not_parsed = |error: &dyn std::fmt::Display| Understood::held(Reason::NotParsed { detail: error.to_string() });
    match &device.profile.codec {
        Codec::Lis2(settings) => match lis2::Message::parse(raw) {
            Ok(message) => routing::lis2::understand(&device.profile, settings, &message),
            Err(error) => not_parsed(&error),
        },
        Codec::Hl7(settings) => match hl7::Message::parse(raw) {
            Ok(message) => routing::hl7::understand(&device.profile, settings, &message).understood,
            Err(error) => not_parsed(&error),
        },
        Codec::Scan => routing::scan::understand(&device.purpose, raw, device.clock.now()),
        Codec::RfidJson => routing::json::tag(raw),
        Codec::DrawerJson => routing::json::drawer(raw),
        Codec::RelayWords => routing::relay::understand(raw),
    }
}

/// Handles a raw message again; gives the reasons why something of it still waits.
pub async fn replay(device: &Arc<Device>, raw: RawBytes, bind: Option<&Accession>) -> Result<Vec<Reason>, String> {
    let received = device.clock.now();
    let understood = understand(device, &raw.0);
    let understood = match bind {
        Some(accession) => understood.bound_to(accession),
        None => understood,
    };
    // A message of its own, so that it is not taken for the one that was held.
    let message = identity(device.id.as_str(), &[raw.0.as_ref(), &received.micros().to_le_bytes()].concat());
    let arrived = Arrived { message, raw: raw.0, understood, received, peer: "quarantine".to_owned(), is_replay: true };
    store(device, arrived).await.map(|kept| kept.holds.to_vec()).map_err(|failure| failure.to_string())
}
