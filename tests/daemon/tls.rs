//! TLS on the lines to devices, to the broker and on the web server: who is let in, who is not, and new certificates while it runs.
//! The other end is OpenSSL and mosquitto.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd};

use crate::harness::{Daemon, Site, has, oru, until};

/// An authority of a test.
type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(folder: &Path, name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, format!("the authority {name}"));
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), authority.pem()).unwrap();
    authority
}

/// A certificate for a name and its key, good until so many days from today.
fn certify(folder: &Path, file: &str, name: &str, days: i64, by: &Authority) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let day = |days: i64| {
        let date = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().saturating_add(jiff::Span::new().days(days));
        date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    (params.not_before, params.not_after) = (day(days.min(0) - 10), day(days));
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, by).unwrap();
    std::fs::write(folder.join(format!("{file}.pem")), certificate.pem()).unwrap();
    std::fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
}

const TLS: &str = "[tls]\ncertificate = \"own.pem\"\nkey = \"own.key\"\nauthorities = \"house.pem\"\n";

fn device(id: &str, link: &str, more: &str) -> String {
    format!("[[devices]]\nid = \"{id}\"\nprofile = \"generic/hl7-feed\"\nversion = 1\nlink = {{ {link} }}\n{more}")
}

/// A site whose authority and own certificate are made.
fn site(extra: &str, own_days: i64) -> (Site, Authority) {
    let site = Site::with("", &format!("{TLS}{extra}"));
    let house = authority(&site.folder, "house");
    certify(&site.folder, "own", "wardd.test", own_days, &house);
    (site, house)
}

/// OpenSSL at the other end.
struct Client {
    child: Child,
    answers: std::sync::mpsc::Receiver<u8>,
}

