//! Arrays of NumPy: `.npy`, one array, and `.npz`, a zip archive of several.
//!
//! The values are `x`, `[series, steps, channels]` or `[series, steps]`; without labels also `[steps]`, one series. The labels are `y`, `[series]`,
//! `[series, numbers]`, or `[series, steps]` where each step has one. In an archive they are called so; beside `x.npy` lies `y.npy`, beside `X_train.npy` `y_train.npy`.
//!
//! The header of version 1 to 3 is that of NumPy's page on the format: a magic number, a version, a length, and a dictionary of `descr`, `fortran_order` and
//! `shape` as Python writes it.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Result;
use zip::ZipArchive;

use super::source::{Answers, Recording, Source};
use super::values::{LARGEST, TOO_LARGE, check_memory, chosen, numbered};
use super::{Missing, SeriesReading, SeriesTask, Target};
use crate::dataset::Place;
use crate::error::{Fault, fault, open_file, reading};

/// What is wrong with an array of series beside which no labels lie.
pub const NO_LABELS: &str = "there are no labels with the series";

/// The longest header that is read.
const HEADER: usize = 1 << 16;

/// An array in the order of C.
#[derive(Debug, Clone, PartialEq)]
struct Array {
    shape: Vec<usize>,
    elements: Elements,
}

#[derive(Debug, Clone, PartialEq)]
enum Elements {
    Numbers(Vec<f64>),
    Words(Vec<String>),
}

/// Reads the series of an array.
pub(super) struct Arrays {
    place: Place,
    values: Vec<f64>,
    /// Series, steps, channels.
    shape: [usize; 3],
    labels: Option<Array>,
    kept: Vec<usize>,
    task: SeriesTask,
    missing: Missing,
    /// Whether the array is one series, `[steps, channels]`.
    is_one: bool,
    next: usize,
    words: Vec<String>,
}

impl Arrays {
    pub(super) fn open(path: &Path, asked: &SeriesReading) -> Result<Self> {
        let place = Place { path: path.into(), line: None };
        let is_archive = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz"));
        let (values, labels) = if is_archive { archived(path)? } else { (array_of(path)?, beside(path)?) };
        let wanted = asked.task.labels().is_some();
        let (labels, words) = match labels {
            Some((name, array)) if wanted => (Some(array), vec![format!("labels in {name}")]),
            Some(_) => (None, Vec::new()),
            None if !wanted => (None, Vec::new()),
            None => {
                let remedy = "add the labels as y: in the archive, or in a file such as y.npy beside x.npy; or learn with --task forecast";
                return Err(fault(place, NO_LABELS, remedy).into());
            }
        };
        let Elements::Numbers(numbers) = values.elements else {
            return Err(fault(place, "the array of the series holds words", "write numbers").into());
        };
        let is_one = match (asked.rows_are_steps, &values.shape[..]) {
            (Some(steps), &[_, channels]) => steps || channels == 1 || !asked.columns.channels.is_empty(),
            _ => false,
        };
        let shape = match values.shape[..] {
            [steps, channels] if is_one => [1, steps, channels],
            [series, steps, channels] => [series, steps, channels],
            [series, steps] => [series, steps, 1],
            [steps] if !wanted => [1, steps, 1],
            _ => {
                let problem = format!("the array of the series has the shape {:?}", values.shape);
                return Err(
                    fault(place, problem, "give it the shape [series, steps, channels] or [series, steps]").into()
                );
            }
        };
        if numbers.is_empty() {
            let problem = format!("the array of the series is empty: its shape is {:?}", values.shape);
            return Err(fault(place, problem, "write at least one series of one step").into());
        }
        if let Some(labels) = &labels {
            check_labels(labels, asked.task, shape, &place)?;
        }
        let kept = chosen(&numbered(shape[2]), &asked.columns.channels, &place.to_string())?;
        let (task, missing) = (asked.task, asked.missing);
        Ok(Self { place, values: numbers, shape, labels, kept, task, missing, is_one, next: 0, words })
    }

    /// The value of a step and a channel of the next series.
    fn value(&self, step: usize, channel: usize) -> Result<f32, Fault> {
        let [_, steps, channels] = self.shape;
        let value = self.values[(self.next * steps + step) * channels + channel];
        let at = || match self.is_one {
            true => format!("the value [{step}, {channel}] (step, channel from 0)"),
            false => format!("the value [{}, {step}, {channel}] (series, step, channel from 0)", self.next),
        };
        finite(value, self.missing, &self.place, at)
    }

