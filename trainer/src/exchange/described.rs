//! A description of a run's network, for the writers of other frameworks: the way back of what reads one.
//!
//! ```text
//! (x − offset)·factor, held to its range      normalization and bounds
//! network, its last layer in the labels' unit layers
//! y + factor·s                                 gain.output·(y / factor + s)
//! ```

use latch_interchange::{
    self as interchange, Described, Format, Gain, Input, Kind, Layer, Normalization, Samples, Source,
};

use super::{Answers, network, text};
use crate::error::Fault;
use crate::learning::sequences::Scale;
use crate::network::Network;
use crate::samples::{Channel, Scaling};
use crate::vocabulary::Vocabulary;

/// The description of a network. `unit` is that of its values, where they are in another one than their labels.
///
/// # Errors
/// A fault where unknown words share rows by their hash.
pub fn described(
    network: &Network<f32>,
    vocabulary: &Vocabulary,
    answers: &Answers,
    unit: Option<Scale>,
) -> Result<Described, Fault> {
    let mut layers = network::layers_of(network);
    if let Some(Scale { mean, deviation }) = unit {
        amplify(&mut layers, deviation, mean);
    }
    let mut model = Described {
        source: Source::of(Format::Onnx),
        input: match &vocabulary.scaling {
            Some(scaling) => Input::Samples(samples_of(scaling)),
            None => Input::Ids(text::described(vocabulary)?),
        },
        layers,
        skip: None,
        gain: Gain::default(),
        answer: text::stated(answers),
    };
    if let Some(scaling) = &vocabulary.scaling
        && let Some(skip) = scaling.skip
    {
        model.skip = Some(interchange::Skip { channel: skip.channel.into(), lag: skip.lag.into() });
        model.gain.output = scaling.skip_factor;
        amplify(&mut model.layers, 1.0 / f64::from(scaling.skip_factor), 0.0);
    }
    Ok(model)
}

/// What a file says of samples that are scaled so. Ranges that are those of integers alone hold no float.
fn samples_of(scaling: &Scaling) -> Samples {
    let channels = &scaling.channels;
    let one = |channel: &Channel| Normalization { mean: channel.offset, scale: 1.0 / channel.factor };
    let normalization: Vec<Normalization> = channels.iter().map(one).collect();
    let is_plain = normalization.iter().all(|one| *one == Normalization { mean: 0.0, scale: 1.0 });
    let bounds = if scaling.open { Vec::new() } else { channels.iter().map(|channel| channel.range).collect() };
    Samples {
        channels: channels.len(),
        normalization: if is_plain { Vec::new() } else { normalization },
        bounds,
        difference: scaling.lag.into(),
        ..Samples::default()
    }
}

/// Multiplies what the last layer gives, and adds to it.
fn amplify(layers: &mut [Layer], times: f64, plus: f64) {
    let Some(Kind::Dense(head)) = layers.last_mut().map(|layer| &mut layer.kind) else { return };
    if (times, plus) == (1.0, 0.0) {
        return;
    }
    head.kernel.values.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * times) as f32);
    head.bias.values.iter_mut().for_each(|bias| *bias = (f64::from(*bias) * times + plus) as f32);
}

#[cfg(test)]
mod tests {
    use latch_engine::input::samples::Skip;
    use latch_engine::input::text::Unknown;
    use latch_interchange::reference;

    use super::*;
    use crate::config::chain::{Activation, CellConfig, Chain, LayerConfig};
    use crate::dataset::Task;
    use crate::network::NetworkConfig;

    fn network(vocabulary: usize, embedding: usize) -> Network<f32> {
        let head = LayerConfig::Dense { units: None, activation: Activation::Linear, dropout: 0.0 };
        let layers = vec![LayerConfig::Lstm(CellConfig::of(3)), head];
        let config = NetworkConfig { vocabulary, outputs: 1, chain: Chain { embedding, word_dropout: 0.0, layers } };
        Network::new(&config, 3).expect("a network")
    }

    fn answers() -> Answers {
        Answers { task: Task::RegressEach, classes: Vec::new() }
    }

    #[test]
    fn values_are_in_the_unit_of_the_labels_and_embeddings_read_ids() {
        let words = ["a", "b", "c"].map(str::to_owned).to_vec();
        let (network, vocabulary) = (network(4, 2), Vocabulary::from_words(words, Unknown::LastRow));
        let of = |unit| described(&network, &vocabulary, &answers(), unit).expect("a description");
        let unit = Scale { mean: 20.0, deviation: 4.0 };
        let (plain, scaled) = (of(None), of(Some(unit)));
        let answers = |model: &Described| reference::of_ids(model, &[1, 3, 0]).answers;
        for (plain, scaled) in answers(&plain).into_iter().zip(answers(&scaled)) {
            assert!((plain * 4.0 + 20.0 - scaled).abs() < 1e-5, "{plain} {scaled}");
        }
    }

    #[test]
    fn samples_are_scaled_and_a_sample_goes_around_as_in_training() {
        let channel = |offset, factor| Channel { offset, factor, range: 0.8, unit: 1.0 };
        let scaling = Scaling {
            lag: 1,
            channels: vec![channel(0.5, 0.25), channel(-1.0, 2.0)],
            skip: Some(Skip { channel: 1, lag: 2 }),
            skip_factor: 0.5,
            open: false,
        };
        let (network, vocabulary) = (network(0, 2), Vocabulary::of_samples(scaling.clone()));
        let model = described(&network, &vocabulary, &answers(), None).expect("a description");
        let frames = [0.1, -0.4, 3.0, 0.2, -5.0, 0.9, 1.5, -2.0];
        let computed = reference::of_samples(&model, &frames);
        let scaled = scaling.scaled(&frames);
        let bare = Described {
            input: Input::Samples(Samples { channels: 2, ..Samples::default() }),
            skip: None,
            gain: Gain::default(),
            layers: network::layers_of(&network),
            ..model
        };
        let plain = reference::of_samples(&bare, &scaled);
        let skipped = [-0.4, -0.4, -0.4, 0.2];
        for ((found, plain), skipped) in computed.answers.iter().zip(&plain.answers).zip(skipped) {
            assert!((found - (plain + 0.5 * skipped)).abs() < 1e-6, "{found} {plain} {skipped}");
        }
        assert_eq!(computed.answers.len(), 4);
    }
}
