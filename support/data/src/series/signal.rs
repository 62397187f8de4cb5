//! One recording as a table of numbers, for scripts: read from an array, a table or a sound, and answers written in
//! the same formats.
//!
//! | path | read | written |
//! | --- | --- | --- |
//! | `.npy` | `[steps, channels]`, or `[steps]` of one channel | the shape that is given, `<f4` |
//! | `.csv` | a row a step, a column a channel; a first row without a number has the names | a row for each of the first index, no header |
//! | `.wav` | one value a channel and step, from -1 to 1 | one channel, in the rate of the sound that was read |

use std::io::Cursor;
use std::path::Path;

use anyhow::{Result, anyhow};
use hound::{SampleFormat, WavSpec, WavWriter};

use super::columns::{SERIES_NAMES, is_one_of};
use super::npy::{array_of, matrix};
use super::parts::open_rows;
use super::rows::Numbers;
use super::source::{Answers, Source};
use super::values::{Cell, check_memory, chosen, fill, is_decimal_comma, numbered};
use super::wav::{Sound, Wav};
use super::{Missing, SeriesColumns, SeriesReading, SeriesTask};
use crate::dataset::Place;
use crate::error::{Fault, fault};
use crate::files::write_atomically;

/// The format of a file by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalFormat {
    /// An array of NumPy.
    Npy,
    /// A table.
    Csv,
    /// A sound.
    Wav,
}

impl SignalFormat {
    /// The format that the name of `path` promises.
    ///
    /// # Errors
    /// A fault that lists the formats.
    pub fn of(path: &Path) -> Result<Self, Fault> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match extension.as_str() {
            "npy" => Ok(Self::Npy),
            "csv" => Ok(Self::Csv),
            "wav" => Ok(Self::Wav),
            _ => Err(fault(
                path.display(),
                "its name ends in none of .npy, .csv and .wav",
                "convert it, or name another",
            )),
        }
    }
}

/// The steps of one recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// `steps × channels`, step after step; every one is finite.
    pub values: Vec<f32>,
    /// The names of the channels; their numbers from 1 where the file has none.
    pub channels: Vec<String>,
    /// How the sound was stored; `None` of what is none.
    pub sound: Option<Sound>,
    /// How many missing values were filled.
    pub filled: usize,
}

impl Signal {
    /// Reads a file: the `wanted` channels, by name or number from 1, or all.
    ///
    /// # Errors
    /// A fault that names the file, and the line or place of a value that is wrong or missing.
    pub fn read(path: &Path, wanted: &[String], missing: Missing) -> Result<Self> {
        let mut signal = match SignalFormat::of(path)? {
            SignalFormat::Npy => Self::of_array(path, wanted, missing),
            SignalFormat::Csv => Self::of_table(path, wanted, missing),
            SignalFormat::Wav => Self::of_sound(path, wanted),
        }?;
        if signal.values.is_empty() {
            return Err(fault(path.display(), "there is no step in it", "write at least one").into());
        }
        signal.filled = fill(&mut signal.values, signal.channels.len(), missing);
        Ok(signal)
    }

    /// The number of steps.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.values.len() / self.channels.len().max(1)
    }

    fn of_array(path: &Path, wanted: &[String], missing: Missing) -> Result<Self> {
        let place = Place { path: path.into(), line: None };
        let ([_, channels], values) = matrix(array_of(path)?, &place, missing)?;
        let names = numbered(channels);
        let kept = chosen(&names, wanted, &place.to_string())?;
        let frames = values.chunks_exact(channels.max(1));
        let values = frames.flat_map(|frame| kept.iter().map(|&channel| frame[channel])).collect();
        Ok(Signal { values, channels: named(&names, &kept), sound: None, filled: 0 })
    }

    fn of_table(path: &Path, wanted: &[String], missing: Missing) -> Result<Self> {
        let mut rows = open_rows(path, false, &SeriesReading::default())?;
        let (mut header, mut columns) = (None, 0);
        if let Some(first) = rows.first().next() {
            let is_number = |cell: &String| !cell.is_empty() && !is_word(cell);
            columns = first.len();
            header = (!first.iter().any(is_number)).then(|| first.to_vec());
        }
        let names = match &header {
            Some(names) => names.clone(),
            None => numbered(columns),
        };
        let kept = chosen(&names, wanted, &path.display().to_string())?;
        let column = |at: usize| match &header {
            Some(names) => format!("column {} ({})", at + 1, names[at]),
            None => format!("column {}", at + 1),
        };
        if header.is_some() {
            rows.next()?;
        }
        let mut numbers = Numbers::new(missing, rows.commas());
        let mut values = Vec::new();
        let series = (0..names.len()).find(|at| header.is_some() && is_one_of(&names[*at], &SERIES_NAMES));
        let mut first: Option<String> = None;
        while let Some(row) = rows.next()? {
            rows.check(&row, columns)?;
            let place = rows.place(row.0);
            if let Some(at) = series.filter(|at| !kept.contains(at)) {
                let cell = &row.1[at];
                let first = first.get_or_insert_with(|| cell.clone());
                if first != cell {
                    let problem = format!("another series begins: {} is {cell:?} and was {first:?}", column(at));
                    return Err(fault(place, problem, "give the rows of one series as a file of their own").into());
                }
            }
            for &at in &kept {
                let value = numbers.value(&row.1[at], &place, || column(at)).map_err(|error| match wanted {
                    [] if is_word(&row.1[at]) => fault(
                        error.place,
                        error.problem,
                        format!("{}, or name the columns with --channels", error.remedy),
                    ),
                    _ => error,
                });
                values.push(value?);
            }
            check_memory(values.len() as u64, &place)?;
        }
        Ok(Signal { values, channels: named(&names, &kept), sound: None, filled: 0 })
    }

    fn of_sound(path: &Path, wanted: &[String]) -> Result<Self> {
        let columns = SeriesColumns { channels: wanted.to_vec(), ..SeriesColumns::default() };
        let reading = SeriesReading::of(SeriesTask::Forecast).within(columns);
        let mut sound = Wav::open(path, &reading)?;
        let values = sound.read(&mut Answers::new(&reading))?.map(|recording| recording.values).unwrap_or_default();
        Ok(Signal { values, channels: sound.channels(), sound: Some(sound.sound()), filled: 0 })
    }
}