    /// The target of the next series.
    fn target(&self, answers: &mut Answers) -> Result<Target, Fault> {
        let Some(labels) = &self.labels else { return Ok(Target::None) };
        let each = labels.shape[1..].iter().product::<usize>();
        let range = self.next * each..(self.next + 1) * each;
        let words: Vec<String> = match &labels.elements {
            Elements::Words(words) => words[range].to_vec(),
            Elements::Numbers(numbers) => numbers[range].iter().map(f64::to_string).collect(),
        };
        if !self.task.each_step() {
            return answers.whole(&words.iter().map(String::as_str).collect::<Vec<_>>(), &self.place);
        }
        let numbers: Vec<f32> =
            words.iter().map(|word| answers.number(word, &self.place)).collect::<Result<_, Fault>>()?;
        Ok(match self.task {
            SeriesTask::Tag => Target::Classes(numbers.into_iter().map(|class| class as u32).collect()),
            _ => Target::EachValues(numbers),
        })
    }
}

impl Source for Arrays {
    fn read(&mut self, answers: &mut Answers) -> Result<Option<Recording>> {
        let [series, steps, _] = self.shape;
        if self.next == series {
            return Ok(None);
        }
        let mut values = Vec::with_capacity(steps * self.kept.len());
        for step in 0..steps {
            for &channel in &self.kept {
                values.push(self.value(step, channel)?);
            }
        }
        let target = self.target(answers)?;
        self.next += 1;
        Ok(Some(Recording { id: None, values, target, place: self.place.clone() }))
    }

    fn channels(&self) -> Vec<String> {
        let names = numbered(self.shape[2]);
        self.kept.iter().map(|&channel| names[channel].clone()).collect()
    }

    fn layout(&self) -> Vec<String> {
        self.words.clone()
    }
}

/// Checks the shape of the labels against the task and the series.
fn check_labels(labels: &Array, task: SeriesTask, [series, steps, _]: [usize; 3], place: &Place) -> Result<(), Fault> {
    let fits = match (task, &labels.shape[..]) {
        (SeriesTask::Tag, &[count, each]) => count == series && each == steps,
        (SeriesTask::RegressEach, &[count, each]) => count == series && each == steps,
        (SeriesTask::RegressEach, &[count, each, _]) => count == series && each == steps,
        (SeriesTask::Classify, &[count] | &[count, 1]) => count == series,
        (SeriesTask::Regress, &[count] | &[count, _]) => count == series,
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let wanted = match task {
        SeriesTask::Tag => format!("[{series}, {steps}], a class for each step"),
        SeriesTask::RegressEach => format!("[{series}, {steps}], a number for each step"),
        SeriesTask::Regress => format!("[{series}], or [{series}, numbers]"),
        _ => format!("[{series}], a class for each series"),
    };
    let problem = format!("the labels have the shape {:?} where --task {} needs {wanted}", labels.shape, task.name());
    Err(fault(place, problem, "write them so, or name another task"))
}

/// The value of an element, NaN for a missing one that is to be filled; `at` says which one it is.
fn finite(value: f64, missing: Missing, place: &Place, at: impl FnOnce() -> String) -> Result<f32, Fault> {
    let refuse = |what: &str, remedy: &str| Err(fault(place, format!("{} {what}", at()), remedy));
    match value as f32 {
        found if found.abs() <= LARGEST => Ok(found),
        _ if value.is_nan() && missing == Missing::Refuse => {
            refuse("is missing (NaN)", "write it, or fill such values with --missing hold or --missing zero")
        }
        _ if value.is_nan() => Ok(f32::NAN),
        _ if value.is_infinite() => refuse("is infinite", "write a finite number"),
        _ => refuse("is too large", TOO_LARGE),
    }
}

/// The array of a file.
fn array_of(path: &Path) -> Result<Array> {
    let file = BufReader::new(open_file(path)?);
    read(file, &path.display().to_string()).map_err(|error| reading(path, error))
}

/// The labels beside an array: in the file whose name has `y` in place of `x`.
fn beside(path: &Path) -> Result<Option<(String, Array)>> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let words: Vec<&str> = stem.split('_').collect();
    let Some(at) = words.iter().position(|word| word.eq_ignore_ascii_case("x")) else { return Ok(None) };
    for letter in ["y", "Y"] {
        let mut words = words.clone();
        words[at] = letter;
        let file: PathBuf = path.with_file_name(format!("{}.npy", words.join("_")));
        if file.is_file() {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Ok(Some((name, array_of(&file)?)));
        }
    }
    Ok(None)
}

