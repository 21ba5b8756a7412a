//! The operator's commands on the real binaries.

use std::io::Write as _;

use super::harness::*;

#[test]
fn profiles_and_their_transcripts_hold() {
    let folder = format!("{}/device-profiles", env!("CARGO_MANIFEST_DIR"));
    let output = wardctl(&["profile", "check", &folder]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(text.lines().filter(|line| line.starts_with("ok")).count() >= 10, "{text}");
    assert!(wardctl(&["profile", "list", &folder]).status.success());
    let explained = wardctl(&["profile", "explain", &format!("{folder}/sysmex/xn-550.toml")]);
    assert!(String::from_utf8_lossy(&explained.stdout).contains("WBC is LOINC 6690-2"));
}

#[test]
fn a_new_profile_is_begun_and_checked() {
    let site = Site::new();
    let folder = site.folder.join("profiles");
    let folder = folder.to_str().unwrap();
    for kind in ["astm", "hl7", "scanner"] {
        assert!(wardctl(&["profile", "new", &format!("acme/{kind}"), "--kind", kind, "--folder", folder]).status.success());
    }
    assert!(!wardctl(&["profile", "new", "acme/astm", "--folder", folder]).status.success(), "never overwritten");
    let output = wardctl(&["profile", "check", folder]);
    assert!(!output.status.success(), "a profile without a transcript is not checked");
    std::fs::write(format!("{folder}/acme/astm.vectors/one.txt"), "> <ENQ>\n< <ACK>\n> <EOT>\n").unwrap();
    assert!(wardctl(&["profile", "check", &format!("{folder}/acme/astm.toml")]).status.success());
    std::fs::write(format!("{folder}/acme/astm.vectors/one.txt"), "> <ENQ>\n< <NAK>\n").unwrap();
    assert!(!wardctl(&["profile", "check", &format!("{folder}/acme/astm.toml")]).status.success(), "a transcript that does not hold fails");
}

#[test]
fn the_reference_configuration_and_wrong_ones_are_checked() {
    let site = Site::new();
    let wardd = || std::process::Command::new(env!("CARGO_BIN_EXE_wardd"));
    let check = |path: &str| wardd().args(["check", "--config", path]).output().unwrap();
    // As under systemd, which hands over the key ring.
    std::fs::copy(site.folder.join("keyring.toml"), site.folder.join("wardd-keyring")).unwrap();
    let reference = format!("{}/config/wardd.toml", env!("CARGO_MANIFEST_DIR"));
    let output = wardd().args(["check", "--config", &reference]).env("CREDENTIALS_DIRECTORY", &site.folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = site.folder.join("wardd.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    for (wrong, part) in [
        (text.replace("facility", "facilty"), "did you mean `facility`?"),
        (text.replace("sysmex/xn-550", "sysmex/xn-505"), "did you mean \"sysmex/xn-550\"?"),
        (text.replacen("version = 1", "version = 9", 1), "pinned to 9"),
        (text.replace("keyring.toml", "no-keyring.toml"), "wardctl keyring new"),
        (text.replace("purpose = \"collect\"\n", ""), "purpose = \"collect\""),
    ] {
        std::fs::write(&path, wrong).unwrap();
        let output = check(path.to_str().unwrap());
        assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains(part), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_journal_is_shown_verified_and_its_damage_stops_the_start() {
    let site = Site::new();
    let daemon = site.start();
    let accession = daemon.order(&["718-7"], true);
    let data = site.data();
    let (data, ring) = (data.to_str().unwrap(), site.folder.join("keyring.toml"));
    let journal = |what: &str| wardctl(&["journal", what, "--data", data, "--keyring", ring.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&journal("tail").stdout).contains(&accession), "while wardd runs");
    assert!(String::from_utf8_lossy(&journal("export").stdout).lines().count() > 3, "while wardd runs");
    assert_eq!(daemon.terminate().1, Some(0));
    assert!(String::from_utf8_lossy(&journal("verify").stdout).contains("whole:"));
    assert!(String::from_utf8_lossy(&journal("stat").stdout).contains("events in"));
    assert!(String::from_utf8_lossy(&journal("tail").stdout).contains(&accession));
    assert!(String::from_utf8_lossy(&wardctl(&["journal", "verify", "--data", data]).stdout).contains("whole:"), "without keys too");
    let segment = std::fs::read_dir(site.data().join("journal"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "wlog"))
        .unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let damaged = journal("verify");
    assert!(!damaged.status.success() && String::from_utf8_lossy(&damaged.stdout).contains("WD-0106"));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_wardd")).args(["run", "--config"]).arg(site.folder.join("wardd.toml")).output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("wardctl heal"), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn damaged_views_are_set_aside_and_rebuilt() {
    let site = Site::new();
    let daemon = site.start();
    let accession = daemon.order(&["718-7"], true);
    daemon.terminate();
    std::fs::write(site.data().join("views/conf"), b"not a configuration").unwrap();
    let daemon = site.start();
    daemon.until("rebuilt", |daemon| daemon.ask("GET", &format!("/api/v1/specimens/{accession}"), None, "").1["stage"] == "collected");
    assert!(std::fs::read_dir(site.data()).unwrap().flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("views.damaged")));
}

#[test]
fn the_demo_s_counts_agree_with_its_journal() {
    let site = Site::new();
    let data = site.folder.join("demo");
    // Twice on the same data: the second run goes on where the first ended.
    for _ in 0..2 {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wardd"));
        let output = command.args(["demo", "--for", "7s", "--seed", "7", "--pace", "4", "--http", "127.0.0.1:0", "--data"]).arg(&data).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("the counts agree"), "{text}");
    }
}

#[test]
fn codes_are_decoded_with_exit_codes_for_scripts() {
    let decode = |kind: &str, text: &str| {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_wardctl"))
            .args(["decode", kind, "-", "--json"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap_or_default())
    };
    let (code, value) = decode("gs1", "(01)09506682101352(17)201031(30)100\n");
    assert_eq!((code, &value["elements"][0]), (Some(0), &serde_json::json!({ "ai": "01", "value": "09506682101352", "title": "GTIN" })));
    assert_eq!(decode("gs1", "(01)09506682101353").0, Some(1));
    assert_eq!(decode("epc", "3074257BF7194E4000001A85").1["tag_uri"], "urn:epc:tag:sgtin-96:3.0614141.812345.6789");
    assert_eq!(decode("hl7", "MSH|^~\\&|A|B|C|D|2026||ORU^R01|7|P|2.5\rPID|1\r").1["control_id"], "7");
    assert_eq!(decode("hl7", "PID|1").0, Some(1));
    assert_eq!(decode("astm", "H|\\^&\rL|1|N\r").0, Some(0));
    assert_eq!(decode("astm", "H|\\^&\rR|1\r").0, Some(1));
    assert_eq!(decode("nothing", "").0, Some(2));
}

#[test]
fn codes_are_explained() {
    let said = |code: &str| String::from_utf8(wardctl(&["explain", code]).stdout).unwrap();
    assert!(said("wd-0108").contains("accept-end"));
    assert!(!wardctl(&["explain", "WD-9999"]).status.success());
}

#[test]
fn the_drill_a_backup_under_load_is_restored_and_nothing_of_it_is_lost() {
    let site = Site::new();
    let daemon = site.start();
    let (data, ring, copy) = (site.data(), site.folder.join("keyring.toml"), site.folder.join("copy"));
    let wardctl_at = |what: &str, data: &std::path::Path| wardctl(&[what, "--data", data.to_str().unwrap(), "--keyring", ring.to_str().unwrap(), copy.to_str().unwrap()]);
    let accession = daemon.order(&["718-7"], true);
    let mut feed = daemon.connect("feed");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let (acknowledged, backups) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut count = 0;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                assert!(mllp(&mut feed, &oru(&format!("D{count}"), &accession, "13.2")).unwrap().contains("MSA|AA"));
                count += 1;
            }
            count
        });
        let backups: Vec<std::process::Output> = (0..4)
            .map(|_| {
                std::thread::sleep(std::time::Duration::from_millis(200));
                wardctl_at("backup", &data)
            })
            .collect();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        (sending.join().unwrap(), backups)
    });
    assert!(acknowledged > 50 && backups.iter().all(|output| output.status.success()), "{backups:?}");
    let last = wardctl_at("backup", &data);
    let head = |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).trim().rsplit(' ').next().unwrap().to_owned();
    assert!(!wardctl_at("restore", &data).status.success(), "never over a journal");
    daemon.kill();
    let events = site.events();
    std::fs::remove_dir_all(&data).unwrap();
    let restored = wardctl_at("restore", &data);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert_eq!(head(&restored), head(&last));
    let daemon = site.start();
    assert_eq!(daemon.get(&format!("/api/v1/specimens/{accession}"))["stage"], "resulted");
    daemon.terminate();
    let again = site.events();
    assert_eq!(again[..events.len()], events[..], "every event is there, as it was");
}

