//! `wardctl user`: the users of a running wardd.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::client::Server;
use crate::{login, out};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists all users with their roles.
    List,
    /// Adds a person, with a password that they must change when they sign in.
    Add {
        /// The name to sign in with.
        user: String,
        /// As others call them.
        #[arg(long)]
        name: String,
    },
    /// Adds a program and prints its token, which is shown once.
    AddProgram {
        /// Its name.
        user: String,
        /// What it is for.
        #[arg(long)]
        name: String,
        /// A role of roles.toml.
        #[arg(long)]
        role: String,
        /// house, facility:CODE or ward:CODE.
        #[arg(long, default_value = "house")]
        scope: String,
        /// Scopes of SMART between blanks, such as "system/Observation.read": the token is good for FHIR alone then.
        #[arg(long)]
        fhir: Option<String>,
    },
    /// Gives a role.
    Grant {
        /// Whom.
        user: String,
        /// A role of roles.toml.
        role: String,
        /// house, facility:CODE or ward:CODE.
        scope: String,
    },
    /// Takes a role away.
    Revoke {
        /// Whom.
        user: String,
        /// The role.
        role: String,
        /// As it was given.
        scope: String,
    },
    /// Gives a badge (scan it or type what it says) and a PIN.
    Badge {
        /// Whose.
        user: String,
    },
    /// Changes what others call them.
    Rename {
        /// Whom.
        user: String,
        /// As others call them.
        name: String,
    },
    /// Sets a password that they must change when they sign in.
    Password {
        /// Whose.
        user: String,
    },
    /// Takes the second factor away, when it is lost.
    TakeSecondFactor {
        /// Whose.
        user: String,
    },
    /// Lets somebody try again at once after wrong tries.
    Unlock {
        /// Whom.
        user: String,
    },
    /// Ends all sessions of somebody and lets them sign in no more.
    Disable {
        /// Whom.
        user: String,
        /// Why.
        #[arg(long)]
        because: String,
    },
    /// Lets them sign in again.
    Enable {
        /// Whom.
        user: String,
    },
    /// Gives a program another token, as when the first is lost, and prints it; the others go on until they are taken back.
    Token {
        /// Which program.
        user: String,
        /// Scopes of SMART between blanks: the token is good for FHIR alone then.
        #[arg(long)]
        fhir: Option<String>,
    },
    /// Takes a program's token back.
    RevokeToken {
        /// Which program.
        user: String,
        /// The token, or its id, which stands between `wt_` and the next `_`.
        token: String,
    },
}

fn list(users: &Value) {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    for user in users.as_array().into_iter().flatten() {
        let roles: Vec<&str> = user.get("roles").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let has = |key: &str, word: &'static str| user.get(key).and_then(Value::as_bool).unwrap_or(false).then_some(word);
        let ways: Vec<&str> = [has("has_password", "password"), has("has_second_factor", "second factor"), has("has_badge", "badge")].into_iter().flatten().collect();
        let disabled = user.get("disabled").and_then(Value::as_str).map(|why| format!("  DISABLED: {why}")).unwrap_or_default();
        out::line(&format!("{:20} {:24} {:8} {:32} {}{disabled}", text(user, "user"), text(user, "name"), text(user, "kind"), roles.join(", "), ways.join(", ")));
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let server = &arguments.server;
    let act = |user: &str, action: &str, body: Value| server.done("POST", &format!("/api/v1/users/{user}/{action}"), Some(&body));
    match &arguments.command {
        Command::List => list(&server.done("GET", "/api/v1/users", None)?),
        Command::Add { user, name } => {
            let password = login::new_secret("Password, which they must change")?;
            server.done("POST", "/api/v1/users", Some(&json!({ "user": user, "name": name })))?;
            let left = format!("{user} is added and has no password yet: `wardctl user password {user}` sets one");
            act(user, "set-password", json!({ "password": password })).map_err(|why| format!("{why}\n{left}"))?;
            out::line(&format!("{user} is added and has no role yet: `wardctl user grant {user} ROLE SCOPE`"));
        }
        Command::AddProgram { user, name, role, scope, fhir } => {
            server.done("POST", "/api/v1/users", Some(&json!({ "user": user, "name": name, "kind": "program" })))?;
            let left = format!("{user} is added and has no role yet: `wardctl user grant {user} ROLE SCOPE`, then `wardctl user token {user}`");
            act(user, "grant", json!({ "role": role, "scope": scope })).map_err(|why| format!("{why}\n{left}"))?;
            let issued = act(user, "issue-token", json!({ "scope_of_fhir": fhir }))?;
            out::line(issued.get("token").and_then(Value::as_str).unwrap_or_default());
        }
        Command::Rename { user, name } => drop(act(user, "rename", json!({ "name": name }))?),
        Command::Grant { user, role, scope } => drop(act(user, "grant", json!({ "role": role, "scope": scope }))?),
        Command::Revoke { user, role, scope } => drop(act(user, "revoke", json!({ "role": role, "scope": scope }))?),
        Command::Badge { user } => {
            let badge = login::secret("Scan the badge")?;
            let pin = login::new_secret("PIN")?;
            // The PIN first: a badge without one opens nothing, and a PIN that is refused leaves nothing behind.
            act(user, "set-pin", json!({ "pin": pin }))?;
            act(user, "set-badge", json!({ "badge": badge }))?;
        }
        Command::Password { user } => drop(act(user, "set-password", json!({ "password": login::new_secret("Password, which they must change")? }))?),
        Command::TakeSecondFactor { user } => drop(act(user, "take-second-factor", json!({}))?),
        Command::Unlock { user } => drop(act(user, "unlock", json!({}))?),
        Command::Disable { user, because } => drop(act(user, "disable", json!({ "reason": because }))?),
        Command::Enable { user } => drop(act(user, "enable", json!({}))?),
        Command::Token { user, fhir } => {
            let issued = act(user, "issue-token", json!({ "scope_of_fhir": fhir }))?;
            out::line(issued.get("token").and_then(Value::as_str).unwrap_or_default());
        }
        Command::RevokeToken { user, token } => {
            // The whole token does as well as its id.
            let id = token.strip_prefix("wt_").map_or(token.as_str(), |rest| rest.split('_').next().unwrap_or(rest));
            drop(act(user, "revoke-token", json!({ "token": id }))?);
        }
    }
    Ok(ExitCode::SUCCESS)
}
