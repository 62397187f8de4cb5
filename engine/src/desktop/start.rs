//! The writers of start states: from an image to the same model whose streams begin warm, and from initial states of recurrent layers as they were learned to the tensor of
//! an image. For the desktop.

use std::vec::Vec;

use super::certify::{certify, tensors};
use crate::error::Error;
use crate::image::Description;
use crate::image::Image;
use crate::image::encode::{AlignedBytes, Notes, Tensor, Values, encode};
use crate::image::role::Role;
use crate::image::start::Start;
use crate::layers::Layer;
use crate::numbers::Precision;
use crate::session::Session;

/// The same model whose streams begin where `session` is: in the states of its layers and its history of samples. Pooling, n-grams and the tokenizer begin with
/// nothing. A start state that the image has already is replaced; the steps of its prefix count on.
///
/// # Errors
/// [`Error::StateOfAnotherModel`] where the session is not of this image; [`Error::Shape`] where the session has read more than 2^24 steps;
/// [`Error::Layer`] where a convolution with a stride does not answer at the next step: the prefix must be a multiple of all strides.
pub fn with_start(image: &Image<'_>, session: &Session<'_, '_, '_>) -> Result<AlignedBytes, Error> {
    let model = session.model();
    if model.crc != image.crc() {
        return Err(Error::StateOfAnotherModel { expected: image.crc(), found: model.crc });
    }
    let mut description = image.description();
    let steps = model.layout.start.begin().saturating_add(session.tokens());
    description.start = Start::behind(steps);
    let bytes = description.start_section().map_or(0, |section| section.bytes());
    let state: Vec<u8> = session.state().iter().skip(crate::state::Layout::HEADER).take(bytes).copied().collect();
    let mut tensors = tensors(image);
    tensors.retain(|tensor| tensor.role != Role::Start);
    tensors.push(Tensor { role: Role::Start, layer: 0, values: Values::Bytes(state) });
    let mut bytes = AlignedBytes::new(&encode(&description, &Notes::of(image), &tensors)?);
    certify(&mut bytes)?; // opens the image, which checks it
    Ok(bytes)
}

/// The initial state of a recurrent layer: a number for each of its units, of h0 for each feature of a projection.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Initial<'a> {
    /// The layer, from 0, in the order of the chain.
    pub layer: usize,
    /// Hidden state h0.
    pub hidden: &'a [f32],
    /// Cell state c0, of an LSTM; else empty.
    pub cell: &'a [f32],
}

/// The tensor of the start state that consists of initial states of recurrent layers; all others begin with zeros. The description must have a start, with a prefix of 0 steps.
/// Integers round h0 to Q0.15 and c0 to Q12.19, and saturate them.
///
/// # Errors
/// [`Error::Layer`] where an initial state belongs to no recurrent layer, or does not have a number for each unit; [`Error::Shape`] where the description has no start.
pub fn initial_states(description: &Description, states: &[Initial<'_>]) -> Result<Tensor, Error> {
    let problem = "the description has no start state";
    let section = description.start_section().ok_or(Error::Shape { problem })?;
    let steps = description.steps(!description.pooling().is_last());
    let (history, kept) = description.front(steps);
    if let Some(state) = states.iter().find(|state| !description.layers.get(state.layer).is_some_and(Layer::is_cell)) {
        let problem = "it is no recurrent layer and has no initial state";
        return Err(Error::Layer { layer: state.layer as u8, problem });
    }
    let mut bytes = std::vec![0; section.bytes()];
    let (mut begin, mut features) = (history + kept, description.width());
    for (place, layer) in description.layers.iter().take(steps).enumerate() {
        if let Some(state) = states.iter().find(|state| state.layer == place) {
            let units = usize::from(layer.outputs(features));
            let cells = match layer {
                Layer::Lstm(_) => units,
                Layer::Variant(layer, _) => layer.cells(),
                _ => 0,
            };
            if state.hidden.len() != units || state.cell.len() != cells {
                let problem = "an initial state is not a number for each of its units";
                return Err(Error::Layer { layer: place as u8, problem });
            }
            let (before, _) = layer.state(description.precision, features);
            bytes[begin..][..4 * state.cell.len()].copy_from_slice(&sums(description.precision, state.cell));
            let hidden = values(description.precision, state.hidden);
            bytes[begin + before..][..hidden.len()].copy_from_slice(&hidden);
        }
        begin += layer.state_bytes(description.precision, features);
        features = layer.outputs(features);
    }
    Ok(Tensor { role: Role::Start, layer: 0, values: Values::Bytes(bytes) })
}

/// Cell states as they lie in a state: Q12.19, or f32.
fn sums(precision: Precision, cells: &[f32]) -> Vec<u8> {
    // The conversion saturates.
    let fixed = |value: f32| (f64::from(value) * f64::from(1 << 19)).round() as i32;
    let bits = |value: f32| if precision.is_integer() { fixed(value) as u32 } else { value.to_bits() };
    cells.iter().flat_map(|&value| bits(value).to_le_bytes()).collect()
}

/// Hidden states as they lie in a state: Q0.15, or f32.
fn values(precision: Precision, hidden: &[f32]) -> Vec<u8> {
    if !precision.is_integer() {
        return hidden.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect();
    }
    hidden.iter().flat_map(|&value| ((value * 32_768.0).round() as i16).to_le_bytes()).collect()
}
