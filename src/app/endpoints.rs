//! `endpoints.json`: the addresses that were really bound, for scripts and tests that bind port 0.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use super::AppError;

/// Writes the file whole or not at all.
pub(super) fn write(directory: &Path, endpoints: &BTreeMap<String, SocketAddr>) -> Result<(), AppError> {
    let path = directory.join("endpoints.json");
    let temporary = directory.join("endpoints.json.new");
    let failed = |source| AppError::File { path: path.clone(), source };
    let text = serde_json::to_string_pretty(endpoints).unwrap_or_default();
    std::fs::write(&temporary, text + "\n").map_err(failed)?;
    std::fs::rename(&temporary, &path).map_err(failed)
}

/// Removes the file: nobody listens any more.
pub(super) fn remove(directory: &Path) {
    // It may be gone already.
    let _ = std::fs::remove_file(directory.join("endpoints.json"));
}
