//! MQTT through a real mosquitto: acknowledged when durable, retained commands ignored, a lost broker loses nothing.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::harness::*;

pub struct Mosquitto {
    child: Child,
    port: u16,
}

impl Mosquitto {
    pub fn start(folder: &Path, port: u16) -> Option<Self> {
        let program = has("mosquitto")?;
        let config = folder.join("mosquitto.conf");
        std::fs::write(&config, format!("listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 10000\npersistence false\n")).unwrap();
        let child = Command::new(program).arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_err() {
            assert!(Instant::now() < deadline, "mosquitto did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { child, port })
    }

    pub fn publish(&self, topic: &str, payload: &str, more: &[&str]) {
        let port = self.port.to_string();
        let status = Command::new("mosquitto_pub").args(["-h", "127.0.0.1", "-p", &port, "-V", "5", "-q", "1", "-t", topic, "-m", payload]).args(more).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn tag(number: u32) -> String {
    format!("{{\"epc\":\"3476451FD4{:014X}\",\"antenna\":1}}", u64::from(number) + 1)
}

#[test]
fn tags_and_drawers_over_a_broker_that_is_killed_and_started_again() {
    let port = free_port();
    let extra = format!(
        "[mqtt]\nbroker = \"127.0.0.1:{port}\"\nclient_id = \"wardd-{port}\"\n[[devices]]\nid = \"door\"\nprofile = \"generic/rfid-mqtt\"\nversion = 1\nlink = {{ kind = \"mqtt\" }}\n[[devices]]\nid = \"CAB1\"\nprofile = \"generic/cabinet-mqtt\"\nversion = 1\nlink = {{ kind = \"mqtt\" }}\n"
    );
    let site = Site::with("drawers = \"CAB1\"", &extra);
    let Some(broker) = Mosquitto::start(&site.folder, port) else {
        println!("skipped: no mosquitto (tests/run installs it)");
        return;
    };
    broker.publish("wardd/rfid/door/tags", &tag(999), &["-r"]);
    let daemon = site.start();
    let tags = |daemon: &Daemon| daemon.get("/api/v1/tags").as_array().unwrap().len();
    let is_up = |daemon: &Daemon| daemon.raw("GET", "/metrics", None, "").2.contains("wardd_gateway_noise_total{device=\"door\",kind=\"retained\"}");
    daemon.until("the retained message is seen and ignored", is_up);
    (0..20).for_each(|number| broker.publish("wardd/rfid/door/tags", &tag(number), &[]));
    daemon.until("20 tags", |daemon| tags(daemon) == 20);
    let connections = |daemon: &Daemon, id: &str| daemon.get("/api/v1/devices").as_array().unwrap().iter().find(|device| device["device"] == id).unwrap()["connections"].clone();
    assert_eq!((connections(&daemon, "door"), connections(&daemon, "CAB1")), (json!(1), json!(1)), "what is behind the broker is up");
    broker.publish("wardd/rfid/door/tags", "{\"epc\":\"nonsense\"}", &[]);
    daemon.until("held", |daemon| daemon.get("/api/v1/quarantine").as_array().unwrap().len() == 1);

    // The broker dies with its sessions; an opening that is due meanwhile is sent when it is back.
    drop(broker);
    daemon.until("down with the broker", |daemon| connections(daemon, "door") == 0);
    assert_eq!(daemon.post("/api/v1/cabinets/CAB1/load", json!({ "pocket": "1-1", "lot": "L", "expires": "2029-01-01", "quantity": "5" })).0, 200);
    daemon.known("1");
    assert_eq!(daemon.post("/api/v1/cabinets/CAB1/vend", json!({ "pocket": "1-1", "quantity": "1", "patient": "1" })).0, 200);
    let broker = Mosquitto::start(&site.folder, port).unwrap();
    let output = Command::new("mosquitto_sub")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-V", "5", "-q", "1", "-C", "1", "-W", "20", "-t", "wardd/cabinet/CAB1/commands"])
        .output()
        .unwrap();
    let command: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no command came: {}", site.log()));
    assert_eq!((command["command"].as_str(), command["drawer"].as_str()), (Some("open_drawer"), Some("1")));
    let confirm = json!({ "event": "drawer_opened", "drawer": "1", "command_id": command["command_id"] });
    // What is published before wardd has subscribed again is the broker's to lose.
    let connects = |daemon: &Daemon| daemon.raw("GET", "/metrics", None, "").2.contains("wardd_link_connects_total{device=\"broker\"} 2");
    daemon.until("connected again", connects);
    std::thread::sleep(Duration::from_millis(300));
    broker.publish("wardd/cabinet/CAB1/events", &confirm.to_string(), &[]);
    (20..40).for_each(|number| broker.publish("wardd/rfid/door/tags", &tag(number), &[]));
    daemon.until("40 tags", |daemon| tags(daemon) == 40);
    daemon.terminate();
    let events = site.events();
    assert_eq!((count(&events, "TagSighted"), count(&events, "DrawerMoved")), (40, 1));
}
