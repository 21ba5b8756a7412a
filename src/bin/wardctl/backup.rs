//! `wardctl backup`, `restore` and `heal`: copies of the journal.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use wardd::journal::KeyRing;
use wardd::journal::backup::{self, Copied};

use crate::out;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The data directory.
    #[arg(long, default_value = "data")]
    data: PathBuf,
    /// The key ring: with it every seal of the copy is opened too. It is not copied: keep it elsewhere.
    #[arg(long)]
    keyring: Option<PathBuf>,
    /// The folder of the copy.
    copy: PathBuf,
}

impl Arguments {
    fn keys(&self) -> Result<Option<KeyRing>, String> {
        self.keyring.as_deref().map(|path| KeyRing::load(path).map_err(|error| error.to_string())).transpose()
    }

    fn journal(&self) -> PathBuf {
        self.data.join("journal")
    }
}

fn said(what: &str, copy: &Path, copied: &Copied, began: Instant) -> ExitCode {
    let Copied { events, head, segments, bytes } = copied;
    out::line(&format!(
        "{what} {}: events up to {events} in {segments} segments, {bytes} bytes copied in {:.1} s, verified, head {head}",
        copy.display(),
        began.elapsed().as_secs_f64()
    ));
    ExitCode::SUCCESS
}

pub(crate) fn backup(arguments: &Arguments) -> Result<ExitCode, String> {
    let began = Instant::now();
    let copied = backup::backup(&arguments.journal(), &arguments.copy, arguments.keys()?.as_ref()).map_err(|error| error.to_string())?;
    Ok(said("backed up to", &arguments.copy, &copied, began))
}

pub(crate) fn restore(arguments: &Arguments) -> Result<ExitCode, String> {
    let began = Instant::now();
    std::fs::create_dir_all(&arguments.data).map_err(|error| format!("{}: {error}", arguments.data.display()))?;
    let copied = backup::restore(&arguments.copy, &arguments.journal(), arguments.keys()?.as_ref()).map_err(|error| error.to_string())?;
    // Views of another state of the log would be thrown away anyhow.
    let views = arguments.data.join("views");
    if views.exists() {
        std::fs::remove_dir_all(&views).map_err(|error| format!("{}: {error}", views.display()))?;
    }
    Ok(said("restored from", &arguments.copy, &copied, began))
}

pub(crate) fn heal(arguments: &Arguments) -> Result<ExitCode, String> {
    let healed = backup::heal(&arguments.journal(), &arguments.copy, arguments.keys()?.as_ref()).map_err(|error| error.to_string())?;
    for segment in &healed.segments {
        out::line(&format!("{}: taken from the copy; the damaged one lies beside it", segment.display()));
    }
    out::line(&format!("whole: events up to {}, head {}", healed.report.events, healed.report.head));
    Ok(ExitCode::SUCCESS)
}
