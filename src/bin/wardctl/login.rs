//! Signing in and out at the terminal, the first user, and what somebody changes of themselves.

use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::client::{Server, kept_token};
use crate::out;

#[derive(Args)]
pub(crate) struct Plain {
    #[command(flatten)]
    server: Server,
}

#[derive(Args)]
pub(crate) struct Login {
    #[command(flatten)]
    server: Server,
    /// The name to sign in with.
    user: String,
}

#[derive(Args)]
pub(crate) struct FirstUser {
    #[command(flatten)]
    server: Server,
    /// The name to sign in with: lower-case letters, digits and -_.
    user: String,
    /// As others call them; without it the name to sign in with.
    #[arg(long)]
    name: Option<String>,
}

/// A line that is typed without being shown, or the next line of what is piped in.
pub(crate) fn secret(what: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{what}: {error}");
    let typed = if std::io::stdin().is_terminal() { rpassword::prompt_password(format!("{what}: ")).map_err(failed)? } else { next_line().map_err(failed)? };
    if typed.is_empty() { Err(format!("{what}: nothing was typed")) } else { Ok(typed) }
}

/// A new secret, typed twice at a terminal.
pub(crate) fn new_secret(what: &str) -> Result<String, String> {
    let first = secret(what)?;
    if std::io::stdin().is_terminal() && secret(&format!("{what} once more"))? != first {
        return Err(format!("{what}: the two are not the same; nothing was changed"));
    }
    Ok(first)
}

fn visible(what: &str) -> Result<String, String> {
    if std::io::stdin().is_terminal() {
        print!("{what}: ");
        std::io::stdout().flush().map_err(|error| error.to_string())?;
    }
    next_line().map_err(|error| format!("{what}: {error}"))
}

fn next_line() -> std::io::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn place() -> Result<PathBuf, String> {
    kept_token().ok_or_else(|| "there is no HOME to keep the token in: set XDG_CONFIG_HOME".to_owned())
}

fn keep(token: &str) -> Result<(), String> {
    let path = place()?;
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    forget()?;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
    file.write_all(token.as_bytes()).map_err(failed)
}

fn forget() -> Result<(), String> {
    let path = place()?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("{}: {error}", path.display())),
        _ => Ok(()),
    }
}

pub(crate) fn first_user(arguments: &FirstUser) -> Result<ExitCode, String> {
    let secret_of_init = secret("Secret that `wardctl init` printed")?;
    let password = new_secret("Password for the first user")?;
    let name = arguments.name.as_deref().unwrap_or(&arguments.user);
    let body = json!({ "secret": secret_of_init, "user": arguments.user, "name": name, "password": password });
    arguments.server.done("POST", "/api/v1/first-run", Some(&body))?;
    out::line(&format!("{} may manage users now: `wardctl login {}`", arguments.user, arguments.user));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn login(arguments: &Login) -> Result<ExitCode, String> {
    let password = secret("Password")?;
    let mut body = json!({ "user": arguments.user, "password": password });
    let (mut status, mut answer) = arguments.server.ask("POST", "/api/v1/session", Some(&body))?;
    if status == 401 && text(&answer, "type").ends_with(":code_needed") {
        body["code"] = visible("Code of the second factor")?.into();
        (status, answer) = arguments.server.ask("POST", "/api/v1/session", Some(&body))?;
    }
    if status >= 400 {
        return Err(text(&answer, "detail").to_owned());
    }
    keep(text(&answer, "token"))?;
    out::line(&format!("{} is signed in", text(&answer, "name")));
    match text(&answer, "duty") {
        "" => {}
        duty => out::line(duty),
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn logout(arguments: &Plain) -> Result<ExitCode, String> {
    arguments.server.done("DELETE", "/api/v1/session", None)?;
    forget()?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn whoami(arguments: &Plain) -> Result<ExitCode, String> {
    out::json(&arguments.server.done("GET", "/api/v1/session", None)?);
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn password(arguments: &Plain) -> Result<ExitCode, String> {
    let body = json!({ "current_password": secret("Password of now")?, "password": new_secret("New password")? });
    arguments.server.done("POST", "/api/v1/me/password", Some(&body))?;
    out::line("the password is changed; all other sessions of yours have ended");
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn second_factor(arguments: &Plain) -> Result<ExitCode, String> {
    let current = secret("Password of now")?;
    let path = "/api/v1/me/second-factor";
    let new = arguments.server.done("POST", path, Some(&json!({ "current_password": current })))?;
    out::line(&format!("Put this key into an authenticator (6 digits, 30 s):\n\n    {}\n    {}\n", text(&new, "key"), text(&new, "link")));
    let code = visible("Code that it shows now")?;
    arguments.server.done("POST", path, Some(&json!({ "current_password": current, "key": text(&new, "key"), "code": code })))?;
    out::line("the second factor is enrolled: sign in again with `wardctl login`");
    Ok(ExitCode::SUCCESS)
}
