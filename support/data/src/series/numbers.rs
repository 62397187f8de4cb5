//! What a network answers as a table of numbers, for scripts.
//!
//! | path | written |
//! | --- | --- |
//! | `.npy` | the shape that is given, `<f4` |
//! | `.csv` | a row for each of the first index, no header |
//! | `.wav` | one channel, in the rate of the sound that was read |

use std::io::Cursor;
use std::path::Path;

use anyhow::{Result, anyhow};
use hound::{SampleFormat, WavSpec, WavWriter};

use super::wav::Sound;
use crate::error::{Fault, fault};
use crate::files::write_atomically;

/// The format of a file by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumbersFormat {
    /// An array of NumPy.
    Npy,
    /// A table.
    Csv,
    /// A sound.
    Wav,
}

impl NumbersFormat {
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
            _ => Err(fault(path.display(), "its name ends in none of .npy, .csv and .wav", "name a file that does")),
        }
    }
}

/// Writes an array `[columns]` or `[rows, columns]` into a new file in the format of its name: all of it, or nothing.
/// Gives how many values of a sound were cut to its range from -1 to 1.
///
/// A sound takes one column and the rate of `sound`. It has whole numbers of 16 bits, or of 24 where `sound` has more
/// than 16.
///
/// # Errors
/// A fault if the file cannot be written, or is a sound and there is no rate, or not one column.
pub fn write_numbers(path: &Path, values: &[f32], shape: &[usize], sound: Option<Sound>) -> Result<usize> {
    let columns = shape.last().copied().unwrap_or(1).max(1);
    let mut cut = 0;
    let bytes = match NumbersFormat::of(path)? {
        NumbersFormat::Npy => npy(values, shape),
        NumbersFormat::Csv => csv(values, columns),
        NumbersFormat::Wav => {
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
