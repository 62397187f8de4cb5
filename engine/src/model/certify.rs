//! Images made from images: with a self-test, or with another meaning of their outputs. For the desktop.

use std::vec::Vec;

use super::{Model, Weights};
use crate::error::Error;
use crate::image::Image;
use crate::image::encode::{AlignedBytes, Notes, Tensor, Values, encode, set_self_test};
use crate::image::header::{AnswerKind, Description, Early};
use crate::kernels::AnyBackend;

/// Puts the self-test's digest into the image of an integer model, computed with the scalar backend, which defines it. Leaves the image of
/// a float model as it is.
///
/// # Errors
/// Those of [`Image::open`].
pub fn certify(bytes: &mut AlignedBytes) -> Result<(), Error> {
    let digest = {
        let image = Image::open(bytes)?;
        let mut model = Model::new(&image);
        if !matches!(model.weights, Weights::Int8(_)) {
            return Ok(());
        }
        if let Some(scalar) = AnyBackend::by_name("scalar") {
            model = model.with_backend(scalar);
        }
        model.self_test_digest(&mut AlignedBytes::zeroed(model.state_bytes()))?
    };
    set_self_test(bytes, digest)
}

/// The same image with another meaning of its outputs and other thresholds of an early exit. The weights and the self-test stay.
///
/// # Errors
/// [`Error::Shape`] when these do not fit the model.
pub fn with_answer(image: &Image<'_>, answer: AnswerKind, early: &[Early]) -> Result<AlignedBytes, Error> {
    let description = Description { answer, ..image.description() };
    let notes = Notes { early: early.to_vec(), ..Notes::of(image) };
    let mut bytes = AlignedBytes::new(&encode(&description, &notes, &tensors(image))?);
    certify(&mut bytes)?; // opens the image, which checks it
    Ok(bytes)
}

/// All tensors of an image.
pub(super) fn tensors(image: &Image<'_>) -> Vec<Tensor> {
    image
        .sections()
        .map(|section| Tensor {
            role: section.role,
            layer: section.layer,
            values: Values::Bytes(image.section_bytes(&section).to_vec()),
        })
        .collect()
}
