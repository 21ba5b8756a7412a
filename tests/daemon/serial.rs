//! A serial line on a pty pair: unplugged, plugged in again, quiet meanwhile.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::harness::*;

/// socat holds a pty that looks like a device file; killing it is pulling the plug.
struct Plug {
    socat: Child,
}

impl Plug {
    fn insert(link: &Path) -> Option<Self> {
        let program = has("socat")?;
        let _ = std::fs::remove_file(link);
        let socat = Command::new(program)
            .arg(format!("PTY,link={},raw,echo=0", link.display()))
            .arg("STDIO")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while !link.exists() {
            assert!(Instant::now() < deadline, "socat made no pty");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self { socat })
    }

    fn scan(&mut self, code: &str) {
        write!(self.socat.stdin.as_mut().unwrap(), "{code}\r").unwrap();
    }
}

impl Drop for Plug {
    fn drop(&mut self) {
        let _ = self.socat.kill();
        let _ = self.socat.wait();
    }
}

/// Ticks of processor time that a process has used.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_scanner_that_is_unplugged_and_plugged_in_again_loses_nothing_and_costs_nothing() {
    let extra =
        "[[devices]]\nid = \"serial-scanner\"\nprofile = \"datalogic/gryphon-gd4100\"\nversion = 1\npurpose = \"collect\"\nlink = { kind = \"serial\", path = \"{folder}/tty\" }\n";
    let site = Site::with("", extra);
    let link = site.folder.join("tty");
    let daemon = site.start();
    for _ in 0..3 {
        let accession = daemon.order(&["718-7"], false);
        let Some(mut plug) = Plug::insert(&link) else {
            println!("skipped: no socat (tests/run installs it)");
            return;
        };
        let is_up = |daemon: &Daemon| daemon.get("/api/v1/devices").as_array().unwrap().iter().any(|device| device["device"] == "serial-scanner" && device["connections"] == 1);
        let plugged = Instant::now();
        daemon.until("connected", is_up);
        assert!(plugged.elapsed() < Duration::from_secs(2), "{:?}", plugged.elapsed());
        plug.scan(&format!("]C0{accession}"));
        daemon.until("collected", |daemon| daemon.get(&format!("/api/v1/specimens/{accession}"))["stage"] == "collected");
        drop(plug);
        daemon.until("gone", |daemon| !is_up(daemon));
    }
    let before = ticks(daemon.pid());
    std::thread::sleep(Duration::from_secs(3));
    // 300 ticks are three seconds of one core; a share of one in a hundred is three.
    let used = ticks(daemon.pid()) - before;
    assert!(used <= 6, "{used} of 300 ticks while unplugged");
}
