//! What a model's outputs mean, and when a verdict is certain before the stream ends.
//!
//! A threshold says from how many tokens on a logit of which magnitude is certain. Whoever reads a stream may stop there; whoever reads on
//! gets the same bits as without thresholds.

use super::{Logit, Model, Session};
use crate::image::manifest::{Answer, AnswerKind, Early};

#[cfg(feature = "std")]
use crate::image::Image;
#[cfg(feature = "std")]
use crate::image::encode::{AlignedBytes, Tensor, Values, encode};
#[cfg(feature = "std")]
use crate::image::error::Error;
#[cfg(feature = "std")]
use crate::image::manifest::{Extended, Manifest};

impl Model<'_> {
    /// What the outputs mean.
    pub fn answer(&self) -> Answer {
        self.answer
    }

    /// The thresholds of an early answer, by rising tokens and falling logits; empty where the image has none.
    pub fn early(&self) -> &[Early] {
        &self.early
    }
}

impl Session<'_, '_, '_> {
    /// The verdict, as soon as it is certain: where the logit's magnitude is at least the threshold for so many tokens. `None` before that, and
    /// always of a model without thresholds. The stream stays as it is; a later token may take the certainty back.
    pub fn early(&self) -> Option<bool> {
        let tokens = self.tokens();
        let step = self.model().early.iter().rev().find(|step| step.tokens <= tokens)?;
        let logit = self.output();
        (logit.magnitude() >= step.logit).then(|| logit.is_positive())
    }

    /// True when [`Session::early`] has a verdict.
    pub fn is_certain(&self) -> bool {
        self.early().is_some()
    }
}

impl Logit {
    /// Its magnitude in Q15.16, rounded towards zero. (With the feature `extended`.)
    pub fn magnitude(self) -> u32 {
        match self {
            Logit::Fixed(value) => value.unsigned_abs(),
            #[cfg(feature = "float")]
            Logit::Float(value) => (value.abs() * 65_536.0) as u32,
            #[cfg(not(feature = "float"))]
            Logit::Float(_) => 0,
        }
    }
}

/// The same image with another meaning of its outputs and other thresholds of an early answer. The weights and the self-test stay. For the
/// desktop.
///
/// # Errors
/// [`Error::Shape`] when these do not fit the model.
#[cfg(feature = "std")]
pub fn with_answer(image: &Image<'_>, answer: Answer, early: &[Early]) -> Result<AlignedBytes, Error> {
    let manifest = image.manifest();
    let early = heapless::Vec::from_slice(early)
        .map_err(|_| Error::Shape { problem: "too many thresholds of an early answer" })?;
    let manifest = Manifest { extended: Extended { answer, early, ..manifest.extended.clone() }, ..manifest };
    let tensors: std::vec::Vec<Tensor> = image
        .sections()
        .map(|section| Tensor {
            role: section.role,
            layer: section.layer,
            values: Values::Bytes(image.section_bytes(&section).to_vec()),
        })
        .collect();
    let mut bytes = AlignedBytes::new(&encode(&manifest, &image.provenance(), &tensors)?);
    super::certify(&mut bytes)?; // opens the image, which checks it
    Ok(bytes)
}

impl AnswerKind {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            AnswerKind::Classes => "classes",
            AnswerKind::Values => "values",
        }
    }
}
