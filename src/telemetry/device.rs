//! What happens on devices' lines: figures for Prometheus, and the same for the page that shows devices.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, RwLock};

use super::registry::metric;
use crate::kernel::Timestamp;

metric!(connected: IntGaugeVec, "wardd_link_connections", "Connections of a device that are open.", ["device"]);
metric!(connects: IntCounterVec, "wardd_link_connects_total", "Connections of a device that were made.", ["device"]);
metric!(failures: IntCounterVec, "wardd_link_failures_total", "Tries to connect that failed, peers that were refused, and lost connections to the broker.", ["device"]);
metric!(bytes_in: IntCounterVec, "wardd_link_received_bytes_total", "Bytes received.", ["device"]);
metric!(messages: IntCounterVec, "wardd_gateway_messages_total", "Messages by how they were answered.", ["device", "answer"]);
metric!(noise: IntCounterVec, "wardd_gateway_noise_total", "Things on the line that are no message.", ["device", "kind"]);
metric!(skew: IntGaugeVec, "wardd_gateway_clock_skew_seconds", "The device's clock less ours at its last message.", ["device"]);
metric!(is_silent: IntGaugeVec, "wardd_device_silent", "1 while a device has been silent for longer than its profile expects.", ["device"]);
metric!(is_clock_off: IntGaugeVec, "wardd_device_clock_off", "1 while a device's clock differs by more than its profile expects.", ["device"]);
metric!(bad_share: GaugeVec, "wardd_link_frame_error_ratio", "Bad frames among the last 1,000 of a device's line.", ["device"]);
metric!(gate: IntGaugeVec, "wardd_link_gate_closed", "1 while results of a device are held since its line is bad.", ["device"]);
metric!(last_seen: IntGaugeVec, "wardd_gateway_last_message_timestamp_seconds", "When the last message came.", ["device"]);
metric!(
    answer_seconds: HistogramVec,
    "wardd_gateway_answer_seconds",
    "From a whole message to its answer.",
    ["device"],
    vec![1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 5e-2, 0.25, 1.0, 5.0]
);

/// How a message was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// Taken.
    Accepted,
    /// Taken, and something of it waits for a person.
    Held,
    /// It had come before.
    Repeated,
    /// The sender must mend it.
    Refused,
    /// It could not be taken now.
    Failed,
}

impl Answered {
    fn word(self) -> &'static str {
        match self {
            Answered::Accepted => "accepted",
            Answered::Held => "held",
            Answered::Repeated => "repeated",
            Answered::Refused => "refused",
            Answered::Failed => "failed",
        }
    }
}

/// A device's figures; one for each device of the configuration.
#[derive(Debug)]
pub struct DeviceFigures {
    device: String,
    connections: AtomicI64,
    last_message: AtomicI64,
    last_byte: AtomicI64,
    skew_seconds: AtomicI64,
    expected: OnceLock<Expected>,
    answered: [AtomicU64; 5],
    noise: AtomicU64,
    failures: AtomicU64,
    bad_frames: AtomicU64,
    is_gate_closed: AtomicBool,
    /// Made by the first byte: a device that says nothing costs next to nothing.
    counters: OnceLock<Option<Counters>>,
}

/// What a device's profile expects of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Seconds of silence before somebody should look; 0 for never.
    pub silence_seconds: i64,
    /// Seconds that its clock may differ; 0 for any.
    pub skew_seconds: i64,
    /// Since when it is expected.
    pub since: Timestamp,
}

/// Handles that are looked up once, since every message uses them.
#[derive(Debug)]
struct Counters {
    bytes: prometheus::IntCounter,
    answered: [prometheus::IntCounter; 5],
    seconds: prometheus::Histogram,
    skew: prometheus::IntGauge,
    last_seen: prometheus::IntGauge,
}

/// A device's figures at a moment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DeviceSnapshot {
    /// The device.
    pub device: String,
    /// Open connections.
    pub connections: i64,
    /// When the last byte came.
    pub last_byte: Option<Timestamp>,
    /// When the last message came.
    pub last_message: Option<Timestamp>,
    /// The device's clock less ours, in seconds.
    pub clock_skew_seconds: i64,
    /// Whether its clock differs by more than its profile expects.
    pub is_clock_off: bool,
    /// Whether it has been silent for longer than its profile expects.
    pub is_silent: bool,
    /// Messages taken.
    pub accepted: u64,
    /// Messages of which something waits for a person.
    pub held: u64,
    /// Messages that had come before.
    pub repeated: u64,
    /// Messages that the sender must mend.
    pub refused: u64,
    /// Messages that could not be taken.
    pub failed: u64,
    /// Bad frames, garbage and other noise.
    pub noise: u64,
    /// Lost connections and failed tries.
    pub link_failures: u64,
    /// Bad frames of the last thousand.
    pub bad_frames: u64,
    /// Whether its results are held since its line is bad.
    pub is_line_bad: bool,
}

