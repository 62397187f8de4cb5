//! Images made from images: with a self-test, or with another meaning of their outputs. For the desktop.

use std::vec::Vec;

use crate::error::Error;
use crate::image::Image;
use crate::image::encode::{AlignedBytes, Notes, Tensor, Values, encode, set_self_test};
use crate::image::header::{Answer, Description, Early, Layers};
use crate::kernels::AnyBackend;
use crate::layers::Layer;
use crate::layers::pooling::Pooling;
use crate::model::Model;

/// Puts the self-test's digest into the image of an integer model, computed with the scalar backend, which defines it. Leaves the image of
/// a float model as it is.
///
/// # Errors
/// Those of [`Image::open`].
pub fn certify(bytes: &mut AlignedBytes) -> Result<(), Error> {
    let digest = {
        let image = Image::open(bytes)?;
        let mut model = Model::new(&image);
        if !model.precision().is_integer() {
            return Ok(());
        }
        if let Some(scalar) = AnyBackend::by_name("scalar") {
            model = model.with_backend(scalar);
        }
        model.self_test_digest(&mut AlignedBytes::zeroed(model.state_bytes()))?
    };
    set_self_test(bytes, digest)
}

/// The same image with another meaning of its outputs and other thresholds of an early exit. The weights stay. An answer for each step is a chain without pooling, so
/// that only `last` can be taken out of it.
///
/// # Errors
/// [`Error::Shape`] when these do not fit the model.
pub fn with_answer(image: &Image<'_>, answer: Answer, early: &[Early]) -> Result<AlignedBytes, Error> {
    let mut description = Description { answer: answer.kind, ..image.description() };
    let mut tensors = tensors(image);
    let before = description.answer();
    if answer.each_step != before.each_step {
        let is_last = |layer: &Layer| matches!(layer, Layer::Pooling(Pooling::Last));
        let layers = description.layers;
        // Where `last` stands, or where it goes: behind the last cell.
        let place = if answer.each_step {
            let problem = "an answer at each step needs the last step and no other pooling";
            layers.iter().position(is_last).ok_or(Error::Shape { problem })?
        } else {
            layers.iter().rposition(Layer::is_cell).map_or(0, |last| last + 1)
        };
        let (head, tail) = layers.split_at(place);
        let pooling = (!answer.each_step).then_some(Layer::Pooling(Pooling::Last));
        let tail = &tail[usize::from(answer.each_step)..];
        description.layers = head.iter().copied().chain(pooling).chain(tail.iter().copied()).collect::<Layers>();
        for tensor in &mut tensors {
            if usize::from(tensor.layer) >= place && tensor.role.is_of_layer() {
                tensor.layer = if answer.each_step { tensor.layer - 1 } else { tensor.layer + 1 };
            }
        }
    }
    let notes = Notes { early: early.to_vec(), ..Notes::of(image) };
    let encoded = encode(&description, &notes, &tensors)?;
    drop(tensors);
    let mut bytes = AlignedBytes::new(&encoded);
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
