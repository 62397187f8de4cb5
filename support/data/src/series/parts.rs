//! Which format a path has, and which file of a folder is meant.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::folder::Folder;
use super::npy::Arrays;
use super::rows::Rows;
use super::source::Source;
use super::ts::Ts;
use super::wav::Wav;
use super::{SeriesReading, columns, table};
use crate::dataset::folders::{Class, Classes, class_folders};
use crate::dataset::lines::Lines;
use crate::dataset::{Part, encoding};
use crate::error::{Fault, fault, reading};

/// What the name of a file says of its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// `.ts` of the UCR and UEA archives.
    Ts,
    /// A table, of series or of texts.
    Table,
    /// An array of NumPy, or several.
    Array,
    /// Sound.
    Wav,
}

const EXTENSIONS: [(&str, Format); 7] = [
    (".ts", Format::Ts),
    (".csv", Format::Table),
    (".tsv", Format::Table),
    (".txt", Format::Table),
    (".npy", Format::Array),
    (".npz", Format::Array),
    (".wav", Format::Wav),
];

/// The longest line of a table: a series of a million steps.
const LONGEST_LINE: usize = 64 << 20;

/// The format that the name of `path` promises, whether it is said to be compressed, and the name without its extensions.
fn recognise(path: &Path) -> Option<(Format, bool, String)> {
    let name = path.file_name()?.to_string_lossy();
    let lower = name.to_ascii_lowercase();
    let (stem, compressed) = match lower.strip_suffix(".gz") {
        Some(stem) => (stem, true),
        None => (lower.as_str(), false),
    };
    let (extension, format) = EXTENSIONS.iter().find(|(extension, _)| stem.ends_with(extension))?;
    let is_text = matches!(format, Format::Ts | Format::Table);
    (is_text || !compressed).then(|| (*format, compressed, name[..stem.len() - extension.len()].to_owned()))
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
    let ends = |name: &&str| stem.strip_suffix(*name).is_some_and(|rest| rest.is_empty() || rest.ends_with(['_', '-']));
    part.names().iter().any(ends)
}

/// Whether a file holds the labels beside an array of series.
fn is_labels(stem: &str) -> bool {
    stem.to_lowercase().split(['_', '-']).any(|word| word == "y")
}

/// The files and folders of `folder` that are `part` by their names, in the order of these.
fn candidates(folder: &Path, part: Part) -> Vec<PathBuf> {
    let mut names: Vec<OsString> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    names.sort_unstable();
    let is_candidate = |path: &PathBuf| {
        if path.is_dir() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            return part.names().contains(&name.as_str()) && !classes_of(path).is_empty();
        }
        let is_meant = |(format, _, stem): (Format, bool, String)| {
            is_part(&stem, part) && !(format == Format::Array && is_labels(&stem))
        };
        path.is_file() && recognise(path).is_some_and(is_meant)
    };
    names.iter().map(|name| folder.join(name)).filter(is_candidate).collect()
}

/// The folders of a folder that name classes by the recordings in them.
fn classes_of(folder: &Path) -> Vec<Class> {
    class_folders(folder, |folder| !recordings(folder).is_empty())
}

/// The files of a class's folder that are recordings, in the order of their names.
fn recordings(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<OsString> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    names.sort_unstable();
    let is_recording = |path: &PathBuf| {
        let is_hidden = path.file_name().unwrap_or_default().to_string_lossy().starts_with('.');
        let format = recognise(path).map(|(format, ..)| format);
        let is_text = path.to_string_lossy().to_lowercase().trim_end_matches(".gz").ends_with(".txt");
        !is_hidden && !is_text && matches!(format, Some(Format::Table | Format::Wav)) && path.is_file()
    };
    names.into_iter().map(|name| folder.join(name)).filter(is_recording).collect()
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
        [] => {
            let has_parts = Part::ALL.iter().any(|&other| !candidates(path, other).is_empty());
            if !has_parts && classes_of(path).len() > 1 {
                return Ok(path.to_path_buf());
            }
            Err(no_part(path, part).into())
        }
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
        format!(
            "this folder has no {part} series: no file such as {part}.csv or NAME_{upper}.ts, and no folder of .csv or .wav files for each class"
        ),
        "name a folder that has, or a file",
    )
}

/// Whether `path` is a folder in which `part` is a file or folder of its own.
#[must_use]
pub fn has_part(path: &Path, part: Part) -> bool {
    path.is_dir() && !candidates(path, part).is_empty()
}

/// Whether what `path` and `part` mean are series, and not texts: by names, and in tables by the first rows.
#[must_use]
pub fn looks_like_series(path: &Path, part: Part) -> bool {
    let Ok(file) = locate(path, part) else { return false };
    match recognise(&file) {
        _ if file.is_dir() => true,
        Some((Format::Table, compressed, _)) => {
            open_rows(&file, compressed, &SeriesReading::default()).is_ok_and(|rows| columns::looks_like_series(&rows))
        }
        Some(_) => true,
        None => false,
    }
}

/// Opens what [`locate`] found.
pub(super) fn open(path: &Path, reading: &SeriesReading) -> Result<Box<dyn Source>> {
    if path.is_dir() {
        let classes = classes_of(path);
        Classes::Folders(classes.clone()).check()?;
        let files = classes
            .into_iter()
            .flat_map(|(class, folder)| recordings(&folder).into_iter().map(move |file| (class.clone(), file)));
        return Ok(Box::new(Folder::new(path, files.collect(), reading, open_recording)?));
    }
    open_file(path, reading)
}

/// Opens one recording of a folder of classes.
fn open_recording(path: &Path, reading: &SeriesReading) -> Result<Box<dyn Source>> {
    open_file(path, reading)
}

fn open_file(path: &Path, reading: &SeriesReading) -> Result<Box<dyn Source>> {
    let (format, compressed, _) = recognise(path).unwrap_or((Format::Table, false, String::new()));
    match format {
        Format::Ts => Ok(Box::new(Ts::open(Lines::open(path, compressed, asked(reading)?)?, reading)?)),
        Format::Table => table::open(open_rows(path, compressed, reading)?, reading, &path.display().to_string()),
        Format::Array => Ok(Box::new(Arrays::open(path, reading)?)),
        Format::Wav => Ok(Box::new(Wav::open(path, reading)?)),
    }
}

pub(super) fn open_rows(path: &Path, compressed: bool, reading: &SeriesReading) -> Result<Rows> {
    Rows::new(Lines::open(path, compressed, asked(reading)?)?, LONGEST_LINE)
}

fn asked(reading: &SeriesReading) -> Result<Option<&'static encoding_rs::Encoding>> {
    Ok(reading.columns.encoding.as_deref().map(encoding::named).transpose()?)
}
