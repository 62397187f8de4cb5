//! What holds one chain together: sizes that fit from layer to layer, values that are finite, sizes that the caller can hold.

use super::{
    Activation, Bidirectional, Cell, Conv1d, Dense, Described, Gain, Input, Kind, Layer, LayerNorm, Matrix, MaxPool,
    Merge, Normalization, Padding, Recurrent, Samples, Skip, Vector,
};
use crate::Error;

/// The largest sizes that the caller can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows of the embedding.
    pub rows: usize,
    /// Features and units of a layer together.
    pub width: usize,
    /// Recurrent layers.
    pub layers: usize,
}

/// What to do with a network that is too large.
const SMALLER: &str = "train a smaller network";

/// What to do with tensors that do not belong together.
const ONE_NETWORK: &str = "save all tensors of one network";

type Checked = Result<(), Error>;

impl Limits {
    /// Refuses an embedding of more rows; `at` is its tensor.
    pub(crate) fn rows(&self, at: &dyn Fn() -> String, rows: usize) -> Checked {
        if rows <= self.rows {
            return Ok(());
        }
        Err(Error::new(at(), format!("it has {rows} rows, more than an image's {}", self.rows), SMALLER))
    }

    /// Refuses a layer of more features and units in all; `at` is its tensor.
    pub(crate) fn width(&self, at: &dyn Fn() -> String, inputs: usize, units: usize) -> Checked {
        if inputs.saturating_add(units) <= self.width {
            return Ok(());
        }
        let most = self.width;
        let problem = format!("{inputs} features and {units} units are together more than an image's {most}");
        Err(Error::new(at(), problem, SMALLER))
    }

    /// Refuses more recurrent layers; `at` is a tensor of the first one too many.
    pub(crate) fn layers(&self, at: &dyn Fn() -> String, layers: usize) -> Checked {
        if layers <= self.layers {
            return Ok(());
        }
        Err(Error::new(at(), format!("there are {layers} layers, more than an image's {}", self.layers), SMALLER))
    }
}

/// The place of a tensor of a layer.
fn at(place: &str, layer: &Layer, source: &str) -> String {
    let name = if source.is_empty() { &layer.name } else { source };
    let what = if source.is_empty() { "layer" } else { "tensor" };
    format!("{place}: {what} {}", name.escape_debug())
}

/// Refuses a matrix of another shape than the one that is declared.
fn is_matrix(at: &str, matrix: &Matrix, rows: usize, columns: usize) -> Checked {
    let Matrix { rows: found_rows, columns: found_columns, values, .. } = matrix;
    if (*found_rows, *found_columns) == (rows, columns) && Some(values.len()) == rows.checked_mul(columns) {
        return Ok(());
    }
    let problem = format!("its shape is [{found_rows}, {found_columns}], but [{rows}, {columns}] is declared");
    Err(Error::new(at, problem, ONE_NETWORK))
}

/// Refuses a vector of another length than the one that is declared.
fn is_vector(at: &str, vector: &Vector, length: usize) -> Checked {
    if vector.values.len() == length {
        return Ok(());
    }
    let problem = format!("its shape is [{}], but [{length}] is declared", vector.values.len());
    Err(Error::new(at, problem, ONE_NETWORK))
}

/// Refuses values that are not finite.
fn are_finite(at: &dyn Fn() -> String, values: &[f32]) -> Checked {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => {
            let problem = format!("value {index} is {} in f32", values[index]);
            Err(Error::new(at(), problem, "save weights of a training that has not diverged"))
        }
    }
}

impl Described {
    /// Checks that the layers make one chain that the caller can hold; `place` is the file.
    ///
    /// # Errors
    /// Names the place and the tensor: where a tensor has another shape than its layer and the layer below declare, or a value that is not finite; where
    /// layers cannot stand in this order; and where the model is beyond the limits.
    pub fn check(&self, place: &str, limits: &Limits) -> Checked {
        self.check_order(place)?;
        self.check_input(place)?;
        let of_kind = |layer: &&Layer| matches!(layer.kind, Kind::Recurrent(_) | Kind::Bidirectional(_));
        let recurrent = || self.layers.iter().filter(of_kind);
        if let Some(beyond) = recurrent().nth(limits.layers) {
            let source = beyond.kind.matrices().first().map_or("", |matrix| matrix.source.as_str());
            limits.layers(&|| at(place, beyond, source), recurrent().count())?;
        }
        for (layer, inputs) in self.fed() {
            check_sizes(place, layer, inputs, limits)?;
            for activation in activations(&layer.kind) {
                if let Some(number) = activation.numbers().into_iter().find(|number| !number.is_finite()) {
                    let problem = format!("a number of its {} is {number}", activation.name());
                    return Err(Error::new(at(place, layer, ""), problem, "save finite numbers"));
                }
            }
            for matrix in layer.kind.matrices() {
                are_finite(&|| at(place, layer, &matrix.source), &matrix.values)?;
            }
            for vector in layer.kind.vectors() {
                are_finite(&|| at(place, layer, &vector.source), &vector.values)?;
            }
        }
        self.check_skip(place)
    }