type Figures = BTreeMap<String, Arc<DeviceFigures>>;

fn all() -> &'static RwLock<Figures> {
    static ALL: OnceLock<RwLock<Figures>> = OnceLock::new();
    ALL.get_or_init(|| RwLock::new(BTreeMap::new()))
}

/// The figures of a device; made when first asked for.
pub fn device(name: &str) -> Arc<DeviceFigures> {
    let known = all().read().unwrap_or_else(std::sync::PoisonError::into_inner).get(name).cloned();
    known.unwrap_or_else(|| {
        let mut figures = all().write().unwrap_or_else(std::sync::PoisonError::into_inner);
        figures.entry(name.to_owned()).or_insert_with(|| Arc::new(DeviceFigures::new(name))).clone()
    })
}

/// All devices at this moment, by name; the gauges of silence and clocks are set by the way.
pub fn devices(now: Timestamp) -> Vec<DeviceSnapshot> {
    all().read().unwrap_or_else(std::sync::PoisonError::into_inner).values().map(|figures| figures.snapshot(now)).collect()
}

const ANSWERS: [Answered; 5] = [Answered::Accepted, Answered::Held, Answered::Repeated, Answered::Refused, Answered::Failed];

impl DeviceFigures {
    fn new(name: &str) -> Self {
        Self {
            device: name.to_owned(),
            connections: AtomicI64::new(0),
            last_message: AtomicI64::new(0),
            last_byte: AtomicI64::new(0),
            skew_seconds: AtomicI64::new(0),
            expected: OnceLock::new(),
            answered: Default::default(),
            noise: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            bad_frames: AtomicU64::new(0),
            is_gate_closed: AtomicBool::new(false),
            counters: OnceLock::new(),
        }
    }

    fn counters(&self) -> Option<&Counters> {
        let make = || {
            let (name, messages) = (self.device.as_str(), messages()?);
            Some(Counters {
                bytes: bytes_in()?.with_label_values(&[name]),
                answered: ANSWERS.map(|answer| messages.with_label_values(&[name, answer.word()])),
                seconds: answer_seconds()?.with_label_values(&[name]),
                skew: skew()?.with_label_values(&[name]),
                last_seen: last_seen()?.with_label_values(&[name]),
            })
        };
        self.counters.get_or_init(make).as_ref()
    }

    /// Says what the device's profile expects; the first call decides.
    pub fn expect(&self, expected: Expected) {
        self.expected.get_or_init(|| expected);
    }

    /// Whether its clock is off by more than expected, and whether it is silent for longer.
    fn worries(&self, now: Timestamp) -> (bool, bool) {
        let Some(expected) = self.expected.get() else { return (false, false) };
        let skew = self.skew_seconds.load(Ordering::Relaxed).abs();
        let last = self.last_byte.load(Ordering::Relaxed).max(expected.since.micros());
        let silent = now.seconds_since(Timestamp::from_micros(last));
        (expected.skew_seconds > 0 && skew > expected.skew_seconds, expected.silence_seconds > 0 && silent > expected.silence_seconds)
    }

