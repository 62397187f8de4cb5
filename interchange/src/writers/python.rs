//! Lines of Python, as a writer of weights gives them beside its file.

use super::{is_pooled, samples, scaling, stride};
use crate::described::{Described, Skip};

/// Numbers as Python reads them.
pub(super) fn list(values: &[f32]) -> String {
    let numbers: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("[{}]", numbers.join(", "))
}

/// A name of Python out of any name: letters, digits and `_`.
pub(super) fn identifier(name: &str) -> String {
    let of = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let name: String = name.chars().map(of).collect();
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) { name } else { format!("layer_{name}") }
}

/// How the samples are brought to the network, a line each; `frames` and `x` are names, and `axis` calls a function along an axis: `[batch, time, channels]`.
pub(super) struct Words {
    /// The numbers of each channel as a tensor: `{}` stands for the list.
    pub(super) tensor: &'static str,
    /// Puts frames one behind the other along the time: `{}` stands for the two.
    pub(super) joined: &'static str,
    /// Holds each channel of x to a number on both sides: `{}` stands for the list.
    pub(super) held: &'static str,
}

/// The frames of so many steps ago; before the first ones stands the first.
fn delayed(lag: usize, words: &Words) -> String {
    let firsts = vec!["frames[:, :1]"; lag].join(", ");
    format!("{}[:, :-{lag}]", words.joined.replace("{}", &format!("[{firsts}, frames]")))
}

/// The lines that scale `frames` into `x`.
pub(super) fn scaled(model: &Described, words: &Words) -> Vec<String> {
    let mut lines = vec!["x = frames".to_owned()];
    let Some(samples) = samples(model) else { return lines };
    let tensor = |values: &[f32]| words.tensor.replace("{}", &list(values));
    if samples.difference > 0 {
        lines.push(format!("x = x - {}", delayed(samples.difference, words)));
    }
    if let Some((means, factors)) = scaling(model) {
        lines.push(format!("x = (x - {}) * {}", tensor(&means), tensor(&factors)));
    }
    if !samples.bounds.is_empty() {
        lines.push(words.held.replace("{}", &list(&samples.bounds)));
    }
    lines
}

/// The lines for what goes around the network, behind its answer `x`.
pub(super) fn around(model: &Described, words: &Words) -> Vec<String> {
    let mut lines = Vec::new();
    let (pooled, stride) = (is_pooled(model), stride(model));
    if let Some(Skip { channel, lag }) = model.skip {
        let steps = if pooled {
            "-1".to_owned()
        } else if stride > 1 {
            format!("::{stride}")
        } else {
            ":".to_owned()
        };
        let gain = if channel == 0 { model.gain.input } else { 1.0 };
        let frames = if lag > 0 { delayed(lag, words) } else { "frames".to_owned() };
        lines.push(format!("x = x + {gain:?} * {frames}[:, {steps}, {channel}:{}]", channel + 1));
    }
    if model.gain.output != 1.0 {
        lines.push(format!("x = {:?} * x", model.gain.output));
    }
    lines
}