impl Client {
    fn connect(folder: &Path, at: SocketAddr, shown: Option<&str>, more: &[&str]) -> Self {
        let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let mut command = Command::new(has("openssl").unwrap());
        command.args(["s_client", "-quiet", "-connect", &at.to_string(), "-CAfile", &file("house.pem"), "-verify_return_error", "-verify_hostname", "wardd.test"]).args(more);
        if let Some(shown) = shown {
            command.args(["-cert", &file(&format!("{shown}.pem")), "-key", &file(&format!("{shown}.key"))]);
        }
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let (sender, answers) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut byte = [0];
            while matches!(out.read(&mut byte), Ok(1)) && sender.send(byte[0]).is_ok() {}
        });
        Self { child, answers }
    }

    /// Sends a message; the answer, empty when the line ends instead.
    fn ask(&mut self, message: &str) -> String {
        let _ = self.child.stdin.as_mut().unwrap().write_all(&[b"\x0b", message.as_bytes(), b"\x1c\r"].concat());
        let mut answer = Vec::new();
        while let Ok(byte) = self.answers.recv_timeout(Duration::from_secs(10)) {
            answer.push(byte);
            if answer.ends_with(b"\x1c\r") {
                break;
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn only_the_device_whose_certificate_a_link_names_is_spoken_to_and_under_its_own_name() {
    let link = "kind = \"tcp-listen\", bind = \"127.0.0.1:0\", certificate = \"adt.test\"";
    let (site, house) = site(&device("sealed", link, "sender = { application = \"LIS\", facility = \"LAB\" }\n"), 365);
    certify(&site.folder, "right", "adt.test", 365, &house);
    certify(&site.folder, "other", "pump.test", 365, &house);
    certify(&site.folder, "old", "adt.test", -2, &house);
    let stranger = authority(&site.folder, "stranger");
    certify(&site.folder, "forged", "adt.test", 365, &stranger);
    let daemon = site.start();
    let at = daemon.endpoints["sealed"];
    let ask = |shown: Option<&str>, more: &[&str], message: &str| Client::connect(&site.folder, at, shown, more).ask(message);
    let good = oru("C1", "26112100017", "13.5");
    for version in ["-tls1_2", "-tls1_3"] {
        assert!(ask(Some("right"), &[version], &good).contains("MSA|AA|C1"), "{version}");
    }
    for (shown, more, why) in [
        (None, &[][..], "no certificate"),
        (Some("other"), &[], "another device's"),
        (Some("old"), &[], "expired"),
        (Some("forged"), &[], "another authority's"),
        (Some("right"), &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "TLS 1.1"),
        (Some("right"), &["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"], "a weak suite"),
    ] {
        assert_eq!(ask(shown, more, &oru("C2", "26112100017", "13.5")), "", "{why}");
    }
    // Without TLS nothing is understood.
    let mut plain = TcpStream::connect(at).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    plain.write_all(&[b"\x0b", good.as_bytes(), b"\x1c\r"].concat()).unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("MSA"));
    // The right certificate and another's name: refused, and kept for a person.
    let renamed = oru("C3", "26112100017", "13.5").replace("|LIS|LAB|", "|LIS2|LAB|");
    let answer = ask(Some("right"), &[], &renamed);
    assert!(answer.contains("MSA|AR|C3") && answer.contains("MSH-3"), "{answer}");
    let waiting = daemon.get("/api/v1/quarantine");
    assert!(waiting.as_array().unwrap().iter().any(|item| item["reason"]["reason"] == "unknown_sender"), "{waiting}");
    assert!(site.log().contains("its certificate is not for adt.test"), "it is said why: {}", site.log());
    // A peer that never finishes its handshake holds up nobody.
    let _silent: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(at).unwrap()).collect();
    assert!(ask(Some("right"), &[], &oru("C4", "26112100017", "13.5")).contains("MSA|AA|C4"));
}

#[test]
fn a_new_certificate_is_taken_while_lines_stay_open_and_one_that_ends_is_told_of() {
    let link = "kind = \"tcp-listen\", bind = \"127.0.0.1:0\", certificate = \"adt.test\"";
    let (site, house) = site(&device("sealed", link, ""), 5);
    certify(&site.folder, "right", "adt.test", 365, &house);
    let daemon = site.start();
    let at = daemon.endpoints["sealed"];
    let mut open = Client::connect(&site.folder, at, Some("right"), &[]);
    assert!(open.ask(&oru("C1", "26112100017", "13.5")).contains("MSA|AA|C1"));
    let days = |daemon: &Daemon| {
        let metrics = daemon.raw("GET", "/metrics", None, "").2;
        metrics.lines().find_map(|line| line.strip_prefix("wardd_tls_certificate_ends_seconds{certificate=\"devices\"} ")?.parse::<i64>().ok()).map(|seconds| seconds / 86_400)
    };
    assert!(days(&daemon).unwrap() < 5 && site.log().contains("WD-0505"), "{}", site.log());
    // Half of it: a certificate without its key is refused, and the old one stays.
    let (pem, key) = (site.folder.join("own.pem"), site.folder.join("own.key"));
    let old_key = std::fs::read(&key).unwrap();
    certify(&site.folder, "own", "wardd.test", 200, &house);
    let new_key = std::fs::read(&key).unwrap();
    std::fs::write(&key, old_key).unwrap();
    assert!(!daemon.reload(), "certificate and key do not belong together");
    std::fs::write(&key, new_key).unwrap();
    assert!(daemon.reload());
    daemon.until("the new one counts", |daemon| days(daemon).is_some_and(|days| days > 190));
    assert!(open.ask(&oru("C2", "26112100017", "13.5")).contains("MSA|AA|C2"), "the line that was open goes on");
    let mut fresh = Client::connect(&site.folder, at, Some("right"), &[]);
    assert!(fresh.ask(&oru("C3", "26112100017", "13.5")).contains("MSA|AA|C3"));
    assert!(std::fs::read_to_string(pem).unwrap().contains("BEGIN CERTIFICATE"));
}

/// OpenSSL as a device that listens.
fn listening(folder: &Path, shown: &str) -> (Client, SocketAddr) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let mut command = Command::new(has("openssl").unwrap());
    command.args(["s_server", "-quiet", "-accept", &port.to_string(), "-cert", &file(&format!("{shown}.pem")), "-key", &file(&format!("{shown}.key"))]);
    command.args(["-CAfile", &file("house.pem"), "-Verify", "1", "-verify_return_error"]);
    (Client::start(command), SocketAddr::from(([127, 0, 0, 1], port)))
}

