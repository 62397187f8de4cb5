//! Where two boards first say something else about the same texts.

use std::fmt;

use super::batch::Transcript;
use super::{Answer, Token};

/// The first difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The text, from 0; the number of texts where one has answered more of them.
    pub text: usize,
    /// The token in it, from 0; the number of tokens where one has read more of them, or where only the verdict differs.
    pub token: usize,
    /// The first part of the model that gave something else.
    pub stage: Stage,
}

/// A part of the model, in the order of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The token's bytes, or whether there is one: tokenizer or vocabulary.
    Tokenizer,
    /// The state of a layer. Of layer 0 what it reads may be at fault as well: the word's number, or its row of the embedding.
    Layer(usize),
    /// The logit: pooling or head. Without a trace this says only that something differs.
    Head,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Tokenizer => write!(formatter, "tokenizer or vocabulary"),
            Stage::Layer(0) => write!(formatter, "embedding or layer 0"),
            Stage::Layer(layer) => write!(formatter, "layer {layer}"),
            Stage::Head => write!(formatter, "pooling or head"),
        }
    }
}

/// The first difference in bits between two answers to the same texts; `None` where there is none. Ticks are not compared.
pub fn first(expected: &Transcript, found: &Transcript) -> Option<Difference> {
    let texts = expected.answers.iter().zip(&found.answers).enumerate();
    let in_text = texts.filter_map(|(text, (expected, found))| {
        in_answer(expected, found).map(|(token, stage)| Difference { text, token, stage })
    });
    let texts = expected.answers.len().min(found.answers.len());
    let one_is_longer = expected.answers.len() != found.answers.len() || expected.summary != found.summary;
    { in_text }.next().or(one_is_longer.then_some(Difference { text: texts, token: 0, stage: Stage::Head }))
}

fn in_answer(expected: &Answer, found: &Answer) -> Option<(usize, Stage)> {
    let tokens = expected.tokens.iter().zip(&found.tokens);
    if let Some(found) = { tokens }.enumerate().find_map(|(at, (a, b))| in_token(a, b).map(|stage| (at, stage))) {
        return Some(found);
    }
    let tokens = expected.tokens.len().min(found.tokens.len());
    if expected.tokens.len() != found.tokens.len() {
        return Some((tokens, Stage::Tokenizer));
    }
    (expected.verdict != found.verdict).then_some((tokens, Stage::Head))
}

fn in_token(expected: &Token, found: &Token) -> Option<Stage> {
    // The bytes, then layer after layer: see `Item::Trace`.
    match expected.trace.iter().zip(&found.trace).position(|(a, b)| a != b) {
        Some(0) => Some(Stage::Tokenizer),
        Some(at) => Some(Stage::Layer(at - 1)),
        None => (expected.logit.to_bits() != found.logit.to_bits()).then_some(Stage::Head),
    }
}

/// The largest difference between two logits of the same token, relative to 1 + the logit; infinite where tokens, classes or texts
/// differ. For floats, which need not have the same bits.
pub fn largest(expected: &Transcript, found: &Transcript) -> f32 {
    let is_alike = |(a, b): (&Answer, &Answer)| a.tokens.len() == b.tokens.len() && a.verdict.class == b.verdict.class;
    let mut answers = expected.answers.iter().zip(&found.answers);
    if expected.answers.len() != found.answers.len() || !answers.all(is_alike) {
        return f32::INFINITY;
    }
    let tokens = |transcript: &Transcript| {
        let answers = transcript.answers.iter();
        answers.flat_map(|answer| answer.tokens.iter().map(|token| token.logit.to_f32())).collect::<Vec<_>>()
    };
    let (expected, found) = (tokens(expected), tokens(found));
    let differences = expected.iter().zip(found).map(|(a, b)| (a - b).abs() / (1.0 + a.abs()));
    differences.fold(0.0, |largest, each| if each <= largest { largest } else { each })
}