    /// Channels, what is said of each, and gains.
    fn check_input(&self, place: &str) -> Checked {
        let refuse =
            |what: &str, problem: String, remedy: &str| Err(Error::new(format!("{place}: {what}"), problem, remedy));
        let Gain { input, output } = self.gain;
        if let Some(gain) = [input, output].into_iter().find(|gain| !gain.is_finite() || *gain == 0.0) {
            return refuse("gain", format!("it is {gain}, which leaves no sound"), "correct it, or leave it out");
        }
        let Input::Samples(Samples { channels, names, normalization, bounds, rate, .. }) = &self.input else {
            return Ok(());
        };
        if *channels == 0 {
            return refuse("input", "it has no channel".into(), "name at least one");
        }
        let lengths =
            [("names of channels", names.len()), ("normalization", normalization.len()), ("bounds", bounds.len())];
        if let Some((what, length)) = lengths.into_iter().find(|(_, length)| *length != 0 && length != channels) {
            return refuse(what, format!("there are {length}, but {channels} channels"), "give one a channel");
        }
        let unusable = |one: &&Normalization| !one.mean.is_finite() || !one.scale.is_normal();
        if let Some(one) = normalization.iter().find(unusable) {
            let problem = format!("a mean of {} and a scale of {} normalize nothing", one.mean, one.scale);
            return refuse("normalization", problem, "correct it");
        }
        if let Some(bound) = bounds.iter().find(|bound| !bound.is_finite() || **bound <= 0.0) {
            return refuse("bounds", format!("one is {bound}"), "hold channels to positive numbers, or to none");
        }
        match rate.filter(|rate| !rate.is_finite() || *rate <= 0.0) {
            Some(rate) => refuse("sample rate", format!("it is {rate}"), "give frames a second"),
            None => Ok(()),
        }
    }

    /// What goes around the network.
    fn check_skip(&self, place: &str) -> Checked {
        let Some(Skip { channel, .. }) = self.skip else { return Ok(()) };
        let channels = match &self.input {
            Input::Ids(_) => 0,
            Input::Samples(samples) => samples.channels,
        };
        let outputs = self.outputs();
        let problem = if channel >= channels {
            format!("it adds channel {channel}, counted from 0, of {channels} to the answer")
        } else if outputs != 1 {
            format!("it adds one channel to {outputs} outputs")
        } else {
            return Ok(());
        };
        Err(Error::new(format!("{place}: skip"), problem, "leave it out"))
    }

    /// What stands where.
    fn check_order(&self, place: &str) -> Checked {
        let refuse =
            |layer: &Layer, problem: &str, remedy: &str| Err(Error::new(at(place, layer, ""), problem, remedy));
        let reads_ids = matches!(self.input, Input::Ids(_));
        if self.layers.is_empty() || (reads_ids && !matches!(self.layers[0].kind, Kind::Embedding(_))) {
            let missing = if self.layers.is_empty() { "it has no layer" } else { "it has no embedding, and reads ids" };
            return Err(Error::new(place, missing, "save the whole network"));
        }
        let mut pooled = false;
        for (number, layer) in self.layers.iter().enumerate() {
            let softmax = match &layer.kind {
                Kind::Embedding(_) if number > 0 || !reads_ids => {
                    return refuse(layer, "an embedding reads ids, which only the input gives", "put it first");
                }
                Kind::Pooling(_) if pooled => return refuse(layer, "the steps are pooled already", "leave one out"),
                Kind::Recurrent(_) | Kind::Conv1d(_) | Kind::Bidirectional(_) | Kind::MaxPool(_) | Kind::Masking(_)
                    if pooled =>
                {
                    return refuse(layer, "it reads steps, and stands behind the pooling", "put it before the pooling");
                }
                Kind::Pooling(_) => {
                    pooled = true;
                    false
                }
                Kind::Recurrent(recurrent) => has_softmax(recurrent),
                Kind::Bidirectional(layer) => {
                    pooled = !layer.each_step;
                    has_softmax(&layer.forward) || has_softmax(&layer.backward)
                }
                Kind::Conv1d(Conv1d { activation, .. }) => *activation == Activation::Softmax,
                Kind::Dense(Dense { activation, .. }) | Kind::Activation(activation) => {
                    *activation == Activation::Softmax && number + 1 < self.layers.len()
                }
                Kind::Embedding(_) | Kind::LayerNorm(_) | Kind::MaxPool(_) | Kind::Masking(_) => false,
            };
            if softmax {
                return refuse(layer, "only the last layer of a network can have a softmax", "use another activation");
            }
        }
        Ok(())
    }
}

