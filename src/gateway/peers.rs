//! Who speaks on a device's line: two analyzers on one listener cannot be told apart, so what they send is held.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Open connections by the peer's address.
#[derive(Debug, Default)]
pub struct Peers(Mutex<BTreeMap<String, usize>>);

/// A connection that is open; it is not any more when this is dropped.
#[derive(Debug)]
pub(super) struct Present<'a> {
    peers: &'a Peers,
    host: String,
}

/// The host of a peer, without its port; a serial line is its own.
fn host(peer: &str) -> String {
    let address = peer.parse::<std::net::SocketAddr>().map(|address| address.ip()).or_else(|_| peer.parse::<IpAddr>());
    address.map_or_else(|_| peer.to_owned(), |address| address.to_string())
}

impl Peers {
    pub(super) fn join(&self, peer: &str) -> Present<'_> {
        let host = host(peer);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(host.clone()).or_insert(0) += 1;
        Present { peers: self, host }
    }

    /// The hosts that are connected, when there is more than one.
    pub(super) fn several(&self) -> Option<String> {
        let peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (peers.len() > 1).then(|| peers.keys().cloned().collect::<Vec<_>>().join(" and "))
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        let mut peers = self.peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = peers.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                peers.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_11_two_hosts_on_one_line_are_seen_as_long_as_both_are_there() {
        let peers = Peers::default();
        let first = peers.join("10.0.0.1:5000");
        let again = peers.join("10.0.0.1:5001");
        assert_eq!(peers.several(), None, "one analyzer may connect twice");
        let second = peers.join("10.0.0.2:5000");
        assert_eq!(peers.several().as_deref(), Some("10.0.0.1 and 10.0.0.2"));
        drop(second);
        assert_eq!(peers.several(), None);
        drop((first, again));
    }
}
