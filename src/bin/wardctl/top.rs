//! `wardctl top`: a running wardd in the terminal: devices, queues, the journal and what waits for a person.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use crate::client::Server;
use crate::out;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: Server,
    /// Seconds between two looks.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    every: u64,
    /// Looks this many times and ends; until Ctrl-C when not given.
    #[arg(long)]
    looks: Option<u64>,
}

/// The figures of `/metrics`: each line's name with its labels, and its value.
#[derive(Default)]
struct Figures(BTreeMap<String, f64>);

impl Figures {
    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(|line| line.rsplit_once(' ')).filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// The sum over all labels of a name.
    fn sum(&self, name: &str) -> f64 {
        // A sum of nothing is minus zero.
        self.labelled(name).map(|(_, value)| value).sum::<f64>() + 0.0
    }

    /// Labels and values of a name.
    fn labelled<'f>(&'f self, name: &'f str) -> impl Iterator<Item = (&'f str, f64)> + 'f {
        self.0.iter().filter_map(move |(found, value)| {
            let labels = found.strip_prefix(name)?;
            (labels.is_empty() || labels.starts_with('{')).then_some((labels, *value))
        })
    }

    /// The value below which this share of a histogram's observations since `before` lie, in milliseconds; none without any.
    fn quantile_ms(&self, before: &Figures, name: &str, share: f64) -> Option<f64> {
        let prefix = format!("{name}_bucket{{");
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (found, value) in self.0.iter().filter(|(found, _)| found.starts_with(&prefix)) {
            let bound = found.split("le=\"").nth(1)?.split('"').next()?.parse().unwrap_or(f64::INFINITY);
            buckets.push((bound, value - before.get(found)));
        }
        buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
        let all = buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
        buckets.iter().find(|(_, count)| *count >= all * share).map(|(bound, _)| bound * 1_000.0)
    }
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// `12 s`, `3 min`, `5 h`: how long something is ago.
fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

fn rate(now: f64, before: f64, seconds: f64) -> f64 {
    ((now - before) / seconds).max(0.0)
}

/// One page.
fn page(devices: &[Value], now: &Figures, before: &Figures, seconds: f64) -> String {
    let mut page = String::new();
    let per_second = |name: &str| rate(now.sum(name), before.sum(name), seconds);
    let commit = now.quantile_ms(before, "wardd_journal_commit_seconds", 0.99).map_or("-".to_owned(), |ms| format!("< {ms} ms"));
    let mirror = match now.0.get("wardd_journal_mirror_ok") {
        None => "none",
        Some(value) if *value > 0.0 => "written",
        Some(_) => "FAILED",
    };
    let _ = writeln!(
        page,
        "journal    event {:.0}, {:.0} records/s, {:.0} syncs/s, commit p99 {commit}, mirror {mirror}",
        now.get("wardd_journal_head_sequence"),
        per_second("wardd_journal_records_total"),
        per_second("wardd_journal_syncs_total")
    );
    let lags: Vec<String> = now.labelled("wardd_consumer_lag_events").map(|(labels, lag)| format!("{} {lag:.0}", labels.split('"').nth(1).unwrap_or_default())).collect();
    let _ = writeln!(page, "behind     {}", if lags.is_empty() { "-".to_owned() } else { lags.join(", ") });
    let _ = writeln!(
        page,
        "queues     {:.0} refused since too much waited, {:.0} actors started again, {:.0} charges",
        now.sum("wardd_actor_port_full_total"),
        now.sum("wardd_actor_restarts_total"),
        now.get("wardd_billing_charges_total")
    );
    let oldest = now.get("wardd_quarantine_oldest_age_seconds").max(0.0) as u64;
    let _ = writeln!(page, "quarantine {:.0} items, the oldest {}", now.get("wardd_quarantine_open_items"), ago(oldest));
    let _ = writeln!(page, "\n{:20} {:7} {:>8} {:>9} {:>9} {:>7} {:>7} {:>6} {:>8}", "device", "state", "last", "msgs/s", "answer99", "held", "failed", "bad", "noise");
    for device in devices {
        let name = device.get("device").and_then(Value::as_str).unwrap_or_default();
        let is = |flag: &str| device.get(flag).and_then(Value::as_bool).unwrap_or(false);
        let state = match number(device, "connections") {
            _ if is("is_line_bad") => "NOISY",
            0 => "down",
            _ if is("is_silent") => "silent",
            _ => "up",
        };
        let of_device = format!("device=\"{name}\"");
        let messages = |figures: &Figures| figures.labelled("wardd_gateway_messages_total").filter(|(labels, _)| labels.contains(&of_device)).map(|(_, value)| value).sum::<f64>();
        let seen = now.get(&format!("wardd_gateway_last_message_timestamp_seconds{{{of_device}}}"));
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let last = if seen > 0.0 { ago((clock - seen).max(0.0) as u64) } else { "-".to_owned() };
        let own = |figures: &Figures| Figures(figures.0.iter().filter(|(found, _)| found.contains(&of_device)).map(|(found, value)| (found.clone(), *value)).collect());
        let answer = own(now).quantile_ms(&own(before), "wardd_gateway_answer_seconds", 0.99).map_or("-".to_owned(), |ms| format!("<{ms} ms"));
        let _ = writeln!(
            page,
            "{name:20} {state:7} {last:>8} {:>9.1} {answer:>9} {:>7} {:>7} {:>6} {:>8}",
            rate(messages(now), messages(before), seconds),
            number(device, "held"),
            number(device, "failed"),
            number(device, "bad_frames"),
            number(device, "noise")
        );
    }
    page
}

