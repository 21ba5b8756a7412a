//! The broker with foreign clients (mosquitto's tools, where installed) and with the simulator's own.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::Broker;
use super::broker_session::Registry;
use super::mqtt_bytes::take_packet;
use super::mqtt_client::{ConnectOptions, MqttClient};
use super::mqtt_packet::{Connect, Filter, Packet, Property, PropertyValue, Publish, Will};

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn installed(program: &str) -> bool {
    let found = std::process::Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        println!("skipped: {program} is not installed");
    }
    found.is_ok()
}

// mosquitto's tools as blocking children on threads: tokio's process feature is not among the project's.
fn mosquitto(program: &str, broker: SocketAddr, arguments: &[&str]) -> std::process::Child {
    let port = broker.port().to_string();
    std::process::Command::new(program).args(["-V", "5", "-h", "127.0.0.1", "-p", &port]).args(arguments).stdout(Stdio::piped()).spawn().unwrap()
}

async fn output(child: std::process::Child) -> (bool, String) {
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    (ended.status.success(), String::from_utf8_lossy(&ended.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_publishes_subscribes_and_finds_retained_and_kept_messages() {
    if !installed("mosquitto_pub") {
        return;
    }
    let broker = Broker::start(loopback()).unwrap();
    let address = broker.addr();
    let publish = |arguments: &[&str]| output(mosquitto("mosquitto_pub", address, arguments));
    assert!(publish(&["-t", "a/kept", "-m", "old", "-r", "-q", "1"]).await.0);
    let live = mosquitto("mosquitto_sub", address, &["-t", "a/+", "-q", "1", "-C", "3", "-W", "10", "-F", "%t %r %q %p"]);
    sleep(Duration::from_millis(300)).await;
    assert!(publish(&["-t", "a/b", "-m", "one", "-q", "1"]).await.0);
    assert!(publish(&["-t", "a/b/c", "-m", "deeper", "-q", "1"]).await.0);
    assert!(publish(&["-t", "a/b", "-m", "two", "-q", "0"]).await.0);
    assert_eq!(output(live).await, (true, "a/kept 1 1 old\na/b 0 1 one\na/b 0 0 two\n".to_owned()));

    // A kept session collects while its client is away: subscribe, leave, publish, come back.
    let session = ["-i", "sub-1", "-c", "-x", "300", "-t", "s/#", "-q", "1", "-W", "10"];
    assert!(output(mosquitto("mosquitto_sub", address, &[&session[..], &["-E"]].concat())).await.0);
    for number in ["1", "2", "3"] {
        assert!(publish(&["-t", "s/x", "-m", number, "-q", "1"]).await.0);
    }
    let (success, text) = output(mosquitto("mosquitto_sub", address, &[&session[..], &["-C", "3"]].concat())).await;
    assert_eq!((success, text.as_str()), (true, "1\n2\n3\n"));

    // Retained messages are removed by an empty one, and old protocol levels are refused.
    assert!(publish(&["-t", "a/kept", "-n", "-r", "-q", "1"]).await.0);
    let none = mosquitto("mosquitto_sub", address, &["-t", "a/kept", "-C", "1", "-W", "1"]);
    assert!(!output(none).await.0);
    assert!(!publish(&["-V", "311", "-t", "a/b", "-m", "old level"]).await.0);
    let large = "x".repeat(100_000);
    let reader = mosquitto("mosquitto_sub", address, &["-t", "big", "-C", "1", "-W", "10"]);
    sleep(Duration::from_millis(300)).await;
    assert!(publish(&["-t", "big", "-m", &large, "-q", "1"]).await.0);
    assert_eq!(output(reader).await.1.trim_end(), large);
    broker.stop().await;
}

async fn next(client: &mut MqttClient) -> Option<Publish> {
    client.next_message(Duration::from_millis(500)).await.unwrap()
}

#[tokio::test]
async fn unacknowledged_messages_come_again_with_dup_and_the_same_number() {
    let broker = Broker::start(loopback()).unwrap();
    let mut sender = MqttClient::connect(broker.addr(), &ConnectOptions::device("sender")).await.unwrap();
    let mut receiver = MqttClient::connect(broker.addr(), &ConnectOptions::device("receiver")).await.unwrap();
    assert!(!receiver.session_present());
    receiver.subscribe("x").await.unwrap();
    for number in [b"1", b"2"] {
        sender.publish("x", number.to_vec(), false, false).await.unwrap();
    }
    let first = next(&mut receiver).await.unwrap();
    let second = next(&mut receiver).await.unwrap();
    assert!(!first.dup && !second.dup);
    receiver.acknowledge(&first).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    // Taken over by its next connection.
    let mut again = MqttClient::connect(broker.addr(), &ConnectOptions::device("receiver")).await.unwrap();
    assert!(receiver.next_message(Duration::from_secs(2)).await.is_err());
    assert!(again.session_present());
    let repeated = next(&mut again).await.unwrap();
    assert_eq!((repeated.dup, repeated.packet_id, &repeated.payload), (true, second.packet_id, &second.payload));
    again.acknowledge(&repeated).await.unwrap();
    assert!(next(&mut again).await.is_none());

    broker.restart(true).await;
    assert!(again.next_message(Duration::from_secs(2)).await.is_err());
    let mut fresh = MqttClient::connect(broker.addr(), &ConnectOptions::device("receiver")).await.unwrap();
    assert!(!fresh.session_present());
    assert!(next(&mut fresh).await.is_none());
    broker.stop().await;
}

#[tokio::test]
async fn wills_keep_alive_and_malformed_packets() {
    let broker = Broker::start(loopback()).unwrap();
    let mut watcher = MqttClient::connect(broker.addr(), &ConnectOptions::device("watcher")).await.unwrap();
    watcher.subscribe("will/#").await.unwrap();
    let options = |name: &str, keep_alive_seconds| ConnectOptions {
        will: Some(Will { topic: format!("will/{name}"), payload: b"gone".to_vec(), qos: 1, retain: false }),
        keep_alive_seconds,
        ..ConnectOptions::device(name)
    };
    let polite = MqttClient::connect(broker.addr(), &options("polite", 15)).await.unwrap();
    polite.disconnect().await;
    drop(MqttClient::connect(broker.addr(), &options("dropped", 15)).await.unwrap());
    assert_eq!(next(&mut watcher).await.unwrap().topic, "will/dropped");
    let started = Instant::now();
    let _silent = MqttClient::connect(broker.addr(), &options("silent", 1)).await.unwrap();
    assert_eq!(watcher.next_message(Duration::from_secs(4)).await.unwrap().unwrap().topic, "will/silent");
    assert!(started.elapsed() >= Duration::from_millis(1_400));
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x10, 0xff, 0xff, 0xff, 0x7f], &[0xc0, 0]] {
        let mut stream = TcpStream::connect(broker.addr()).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        let mut rest = Vec::new();
        let _ = timeout(Duration::from_secs(2), stream.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty());
    }
    broker.stop().await;
}

fn publish(number: u8) -> Packet {
    let payload = vec![number];
    Packet::Publish(Publish { dup: false, qos: 1, retain: false, topic: "a".into(), packet_id: 9, properties: vec![], payload })
}

#[test]
fn receive_maximum_holds_messages_back_in_order() {
    let (outbox, mut sent) = tokio::sync::mpsc::channel(256);
    let mut registry = Registry::default();
    let now = std::time::Instant::now();
    let connect = Connect {
        level: 5,
        clean_start: true,
        keep_alive: 0,
        client_id: "slow".into(),
        properties: vec![Property { id: 0x21, value: PropertyValue::Two(2) }],
        will: None,
        username: None,
    };
    registry.open(1, connect, outbox, now);
    let filters = vec![Filter { filter: "#".into(), options: 1 }];
    registry.packet(1, Packet::Subscribe { packet_id: 1, properties: vec![], filters }, now);
    for number in 1..=5 {
        registry.packet(1, publish(number), now);
    }
    let mut arrived = Vec::new();
    for _ in 0..5 {
        let mut window = Vec::new();
        while let Ok(mut bytes) = sent.try_recv() {
            if let Some(Packet::Publish(message)) = take_packet(&mut bytes).unwrap() {
                window.push((message.packet_id, message.payload));
            }
        }
        assert!(window.len() <= 2);
        for (packet_id, payload) in window {
            arrived.extend(payload);
            registry.packet(1, Packet::PubAck { packet_id, reason: 0 }, now);
        }
    }
    assert_eq!(arrived, [1, 2, 3, 4, 5]);
}
