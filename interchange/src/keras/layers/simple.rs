//! Embedding, dense, convolution, pooling, activations, masking, layer normalization.

use serde_json::Value;

use super::{Builder, ONE_NETWORK, Steps};
use crate::Error;
use crate::described::{
    Activation, Conv1d, Dense, Embedding, Kind, LayerNorm, Matrix, MaxPool, Padding, Pooling, Vector,
};
use crate::keras::entry::Entry;

impl Builder<'_> {
    /// The layer that makes ids of texts.
    pub(super) fn texts(&mut self, entry: &Entry) -> Result<(), Error> {
        if !self.layers.is_empty() || self.text.is_some() {
            return Err(entry.refuse("", "it makes ids of texts, and does not stand first", "put it first"));
        }
        self.text = Some(entry.clone());
        // Ids, a step each.
        (self.steps, self.features) = (Steps::Each(None), None);
        Ok(())
    }

    pub(super) fn embedding(&mut self, entry: &Entry, owner: &Entry) -> Result<(), Error> {
        if !self.layers.is_empty() || self.channels.is_some() {
            return Err(entry.refuse("", "an embedding reads ids, which only the input gives", "put it first"));
        }
        let (rows, columns) = (entry.size("input_dim")?, entry.size("output_dim")?);
        let tensors = self.exactly(owner, 1)?;
        self.expect(&tensors[0], &[rows, columns])?;
        let values = self.weights.h5.values(&tensors[0])?;
        let table = Matrix { source: tensors[0].name.clone(), rows, columns, values };
        // A vector of ids has a step each.
        let steps = match (self.steps, self.text.is_some()) {
            (Steps::One, false) => self.features,
            _ => None,
        };
        self.steps = Steps::Each(steps);
        let mask_zero = entry.flag("mask_zero", false)?;
        self.push(&entry.name, Kind::Embedding(Embedding { table, mask_zero }), columns);
        Ok(())
    }

    pub(super) fn dense(&mut self, entry: &Entry, owner: &Entry) -> Result<(), Error> {
        let units = entry.size("units")?;
        let use_bias = entry.flag("use_bias", true)?;
        let tensors = self.exactly(owner, 1 + usize::from(use_bias))?;
        let inputs = self.inputs(&tensors[0], 0);
        let mut kernel = self.kernel(&tensors[0], inputs, units)?;
        let mut bias = self.bias(tensors.get(1), units)?;
        if let Some(affine) = self.pending.take() {
            affine.of.fold(&mut kernel, &mut bias);
        }
        let activation = entry.activation("activation", Activation::Linear)?;
        self.push(&entry.name, Kind::Dense(Dense { kernel, bias, activation }), units);
        Ok(())
    }

    pub(super) fn conv1d(&mut self, entry: &Entry, owner: &Entry) -> Result<(), Error> {
        let steps = self.steps_of(entry)?;
        let (units, frames) = (entry.size("filters")?, entry.size("kernel_size")?);
        let stride = entry.size_or("strides", Some(1))?.unwrap_or(1);
        entry.only("dilation_rate", &Value::from(1), "train without gaps in the window")?;
        entry.only("groups", &Value::from(1), "train without groups")?;
        entry.only("data_format", &Value::from("channels_last"), "train with channels_last")?;
        let padding = match entry.text("padding") {
            Some("causal") => Padding::Causal,
            Some("same") => Padding::Same,
            Some("valid") | None => Padding::Valid,
            Some(other) => {
                return Err(entry.refuse("padding", format!("it is {other:?}"), "use valid, same or causal"));
            }
        };
        let use_bias = entry.flag("use_bias", true)?;
        let tensors = self.exactly(owner, 1 + usize::from(use_bias))?;
        // Keras 1 has an axis of one behind that of the frames.
        let inputs = self.inputs(&tensors[0], tensors[0].shape.len().saturating_sub(2));
        if tensors[0].shape != [frames, 1, inputs, units] {
            self.expect(&tensors[0], &[frames, inputs, units])?;
        }
        let values = self.weights.h5.turned(&tensors[0], units)?;
        let (source, columns) = (tensors[0].name.clone(), frames * inputs);
        let mut kernel = Matrix { source, rows: units, columns, values };
        let mut bias = self.bias(tensors.get(1), units)?;
        if let Some(affine) = self.pending.take() {
            if padding != Padding::Valid {
                return Err(
                    affine.refuse("the convolution behind it reads zeros beyond the sequence, which it would change")
                );
            }
            affine.of.fold(&mut kernel, &mut bias);
        }
        let activation = entry.activation("activation", Activation::Linear)?;
        let left = match padding {
            Padding::Valid => steps.map(|steps| (steps + 1).saturating_sub(frames).div_ceil(stride)),
            Padding::Causal | Padding::Same => steps.map(|steps| steps.div_ceil(stride)),
        };
        self.steps = Steps::Each(left);
        self.push(&entry.name, Kind::Conv1d(Conv1d { frames, stride, padding, activation, kernel, bias }), units);
        Ok(())
    }

    pub(super) fn max_pooling(&mut self, entry: &Entry) -> Result<(), Error> {
        let steps = self.steps_of(entry)?;
        let frames = entry.size_or("pool_size", Some(2))?.unwrap_or(2);
        let stride = entry.size_or("strides", Some(frames))?.unwrap_or(frames);
        entry.only("padding", &Value::from("valid"), "train with the padding valid")?;
        entry.only("data_format", &Value::from("channels_last"), "train with channels_last")?;
        self.grows(entry)?;
        let features = self.sized(entry)?;
        self.steps = Steps::Each(steps.map(|steps| (steps + 1).saturating_sub(frames).div_ceil(stride)));
        self.push(&entry.name, Kind::MaxPool(MaxPool { frames, stride }), features);
        Ok(())
    }

    /// All steps to one vector.
    pub(super) fn pool(&mut self, entry: &Entry, pooling: Pooling) -> Result<(), Error> {
        self.steps_of(entry)?;
        entry.only("keepdims", &Value::Bool(false), "train without keepdims")?;
        entry.only("data_format", &Value::from("channels_last"), "train with channels_last")?;
        if pooling == Pooling::Max {
            self.grows(entry)?;
        }
        let features = self.sized(entry)?;
        self.steps = Steps::One;
        self.push(&entry.name, Kind::Pooling(pooling), features);
        Ok(())
    }

    /// A largest value stays one through a scale that is not negative.
    fn grows(&self, entry: &Entry) -> Result<(), Error> {
        if self.pending.as_ref().is_some_and(|affine| !affine.of.grows()) {
            let reason = format!("a scale of it is negative, and {} behind it takes the largest values", entry.name);
            return self.nothing_pending(&reason);
        }
        Ok(())
    }

    /// The features of the layer below, which must be known here.
    pub(super) fn sized(&mut self, entry: &Entry) -> Result<usize, Error> {
        let Some(features) = self.features else {
            return Err(entry.refuse(
                "",
                "nothing says how many features it reads",
                "give the model an Input of a shape",
            ));
        };
        self.known(features);
        Ok(features)
    }

    pub(super) fn activation(&mut self, entry: &Entry, activation: Activation) -> Result<(), Error> {
        if activation == Activation::Linear {
            return Ok(());
        }
        self.nothing_pending("an activation stands behind it")?;
        let features = self.sized(entry)?;
        match self.layers.last_mut().map(|layer| &mut layer.kind) {
            Some(Kind::Dense(Dense { activation: below, .. }) | Kind::Conv1d(Conv1d { activation: below, .. }))
                if *below == Activation::Linear =>
            {
                *below = activation;
            }
            _ => self.push(&entry.name, Kind::Activation(activation), features),
        }
        Ok(())
    }

    pub(super) fn masking(&mut self, entry: &Entry) -> Result<(), Error> {
        self.steps_of(entry)?;
        self.nothing_pending("a mask stands behind it")?;
        let features = self.sized(entry)?;
        let value = entry.number("mask_value", 0.0)? as f32;
        self.push(&entry.name, Kind::Masking(value), features);
        Ok(())
    }

    pub(super) fn layer_normalization(&mut self, entry: &Entry, owner: &Entry) -> Result<(), Error> {
        self.nothing_pending("a layer normalization stands behind it")?;
        entry.only("rms_scaling", &Value::Bool(false), "train without rms_scaling")?;
        self.last_axis(entry, owner)?;
        let flags = [entry.flag("scale", true)?, entry.flag("center", true)?];
        let tensors = self.exactly(owner, flags.iter().filter(|flag| **flag).count())?;
        let features = match tensors.first() {
            Some(first) => self.inputs(first, 0),
            None => self.sized(entry)?,
        };
        let mut tensors = tensors.iter();
        let plain = |value| Vector { source: String::new(), values: vec![value; features] };
        let mut next = |flag: bool, value: f32| match tensors.next().filter(|_| flag) {
            Some(tensor) => self.vector(tensor, features),
            None => Ok(plain(value)),
        };
        let scale = if flags[0] { next(true, 1.0)? } else { plain(1.0) };
        let shift = if flags[1] { next(true, 0.0)? } else { plain(0.0) };
        let epsilon = entry.number("epsilon", 1e-3)? as f32;
        self.push(&entry.name, Kind::LayerNorm(LayerNorm { scale, shift, epsilon }), features);
        Ok(())
    }

    /// Refuses a normalization along another axis than the last.
    pub(super) fn last_axis(&self, entry: &Entry, owner: &Entry) -> Result<(), Error> {
        // Within a TimeDistributed the steps are none of the axes.
        let last = if self.steps == Steps::One || owner.class == "TimeDistributed" { 1.0 } else { 2.0 };
        match entry.numbers("axis")?.as_deref() {
            None | Some([]) => Ok(()),
            Some(&[axis]) if axis == -1.0 || axis == last => Ok(()),
            Some(axes) => Err(entry.refuse("axis", format!("it is {axes:?}, and not the features"), ONE_NETWORK)),
        }
    }
}
