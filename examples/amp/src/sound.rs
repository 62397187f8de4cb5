//! Sounds of one channel in WAV files.

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

/// A sound of one channel.
pub struct Sound {
    /// Samples a second.
    pub rate: u32,
    /// Its samples; those of integers are between -1 and 1.
    pub samples: Vec<f32>,
}

impl Sound {
    /// Reads a file of integers of up to 32 bits, or of floats.
    ///
    /// # Errors
    /// Words that name the file.
    pub fn read(path: &str) -> Result<Self, String> {
        let named = |error: hound::Error| format!("{path}: {error}");
        let mut reader = WavReader::open(path).map_err(named)?;
        let WavSpec { channels, sample_rate, bits_per_sample, sample_format } = reader.spec();
        if channels != 1 {
            return Err(format!("{path}: it has {channels} channels: save one of them"));
        }
        let samples: Result<Vec<f32>, hound::Error> = match sample_format {
            SampleFormat::Float => reader.samples::<f32>().collect(),
            SampleFormat::Int => {
                let full = 2_f32.powi(i32::from(bits_per_sample) - 1);
                reader.samples::<i32>().map(|sample| sample.map(|sample| sample as f32 / full)).collect()
            }
        };
        Ok(Sound { rate: sample_rate, samples: samples.map_err(named)? })
    }

    /// Writes a file of floats, beside the place first, so that no half of it remains.
    ///
    /// # Errors
    /// Words that name the file.
    pub fn write(&self, path: &str) -> Result<(), String> {
        let named = |error: hound::Error| format!("{path}: {error}");
        let beside = format!("{path}.part");
        let (channels, bits_per_sample, sample_format) = (1, 32, SampleFormat::Float);
        let spec = WavSpec { channels, sample_rate: self.rate, bits_per_sample, sample_format };
        let mut writer = WavWriter::create(&beside, spec).map_err(named)?;
        self.samples.iter().try_for_each(|&sample| writer.write_sample(sample)).map_err(named)?;
        writer.finalize().map_err(named)?;
        std::fs::rename(&beside, path).map_err(|error| format!("{path}: {error}"))
    }
}
