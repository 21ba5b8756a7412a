//! `wardctl init`: what a new house needs before wardd starts for the first time.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use wardd::access::make_first_run;
use wardd::config::Config;
use wardd::journal::KeyRing;

use crate::out;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The configuration.
    #[arg(long, default_value = "config/wardd.toml")]
    config: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let config = Config::load(&arguments.config).map_err(|error| error.to_string())?;
    let data = &config.data.directory;
    let failed = |error: std::io::Error| format!("{}: {error}", data.display());
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(failed)?;
    std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
    let holds_events = std::fs::read_dir(data.join("journal")).is_ok_and(|mut entries| entries.next().is_some());
    if let Some(ring) = config.journal.keyring.as_ref().filter(|ring| !ring.exists() && holds_events) {
        return Err(format!(
            "WD-0116 {}: the key ring is gone, and {} holds a journal that only it can read: bring back your copy of it; a new one would open nothing. To begin anew, move the data directory away",
            ring.display(),
            data.display()
        ));
    }
    if let Some(ring) = config.journal.keyring.as_ref().filter(|ring| !ring.exists()) {
        KeyRing::create(ring).map_err(|error| error.to_string())?;
        out::line(&format!("{}: key ring created; keep a copy where the data is not", ring.display()));
    }
    let secret = make_first_run(&data.join("first-run")).map_err(|error| error.to_string())?;
    out::line("");
    out::line("The secret for the first user; it is shown once, and counts once, while there are no users:");
    out::line("");
    out::line(&format!("    {}", secret.show()));
    out::line("");
    out::line("Start wardd, then make the first user, who gives the others their roles:");
    out::line("");
    out::line("    wardctl first-user NAME");
    Ok(ExitCode::SUCCESS)
}
