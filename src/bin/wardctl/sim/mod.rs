//! `wardctl sim load`: a hospital of its own, filled with people and stays by HL7 as a real one is, and what it does then.

mod house;
mod load;
mod measure;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::out;

/// Beds of a ward.
const WARD: u32 = 25;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Starts a wardd of its own in a folder, registers people and stays over MLLP, and measures searches, the board of beds and admissions
    /// beside the disk's own sync. Nothing of it touches another wardd.
    Load {
        /// How many people are registered.
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
        patients: u32,
        /// How many stays there are; as many as there are beds are open, the others have ended.
        #[arg(long, default_value_t = 100_000)]
        encounters: u32,
        /// How many beds the house has.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(25..=10_000))]
        beds: u32,
        /// How many searches, boards and admissions are measured.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
        samples: u32,
        /// The folder that it lives in, kept afterwards; without it one that is removed.
        #[arg(long)]
        data: Option<PathBuf>,
    },
}

/// How much there is of everything.
#[derive(Debug, Clone, Copy)]
struct Size {
    patients: u32,
    encounters: u32,
    beds: u32,
    samples: u32,
}

/// The record number of somebody.
fn mrn(number: u32) -> String {
    format!("M{number:08}")
}

/// The bed with a number, from 0, as ward, room and bed.
fn bed(number: u32) -> [String; 3] {
    let (ward, place) = (number / WARD, number % WARD);
    [format!("W{:03}", ward + 1), format!("{}", 100 + place / 2), ["A", "B"][(place % 2) as usize].to_owned()]
}

/// Numbers that look like chance and are the same in each run (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

pub(crate) fn run(command: Command) -> Result<ExitCode, String> {
    let Command::Load { patients, encounters, beds, samples, data } = command;
    let size = Size { patients, encounters, beds: beds.min(patients).min(encounters) / WARD * WARD, samples };
    if size.beds == 0 {
        return Err(format!("there must be at least {WARD} patients, {WARD} encounters and {WARD} beds: the house is full when it is measured"));
    }
    let folder = data.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("wardd-load-{}", std::process::id())));
    let measured = (|| {
        let mut house = house::House::start(&folder, size)?;
        let loaded = load::load(&house, size)?;
        out::line(&loaded);
        let is_within = measure::measure(&house, size, &folder)?;
        house.stop()?;
        Ok(is_within)
    })();
    match &data {
        Some(folder) => out::line(&format!("the hospital stays in {}", folder.display())),
        // What cannot be removed is in the folder for what is temporary.
        None => drop(std::fs::remove_dir_all(&folder)),
    }
    measured.map(|is_within| if is_within { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
