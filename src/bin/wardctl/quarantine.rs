//! `wardctl quarantine`: what waits for a person, of a running wardd.

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
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists what waits, 500 at a time.
    List {
        /// The item to begin with.
        #[arg(long, default_value = "")]
        from: String,
    },
    /// Shows an item with its raw message.
    Show {
        /// The item.
        item: String,
    },
    /// Handles an item's message again.
    Retry {
        /// The item.
        item: String,
    },
    /// Throws an item away.
    Discard {
        /// The item.
        item: String,
        /// Why.
        #[arg(long)]
        because: String,
    },
    /// Files an item's results to a specimen.
    Bind {
        /// The item.
        item: String,
        /// The specimen's accession number.
        accession: String,
    },
}

fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, String> {
    let server = arguments.server;
    let user = server.user();
    let (method, path, body) = match &arguments.command {
        Command::List { from } => ("GET", format!("/api/v1/quarantine?limit=500&from={from}"), None),
        Command::Show { item } => ("GET", format!("/api/v1/quarantine/{item}"), None),
        Command::Retry { item } => ("POST", format!("/api/v1/quarantine/{item}/retry"), Some(json!({ "user": user }))),
        Command::Discard { item, because } => ("POST", format!("/api/v1/quarantine/{item}/discard"), Some(json!({ "user": user, "because": because }))),
        Command::Bind { item, accession } => ("POST", format!("/api/v1/quarantine/{item}/bind"), Some(json!({ "user": user, "accession": accession }))),
    };
    let (status, answer) = server.ask(method, &path, body.as_ref())?;
    if status >= 400 {
        out::line(&text(&answer, "detail"));
        return Ok(ExitCode::FAILURE);
    }
    match (&arguments.command, &answer) {
        (Command::List { .. }, Value::Array(items)) => {
            for item in items {
                out::line(&format!(
                    "{:28} {:>8} s  {:18} {:16} {}",
                    text(item, "item"),
                    text(item, "age_seconds"),
                    item.pointer("/reason/reason").and_then(Value::as_str).unwrap_or_default(),
                    text(item, "device"),
                    text(item, "sentence")
                ));
            }
            let (_, summary) = server.ask("GET", "/api/v1/summary", None)?;
            let open = summary.get("quarantine_open").and_then(Value::as_u64).unwrap_or(items.len() as u64);
            out::line(&format!("{open} items wait for a person"));
            if let Some(last) = items.last().filter(|_| open > items.len() as u64) {
                out::line(&format!("{} of them are shown: go on with --from {}", items.len(), text(last, "item")));
            }
        }
        _ => out::json(&answer),
    }
    Ok(ExitCode::SUCCESS)
}
