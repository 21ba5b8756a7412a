//! `wardctl audit` and `wardctl emergency`: who saw and did what, and what was opened in emergencies.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::client::Server;
use crate::out;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    command: Report,
}

#[derive(Subcommand)]
enum Report {
    /// What was seen and done, the newest first: of a patient under all their numbers, or by a user.
    Report {
        /// Of which patient: a medical record number.
        #[arg(long, conflicts_with = "user", required_unless_present = "user")]
        patient: Option<String>,
        /// By which user.
        #[arg(long)]
        user: Option<String>,
        /// From an instant on, such as 2026-11-21T00:00:00Z.
        #[arg(long, default_value = "")]
        from: String,
        /// Before an instant.
        #[arg(long, default_value = "")]
        until: String,
        /// A line of JSON for each, with all that the event says.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub(crate) struct Emergency {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    command: Emergencies,
}

#[derive(Subcommand)]
enum Emergencies {
    /// What was opened and nobody has looked at yet.
    List,
    /// Says what one thinks of it.
    Review {
        /// Who opened it.
        user: String,
        /// The emergency's id.
        emergency: String,
        /// It was not right to open the record.
        #[arg(long)]
        unjustified: bool,
        /// What there is to say.
        #[arg(long, default_value = "")]
        comment: String,
    },
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn show(entry: &Value) {
    // What was shown is a kind of record; what was done is a stream.
    let of = match text(entry, "/detail/record") {
        "" => text(entry, "/of").to_owned(),
        record => [record, text(entry, "/detail/number")].join(" "),
    };
    let why = [text(entry, "/detail/reason"), text(entry, "/detail/ground").trim_start_matches("role")].join(" ");
    out::line(&format!("{}  {:24} {:12} {:20} {:30} {}", text(entry, "/at"), text(entry, "/who"), text(entry, "/where"), text(entry, "/what"), of.trim(), why.trim()));
}

pub(crate) fn report(arguments: &Arguments) -> Result<ExitCode, String> {
    let Report::Report { patient, user, from, until, json: is_json } = &arguments.command;
    let of = match (patient, user) {
        (Some(patient), _) => format!("patient={}", encoded(patient)),
        (None, user) => format!("user={}", encoded(user.as_deref().unwrap_or_default())),
    };
    let mut before = String::new();
    loop {
        let answer = arguments.server.done("GET", &format!("/api/v1/audit?{of}&from={}&until={}{before}", encoded(from), encoded(until)), None)?;
        let entries = answer.get("entries").and_then(Value::as_array);
        match is_json {
            true => entries.into_iter().flatten().for_each(|entry| out::line(&entry.to_string())),
            false => entries.into_iter().flatten().for_each(show),
        }
        match answer.get("next").and_then(Value::as_u64) {
            Some(next) => before = format!("&before={next}"),
            None => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// A value as it stands in a query (RFC 3986, 2.1).
fn encoded(value: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

pub(crate) fn emergency(arguments: &Emergency) -> Result<ExitCode, String> {
    match &arguments.command {
        Emergencies::List => {
            let answer = arguments.server.done("GET", "/api/v1/emergencies", None)?;
            for waiting in answer.as_array().into_iter().flatten() {
                let (at, user, id) = (text(waiting, "/emergency/opened"), text(waiting, "/user"), text(waiting, "/id"));
                out::line(&format!("{at}  {user:20} {id}  {:12} {}", text(waiting, "/emergency/patient"), text(waiting, "/emergency/reason")));
            }
        }
        Emergencies::Review { user, emergency, unjustified, comment } => {
            let body = json!({ "is_justified": !unjustified, "comment": comment });
            arguments.server.done("POST", &format!("/api/v1/emergencies/{user}/{emergency}"), Some(&body))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
