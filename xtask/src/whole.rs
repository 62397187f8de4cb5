//! Files that are whole or absent.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// Writes a file whole or not at all.
///
/// # Errors
/// Names the file when it cannot be written.
pub(crate) fn write_whole(path: &Path, content: &str) -> Result<()> {
    let part = path.with_extension("part");
    fs::write(&part, content)
        .and_then(|()| fs::rename(&part, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a record as JSON for people to read, whole or not at all.
///
/// # Errors
/// As [`write_whole`].
pub(crate) fn write_record(path: &Path, record: &impl Serialize) -> Result<()> {
    write_whole(path, &format!("{}\n", serde_json::to_string_pretty(record)?))
}
