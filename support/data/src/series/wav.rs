//! Sound in WAV files: whole numbers of 8 to 32 bits, or floats.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::Path;

use anyhow::Result;
use hound::{SampleFormat, WavReader};

use super::source::{Answers, Recording, Source};
use super::values::{LARGEST, check_memory, chosen, numbered};
use super::{SeriesReading, Target};
use crate::dataset::Place;
use crate::error::{Fault, fault, open_file, reading};

/// The highest rate of a sound that is read.
const MOST_HZ: u32 = 1_000_000;

/// How a sound is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sound {
    /// Samples of a channel a second.
    pub rate: u32,
    /// Bits of a sample.
    pub bits: u16,
}

/// A file, which is one recording. Whole numbers become values from -1 to 1: a count of 16 bits is 1/32768.
pub(super) struct Wav {
    recording: Option<Recording>,
    channels: Vec<String>,
    rate: u32,
}

/// How the sound of a file is stored; `None` of a file whose name does not end in `.wav`.
///
/// # Errors
/// A fault that names the file if it is no sound that can be read.
pub fn sound_of(path: &Path) -> Result<Option<Sound>> {
    if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wav")) {
        return Ok(None);
    }
    let spec = opened(path)?.spec();
    Ok(Some(Sound { rate: spec.sample_rate, bits: spec.bits_per_sample }))
}

/// A sound whose rate is one that is read.
fn opened(path: &Path) -> Result<WavReader<BufReader<File>>> {
    let sound = WavReader::new(BufReader::new(open_file(path)?)).map_err(|error| refused(path, error))?;
    let rate = sound.spec().sample_rate;
    if rate == 0 || rate > MOST_HZ {
        let remedy = format!("convert it to a rate from 1 to {MOST_HZ} Hz");
        return Err(fault(path.display(), format!("its rate is {rate} Hz"), remedy).into());
    }
    Ok(sound)
}

impl Wav {
    pub(super) fn open(path: &Path, asked: &SeriesReading) -> Result<Self> {
        let refuse = |error: hound::Error| refused(path, error);
        let place = Place { path: path.into(), line: None };
        if asked.task.labels().is_some() {
            let problem = "a sound has no label";
            let remedy = "put the files into a folder for each class, and name the folder above them";
            return Err(fault(place, problem, remedy).into());
        }
        let mut sound = opened(path)?;
        let spec = sound.spec();
        let names = numbered(usize::from(spec.channels));
        let kept = chosen(&names, &asked.columns.channels, &place.to_string())?;
        check_memory(u64::from(sound.len()), &place)?;
        let values: Vec<f32> = match spec.sample_format {
            SampleFormat::Float => sound.samples::<f32>().collect::<Result<_, _>>().map_err(refuse)?,
            SampleFormat::Int => {
                let unit = (-f32::from(spec.bits_per_sample - 1)).exp2();
                let whole = sound.samples::<i32>().map(|sample| sample.map(|sample| sample as f32 * unit));
                whole.collect::<Result<_, _>>().map_err(refuse)?
            }
        };
        if values.is_empty() {
            return Err(fault(place, "the sound has no sample", "remove the file").into());
        }
        if let Some(at) = values.iter().position(|value| value.is_nan() || value.abs() > LARGEST) {
            let (step, channel) = (at / names.len() + 1, at % names.len() + 1);
            let what = if values[at].is_finite() { "too large" } else { "not finite" };
            let problem = format!("the value of channel {channel}, step {step} is {what}");
            return Err(fault(place, problem, "record or convert it again").into());
        }
        let frames = values.chunks_exact(names.len());
        let values = frames.flat_map(|frame| kept.iter().map(|&channel| frame[channel])).collect();
        let channels = kept.iter().map(|&channel| names[channel].clone()).collect();
        let recording = Recording { id: None, values, target: Target::None, place };
        Ok(Self { recording: Some(recording), channels, rate: spec.sample_rate })
    }
}

/// What is wrong with a file that is no sound, or a broken one.
fn refused(path: &Path, error: hound::Error) -> anyhow::Error {
    let refuse = |problem: String| -> Fault {
        fault(
            path.display(),
            problem,
            "write it as WAV with whole numbers of 16 bits, such as ffmpeg -i IN -c:a pcm_s16le OUT.wav",
        )
    };
    match error {
        // Other is what the reader says of a file that is cut off.
        hound::Error::IoError(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::Other) => {
            refuse("the file ends before its samples do".to_owned()).into()
        }
        hound::Error::IoError(error) => reading(path, error),
        error => refuse(format!("it is no WAV file that can be read ({error})")).into(),
    }
}

impl Source for Wav {
    fn read(&mut self, _: &mut Answers) -> Result<Option<Recording>> {
        Ok(self.recording.take())
    }

    fn channels(&self) -> Vec<String> {
        self.channels.clone()
    }

    fn rate(&self) -> Option<u32> {
        Some(self.rate)
    }

    fn layout(&self) -> Vec<String> {
        vec![format!("{} Hz", self.rate)]
    }
}
