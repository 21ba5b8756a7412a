//! `wardctl profile`: checks a profile and its transcripts with the code that runs them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use wardd::app::profiles;
use wardd::gateway::transcript;
use wardd::profile::{Codec, Framing, Profile};

use crate::out;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Checks profiles, their lint and their transcripts: a file, or a folder of makers.
    Check {
        /// A profile, or the folder of all.
        #[arg(default_value = "device-profiles")]
        path: PathBuf,
    },
    /// Lists the profiles of a folder.
    List {
        /// The folder of all.
        #[arg(default_value = "device-profiles")]
        folder: PathBuf,
    },
    /// Says in sentences what a profile says in data.
    Explain {
        /// The profile.
        path: PathBuf,
    },
    /// Writes the beginning of a profile, with every field that is needed.
    New {
        /// `maker/model`.
        id: String,
        /// The folder of all.
        #[arg(long, default_value = "device-profiles")]
        folder: PathBuf,
        /// `astm`, `hl7` or `scanner`.
        #[arg(long, default_value = "astm")]
        kind: String,
    },
}

fn load(path: &Path) -> Result<Profile, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let profile = profiles::check(path, &text).map_err(|error| error.to_string())?;
    let expected = profiles::id_of(path);
    if profile.id != expected { Err(format!("{}: id is {:?}, its path says {expected:?}", path.display(), profile.id)) } else { Ok(profile) }
}

/// The transcripts beside a profile.
fn transcripts(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(path.with_extension("vectors"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    found.sort();
    found
}

/// The faults of a profile and of its transcripts, and how many transcripts there are.
fn faults(path: &Path) -> (Vec<String>, usize) {
    let profile = match load(path) {
        Ok(profile) => profile,
        Err(error) => return (vec![error], 0),
    };
    let files = transcripts(path);
    let mut faults = Vec::new();
    if files.is_empty() {
        faults.push(format!("{}: there is no transcript beside it in {}", path.display(), path.with_extension("vectors").display()));
    }
    for file in &files {
        match std::fs::read_to_string(file) {
            Ok(text) => faults.extend(transcript::run(&profile, &text).iter().map(|mismatch| format!("{}: {mismatch}", file.display()))),
            Err(error) => faults.push(format!("{}: {error}", file.display())),
        }
    }
    (faults, files.len())
}

fn explain(profile: &Profile) -> Vec<String> {
    let mut lines = vec![format!("{} ({}), version {}", profile.name, profile.id, profile.version)];
    lines.push(format!("sources: {}", profile.cites.join("; ")));
    lines.push(match &profile.framing {
        Framing::Astm { checksum, frame_numbers, .. } => format!("speaks ASTM E1381: checksum rule {checksum}, frame numbers {frame_numbers}"),
        Framing::Mllp => "speaks MLLP".to_owned(),
        Framing::Line { ending, answers } => format!("sends lines ended by {ending}{}", if *answers { ", and waits for ACK or NAK" } else { "" }),
        Framing::Mqtt { events, commands } => format!("publishes to {events}{}", commands.as_ref().map(|topic| format!(", obeys {topic}")).unwrap_or_default()),
    });
    match &profile.codec {
        Codec::Lis2(lis2) => lines.push(format!(
            "the specimen is at {}, the code at {}, the value at {}{}",
            lis2.sample_id.join(" or "),
            lis2.code.join(" or "),
            lis2.value.join(" or "),
            if lis2.queries { "; it asks for orders" } else { "" }
        )),
        Codec::Hl7(hl7) => lines.push(format!("the specimen is at {}, the code in component {} of OBX-3", hl7.sample_id.join(" or "), hl7.code_component)),
        Codec::Scan | Codec::RfidJson | Codec::DrawerJson | Codec::VitalsJson | Codec::RelayWords => {}
    }
    for test in &profile.tests {
        let unit = test.unit.as_ref().map_or("no unit".to_owned(), ToString::to_string);
        lines.push(format!("  {} is LOINC {} in {unit}", test.code, test.loinc));
    }
    lines
}

fn template(id: &str, kind: &str) -> Result<String, String> {
    let (kind_word, framing, codec) = match kind {
        "astm" => (
            "analyzer",
            "framing = { kind = \"astm\", checksum = \"standard\", frame_numbers = \"standard\" }",
            "codec = { kind = \"lis2\", sample_id = [\"O.3.1\"], code = [\"R.3.4\"], value = [\"R.4.1\"] }",
        ),
        "hl7" => ("analyzer", "framing = { kind = \"mllp\" }", "codec = { kind = \"hl7\", sample_id = [\"OBR-3.1\"], code_component = 1 }"),
        "scanner" => ("scanner", "framing = { kind = \"line\", ending = \"cr-or-lf\", answers = false }", "codec = { kind = \"scan\" }"),
        other => return Err(format!("kind {other:?} is unknown (known: astm, hl7, scanner)")),
    };
    let tests = if kind_word == "analyzer" { "\n[[tests]]\ncode = \"WBC\"\nloinc = \"6690-2\"\nunit = \"10*3/uL\"\nspellings = []\n" } else { "" };
    Ok(format!("id = \"{id}\"\nversion = 1\nname = \"{id}\"\nkind = \"{kind_word}\"\ncites = [\"captured at site\"]\n{framing}\n{codec}\n{tests}"))
}

pub(crate) fn run(command: Command) -> Result<ExitCode, String> {
    match command {
        Command::Check { path } => {
            let files = if path.is_dir() { profiles::list(&path) } else { vec![path.clone()] };
            if files.is_empty() {
                return Err(format!("{}: there is no profile", path.display()));
            }
            let mut is_good = true;
            for file in files {
                let (faults, count) = faults(&file);
                is_good &= faults.is_empty();
                out::line(&format!("{} {} ({count} transcripts)", if faults.is_empty() { "ok  " } else { "FAIL" }, profiles::id_of(&file)));
                faults.iter().for_each(|fault| out::line(&format!("     {fault}")));
            }
            Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::List { folder } => {
            for file in profiles::list(&folder) {
                match load(&file) {
                    Ok(profile) => out::line(&format!("{:32} v{}  {}", profile.id, profile.version, profile.name)),
                    Err(error) => out::line(&format!("{:32} {error}", profiles::id_of(&file))),
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Explain { path } => {
            let path = if path.extension().is_some() { path } else { Path::new("device-profiles").join(path).with_extension("toml") };
            explain(&load(&path)?).iter().for_each(|line| out::line(line));
            Ok(ExitCode::SUCCESS)
        }
        Command::New { id, folder, kind } => {
            let path = folder.join(format!("{id}.toml"));
            if path.exists() {
                return Err(format!("{} exists already", path.display()));
            }
            let text = template(&id, &kind)?;
            profiles::check(&path, &text).map_err(|error| error.to_string())?;
            let failed = |error: std::io::Error| format!("{}: {error}", path.display());
            std::fs::create_dir_all(path.with_extension("vectors")).map_err(failed)?;
            std::fs::write(&path, text).map_err(failed)?;
            out::line(&format!(
                "{}: written; put a transcript into {} and run `wardctl profile check {}`",
                path.display(),
                path.with_extension("vectors").display(),
                path.display()
            ));
            Ok(ExitCode::SUCCESS)
        }
    }
}
