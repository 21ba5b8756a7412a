#![no_main]
//! `hl7` of tests/fuzzing/targets.rs.
#[path = "../../tests/fuzzing/targets.rs"]
mod targets;
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(target) = targets::TARGETS.iter().find(|target| target.name == "hl7") {
        (target.run)(data);
    }
});