/// The values of an archive, and its labels with their name.
fn archived(path: &Path) -> Result<(Array, Option<(String, Array)>)> {
    let mut archive = ZipArchive::new(BufReader::new(open_file(path)?)).map_err(|error| broken(path, error))?;
    let names: Vec<String> = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    let find = |letter: &str| names.iter().find(|name| name.trim_end_matches(".npy").eq_ignore_ascii_case(letter));
    let Some(values) = find("x") else {
        let names: Vec<&str> = names.iter().map(|name| name.trim_end_matches(".npy")).collect();
        let problem = format!("the archive has no array x; its arrays are {}", crate::dataset::list(&names));
        return Err(
            fault(path.display(), problem, "call the series x and the labels y: np.savez(FILE, x=…, y=…)").into()
        );
    };
    let values_of = member(&mut archive, path, values)?;
    let labels = find("y").map(|name| Ok::<_, anyhow::Error>(("y".to_owned(), member(&mut archive, path, name)?)));
    Ok((values_of, labels.transpose()?))
}

fn member(archive: &mut ZipArchive<BufReader<File>>, path: &Path, name: &str) -> Result<Array> {
    let file = archive.by_name(name).map_err(|error| broken(path, error))?;
    let place = format!("{}, {}", path.display(), name.trim_end_matches(".npy"));
    read(BufReader::new(file), &place).map_err(|error| reading(path, error))
}

/// What is wrong with an archive that cannot be read.
fn broken(path: &Path, error: zip::result::ZipError) -> anyhow::Error {
    let problem = format!("it is no zip archive that can be read ({error})");
    fault(path.display(), problem, "write it with np.savez or np.savez_compressed").into()
}

/// The type of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    /// `f`, `i`, `u`, `b`, `U` or `S`.
    letter: u8,
    /// Bytes of an element.
    size: usize,
    big_endian: bool,
}

/// Reads an array; messages name `place`.
fn read(mut file: impl Read, place: &str) -> io::Result<Array> {
    let refuse = |problem: String, remedy: &str| io::Error::other(fault(place, problem, remedy));
    let cut_off = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            refuse("the array ends before its shape says".to_owned(), "write it again with np.save")
        }
        // What the decompressor says of a damaged archive.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            refuse(format!("the archive is damaged ({error})"), "copy or write it again")
        }
        _ => error,
    };
    let header = header(&mut file, place).map_err(cut_off)?;
    let (kind, fortran, shape) = parsed(&header).ok_or_else(|| {
        let words: String = header.chars().take(80).collect();
        refuse(
            format!("the header of the array is not understood: {words:?}"),
            "write numbers or words with np.save, and neither objects nor records",
        )
    })?;
    let count = shape.iter().try_fold(1_usize, |count, &length| count.checked_mul(length)).unwrap_or(usize::MAX);
    let line = Place { path: Path::new(place).into(), line: None };
    check_memory(count as u64, &line).map_err(io::Error::other)?;
    let mut element = vec![0; kind.size];
    let (mut numbers, mut words) = (Vec::new(), Vec::new());
    for _ in 0..count {
        file.read_exact(&mut element).map_err(cut_off)?;
        if matches!(kind.letter, b'U' | b'S') {
            words.push(word(kind, &element));
        } else {
            numbers.push(number(kind, &element));
        }
    }
    let elements = if matches!(kind.letter, b'U' | b'S') {
        Elements::Words(if fortran { in_c_order(&words, &shape) } else { words })
    } else {
        Elements::Numbers(if fortran { in_c_order(&numbers, &shape) } else { numbers })
    };
    Ok(Array { shape, elements })
}