/// Whether a cell is no number, and does not say that one is missing.
fn is_word(cell: &str) -> bool {
    Cell::of(cell) == Cell::Other && !is_decimal_comma(cell)
}

fn named(names: &[String], kept: &[usize]) -> Vec<String> {
    kept.iter().map(|&channel| names[channel].clone()).collect()
}

/// Writes an array `[columns]` or `[rows, columns]` into a new file in the format of its name: all of it, or nothing.
/// Gives how many values of a sound were cut to its range from -1 to 1.
///
/// A sound takes one column and the rate of `sound`. It has whole numbers of 16 bits, or of 24 where `sound` has more
/// than 16.
///
/// # Errors
/// A fault if the file cannot be written, or is a sound and there is no rate, or not one column.
pub fn write_signal(path: &Path, values: &[f32], shape: &[usize], sound: Option<Sound>) -> Result<usize> {
    let columns = shape.last().copied().unwrap_or(1).max(1);
    let mut cut = 0;
    let bytes = match SignalFormat::of(path)? {
        SignalFormat::Npy => npy(values, shape),
        SignalFormat::Csv => csv(values, columns),
        SignalFormat::Wav => {
            let Some(sound) = sound.filter(|_| columns == 1) else {
                let problem = "a sound has a rate, and one value a step";
                return Err(fault(path.display(), problem, "write .npy or .csv").into());
            };
            let (bytes, count) = wav(values, sound).map_err(|error| anyhow!(error))?;
            cut = count;
            bytes
        }
    };
    write_atomically(path, |file| Ok(file.write_all(&bytes)?))?;
    Ok(cut)
}

/// An array as `np.save` writes it.
fn npy(values: &[f32], shape: &[usize]) -> Vec<u8> {
    let lengths = match shape {
        [length] => format!("{length},"),
        shape => shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
    };
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({lengths}), }}");
    // Magic number, version and length take ten bytes, the line feed one; the data begin at a multiple of 64.
    header += &" ".repeat(63 - (10 + header.len()) % 64);
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

/// A row of so many values a line, each as short as it can be read back.
fn csv(values: &[f32], columns: usize) -> Vec<u8> {
    let mut text = String::new();
    for row in values.chunks(columns) {
        let cells: Vec<String> = row.iter().map(f32::to_string).collect();
        text += &cells.join(",");
        text.push('\n');
    }
    text.into_bytes()
}

/// A sound of one channel, and how many values were beyond its range.
fn wav(values: &[f32], sound: Sound) -> Result<(Vec<u8>, usize), hound::Error> {
    let bits = if sound.bits > 16 { 24 } else { 16 };
    let spec =
        WavSpec { channels: 1, sample_rate: sound.rate, bits_per_sample: bits, sample_format: SampleFormat::Int };
    let most = f64::from(1 << (bits - 1));
    let mut bytes = Vec::new();
    let mut writer = WavWriter::new(Cursor::new(&mut bytes), spec)?;
    let mut cut = 0;
    for &value in values {
        cut += usize::from(value.abs() > 1.0);
        writer.write_sample((f64::from(value) * most).round().clamp(-most, most - 1.0) as i32)?;
    }
    writer.finalize()?;
    Ok((bytes, cut))
}

#[cfg(test)]
mod tests;
