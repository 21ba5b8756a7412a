//! Profiles by id: from the folder, or the ones that are built in for the demo.

use std::path::{Path, PathBuf};

use crate::profile::{Profile, lint};

/// Why a profile is not used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// No file there.
    #[error("profile {id:?}: {path}: {source}{suggestion}")]
    Missing {
        /// Which.
        id: String,
        /// Where it was looked for.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
        /// A profile with a similar name.
        suggestion: String,
    },
    /// Not of the right form.
    #[error("{path}: {why}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What, with line and column.
        why: String,
    },
    /// It contradicts itself.
    #[error("{path}:\n{}", faults.join("\n"))]
    Lint {
        /// The file.
        path: PathBuf,
        /// Every fault.
        faults: Vec<String>,
    },
    /// Another version than the device was checked with.
    #[error("profile {id:?} has version {found}, device {device} is pinned to {pinned}: check the device against the new version, then pin that one")]
    Version {
        /// Which profile.
        id: String,
        /// Which device.
        device: String,
        /// Its version.
        found: u32,
        /// The configuration's.
        pinned: u32,
    },
}

/// A profile that stands on its own feet.
pub fn check(path: &Path, text: &str) -> Result<Profile, ProfileError> {
    let profile = Profile::parse(text).map_err(|why| ProfileError::Form { path: path.to_owned(), why })?;
    let faults = lint::lint(&profile);
    if faults.is_empty() { Ok(profile) } else { Err(ProfileError::Lint { path: path.to_owned(), faults }) }
}

/// All profile files of a folder.
pub fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = |path: &Path| -> Vec<PathBuf> { std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect() };
    let mut found: Vec<PathBuf> = entries(folder).iter().flat_map(|maker| entries(maker)).filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
    found.sort();
    found
}

/// The id of a profile's file: the last two parts of its path.
pub fn id_of(path: &Path) -> String {
    let name = |path: Option<&Path>| path.and_then(Path::file_stem).and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    format!("{}/{}", name(path.parent()), name(Some(path)))
}

/// Where profiles come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Files under a folder.
    Folder(PathBuf),
    /// The ones that are built in.
    BuiltIn,
}

impl Source {
    /// Loads a profile by its id.
    pub fn load(&self, id: &str) -> Result<Profile, ProfileError> {
        match self {
            Source::Folder(folder) => {
                let path = folder.join(format!("{id}.toml"));
                let text = std::fs::read_to_string(&path).map_err(|source| {
                    let known: Vec<String> = list(folder).iter().map(|path| id_of(path)).collect();
                    let suggestion = crate::config::near(id, known.iter().map(String::as_str)).map(|near| format!(": did you mean {near:?}?")).unwrap_or_default();
                    ProfileError::Missing { id: id.to_owned(), path: path.clone(), source, suggestion }
                })?;
                check(&path, &text)
            }
            Source::BuiltIn => {
                let text = built_in(id);
                let path = PathBuf::from(format!("(built in) {id}"));
                let missing = || ProfileError::Missing { id: id.to_owned(), path: path.clone(), source: std::io::ErrorKind::NotFound.into(), suggestion: String::new() };
                check(&path, text.ok_or_else(missing)?)
            }
        }
    }
}

/// The text of a profile that is built in.
pub fn built_in(id: &str) -> Option<&'static str> {
    BUILT_IN.iter().find(|(name, _)| *name == id).map(|(_, text)| *text)
}

macro_rules! built_in {
    ($($id:literal),+ $(,)?) => {
        &[$(($id, include_str!(concat!("../../device-profiles/", $id, ".toml")))),+]
    };
}

/// The profiles of the demo's devices.
const BUILT_IN: &[(&str, &str)] = built_in![
    "sysmex/xn-550",
    "roche/cobas-e411",
    "mindray/bc-5380",
    "mindray/bc-5150",
    "datalogic/gryphon-gd4100",
    "generic/network-scanner",
    "generic/rfid-mqtt",
    "generic/cabinet-mqtt",
    "generic/relay-board",
    "generic/hl7-feed",
    "generic/pcd-01",
    "generic/vitals-mqtt",
];
