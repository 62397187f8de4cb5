//! Images whose streams begin behind a prefix: the image reads it once, here, and keeps its own state.

use anyhow::Result;
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::kernels::AnyBackend;
use latch_engine::{Model, with_start};

use crate::config::warm_up::WarmUp;
use crate::error::fault;
use crate::evaluate::{image_fault, state_for};
use crate::network::Network;
use crate::samples::{Frames, Scaling};
use crate::vocabulary::Vocabulary;

/// The image whose streams begin behind a prefix, by the engine itself; floats by the reference kernels, so that it is the same on any machine.
///
/// # Errors
/// A fault when the model does not read such a prefix, when no word of a text is one of the vocabulary, or when the prefix ends between two answers of a convolution.
pub fn warm(bytes: &AlignedBytes, warm_up: &WarmUp, vocabulary: &Vocabulary) -> Result<AlignedBytes> {
    let image = Image::open(bytes)?;
    check(image.description().layers.iter().all(|layer| layer.unanswered() == 0))?;
    let model = Model::new(&image);
    let model = match AnyBackend::by_name("scalar") {
        Some(scalar) => model.with_backend(scalar),
        None => model,
    };
    let mut state = state_for(&model);
    let mut session = model.session_in(&mut state)?;
    match (warm_up, &vocabulary.scaling) {
        (WarmUp::Frames(frames), Some(scaling)) => {
            let rest = rest(scaling);
            for _ in 0..*frames {
                session.push_samples_f32(&rest)?;
            }
        }
        (WarmUp::Text(text), None) => {
            session.push_bytes(text.as_bytes());
            session.finish();
        }
        _ => return Err(misfit()),
    }
    if session.tokens() == 0 {
        let problem = "the network reads none of its words";
        return Err(fault("--warm-up", problem, "take words of the vocabulary: `latch tokens` shows them").into());
    }
    with_start(&image, &session).map_err(|error| image_fault("--warm-up", error).into())
}

/// Refuses a prefix of a model whose first answer comes later than its first step: the network would have to know how much of a window is full.
fn check(answers_at_once: bool) -> Result<()> {
    if answers_at_once {
        return Ok(());
    }
    let problem = "a valid convolution, and a largest value over steps, begins with its first full window";
    Err(fault("--warm-up", problem, "leave the warm-up out, or take a causal convolution").into())
}

/// The error of frames for a model of text, or of a text for one of samples: a run's configuration is not its network's.
fn misfit() -> anyhow::Error {
    let problem = "a number of frames is for a model of samples, and a text for a model of text";
    fault("--warm-up", problem, "give what the model reads, or none").into()
}

/// A frame in which every channel is at the value that the network reads as zero.
fn rest(scaling: &Scaling) -> Vec<f32> {
    scaling.channels.iter().map(|channel| channel.offset).collect()
}

/// The network that begins behind the prefix.
///
/// # Errors
/// A fault when the model does not read such a prefix, when its first answer comes later than its first step, and those of [`Network::warmed`].
pub(super) fn warmed(network: &Network<f32>, warm_up: &WarmUp, vocabulary: &Vocabulary) -> Result<Network<f32>> {
    check(network.config().chain.rhythm().first == 0)?;
    let (frames, channels) = match (warm_up, &vocabulary.scaling) {
        (WarmUp::Text(text), None) => return Ok(network.warmed(&vocabulary.ids(text))?),
        (WarmUp::Frames(frames), Some(scaling)) => (*frames, scaling.channels.len()),
        _ => return Err(misfit()),
    };
    let mut reading = network.clone();
    reading.embedding.read(&Frames { values: vec![0.0; frames * channels].into(), channels });
    let mut warmed = reading.warmed(&(0..frames as u32).collect::<Vec<_>>())?;
    warmed.embedding.clone_from(&network.embedding);
    Ok(warmed)
}