/// The dictionary of the header.
fn header(file: &mut impl Read, place: &str) -> io::Result<String> {
    let refuse = |problem: &str| io::Error::other(fault(place, problem, "write it with np.save"));
    let mut start = [0; 8];
    file.read_exact(&mut start)?;
    if start[..6] != *b"\x93NUMPY" {
        return Err(refuse("it is no array of NumPy: its first bytes are others"));
    }
    let length = if start[6] == 1 {
        let mut length = [0; 2];
        file.read_exact(&mut length)?;
        usize::from(u16::from_le_bytes(length))
    } else {
        let mut length = [0; 4];
        file.read_exact(&mut length)?;
        u32::from_le_bytes(length) as usize
    };
    if length > HEADER {
        return Err(refuse("the header of the array is too long"));
    }
    let mut header = vec![0; length];
    file.read_exact(&mut header)?;
    String::from_utf8(header).map_err(|_| refuse("the header of the array is not UTF-8"))
}

/// The type, the order and the shape that a header says: `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
fn parsed(header: &str) -> Option<(Kind, bool, Vec<usize>)> {
    let value = |key: &str| {
        let (_, rest) = header.split_once(&format!("'{key}'"))?;
        Some(rest.trim_start().strip_prefix(':')?.trim_start())
    };
    let descr = value("descr")?.strip_prefix('\'')?.split('\'').next()?;
    let order = descr.chars().next().filter(|order| "<>|=".contains(*order))?;
    let letter = *descr.as_bytes().get(1)?;
    let length: usize = descr.get(2..)?.parse().ok()?;
    let size = match (letter, length) {
        (b'f', 2 | 4 | 8) | (b'i' | b'u', 1 | 2 | 4 | 8) | (b'b', 1) => length,
        (b'S', 1..=4096) => length,
        (b'U', 1..=4096) => 4 * length,
        _ => return None,
    };
    let fortran = match value("fortran_order")? {
        text if text.starts_with("True") => true,
        text if text.starts_with("False") => false,
        _ => return None,
    };
    let shape = value("shape")?.strip_prefix('(')?.split(')').next()?;
    let lengths = shape.split(',').map(str::trim).filter(|length| !length.is_empty());
    let shape: Vec<usize> = lengths.map(|length| length.parse().ok()).collect::<Option<_>>()?;
    (!shape.is_empty()).then_some((Kind { letter, size, big_endian: order == '>' }, fortran, shape))
}

/// The number in the bytes of an element.
fn number(kind: Kind, bytes: &[u8]) -> f64 {
    let mut little = [0; 8];
    little[..kind.size].copy_from_slice(bytes);
    if kind.big_endian {
        little[..kind.size].reverse();
    }
    let whole = u64::from_le_bytes(little);
    match (kind.letter, kind.size) {
        (b'f', 2) => half(whole as u16),
        (b'f', 4) => f64::from(f32::from_bits(whole as u32)),
        (b'f', _) => f64::from_bits(whole),
        (b'i', size) => {
            let unused = 64 - 8 * size as u32;
            ((whole << unused) as i64 >> unused) as f64
        }
        _ => whole as f64,
    }
}

/// The value of an IEEE 754 number of 16 bits.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => fraction / 1024.0 * 2f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    }
}

/// The word in the bytes of an element: characters of four bytes, or bytes of Latin-1, up to the zeros that fill it.
fn word(kind: Kind, bytes: &[u8]) -> String {
    let characters: Vec<char> = if kind.letter == b'S' {
        bytes.iter().map(|&byte| char::from(byte)).collect()
    } else {
        let of = |four: &[u8; 4]| if kind.big_endian { u32::from_be_bytes(*four) } else { u32::from_le_bytes(*four) };
        let fours = bytes.as_chunks::<4>().0.iter();
        fours.map(|four| char::from_u32(of(four)).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    characters.into_iter().collect::<String>().trim_end_matches('\0').to_owned()
}

/// The elements of an array whose first index runs fastest, so that the last one does.
fn in_c_order<T: Clone>(elements: &[T], shape: &[usize]) -> Vec<T> {
    let mut ordered = Vec::with_capacity(elements.len());
    let mut index = vec![0; shape.len()];
    for _ in 0..elements.len() {
        let at = index.iter().zip(shape).rev().fold(0, |at, (&index, &length)| at * length + index);
        ordered.push(elements[at].clone());
        for place in (0..shape.len()).rev() {
            index[place] += 1;
            if index[place] < shape[place] {
                break;
            }
            index[place] = 0;
        }
    }
    ordered
}

#[cfg(test)]
mod tests;