fn look(server: &Server) -> Result<(Vec<Value>, Figures), String> {
    let (status, devices) = server.ask("GET", "/api/v1/devices", None)?;
    if status != 200 {
        return Err(devices.get("detail").and_then(Value::as_str).unwrap_or("wardd refused").to_owned());
    }
    let devices = devices.as_array().cloned().unwrap_or_default();
    let metrics = server.done("GET", "/metrics", None)?;
    Ok((devices, Figures::parse(metrics.as_str().unwrap_or_default())))
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let (_, mut before) = look(&arguments.server)?;
    let mut began = Instant::now();
    let mut looks = 0;
    while arguments.looks.is_none_or(|most| looks < most) {
        std::thread::sleep(Duration::from_secs(arguments.every));
        let (devices, now) = look(&arguments.server)?;
        let page = page(&devices, &now, &before, began.elapsed().as_secs_f64());
        // A terminal is cleared; a file gets page after page.
        let clear = if std::io::IsTerminal::is_terminal(&std::io::stdout()) { "\x1b[2J\x1b[H" } else { "" };
        out::line(&format!("{clear}{page}"));
        (before, began) = (now, Instant::now());
        looks += 1;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# HELP x\nwardd_a_total{device=\"xn\"} 5\nh_bucket{le=\"0.001\"} 10\nh_bucket{le=\"0.01\"} 10\nh_bucket{le=\"+Inf\"} 10\n";
    const NOW: &str =
        "wardd_a_total{device=\"xn\"} 9\nwardd_a_total{device=\"e411\"} 1\nwardd_abc 7\nh_bucket{le=\"0.001\"} 60\nh_bucket{le=\"0.01\"} 110\nh_bucket{le=\"+Inf\"} 110\n";

    #[test]
    fn figures_are_summed_over_labels_and_quantiles_are_of_the_time_between() {
        let (before, now) = (Figures::parse(BEFORE), Figures::parse(NOW));
        assert_eq!((now.sum("wardd_a_total"), now.get("wardd_abc"), now.get("unknown")), (10.0, 7.0, 0.0));
        assert_eq!((now.quantile_ms(&before, "h", 0.5), now.quantile_ms(&before, "h", 0.99)), (Some(1.0), Some(10.0)));
        assert_eq!(now.quantile_ms(&Figures::parse(NOW), "h", 0.5), None, "nothing since");
        assert_eq!((ago(119), ago(7_199), ago(7_200)), ("119 s".to_owned(), "119 min".to_owned(), "2 h".to_owned()));
    }
}