fn has_softmax(layer: &Recurrent) -> bool {
    let all = [Some(layer.activation), Some(layer.gate_activation), layer.output_activation];
    all.contains(&Some(Activation::Softmax))
}

/// The sizes of a layer's tensors, held to what it declares and to the features of the layer below.
fn check_sizes(place: &str, layer: &Layer, inputs: usize, limits: &Limits) -> Checked {
    let source = layer.kind.matrices().first().map_or("", |matrix| matrix.source.as_str());
    let first = || at(place, layer, source);
    let (features, is_embedding) = (layer.kind.features(inputs), matches!(layer.kind, Kind::Embedding(_)));
    if features == 0 {
        return Err(Error::new(first(), "it has no unit", "give it at least one"));
    }
    let matrix = |matrix: &Matrix, rows, columns| is_matrix(&at(place, layer, &matrix.source), matrix, rows, columns);
    let vector = |vector: &Vector, length| is_vector(&at(place, layer, &vector.source), vector, length);
    match &layer.kind {
        Kind::Embedding(embedding) => {
            limits.rows(&first, embedding.table.rows)?;
            matrix(&embedding.table, embedding.table.rows.max(1), features)?;
        }
        Kind::Recurrent(recurrent) => {
            limits.width(&|| at(place, layer, &recurrent.recurrent_kernel.source), inputs, recurrent.units)?;
            check_recurrent(&first, recurrent, inputs, (&matrix, &vector))?;
        }
        Kind::Conv1d(conv1d) => {
            check_window(&first, conv1d.frames, conv1d.stride)?;
            if conv1d.padding == Padding::Same && conv1d.stride > 1 {
                let problem = "the place of its window depends on the length of the sequence";
                return Err(Error::new(first(), problem, "train it with the padding causal"));
            }
            limits.width(&first, inputs.saturating_mul(conv1d.frames), 0)?;
            matrix(&conv1d.kernel, features, inputs * conv1d.frames)?;
            vector(&conv1d.bias, features)?;
        }
        Kind::Dense(dense) => {
            matrix(&dense.kernel, features, inputs)?;
            vector(&dense.bias, features)?;
        }
        Kind::Bidirectional(both) => {
            let Bidirectional { forward, backward, merge, .. } = &**both;
            for direction in [forward, backward] {
                let recurrent = || at(place, layer, &direction.recurrent_kernel.source);
                limits.width(&recurrent, inputs, direction.units)?;
                check_recurrent(&recurrent, direction, inputs, (&matrix, &vector))?;
            }
            check_directions(&first, forward, backward, *merge)?;
        }
        Kind::LayerNorm(LayerNorm { scale, shift, epsilon }) => {
            vector(scale, features)?;
            vector(shift, features)?;
            if !(epsilon.is_finite() && *epsilon >= 0.0) {
                return Err(Error::new(first(), format!("its epsilon is {epsilon}"), "correct it"));
            }
        }
        Kind::MaxPool(MaxPool { frames, stride }) => {
            check_window(&first, *frames, *stride)?;
            limits.width(&first, inputs.saturating_mul(*frames), 0)?;
        }
        Kind::Masking(value) if !value.is_finite() => {
            return Err(Error::new(first(), format!("its value is {value}"), "mask with a finite value"));
        }
        Kind::Pooling(_) | Kind::Masking(_) | Kind::Activation(_) => {}
    }
    limits.width(&first, 0, if is_embedding { 0 } else { features })
}

/// Windows of at least one step.
fn check_window(first: &dyn Fn() -> String, frames: usize, stride: usize) -> Checked {
    if frames == 0 || stride == 0 {
        return Err(Error::new(first(), "its window or its stride has no step", "give each at least one"));
    }
    Ok(())
}