#[test]
fn a_seed_is_the_same_history_in_another_process() {
    let sim = || std::process::Command::new(env!("CARGO_BIN_EXE_wardd")).args(["sim", "--seed", "17", "--seeds", "3"]).output().unwrap();
    let (first, second) = (sim(), sim());
    let text = String::from_utf8_lossy(&first.stdout);
    assert!(first.status.success() && text.lines().count() == 3 && text.contains("promises"), "{text}");
    assert_eq!(first.stdout, second.stdout);
}

#[test]
fn a_thousand_mutated_configurations_are_taken_whole_or_not_at_all() {
    let site = Site::new();
    let path = site.folder.join("wardd.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let daemon = site.start();
    let is_orderable = |test: &str| daemon.post("/api/v1/lab-orders", serde_json::json!({ "patient": { "mrn": "1" }, "tests": [test] })).0 == 201;
    // A good one, with one test more and one less.
    let other = text.replace("loinc = \"718-7\"", "loinc = \"789-8\"");
    std::fs::write(&path, &other).unwrap();
    assert!(daemon.reload() && is_orderable("789-8") && !is_orderable("718-7"));
    std::fs::write(&path, text.replace("beds = [\"101:A\", \"101:B\"]", "beds = [\"101:A\"]")).unwrap();
    assert!(!daemon.reload(), "beds want a restart");
    assert!(site.log().contains("WD-0306") && is_orderable("789-8"));
    let mut feed = daemon.connect("feed");
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % bound
    };
    let (mut taken, mut refused) = (0, 0);
    for number in 0..1_000 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..1 + below(3) {
            let at = below(bytes.len());
            match below(4) {
                0 => bytes[at] = u8::try_from(below(256)).unwrap(),
                1 => drop(bytes.drain(at..(at + 1 + below(40)).min(bytes.len()))),
                2 => bytes.insert(at, b"\"[]=\n#{},x0"[below(11)]),
                _ => bytes.truncate(at.max(1)),
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        if daemon.reload() {
            taken += 1;
        } else {
            refused += 1;
        }
        if number % 20 == 0 {
            assert!(mllp(&mut feed, &oru(&format!("M{number}"), "NONE", "1")).unwrap().contains("MSA|AA"), "work goes on, on the same connection");
        }
    }
    assert!(refused > 500, "{taken} taken, {refused} refused");
    std::fs::write(&path, &text).unwrap();
    assert!(daemon.reload() && is_orderable("718-7") && !is_orderable("789-8"));
    assert_eq!(daemon.terminate().1, Some(0));
}

#[test]
fn the_systemd_units_are_sound_and_hardened() {
    let Some(analyze) = has("systemd-analyze") else {
        println!("skipped: no systemd-analyze (tests/run installs it)");
        return;
    };
    let site = Site::new();
    let source = format!("{}/systemd", env!("CARGO_MANIFEST_DIR"));
    let run = |arguments: &[&str]| std::process::Command::new(&analyze).args(arguments).output().unwrap();
    let socket = run(&["verify", "--man=no", &format!("{source}/wardd.socket")]);
    let said = String::from_utf8_lossy(&socket.stderr).into_owned();
    assert!(!said.lines().any(|line| line.contains("wardd.socket:")), "{said}");
    for (unit, most) in [("wardd.service", 2.0), ("wardd-backup.service", 2.0)] {
        let text = std::fs::read_to_string(format!("{source}/{unit}")).unwrap();
        let here = text.replace("/usr/bin/wardd ", &format!("{} ", env!("CARGO_BIN_EXE_wardd"))).replace("/usr/bin/wardctl", env!("CARGO_BIN_EXE_wardctl"));
        let path = site.folder.join(unit);
        std::fs::write(&path, here).unwrap();
        let path = path.to_str().unwrap();
        let verified = run(&["verify", "--man=no", path]);
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        // What other units of this machine lack is not ours.
        assert!(!said.lines().any(|line| line.contains(unit)), "{said}");
        let security = run(&["security", "--offline=true", "--no-pager", path]);
        let text = String::from_utf8_lossy(&security.stdout).into_owned();
        let exposure: f64 =
            text.lines().find(|line| line.contains("Overall exposure level")).and_then(|line| line.split(": ").nth(1)?.split_whitespace().next()?.parse().ok()).expect(&text);
        assert!(exposure <= most, "{unit}: {exposure}");
    }
    let unit = std::fs::read_to_string(format!("{source}/wardd.service")).unwrap();
    for line in ["DeviceAllow=char-ttyUSB rw", "SupplementaryGroups=dialout", "WatchdogSec=30", "ExecReload=/bin/kill -HUP $MAINPID"] {
        assert!(unit.contains(line), "{line}");
    }
}

#[test]
fn a_listener_that_systemd_opened_is_used_and_one_elsewhere_is_refused() {
    let Some(activate) = has("systemd-socket-activate") else {
        println!("skipped: no systemd-socket-activate (tests/run installs it)");
        return;
    };
    let site = Site::new();
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (ours, other, config) = (free(), free(), site.folder.join("wardd.toml"));
    let text = std::fs::read_to_string(&config).unwrap().replace("[http]\nbind = \"127.0.0.1:0\"", &format!("[http]\nbind = \"{ours}\""));
    std::fs::write(&config, text).unwrap();
    let start = |address: &str| {
        let mut command = std::process::Command::new(&activate);
        command.args(["-l", address, "--fdname=http", env!("CARGO_BIN_EXE_wardd"), "run", "--config"]).arg(&config);
        let log = std::fs::File::create(site.folder.join("log")).unwrap();
        let child = command.stdout(std::process::Stdio::null()).stderr(log).spawn().unwrap();
        // Nobody listens but systemd; the first connection starts wardd and is answered by it.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let stream = loop {
            match std::net::TcpStream::connect(address) {
                Ok(stream) => break stream,
                Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        (child, stream)
    };
    let (mut child, mut stream) = start(&ours);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut child, _stream) = start(&other);
    assert!(!child.wait().unwrap().success() && site.log().contains("WD-0309"), "{}", site.log());
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let bash = String::from_utf8(wardctl(&["completions", "bash"]).stdout).unwrap();
    assert!(bash.contains("accept-end") && bash.contains("quarantine"));
    let site = Site::new();
    let folder = site.folder.join("man");
    assert!(wardctl(&["manual", folder.to_str().unwrap()]).status.success());
    let page = std::fs::read_to_string(folder.join("wardctl-backup.1")).unwrap();
    assert!(page.contains("Copies the journal, while wardd runs"), "{page}");
}

#[test]
fn top_shows_devices_queues_and_the_journal_of_a_running_wardd() {
    let site = Site::new();
    let daemon = site.start();
    let mut feed = daemon.connect("feed");
    assert!(mllp(&mut feed, &oru("T1", "nobody", "13.2")).unwrap().contains("MSA|AA|T1"));
    let http = daemon.endpoints["http"].to_string();
    let output = wardctl(&["top", "--http", &http, "--every", "1", "--looks", "2"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |begin: &str| text.lines().rfind(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("{begin}: {text}")).to_owned();
    assert!(line("journal").contains("mirror none") && line("quarantine").contains("1 items"), "{text}");
    assert!(line("behind").contains("billing 0"), "{text}");
    let feed_line = line("feed ");
    assert!(feed_line.contains(" up ") && feed_line.split_whitespace().nth(6) == Some("1"), "one is held: {feed_line}");
    assert!(line("xn ").contains("down"));
    drop(daemon);
    let output = wardctl(&["top", "--http", &http, "--looks", "1"]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("is it running"));
}
