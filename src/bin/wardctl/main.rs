//! `wardctl`: the operator's command.

mod audit;
mod backup;
mod bench;
mod client;
mod decode;
mod explain;
mod init;
mod journal;
mod login;
mod out;
mod profile;
mod quarantine;
mod sim;
mod top;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Looks into wardd's data, codes and profiles.
#[derive(Parser)]
#[command(name = "wardctl", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows the structure of a message or code; exit 0 valid, 1 invalid, 2 usage.
    Decode(decode::Arguments),
    /// Checks, lists, explains and begins device profiles.
    #[command(subcommand)]
    Profile(profile::Command),
    /// Verifies and shows the journal; wardd need not run.
    #[command(subcommand)]
    Journal(journal::Command),
    /// Copies the journal, while wardd runs; a later one into the same folder copies only what is new.
    Backup(backup::Arguments),
    /// Makes the journal of an empty data directory from a copy.
    Restore(backup::Arguments),
    /// Replaces damaged segments by those of a copy. wardd must not run.
    Heal(backup::Arguments),
    /// Creates and rotates key rings.
    #[command(subcommand)]
    Keyring(Keyring),
    /// Says what a code such as WD-0106 means and what to do; without one, lists all.
    Explain {
        /// The code.
        code: Option<String>,
    },
    /// Writes the completions of wardctl for a shell.
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        shell: clap_complete::Shell,
    },
    /// Writes the manual pages of wardctl and its commands into a folder.
    Manual {
        /// The folder.
        folder: PathBuf,
    },
    /// Makes what a new house needs before wardd starts: data directory, key ring, and the secret for the first user.
    Init(init::Arguments),
    /// Makes the first user with the secret that `wardctl init` printed.
    FirstUser(login::FirstUser),
    /// Signs in; the token is kept for the commands after it.
    Login(login::Login),
    /// Signs out.
    Logout(login::Plain),
    /// Shows who is signed in, and what they may.
    Whoami(login::Plain),
    /// Sets one's own password.
    Password(login::Plain),
    /// Enrols one's own second factor.
    SecondFactor(login::Plain),
    /// Users: who they are, their roles, badges and tokens.
    User(user::Arguments),
    /// Who saw and did what.
    Audit(audit::Arguments),
    /// What was opened in emergencies.
    Emergency(audit::Emergency),
    /// What waits for a person.
    Quarantine(quarantine::Arguments),
    /// Shows a running wardd in the terminal: devices, queues, journal, latencies.
    Top(top::Arguments),
    /// Measures a running wardd.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Fills a hospital of its own and measures it.
    #[command(subcommand)]
    Sim(sim::Command),
}

#[derive(Subcommand)]
enum Keyring {
    /// Creates a key ring with one key; refuses to overwrite.
    New {
        /// The file.
        file: PathBuf,
    },
    /// Adds a key and makes it current; restart wardd to use it.
    Rotate {
        /// The file.
        file: PathBuf,
    },
}

fn run(command: Command) -> Result<ExitCode, String> {
    match command {
        Command::Decode(arguments) => decode::run(&arguments),
        Command::Profile(command) => profile::run(command),
        Command::Journal(command) => journal::run(command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "wardctl", &mut script);
            out::line(String::from_utf8_lossy(&script).trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Manual { folder } => {
            let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
            std::fs::create_dir_all(&folder).map_err(failed)?;
            clap_mangen::generate_to(Arguments::command(), &folder).map_err(failed)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Explain { code } => explain::run(code.as_deref()),
        Command::Backup(arguments) => backup::backup(&arguments),
        Command::Restore(arguments) => backup::restore(&arguments),
        Command::Heal(arguments) => backup::heal(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::FirstUser(arguments) => login::first_user(&arguments),
        Command::Login(arguments) => login::login(&arguments),
        Command::Logout(arguments) => login::logout(&arguments),
        Command::Whoami(arguments) => login::whoami(&arguments),
        Command::Password(arguments) => login::password(&arguments),
        Command::SecondFactor(arguments) => login::second_factor(&arguments),
        Command::User(arguments) => user::run(&arguments),
        Command::Audit(arguments) => audit::report(&arguments),
        Command::Emergency(arguments) => audit::emergency(&arguments),
        Command::Quarantine(arguments) => quarantine::run(arguments),
        Command::Top(arguments) => top::run(&arguments),
        Command::Bench(command) => bench::run(command),
        Command::Sim(command) => sim::run(command),
        Command::Keyring(Keyring::New { file }) => {
            wardd::journal::KeyRing::create(&file).map_err(|error| error.to_string())?;
            out::line(&format!("{}: created; keep a copy where the data is not", file.display()));
            Ok(ExitCode::SUCCESS)
        }
        Command::Keyring(Keyring::Rotate { file }) => {
            let key = wardd::journal::KeyRing::rotate(&file).map_err(|error| error.to_string())?;
            out::line(&format!("{}: key {key} is current from the next start on", file.display()));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("wardctl: {message}");
            ExitCode::from(2)
        }
    }
}
