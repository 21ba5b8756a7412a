//! A dispensing cabinet on MQTT: opens drawers on `wardd/cabinet/<id>/commands`, tells on `wardd/cabinet/<id>/events`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::astm_line::scaled;
use super::clock::{Clock, Moment};
use super::counts::Counts;
use super::device::until_stopped;
use super::drawers::Drawers;
use super::mqtt_client::{ConnectOptions, MqttClient};
use super::mqtt_packet::Publish;
use super::random::Random;

const TURN: Duration = Duration::from_millis(250);

/// A running cabinet.
pub struct CabinetMqtt {
    cabinet: String,
    clock: Clock,
    drawers: Drawers,
    counts: Counts,
    // Events that the broker has not acknowledged; the device keeps them over a lost connection.
    unsent: std::collections::VecDeque<Vec<u8>>,
}

const UNSENT_MAX: usize = 1_024;

impl CabinetMqtt {
    /// The drawers of `cabinet`; people push them back after about 2 s times `time_scale`.
    pub fn new(cabinet: &str, time_scale: f64, clock: Clock, random: Random) -> CabinetMqtt {
        CabinetMqtt {
            cabinet: cabinet.to_owned(),
            clock,
            drawers: Drawers::new(scaled(2.0, time_scale), random),
            counts: Counts::default(),
            unsent: std::collections::VecDeque::new(),
        }
    }

    /// Serves commands from `broker` until `stop` turns true.
    pub async fn run(mut self, broker: SocketAddr, stop: watch::Receiver<bool>) -> Counts {
        let work = async {
            loop {
                if let Err(error) = self.serve(broker).await {
                    tracing::debug!(%error, "simulated cabinet lost its broker");
                }
                self.counts.reconnects += 1;
                sleep(TURN).await;
            }
        };
        until_stopped(work, stop).await;
        self.counts.abandoned += self.unsent.len() as u64;
        self.counts
    }

    async fn serve(&mut self, broker: SocketAddr) -> io::Result<()> {
        let options = ConnectOptions::device(&format!("sim-cabinet-{}", self.cabinet));
        let mut client = MqttClient::connect(broker, &options).await?;
        client.subscribe(&format!("wardd/cabinet/{}/commands", self.cabinet)).await?;
        loop {
            while let Some(movement) = self.drawers.take_due(Instant::now()) {
                let event = if movement.jammed { "drawer_jammed" } else { "drawer_closed" };
                self.counts.noise += u64::from(movement.jammed);
                self.tell(event, &movement.drawer, &movement.command_id);
            }
            self.publish_unsent(&mut client).await?;
            let now = Instant::now();
            let wait = self.drawers.due().map_or(TURN, |due| due.saturating_duration_since(now).min(TURN));
            if let Some(message) = client.next_message(wait).await? {
                self.command(&message);
                // Acknowledged after it was taken: a command lost in a crash before this comes again.
                client.acknowledge(&message).await?;
            }
        }
    }

    async fn publish_unsent(&mut self, client: &mut MqttClient) -> io::Result<()> {
        let topic = format!("wardd/cabinet/{}/events", self.cabinet);
        while let Some(event) = self.unsent.front() {
            client.publish(&topic, event.clone(), false, false).await?;
            self.counts.acknowledged += 1;
            self.unsent.pop_front();
        }
        Ok(())
    }

    fn command(&mut self, message: &Publish) {
        self.counts.received += 1;
        let Some((command_id, drawer)) = self.wanted(message) else {
            self.counts.ignored += 1;
            return;
        };
        if self.drawers.open(&drawer, &command_id) {
            self.tell("drawer_opened", &drawer, &command_id);
        } else {
            self.counts.ignored += 1;
        }
    }

    // A retained or expired command would open a drawer that nobody stands at.
    fn wanted(&self, message: &Publish) -> Option<(String, String)> {
        if message.retain {
            return None;
        }
        let command: Value = serde_json::from_slice(&message.payload).ok()?;
        let text = |name: &str| command.get(name).and_then(Value::as_str);
        if text("command")? != "open_drawer" {
            return None;
        }
        if let Some(expires) = text("expires")
            && Moment::parse_rfc3339(expires)? < self.clock.now()
        {
            return None;
        }
        Some((text("command_id")?.to_owned(), text("drawer")?.to_owned()))
    }

    fn tell(&mut self, event: &str, drawer: &str, command_id: &str) {
        let time = self.clock.now().rfc3339();
        let event = json!({ "event": event, "drawer": drawer, "command_id": command_id, "time": time });
        if self.unsent.len() >= UNSENT_MAX {
            self.unsent.pop_front();
            self.counts.abandoned += 1;
        }
        self.counts.sent += 1;
        self.unsent.push_back(event.to_string().into_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::broker::Broker;
    use super::*;

    #[tokio::test]
    async fn opens_once_and_ignores_the_retained_the_repeated_and_the_expired() {
        let broker = Broker::start("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut daemon = MqttClient::connect(broker.addr(), &ConnectOptions::device("daemon")).await.unwrap();
        daemon.subscribe("wardd/cabinet/+/events").await.unwrap();
        let command = |id: &str, expires: &str| json!({"command_id": id, "command": "open_drawer", "drawer": "3", "expires": expires}).to_string().into_bytes();
        let topic = "wardd/cabinet/c1/commands";
        daemon.publish(topic, command("old", "2999-01-01T00:00:00Z"), true, false).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let cabinet = CabinetMqtt::new("c1", 0.02, Clock::default(), Random::new(5));
        let running = tokio::spawn(cabinet.run(broker.addr(), stopped));
        sleep(Duration::from_millis(200)).await;
        for (id, expires) in [("a", "2999-01-01T00:00:00Z"), ("a", "2999-01-01T00:00:00Z"), ("b", "2020-01-01T00:00:00Z")] {
            daemon.publish(topic, command(id, expires), false, false).await.unwrap();
        }
        daemon.publish(topic, b"rubbish".to_vec(), false, false).await.unwrap();
        let mut events = Vec::new();
        while let Some(message) = daemon.next_message(Duration::from_millis(500)).await.unwrap() {
            daemon.acknowledge(&message).await.unwrap();
            let event: Value = serde_json::from_slice(&message.payload).unwrap();
            assert_eq!((event["drawer"].as_str(), event["command_id"].as_str()), (Some("3"), Some("a")));
            events.push(event["event"].as_str().unwrap().to_owned());
        }
        assert_eq!(events, ["drawer_opened", "drawer_closed"]);
        stop.send_replace(true);
        let counts = running.await.unwrap();
        assert_eq!((counts.received, counts.ignored, counts.acknowledged), (5, 4, 2), "{counts}");
        broker.stop().await;
    }
}
