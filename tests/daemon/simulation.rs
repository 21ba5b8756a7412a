//! The third layer of the simulation: this very binary on a disk that fails, and on one that lies.

use std::process::{Command, Output, Stdio};

use super::harness::has;

/// Seeds of one run; more by WARDD_REAL_SEEDS.
fn seeds() -> u64 {
    std::env::var("WARDD_REAL_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

/// Runs some seeds side by side: most of their time is waiting.
fn run(seeds: std::ops::Range<u64>, more: &[&str]) -> Vec<Output> {
    let start = |seed: u64| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wardd"));
        command.args(["sim", "--real", "--seed", &seed.to_string()]).args(more).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let started: Vec<_> = seeds.map(start).collect();
    started.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

#[test]
fn on_a_disk_that_fails_promises_are_kept() {
    if has("mosquitto").is_none() {
        println!("without its broker: no mosquitto (tests/run installs it)");
    }
    for first in (0..seeds()).step_by(3) {
        for output in run(first..(first + 3).min(seeds()), &[]) {
            assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn a_disk_that_lies_is_found_out() {
    // The power is lost in the plans of these seeds. Either a promise is found broken, or the log is so damaged that nothing reads it.
    let outputs = run(1..4, &["--lying-disk"]);
    let is_found = |output: &&std::process::Output| {
        let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        !output.status.success() && (said.contains("BROKEN") || error.contains("WD-0106"))
    };
    let found = outputs.iter().filter(is_found).count();
    assert!(found > 0, "{}", outputs.iter().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).collect::<String>());
}
