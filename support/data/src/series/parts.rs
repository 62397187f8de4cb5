//! Which format a path has, and which file of a folder is meant.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::SeriesReading;
use super::source::Source;
use super::ts::Ts;
use crate::dataset::lines::Lines;
use crate::dataset::{Part, encoding};
use crate::error::{Fault, fault, reading};

/// What the name of a file says of its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// `.ts` of the UCR and UEA archives.
    Ts,
}

const EXTENSIONS: [(&str, Format); 1] = [(".ts", Format::Ts)];

/// The format that the name of `path` promises, whether it is said to be compressed, and the name without its extensions.
fn recognise(path: &Path) -> Option<(Format, bool, String)> {
    let name = path.file_name()?.to_string_lossy();
    let lower = name.to_ascii_lowercase();
    let (stem, compressed) = match lower.strip_suffix(".gz") {
        Some(stem) => (stem, true),
        None => (lower.as_str(), false),
    };
    let (extension, format) = EXTENSIONS.iter().find(|(extension, _)| stem.ends_with(extension))?;
    Some((*format, compressed, name[..stem.len() - extension.len()].to_owned()))
}

/// What to call the set at `path`: its file name without the extensions above.
pub(super) fn name(path: &Path) -> String {
    if let Some((_, _, name)) = recognise(path)
        && !name.is_empty()
        && !path.is_dir()
    {
        return name;
    }
    crate::dataset::formats::name(path)
}

/// Whether the name of a file without its extensions says that it is `part`: `train`, or `NAME_TRAIN` as the archives have it.
fn is_part(stem: &str, part: Part) -> bool {
    let stem = stem.to_lowercase();
    part.names()
        .iter()
        .any(|name| stem.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with(['_', '-'])))
}

/// The files of `folder` that are `part` by their names, in the order of these.
fn candidates(folder: &Path, part: Part) -> Vec<PathBuf> {
    let mut names: Vec<OsString> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    names.sort_unstable();
    let paths = names.iter().map(|name| folder.join(name));
    paths.filter(|path| path.is_file() && recognise(path).is_some_and(|(_, _, stem)| is_part(&stem, part))).collect()
}

/// The file, or the folder of classes, that `path` means for `part`: itself, or the part of a folder with several.
///
/// # Errors
/// A [`Fault`] if it cannot be read, has no such part, or has several files for it.
pub fn locate(path: &Path, part: Part) -> Result<PathBuf> {
    let metadata = fs::metadata(path).map_err(|error| reading(path, error))?;
    if !metadata.is_dir() {
        return Ok(path.to_path_buf());
    }
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match &candidates(path, part)[..] {
        [one] => Ok(one.clone()),
        [] => Err(no_part(path, part).into()),
        several => {
            let names = several.iter().map(name).collect::<Vec<_>>().join(" and ");
            let problem = format!("{names} could each be the {part} part");
            Err(fault(path.display(), problem, "move all but one elsewhere, or name the file itself").into())
        }
    }
}

fn no_part(path: &Path, part: Part) -> Fault {
    let upper = part.name().to_uppercase();
    fault(
        path.display(),
        format!("this folder has no {part} series: no file such as {part}.ts or NAME_{upper}.ts"),
        "name a folder that has, or a file",
    )
}

/// Whether `path` is a folder in which `part` is a file of its own.
#[must_use]
pub fn has_part(path: &Path, part: Part) -> bool {
    path.is_dir() && !candidates(path, part).is_empty()
}

/// Whether what `path` and `part` mean are series, and not texts, by names and first lines.
#[must_use]
pub fn looks_like_series(path: &Path, part: Part) -> bool {
    let Ok(file) = locate(path, part) else { return false };
    recognise(&file).is_some()
}

/// Opens what [`locate`] found.
pub(super) fn open(path: &Path, reading: &SeriesReading) -> Result<Box<dyn Source>> {
    let asked = reading.columns.encoding.as_deref().map(encoding::named).transpose()?;
    let (format, compressed, _) = recognise(path).unwrap_or((Format::Ts, false, String::new()));
    match format {
        Format::Ts => Ok(Box::new(Ts::open(Lines::open(path, compressed, asked)?, reading)?)),
    }
}
