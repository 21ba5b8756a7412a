//! A short run of every fuzz target: seeds of the corpus and of our own, each cut, doubled, spliced and flipped. Findings of
//! the long campaigns (`fuzz/`) stay in `tests/fuzzing/cases/` and run first.

mod targets;

use std::path::Path;

use targets::{TARGETS, Target};
use wardd::sim::Random;

use crate::table::{corpus, files, lines};

/// Mutations of each target; WARDD_FUZZ makes it longer.
const MUTATIONS: usize = 150_000;
/// Seeds of a folder, and bytes of one, that are used at most.
const SEEDS: usize = 200;
const SEED_BYTES: usize = 16_384;

/// A file is a seed; of a file of JSON lines each text in it is.
fn of_file(path: &Path) -> Vec<Vec<u8>> {
    match path.extension().is_some_and(|extension| extension == "jsonl") {
        true => lines(path)
            .iter()
            .flat_map(|line| line.as_object().into_iter().flat_map(|map| map.values()))
            .filter_map(|value| value.as_str())
            .map(|text| text.as_bytes().to_vec())
            .collect(),
        false => vec![std::fs::read(path).unwrap()],
    }
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = target.own.iter().map(|seed| seed.to_vec()).collect();
    for folder in target.seeds.iter().filter_map(|folder| corpus(folder)) {
        let mut found: Vec<Vec<u8>> = files(&folder).iter().flat_map(|path| of_file(path)).collect();
        found.iter_mut().for_each(|seed| seed.truncate(SEED_BYTES));
        let step = found.len().div_ceil(SEEDS).max(1);
        seeds.extend(found.into_iter().step_by(step));
    }
    seeds
}

fn mutated(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut below = |bound: usize| random.index(bound).unwrap_or(0);
    let mut bytes = seeds[below(seeds.len())].clone();
    for _ in 0..1 + below(4) {
        let at = below(bytes.len());
        match below(7) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(..at)),
            3 => bytes.insert(at.min(bytes.len()), u8::try_from(below(256)).unwrap()),
            4 => {
                let end = (at + below(40)).min(bytes.len());
                let piece = bytes[at.min(end)..end].to_vec();
                let to = below(bytes.len());
                bytes.splice(to..to, piece);
            }
            5 => {
                let other = &seeds[below(seeds.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[below(other.len())..]);
            }
            // The characters that steer the protocols.
            _ => {
                let steering = b"\x02\x03\x04\x05\x06\x0b\x15\x17\x1c\x1d\r\n|^&\\~]()\"\xff\0";
                let byte = steering[below(steering.len())];
                bytes.iter_mut().skip(at).take(1).for_each(|place| *place = byte);
            }
        }
    }
    bytes.truncate(SEED_BYTES * 2);
    bytes
}

/// Runs one input; says which one it was when it fails.
fn run(target: &Target, bytes: &[u8]) {
    let result = std::panic::catch_unwind(|| (target.run)(bytes));
    assert!(result.is_ok(), "target {}: keep this in tests/fuzzing/cases/{}-…: {}", target.name, target.name, bytes.escape_ascii());
}

#[test]
fn no_decoder_and_no_loader_breaks_on_any_bytes() {
    let count = std::env::var("WARDD_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(MUTATIONS);
    std::thread::scope(|scope| {
        for half in [0, 1] {
            scope.spawn(move || {
                for target in TARGETS.iter().skip(half).step_by(2) {
                    let seeds = seeds(target);
                    seeds.iter().for_each(|seed| run(target, seed));
                    let mut random = Random::new(1);
                    for _ in 0..count {
                        run(target, &mutated(&mut random, &seeds));
                    }
                }
            });
        }
    });
}

#[test]
fn what_fuzzing_found_stays_mended() {
    for path in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzzing/cases")) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let target = TARGETS.iter().find(|target| name.starts_with(target.name)).unwrap_or_else(|| panic!("{name} names no target"));
        run(target, &std::fs::read(path).unwrap());
    }
}

#[test]
fn every_target_has_its_file_for_the_long_campaigns() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    for target in TARGETS {
        assert!(folder.join(format!("{}.rs", target.name)).exists(), "fuzz/fuzz_targets/{}.rs is missing", target.name);
    }
}
