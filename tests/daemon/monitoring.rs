//! What ops are given: alert rules with their own tests, a dashboard, and metrics in the form that Prometheus reads.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::harness::*;

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("monitoring").join(name)).unwrap()
}

/// Names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.match_indices("wardd_").map(|(at, _)| text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>());
    words.map(|name| ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(&name).to_owned()).collect()
}

#[test]
fn rules_and_dashboard_name_only_metrics_that_there_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/telemetry");
    let sources: String = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    let known = names(&sources);
    for name in ["wardd.rules.yml", "grafana-dashboard.json"] {
        let unknown: Vec<String> = names(&file(name)).into_iter().filter(|metric| !known.contains(metric)).collect();
        assert!(unknown.is_empty(), "{name} names {unknown:?}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(&file("grafana-dashboard.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 20);
}

#[test]
fn promtool_accepts_the_rules_their_tests_and_the_metrics() {
    let Some(promtool) = has("promtool") else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("monitoring");
    for arguments in [["check", "rules", "wardd.rules.yml"], ["test", "rules", "wardd.rules.test.yml"]] {
        let output = Command::new(&promtool).args(arguments).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    let site = Site::new();
    let daemon = site.start();
    let (_, _, first) = daemon.raw("GET", "/metrics", None, "");
    for counter in ["wardd_journal_failures_total 0", "wardd_billing_charges_total 0", "wardd_consumer_failures_total{consumer=\"billing\"} 0"] {
        assert!(first.contains(counter), "{counter} stands there before anything happens, so that its first happening is an increase");
    }
    let accession = daemon.order(&["718-7"], true);
    let mut feed = daemon.connect("feed");
    assert!(mllp(&mut feed, &oru("M1", &accession, "13.2")).unwrap().contains("MSA|AA|M1"));
    let (_, _, metrics) = daemon.raw("GET", "/metrics", None, "");
    let mut check = Command::new(&promtool).args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    check.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}