    /// A connection was made.
    pub fn connected(&self, peer: &str) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        if let Some(metric) = connected() {
            metric.with_label_values(&[&self.device]).inc();
        }
        if let Some(metric) = connects() {
            metric.with_label_values(&[&self.device]).inc();
        }
        tracing::info!(device = self.device, peer, "device connected");
    }

    /// A connection ended.
    pub fn disconnected(&self, why: &str) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(metric) = connected() {
            metric.with_label_values(&[&self.device]).dec();
        }
        tracing::info!(device = self.device, why, "device disconnected");
    }

    /// A connection could not be made, or was refused.
    pub fn link_failed(&self, why: &str, retry_ms: u128) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if let Some(metric) = failures() {
            metric.with_label_values(&[&self.device]).inc();
        }
        tracing::warn!(device = self.device, why, retry_ms, "device link failed");
    }

    /// Bytes came.
    pub fn received(&self, count: usize, now: Timestamp) {
        self.last_byte.store(now.micros(), Ordering::Relaxed);
        if let Some(counters) = self.counters() {
            counters.bytes.inc_by(count as u64);
        }
    }

    /// Something on the line is no message.
    pub fn noise(&self, kind: &'static str) {
        self.noise.fetch_add(1, Ordering::Relaxed);
        if let Some(metric) = noise() {
            metric.with_label_values(&[&self.device, kind]).inc();
        }
        tracing::debug!(device = self.device, kind, "noise on the line");
    }

    /// A frame came: bad frames of the last thousand, and whether the line's gate is closed.
    pub fn line(&self, bad: u32, is_closed: bool) {
        self.bad_frames.store(bad.into(), Ordering::Relaxed);
        self.is_gate_closed.store(is_closed, Ordering::Relaxed);
    }

    /// Too many frames were bad: results wait for a person from now on.
    pub fn gate_closed(&self, bad: u32) {
        tracing::error!(device = self.device, bad, "WD-0203 too many bad frames on this line: its results wait for a person until the line is good again");
    }

    /// The line is good again.
    pub fn gate_opened(&self) {
        tracing::info!(device = self.device, "the line is good again: its results are filed as before");
    }

    /// A message was answered; `device_time` is what its clock said when it was sent.
    pub fn answered(&self, answer: Answered, device_time: Option<Timestamp>, now: Timestamp, took: std::time::Duration) {
        self.last_message.store(now.micros(), Ordering::Relaxed);
        let index = ANSWERS.iter().position(|known| *known == answer).unwrap_or(0);
        self.answered[index].fetch_add(1, Ordering::Relaxed);
        let skew = device_time.map(|time| time.seconds_since(now));
        if let Some(skew) = skew {
            let (was_off, _) = self.worries(now);
            self.skew_seconds.store(skew, Ordering::Relaxed);
            if self.worries(now).0 && !was_off {
                tracing::warn!(device = self.device, skew, "the device's clock is off: set it; wardd keeps its own time beside the device's");
            }
        }
        if let Some(counters) = self.counters() {
            counters.answered[index].inc();
            counters.seconds.observe(took.as_secs_f64());
            counters.last_seen.set(now.micros() / 1_000_000);
            if let Some(skew) = skew {
                counters.skew.set(skew);
            }
        }
        tracing::debug!(device = self.device, answer = answer.word(), "message answered");
    }

    fn snapshot(&self, now: Timestamp) -> DeviceSnapshot {
        let (is_clock_off, is_silent) = self.worries(now);
        for (metric, value) in [(self::is_clock_off(), is_clock_off), (self::is_silent(), is_silent)] {
            if let Some(metric) = metric {
                metric.with_label_values(&[&self.device]).set(value.into());
            }
        }
        let bad = self.bad_frames.load(Ordering::Relaxed);
        if let Some(metric) = bad_share() {
            metric.with_label_values(&[&self.device]).set(bad as f64 / 1_000.0);
        }
        if let Some(metric) = gate() {
            metric.with_label_values(&[&self.device]).set(self.is_gate_closed.load(Ordering::Relaxed).into());
        }
        let time = |stored: &AtomicI64| Some(stored.load(Ordering::Relaxed)).filter(|micros| *micros > 0).map(Timestamp::from_micros);
        let [accepted, held, repeated, refused, failed] = [0, 1, 2, 3, 4].map(|index: usize| self.answered[index].load(Ordering::Relaxed));
        DeviceSnapshot {
            device: self.device.clone(),
            connections: self.connections.load(Ordering::Relaxed),
            last_byte: time(&self.last_byte),
            last_message: time(&self.last_message),
            clock_skew_seconds: self.skew_seconds.load(Ordering::Relaxed),
            is_clock_off,
            is_silent,
            accepted,
            held,
            repeated,
            refused,
            failed,
            noise: self.noise.load(Ordering::Relaxed),
            link_failures: self.failures.load(Ordering::Relaxed),
            bad_frames: bad,
            is_line_bad: self.is_gate_closed.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_12_and_18_a_clock_that_is_off_and_a_silence_are_told_apart_from_what_is_expected() {
        let start: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let figures = DeviceFigures::new("rule-12");
        assert_eq!(figures.worries(start.plus_seconds(1 << 30)), (false, false), "nothing is expected of it");
        figures.expect(Expected { silence_seconds: 600, skew_seconds: 300, since: start });
        assert_eq!((figures.worries(start.plus_seconds(600)), figures.worries(start.plus_seconds(601))), ((false, false), (false, true)), "never heard since the start");
        figures.received(1, start.plus_seconds(700));
        assert_eq!(figures.worries(start.plus_seconds(1_300)), (false, false), "one byte is a sign of life, such as EOT alone");
        for (device_seconds, is_off) in [(700 + 300, false), (700 + 516, true), (700 - 16_200, true), (700, false)] {
            figures.answered(Answered::Accepted, Some(start.plus_seconds(device_seconds)), start.plus_seconds(700), std::time::Duration::ZERO);
            assert_eq!(figures.snapshot(start.plus_seconds(700)).is_clock_off, is_off, "{device_seconds}");
        }
    }
}
