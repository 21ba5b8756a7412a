//! An RFID reader: publishes every read of a tag in its field, many a second, to `wardd/rfid/<reader>/tags` with QoS 1.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::clock::{Clock, Moment};
use super::counts::Counts;
use super::device::until_stopped;
use super::mqtt_client::{ConnectOptions, MqttClient};
use super::random::Random;

const PUBLISH_ATTEMPTS_MAX: u32 = 100;
const IDLE_TURN: Duration = Duration::from_millis(500);

/// A tag passes the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPass {
    /// 24 hex digits, see `epc`.
    pub epc: String,
    /// Antenna number, from 1.
    pub antenna: u8,
    /// How many reads the passage gives.
    pub reads: u32,
}

/// A running reader.
pub struct RfidReader {
    name: String,
    clock: Clock,
    random: Random,
    counts: Counts,
    client: Option<MqttClient>,
}

impl RfidReader {
    /// A reader called `name`.
    pub fn new(name: &str, clock: Clock, random: Random) -> RfidReader {
        RfidReader { name: name.to_owned(), clock, random, counts: Counts::default(), client: None }
    }

    /// Publishes through `broker` until the passes end or `stop` turns true.
    pub async fn run(mut self, broker: SocketAddr, mut passes: mpsc::Receiver<TagPass>, stop: watch::Receiver<bool>) -> Counts {
        let work = async {
            loop {
                match tokio::time::timeout(IDLE_TURN, passes.recv()).await {
                    Ok(None) => break,
                    Ok(Some(pass)) => {
                        self.counts.given += 1;
                        self.burst(broker, &pass).await;
                    }
                    Err(_) => self.idle().await,
                }
            }
            if let Some(client) = self.client.take() {
                client.disconnect().await;
            }
        };
        until_stopped(work, stop).await;
        self.counts
    }

    async fn idle(&mut self) {
        // Keeps the connection alive; a lost one is made anew at the next read.
        if let Some(client) = &mut self.client
            && client.next_message(Duration::from_millis(1)).await.is_err()
        {
            self.client = None;
        }
    }

    async fn burst(&mut self, broker: SocketAddr, pass: &TagPass) {
        let mut rssi_dbm = -75_i64;
        for _ in 0..pass.reads {
            // The tag comes nearer and goes again; the reader reports the same tag each few ten milliseconds.
            rssi_dbm = (rssi_dbm + 6 - i64::try_from(self.random.below(9)).unwrap_or(0)).clamp(-80, -35);
            let payload = read_payload(&pass.epc, pass.antenna, rssi_dbm, self.clock.now());
            if self.publish(broker, payload).await.is_err() {
                self.counts.abandoned += 1;
            }
            sleep(Duration::from_millis(self.random.between(5, 40))).await;
        }
    }

    async fn publish(&mut self, broker: SocketAddr, payload: Vec<u8>) -> io::Result<()> {
        let topic = format!("wardd/rfid/{}/tags", self.name);
        for attempt in 0..PUBLISH_ATTEMPTS_MAX {
            if self.client.is_none() {
                let options = ConnectOptions::device(&format!("sim-rfid-{}", self.name));
                self.client = MqttClient::connect(broker, &options).await.ok();
            }
            if let Some(client) = &mut self.client {
                self.counts.sent += u64::from(attempt == 0);
                self.counts.resends += u64::from(attempt > 0);
                if client.publish(&topic, payload.clone(), false, attempt > 0).await.is_ok() {
                    self.counts.acknowledged += 1;
                    return Ok(());
                }
            }
            self.client = None;
            self.counts.reconnects += 1;
            sleep(Duration::from_millis(100)).await;
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

fn read_payload(epc: &str, antenna: u8, rssi_dbm: i64, seen: Moment) -> Vec<u8> {
    json!({ "epc": epc, "antenna": antenna, "rssi_dbm": rssi_dbm, "seen": seen.rfc3339() }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::broker::Broker;
    use super::super::epc::giai_96;
    use super::*;

    #[tokio::test]
    async fn a_pass_survives_the_brokers_restart() {
        let broker = Broker::start("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut daemon = MqttClient::connect(broker.addr(), &ConnectOptions::device("daemon")).await.unwrap();
        daemon.subscribe("wardd/rfid/+/tags").await.unwrap();
        let (passes, inbox) = mpsc::channel(4);
        let (_stop, stopped) = watch::channel(false);
        let reader = RfidReader::new("gate", Clock::default(), Random::new(1));
        let running = tokio::spawn(reader.run(broker.addr(), inbox, stopped));
        passes.send(TagPass { epc: giai_96(7), antenna: 2, reads: 20 }).await.unwrap();
        drop(passes);
        let mut seen = 0;
        while seen < 20 {
            if seen == 5 {
                broker.restart(false).await;
                daemon = MqttClient::connect(broker.addr(), &ConnectOptions::device("daemon")).await.unwrap();
                assert!(daemon.session_present());
            }
            let message = daemon.next_message(Duration::from_secs(5)).await.unwrap().unwrap();
            let read: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
            assert_eq!((read["epc"].as_str(), read["antenna"].as_u64()), (Some(giai_96(7).as_str()), Some(2)));
            assert!(Moment::parse_rfc3339(read["seen"].as_str().unwrap()).is_some());
            daemon.acknowledge(&message).await.unwrap();
            seen += 1;
        }
        let counts = running.await.unwrap();
        assert_eq!((counts.sent, counts.acknowledged, counts.abandoned), (20, 20, 0), "{counts}");
        broker.stop().await;
    }
}
