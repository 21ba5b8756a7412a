//! What a virtual device did, in numbers; each device owns its own and hands it over when it ends.

use std::fmt;

/// Counters of one device; what does not apply to a device stays 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tubes, scans, commands or events given to the device.
    pub given: u64,
    /// Messages, scans or publications that were put on the wire, each once however often repeated.
    pub sent: u64,
    /// Single observations (R records, OBX segments) inside the acknowledged messages of patients.
    pub results: u64,
    /// Messages that the daemon took: last frame ACKed, AA or CA, PUBACK, ACK byte.
    pub acknowledged: u64,
    /// Messages that the daemon refused in the protocol's own words (AE, AR, CR, third NAK).
    pub refused: u64,
    /// Whole messages or scans sent again.
    pub resends: u64,
    /// NAK bytes, or other bytes where an ACK was due.
    pub naks: u64,
    /// Waits that ran out without any answer.
    pub timeouts: u64,
    /// Times that both ends bid for the line at once.
    pub contentions: u64,
    /// Faults that the device made on purpose.
    pub noise: u64,
    /// Connections lost or refused.
    pub reconnects: u64,
    /// Messages, commands or answers received.
    pub received: u64,
    /// Received things that were dropped for a reason: repeated, retained, expired, late, unreadable.
    pub ignored: u64,
    /// Host queries answered with "no order".
    pub no_order: u64,
    /// Things given up after the last try, or still waiting at the end.
    pub abandoned: u64,
}

impl Counts {
    /// Adds another device's counters to these.
    pub fn add(&mut self, other: &Counts) {
        self.given += other.given;
        self.sent += other.sent;
        self.results += other.results;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.resends += other.resends;
        self.naks += other.naks;
        self.timeouts += other.timeouts;
        self.contentions += other.contentions;
        self.noise += other.noise;
        self.reconnects += other.reconnects;
        self.received += other.received;
        self.ignored += other.ignored;
        self.no_order += other.no_order;
        self.abandoned += other.abandoned;
    }

    fn named(&self) -> [(&'static str, u64); 15] {
        [
            ("given", self.given),
            ("sent", self.sent),
            ("results", self.results),
            ("acknowledged", self.acknowledged),
            ("refused", self.refused),
            ("resends", self.resends),
            ("naks", self.naks),
            ("timeouts", self.timeouts),
            ("contentions", self.contentions),
            ("noise", self.noise),
            ("reconnects", self.reconnects),
            ("received", self.received),
            ("ignored", self.ignored),
            ("no order", self.no_order),
            ("abandoned", self.abandoned),
        ]
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (name, value) in self.named() {
            if value > 0 {
                write!(out, "{}{name} {value}", if first { "" } else { ", " })?;
                first = false;
            }
        }
        if first { out.write_str("nothing") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn shows_only_what_happened() {
        let mut counts = Counts { sent: 2, ..Counts::default() };
        counts.add(&Counts { sent: 1, naks: 4, ..Counts::default() });
        assert_eq!(counts.to_string(), "sent 3, naks 4");
        assert_eq!(Counts::default().to_string(), "nothing");
    }
}
