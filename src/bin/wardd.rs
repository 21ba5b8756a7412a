//! `wardd`: the daemon.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use wardd::app::simulation::real::DiskKind;
use wardd::app::{self, demo, profiles};
use wardd::config::Config;
use wardd::telemetry::{self, LogTarget};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A hospital's nervous system: devices in, durable and charged facts out.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the daemon.
    Run {
        /// The configuration file.
        #[arg(long, default_value = "config/wardd.toml")]
        config: PathBuf,
    },
    /// Checks the configuration, its profiles and prices, and says what is wrong.
    Check {
        /// The configuration file.
        #[arg(long, default_value = "config/wardd.toml")]
        config: PathBuf,
    },
    /// Lives through a minute of a hospital under faults, from a seed, on a paused clock: crashes, failing syncs, cut and
    /// noisy lines, failures inside actors. Says what was promised, and exits with 1 when a promise was broken.
    Sim {
        /// The seed: the same one is the same history, event for event.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many seeds from that one on.
        #[arg(long, default_value_t = 1)]
        seeds: u64,
        /// The pure core alone, without actors: thousands of seeds a second; only broken promises and a sum are printed.
        #[arg(long)]
        core: bool,
        /// This very binary under a disk that fails, with real sockets, a pseudo terminal and mosquitto, some twenty seconds a
        /// seed. The plan is the seed's; when threads meet is the machine's. WARDD_KEEP=1 keeps the folder.
        #[arg(long, conflicts_with = "core")]
        real: bool,
        /// With --real: syncs do nothing and say that they did. Promises must break, or the simulation is blind.
        #[arg(long, requires = "real")]
        lying_disk: bool,
    },
    /// Runs a small simulated hospital on embedded defaults.
    Demo {
        /// How long, such as 60s or 5m; until Ctrl-C when not given.
        #[arg(long = "for", value_parser = duration)]
        duration: Option<Duration>,
        /// The seed: the same one tells the same story.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Keeps the data in this folder.
        #[arg(long)]
        data: Option<PathBuf>,
        /// The web server's address; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:8080")]
        http: SocketAddr,
        /// How busy the hospital is; 1 is one patient action each 0.4 s.
        #[arg(long, default_value_t = 1.0, value_parser = pace)]
        pace: f64,
        /// Shows no summary while it runs.
        #[arg(long)]
        quiet: bool,
    },
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration: write 60s, 5m or 1h");
    let (number, unit) = text.split_at(text.len() - text.chars().rev().take_while(|c| c.is_ascii_alphabetic()).count());
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match unit {
        "" | "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        "h" => Ok(Duration::from_secs(number * 3_600)),
        _ => Err(wrong()),
    }
}

fn pace(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|pace| (0.01..=100.0).contains(pace)).ok_or_else(|| format!("{text:?} is no pace: write a number from 0.01 to 100"))
}

/// Runs the histories of some seeds; the first broken promise ends it.
fn simulate(first: u64, count: u64, real: Option<DiskKind>) -> Result<ExitCode, String> {
    let program = std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    if real.is_none() {
        // The failures inside actors are planted: what they print would hide the rest.
        std::panic::set_hook(Box::new(|_| {}));
    }
    for seed in first..first.saturating_add(count.max(1)) {
        let history = real.map_or_else(|| app::simulation::run(seed), |disk| app::simulation::real::run(seed, &program, disk));
        let history = history.map_err(|error| error.to_string())?;
        let app::simulation::History { fingerprint, events, crashes, panics, promises, faults } = &history;
        println!("seed {seed}: {promises} promises, {events} events, {crashes} crashes, {panics} failures inside, history {fingerprint}");
        if !faults.is_empty() {
            faults.iter().for_each(|fault| println!("  BROKEN {fault}"));
            println!("again with: wardd sim{} --seed {seed}", if real.is_some() { " --real" } else { "" });
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn simulate_core(first: u64, count: u64) -> Result<ExitCode, String> {
    let ground = app::simulation::core::Ground::new().map_err(|error| error.to_string())?;
    let (mut promises, mut crashes, mut last) = (0, 0, 0);
    for seed in first..first.saturating_add(count.max(1)) {
        let history = app::simulation::core::run(&ground, seed).map_err(|error| error.to_string())?;
        if !history.faults.is_empty() {
            history.faults.iter().for_each(|fault| println!("  BROKEN {fault}"));
            println!("again with: wardd sim --core --seed {seed}");
            return Ok(ExitCode::FAILURE);
        }
        (promises, crashes, last) = (promises + history.promises, crashes + history.crashes, history.fingerprint);
    }
    println!("{} seeds from {first} on: {promises} promises, {crashes} crashes, none broken, last history {last:016x}", count.max(1));
    Ok(ExitCode::SUCCESS)
}

/// Tasks that hang on a device must not hold up the end.
const PATIENCE: Duration = Duration::from_millis(500);

fn run(command: Command) -> Result<ExitCode, String> {
    let runtimes = || app::Runtimes::new().map_err(|error| format!("the runtime cannot start: {error}"));
    match command {
        Command::Run { config: path } => {
            let config = Config::load(&path).map_err(|error| error.to_string())?;
            telemetry::start_logging(config.log.target, &config.log.filter);
            let runtimes = runtimes()?;
            let desk = runtimes.desk();
            runtimes.run(app::run(&path, &config, &desk), PATIENCE).map_err(|error| error.to_string())?;
        }
        Command::Check { config: path } => {
            let config = Config::load(&path).map_err(|error| error.to_string())?;
            let faults = app::check(&config, &profiles::Source::Folder(config.profiles.clone()));
            if !faults.is_empty() {
                return Err(format!("{}:\n{}", path.display(), faults.join("\n")));
            }
            println!("{}: {} wards, {} cabinets, {} devices, all right", path.display(), config.wards.len(), config.cabinets.len(), config.devices.len());
        }
        Command::Sim { seed, seeds, core, real, lying_disk } => {
            return if core { simulate_core(seed, seeds) } else { simulate(seed, seeds, real.then_some(if lying_disk { DiskKind::Lying } else { DiskKind::Honest })) };
        }
        Command::Demo { duration, seed, data, http, pace, quiet } => {
            telemetry::start_logging(LogTarget::Auto, "error");
            let options = demo::Options { duration, seed, data, http, pace, is_quiet: quiet };
            let runtimes = runtimes()?;
            let desk = runtimes.desk();
            let report = runtimes.run(demo::run(options, &desk), PATIENCE).map_err(|error| error.to_string())?;
            println!("{report}");
            if !report.differences.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Huge pages make a process of many small pieces three times as large as it is, and its answers later.
#[expect(unsafe_code, reason = "prctl has no safe form in std")]
fn without_huge_pages() {
    // SAFETY: the option takes numbers alone. Where the system does not know it, everything goes on as it was.
    let _ = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// `mi_option_purge_delay` of mimalloc.h, versions 2 and 3; the binding does not name it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Pages that hold nothing any more go back to the system at once: a fifth less memory, and no slower.
#[expect(unsafe_code, reason = "mimalloc's options have no safe form")]
fn without_empty_pages() {
    // SAFETY: the option takes a number, and no other thread allocates yet.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 0) };
}

fn main() -> ExitCode {
    without_huge_pages();
    without_empty_pages();
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("wardd: {message}");
            ExitCode::FAILURE
        }
    }
}