/// Two directions that are one layer.
fn check_directions(first: &dyn Fn() -> String, forward: &Recurrent, backward: &Recurrent, merge: Merge) -> Checked {
    let problem = if forward.backwards || !backward.backwards {
        "its directions are not one forward and one back".to_owned()
    } else if merge != Merge::Concat && forward.features() != backward.features() {
        format!(
            "its directions have {} and {} features, which only concat merges",
            forward.features(),
            backward.features()
        )
    } else {
        return Ok(());
    };
    Err(Error::new(first(), problem, ONE_NETWORK))
}

/// How a matrix and how a vector is held to its shape.
type Shapes<'a> = (&'a dyn Fn(&Matrix, usize, usize) -> Checked, &'a dyn Fn(&Vector, usize) -> Checked);

/// The tensors of a recurrent layer that reads so many features.
fn check_recurrent(
    first: &dyn Fn() -> String,
    recurrent: &Recurrent,
    inputs: usize,
    (matrix, vector): Shapes<'_>,
) -> Checked {
    let Recurrent { cell, units, kernel, recurrent_kernel, bias, recurrent_bias, .. } = recurrent;
    let rows = cell.gates() * units;
    matrix(kernel, rows, inputs)?;
    let hidden = recurrent.features();
    matrix(recurrent_kernel, rows, hidden)?;
    if let Some(projection) = &recurrent.projection {
        matrix(projection, hidden, *units)?;
    }
    vector(bias, rows)?;
    if let Some(bias) = recurrent_bias {
        vector(bias, rows)?;
    }
    if recurrent_bias.is_some() != (*cell == Cell::Gru { reset_after: true }) {
        let problem = "a bias of the product with U belongs to a GRU whose reset acts after it, and to no other";
        return Err(Error::new(first(), problem, ONE_NETWORK));
    }
    let initial = [(&recurrent.initial_hidden, hidden), (&recurrent.initial_cell, *units)];
    for (initial, length) in initial {
        initial.iter().try_for_each(|initial| vector(initial, length))?;
    }
    if recurrent.initial_cell.is_some() && *cell != Cell::Lstm {
        return Err(Error::new(first(), "only an LSTM has a cell to begin with", ONE_NETWORK));
    }
    check_variants(first, recurrent, vector)
}

/// What only some recurrent layers have.
fn check_variants(
    first: &dyn Fn() -> String,
    recurrent: &Recurrent,
    vector: &dyn Fn(&Vector, usize) -> Checked,
) -> Checked {
    let Recurrent { cell, units, peepholes, coupled, backwards, aligned, .. } = recurrent;
    let Recurrent { clip, cell_clip, projection_clip, .. } = recurrent;
    if let Some(peepholes) = peepholes {
        vector(peepholes, 3 * units)?;
    }
    let is_lstm = *cell == Cell::Lstm;
    let of_lstm = [
        (peepholes.is_some(), "peepholes"),
        (*coupled, "coupled gates"),
        (recurrent.projection.is_some(), "a projection"),
        (recurrent.output_activation.is_some(), "an activation of its cell"),
        (cell_clip.is_some(), "a cell that is clipped"),
        (projection_clip.is_some(), "a projection that is clipped"),
    ];
    if let Some((_, what)) = of_lstm.into_iter().find(|(has, _)| *has && !is_lstm) {
        return Err(Error::new(first(), format!("only an LSTM has {what}"), ONE_NETWORK));
    }
    let clips = [clip, cell_clip, projection_clip].into_iter().flatten();
    if let Some(clip) = clips.into_iter().find(|clip| !clip.is_finite() || **clip <= 0.0) {
        return Err(Error::new(first(), format!("its clip is {clip}"), "clip at a positive number, or not at all"));
    }
    if *aligned && !backwards {
        return Err(Error::new(first(), "its outputs are brought back, and it reads forward", ONE_NETWORK));
    }
    Ok(())
}

/// What the sums of a layer go through.
fn activations(kind: &Kind) -> Vec<Activation> {
    let of = |layer: &Recurrent| {
        let usual = [layer.activation, layer.gate_activation];
        usual.into_iter().chain(layer.output_activation).collect::<Vec<_>>()
    };
    match kind {
        Kind::Recurrent(layer) => of(layer),
        Kind::Bidirectional(both) => [of(&both.forward), of(&both.backward)].concat(),
        Kind::Conv1d(layer) => vec![layer.activation],
        Kind::Dense(layer) => vec![layer.activation],
        Kind::Activation(activation) => vec![*activation],
        Kind::Embedding(_) | Kind::Pooling(_) | Kind::LayerNorm(_) | Kind::MaxPool(_) | Kind::Masking(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
