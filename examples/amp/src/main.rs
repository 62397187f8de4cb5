//! Plays a sound through the image of an amplifier or a pedal: WAV in, WAV out, in blocks of any size, as an audio driver would ask for them.
//!
//! The loop in [`play`] is what a product keeps. Everything else reads and writes files.

mod sound;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::{Model, Session};

use sound::Sound;

const USAGE: &str = "latch-amp MODEL.latch IN.wav OUT.wav [--block SAMPLES] [--knob VALUE]...";

/// What the command line says.
struct Asked {
    image: String,
    from: String,
    to: String,
    /// Samples of a block.
    block: usize,
    /// What the channels beside the sound have, in their order: knobs, which stand still.
    knobs: Vec<f32>,
}

impl Asked {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut files, mut block, mut knobs) = (Vec::new(), 64, Vec::new());
        while let Some(word) = words.next() {
            match word.as_str() {
                "--block" => {
                    let size = words.next().and_then(|size| size.parse().ok()).filter(|size| *size > 0);
                    block = size.ok_or("--block takes a whole number from 1")?;
                }
                "--knob" => {
                    let value =
                        words.next().and_then(|value| value.parse().ok()).filter(|value: &f32| value.is_finite());
                    knobs.push(value.ok_or("--knob takes a number")?);
                }
                option if option.starts_with("--") => return Err(format!("{option} is no option: {USAGE}")),
                _ => files.push(word),
            }
        }
        let [image, from, to] = <[String; 3]>::try_from(files).map_err(|_| USAGE.to_owned())?;
        Ok(Asked { image, from, to, block, knobs })
    }
}

/// Plays one block: `input` through the session into `output`, which is as long. `frames` is memory for a block's frames.
///
/// Nothing here depends on where a block ends: blocks of any sizes give the same bits.
fn play(
    session: &mut Session<'_, '_, '_>,
    knobs: &[f32],
    input: &[f32],
    output: &mut [f32],
    frames: &mut Vec<f32>,
) -> Result<(), latch_engine::Error> {
    frames.clear();
    for &sample in input {
        frames.push(sample);
        frames.extend_from_slice(knobs);
    }
    let mut out = output.iter_mut();
    session.push_samples_f32_each(frames, |view| {
        if let Some(out) = out.next() {
            *out = view.output().to_f32();
        }
    })
}

fn run(asked: &Asked) -> Result<String, Box<dyn Error>> {
    let bytes = std::fs::read(&asked.image).map_err(|error| format!("{}: {error}", asked.image))?;
    let bytes = AlignedBytes::new(&bytes);
    let image = Image::open(&bytes).map_err(|error| format!("{}: {error}", asked.image))?;
    let model = Model::new(&image);
    let (channels, answer) = (usize::from(model.channels()), model.answer());
    if channels == 0 || model.outputs() != 1 || !answer.each_step {
        return Err(format!("{}: it does not answer each sample with one: import an audio model", asked.image).into());
    }
    if asked.knobs.len() + 1 != channels {
        let (needed, given) = (channels - 1, asked.knobs.len());
        return Err(
            format!("{}: it has {needed} knobs, and {given} are given: say --knob for each", asked.image).into()
        );
    }
    let sound = Sound::read(&asked.from)?;
    let mut state = AlignedBytes::zeroed(model.state_bytes());
    let mut session = model.session_in(&mut state)?;
    let mut played = vec![0.0; sound.samples.len()];
    let mut frames = Vec::with_capacity(asked.block * channels);
    let begin = Instant::now();
    for (input, output) in sound.samples.chunks(asked.block).zip(played.chunks_mut(asked.block)) {
        play(&mut session, &asked.knobs, input, output, &mut frames)?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let samples = played.len().max(1);
    Sound { samples: played, ..sound }.write(&asked.to)?;
    let each = seconds * 1e9 / samples as f64;
    Ok(format!(
        "{samples} samples in blocks of {}, {each:.0} ns each with {} kernels",
        asked.block,
        model.backend().name()
    ))
}

fn main() -> ExitCode {
    let said = Asked::read(std::env::args().skip(1)).map_err(Into::into).and_then(|asked| run(&asked));
    match said {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("latch-amp: {error}");
            ExitCode::from(2)
        }
    }
}