#[test]
fn wardd_connects_by_tls_to_the_device_that_the_link_names_and_to_no_other() {
    let folder = std::env::temp_dir().join(format!("wardd-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let house = authority(&folder, "house");
    for (file, name) in [("own", "wardd.test"), ("right", "xn.test"), ("wrong", "pump.test")] {
        certify(&folder, file, name, 365, &house);
    }
    let ((mut right, right_at), (wrong, wrong_at)) = (listening(&folder, "right"), listening(&folder, "wrong"));
    let link = |at: SocketAddr| format!("kind = \"tcp-connect\", address = \"{at}\", certificate = \"xn.test\"");
    let site = Site::with("", &format!("{TLS}{}{}", device("right", &link(right_at), ""), device("wrong", &link(wrong_at), "")));
    for file in ["house.pem", "own.pem", "own.key"] {
        std::fs::copy(folder.join(file), site.folder.join(file)).unwrap();
    }
    let daemon = site.start();
    daemon.until("connected to the right one", |daemon| daemon.raw("GET", "/metrics", None, "").2.contains("wardd_link_connections{device=\"right\"} 1"));
    assert!(right.ask(&oru("C1", "26112100017", "13.5")).contains("MSA|AA|C1"));
    until("it is said why the other one is not spoken to", || site.log().contains("certificate not valid for name").then_some(()));
    assert!(!daemon.raw("GET", "/metrics", None, "").2.contains("wardd_link_connections{device=\"wrong\"} 1"));
    drop(wrong);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_broker_is_reached_by_tls_with_certificates_on_both_sides() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let extra = format!(
        "[mqtt]\nbroker = \"localhost:{port}\"\nclient_id = \"wardd-{port}\"\ntls = true\n[[devices]]\nid = \"door\"\nprofile = \"generic/rfid-mqtt\"\nversion = 1\nlink = {{ kind = \"mqtt\" }}\n"
    );
    let (site, house) = site(&extra, 365);
    certify(&site.folder, "broker", "localhost", 365, &house);
    certify(&site.folder, "door", "door", 365, &house);
    certify(&site.folder, "other", "other", 365, &house);
    let file = |name: &str| site.folder.join(name).to_str().unwrap().to_owned();
    let config: PathBuf = site.folder.join("mosquitto.conf");
    // The configuration that is shipped, with the places and names of this test.
    let shipped = |name: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("broker").join(name)).unwrap();
    let rights = shipped("wardd.acl").replace("user wardd\n", "user wardd.test\n");
    std::fs::write(site.folder.join("wardd.acl"), rights).unwrap();
    let text = shipped("wardd.conf")
        .replace("listener 8883", &format!("listener {port} 127.0.0.1"))
        .replace("/etc/mosquitto/wardd/authorities.pem", &file("house.pem"))
        .replace("/etc/mosquitto/wardd/", &format!("{}/", site.folder.display()))
        + "persistence false\n";
    std::fs::write(&config, text).unwrap();
    let start = || {
        let broker = Command::new(has("mosquitto").unwrap()).arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "mosquitto did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        broker
    };
    let mut broker = start();
    let daemon = site.start();
    daemon.until("the broker is reached", |daemon| daemon.raw("GET", "/metrics", None, "").2.contains("wardd_link_connections{device=\"door\"} 1"));
    std::thread::sleep(Duration::from_millis(300));
    let publish = |certificate: &[&str]| {
        let tag = "{\"epc\":\"3476451FD400000000000001\",\"antenna\":1}";
        let common = ["-h", "localhost", "-p", &port.to_string(), "-V", "5", "-q", "1", "-t", "wardd/rfid/door/tags", "-m", tag, "--cafile", &file("house.pem")].map(str::to_owned);
        Command::new("mosquitto_pub").args(common).args(certificate).stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(!publish(&[]), "the broker wants a certificate");
    // Another device of the house says something in the door's name: the broker takes it for nobody.
    let _ = publish(&["--cert", &file("other.pem"), "--key", &file("other.key")]);
    let of_door = |daemon: &Daemon| daemon.get("/api/v1/devices").as_array().unwrap().iter().find(|device| device["device"] == "door").unwrap().clone();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!((of_door(&daemon)["accepted"].clone(), of_door(&daemon)["held"].clone()), (0.into(), 0.into()), "{}", of_door(&daemon));
    assert!(publish(&["--cert", &file("door.pem"), "--key", &file("door.key")]));
    daemon.until("the message arrives", |daemon| {
        daemon.raw("GET", "/metrics", None, "").2.contains("wardd_gateway_messages_total{answer=\"") && {
            let devices = daemon.get("/api/v1/devices");
            devices.as_array().unwrap().iter().any(|device| device["device"] == "door" && (device["accepted"] != 0 || device["held"] != 0))
        }
    });
    // Another authority for all: the connection that is open goes on, the next one shows and wants the new certificates.
    let other = authority(&site.folder, "house");
    certify(&site.folder, "own", "wardd.test", 365, &other);
    certify(&site.folder, "broker", "localhost", 365, &other);
    assert!(daemon.reload());
    let is_connected = |daemon: &Daemon| daemon.raw("GET", "/metrics", None, "").2.contains("wardd_link_connections{device=\"door\"} 1");
    assert!(is_connected(&daemon));
    broker.kill().unwrap();
    broker.wait().unwrap();
    daemon.until("the broker is gone", |daemon| !is_connected(daemon));
    let mut broker = start();
    daemon.until("reached again", is_connected);
    broker.kill().unwrap();
    broker.wait().unwrap();
}

/// A collector of the audit by Python's own TLS and XML: keeps each message's event, whose it is and what happened, one a line.
struct Collector {
    child: Child,
}

impl Collector {
    fn start(folder: &Path, port: u16, shown: &str) -> Self {
        const PROGRAM: &str = "import socket, ssl, sys, re, xml.etree.ElementTree as tree
port, folder, shown, out = int(sys.argv[1]), sys.argv[2], sys.argv[3], open(sys.argv[4], 'a')
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder + '/house.pem')
context.verify_mode = ssl.CERT_REQUIRED
context.load_cert_chain(folder + '/' + shown + '.pem', folder + '/' + shown + '.key')
listener = socket.create_server(('127.0.0.1', port))
while True:
    raw, _ = listener.accept()
    try: line = context.wrap_socket(raw, server_side=True)
    except (ssl.SSLError, OSError): continue
    data = b''
    while True:
        try: part = line.recv(65536)
        except OSError: break
        if not part: break
        data += part
        while b' ' in data:
            length, rest = data.split(b' ', 1)
            if len(rest) < int(length): break
            message, data = rest[:int(length)], rest[int(length):]
            header, body = message.split(b'\\xef\\xbb\\xbf', 1)
            assert re.match(rb'<85>1 \\S+ TEST wardd - IHE\\+DICOM \\[meta sequenceId=\"\\d+\"\\] $', header), header
            event = tree.fromstring(body)
            assert event.tag == 'AuditMessage'
            patients = [one.get('ParticipantObjectID') for one in event.iter('ParticipantObjectIdentification') if one.get('ParticipantObjectTypeCode') == '1']
            what = event.find('EventIdentification/EventTypeCode').get('csd-code')
            who = event.find('ActiveParticipant').get('UserID')
            print(re.search(rb'sequenceId=\"(\\d+)\"', header).group(1).decode(), who, what, ','.join(patients), file=out, flush=True)
";
        let out = folder.join("collected");
        let child = Command::new(has("python3").unwrap())
            .args(["-c", PROGRAM, &port.to_string(), folder.to_str().unwrap(), shown, out.to_str().unwrap()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_audit_reaches_its_collector_also_what_happened_while_it_was_away() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (site, house) = site(&format!("[audit]\naddress = \"127.0.0.1:{port}\"\ncertificate = \"audit.test\"\n"), 365);
    certify(&site.folder, "right", "audit.test", 365, &house);
    certify(&site.folder, "other", "pump.test", 365, &house);
    let daemon = site.start();
    let collected = || std::fs::read_to_string(site.folder.join("collected")).unwrap_or_default();
    let register = |mrn: &str| {
        let body = serde_json::json!({ "mrn": mrn, "person": { "name": { "family": format!("Doe{mrn}") } }, "confirm_new": true, "user": "ann" });
        assert_eq!(daemon.post("/api/v1/patients", body).0, 201);
    };
    register("1");
    // Nobody with another certificate gets it.
    let other = Collector::start(&site.folder, port, "other");
    until("the refusal", || site.log().contains("not valid for name").then_some(()).or_else(|| site.log().contains("certificate").then_some(())));
    assert_eq!(collected(), "");
    drop(other);
    let first = Collector::start(&site.folder, port, "right");
    until("what happened before", || collected().contains("person:ann PersonRecorded 1").then_some(()));
    register("2");
    until("what happens", || collected().contains("PersonRecorded 2").then_some(()));
    // It is killed, and comes back.
    drop(first);
    for mrn in 3..40 {
        register(&mrn.to_string());
    }
    let second = Collector::start(&site.folder, port, "right");
    until("all", || (1..40).all(|mrn| collected().lines().any(|line| line.ends_with(&format!("PersonRecorded {mrn}")))).then_some(()));
    let log = site.log();
    assert!(log.contains("WD-0507"), "{log}");
    // What is sent twice has the same number.
    let mut events: Vec<String> = collected().lines().map(str::to_owned).collect();
    events.sort_unstable();
    events.dedup();
    assert_eq!(events.iter().filter(|event| event.contains("PersonRecorded")).count(), 39);
    drop(second);
}
