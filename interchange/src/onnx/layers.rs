//! Layers of a description from a chain of operators: what stands behind a product goes into its dense layer, and weights are read.

use super::chain::{Both, Direction, Gates, Link, Op};
use super::node::{Context, EXPORT_AGAIN};
use super::tensor::Const;
use super::value::Flow;
use crate::Error;
use crate::affine::Affine;
use crate::described::{
    Activation, Answer, Bidirectional, Cell, Conv1d, Dense, Described, Embedding, Gain, Input, Kind, Layer, LayerNorm,
    Matrix, Merge, Normalization, Padding, Pooling, Recurrent, Samples, Source, Task, Text, Vector,
};

/// A chain while it is built.
struct Builder<'a> {
    context: &'a Context<'a>,
    layers: Vec<Layer>,
    /// Features of the last layer; none until something says those of the input.
    features: Option<usize>,
    channels: Option<usize>,
    /// Features that the input declares.
    declared: Option<usize>,
    normalization: Vec<Normalization>,
    /// What scaled samples are held to from below, until the same from above makes bounds of both.
    least: Option<Vec<f64>>,
    bounds: Vec<f32>,
    /// A scale and a shift that a layer above may take in, and the name of its node.
    pending: Option<(String, Affine)>,
    is_pooled: bool,
}

/// The description of what a flow has gone through.
pub(crate) fn described(flow: &Flow, source: Source, context: &Context<'_>) -> Result<Described, Error> {
    let declared = flow.root.axes.last().and_then(|axis| axis.size);
    let links = Link::upwards(flow.chain.as_ref());
    let is_ids = links.first().is_some_and(|link| matches!(link.op, Op::Embedding(_)));
    let mut builder = Builder {
        context,
        layers: Vec::new(),
        features: None,
        channels: None,
        declared: declared.filter(|_| !is_ids),
        normalization: Vec::new(),
        least: None,
        bounds: Vec::new(),
        pending: None,
        is_pooled: false,
    };
    for link in links {
        builder.add(link)?;
    }
    if builder.least.is_some() {
        let problem = "its samples are held to numbers from below alone";
        return Err(Error::new(context.place, problem, "hold them from above too, or leave it out"));
    }
    builder.flush()?;
    let task = builder.task(flow.is_stepped);
    let input = if is_ids {
        Input::Ids(Text::default())
    } else {
        let Some(channels) = builder.channels.or(declared) else {
            let at = format!("{}: input {}", context.place, flow.root.name.escape_debug());
            return Err(Error::new(at, "nothing says how many features it has", "declare its shape"));
        };
        let Builder { normalization, bounds, .. } = builder;
        Input::Samples(Samples { channels, normalization, bounds, ..Samples::default() })
    };
    let (gain, answer) = (Gain::default(), Answer { task, classes: None });
    Ok(Described { source, input, layers: builder.layers, skip: None, gain, answer })
}

impl Builder<'_> {
    fn add(&mut self, link: &Link) -> Result<(), Error> {
        let name = link.name.as_str();
        match &link.op {
            Op::Embedding(table) => {
                let table = self.matrix(table)?;
                self.push(name, Kind::Embedding(Embedding { table, mask_zero: false }));
            }
            Op::Product(kernel) => {
                let mut kernel = self.matrix(kernel)?;
                self.reads(&kernel)?;
                let mut bias = Vector { source: String::new(), values: vec![0.0; kernel.rows] };
                self.fold(&mut kernel, &mut bias);
                self.push(name, Kind::Dense(Dense { kernel, bias, activation: Activation::Linear }));
            }
            Op::Affine(affine, source) => self.affine(name, affine, source)?,
            Op::Held { values, is_most } => self.hold(name, values, *is_most)?,
            Op::Activation(activation) => self.activation(name, *activation)?,
            Op::Recurrent { both, direction, is_aligned } => {
                let mut layer = self.recurrent(both, *direction)?;
                layer.aligned = layer.backwards && *is_aligned;
                self.push(name, Kind::Recurrent(layer));
            }
            Op::Directions { directions: [forward, backward], merge, each_step } => {
                self.directions(name, (forward, backward), *merge, *each_step)?;
            }
            Op::Last => self.pool(name, Pooling::Last)?,
            Op::Pooling(pooling) => self.pool(name, *pooling)?,
            Op::Conv { kernel, stride, padding } => self.conv(name, kernel, *stride, *padding)?,
            Op::MaxPool(pool) => {
                self.flush_unless_it_grows()?;
                self.push(name, Kind::MaxPool(*pool));
            }
            Op::LayerNorm { scale, shift, epsilon, features } => {
                if self.features.is_none()
                    && let Some(features) = features
                {
                    self.known(*features);
                }
                self.flush()?;
                self.layer_norm(name, (scale.as_ref(), shift.as_ref()), *epsilon)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, name: &str, kind: Kind) {
        self.features = self.features.map_or_else(
            || match &kind {
                Kind::Pooling(_) | Kind::LayerNorm(_) | Kind::MaxPool(_) | Kind::Masking(_) | Kind::Activation(_) => {
                    None
                }
                _ => Some(kind.features(0)),
            },
            |inputs| Some(kind.features(inputs)),
        );
        self.layers.push(Layer { name: name.to_owned(), kind });
    }

    /// The features that a kernel reads, over frames of its window.
    fn known(&mut self, features: usize) {
        if self.layers.is_empty() {
            self.channels.get_or_insert(features);
        }
        self.features = Some(features);
    }

    /// Refuses a kernel that reads other features than there are.
    fn reads(&mut self, kernel: &Matrix) -> Result<(), Error> {
        match self.features {
            Some(features) if features != kernel.columns => {
                let at = format!("{}: tensor {}", self.context.place, kernel.source.escape_debug());
                let problem = format!("it reads {} features, but {features} are declared below it", kernel.columns);
                Err(Error::new(at, problem, EXPORT_AGAIN))
            }
            _ => {
                self.known(kernel.columns);
                Ok(())
            }
        }
    }

    fn values(&self, tensor: &Const) -> Result<Vec<f32>, Error> {
        tensor.values(self.context.place, self.context.budget)
    }

    /// A matrix of a tensor of two axes.
    fn matrix(&self, tensor: &Const) -> Result<Matrix, Error> {
        let dims = tensor.dims();
        let &[rows, columns] = dims.as_slice() else {
            let at = format!("{}: tensor {}", self.context.place, tensor.name().escape_debug());
            return Err(Error::new(at, format!("its shape is {dims:?}, and two axes are read"), EXPORT_AGAIN));
        };
        Ok(Matrix { source: tensor.name().to_owned(), rows, columns, values: self.values(tensor)? })
    }

    /// Puts a scale and a shift into the layer below, or keeps them for the layer above.
    fn affine(&mut self, name: &str, affine: &Affine, source: &str) -> Result<(), Error> {
        let affine = self.sized(name, affine)?;
        if let Some((below, pending)) = self.pending.take() {
            let both = if pending.scale.len() < affine.scale.len() {
                stretched(&pending, affine.scale.len())
            } else {
                pending
            };
            self.pending = Some((below, both.then(&stretched(&affine, both.scale.len()))));
            return Ok(());
        }
        match self.layers.last_mut().map(|layer| &mut layer.kind) {
            Some(
                Kind::Dense(Dense { kernel, bias, activation: Activation::Linear })
                | Kind::Conv1d(Conv1d { kernel, bias, activation: Activation::Linear, .. }),
            ) => {
                affine.fold_back(kernel, bias);
                if bias.source.is_empty() {
                    source.clone_into(&mut bias.source);
                }
            }
            Some(Kind::Embedding(Embedding { table, .. })) => affine.fold_table(table),
            Some(Kind::LayerNorm(LayerNorm { scale, shift, .. })) => {
                let each = scale.values.iter_mut().zip(&mut shift.values).zip(affine.scale.iter().zip(&affine.shift));
                each.for_each(|((scale, shift), (times, plus))| {
                    *scale = (f64::from(*scale) * times) as f32;
                    *shift = (f64::from(*shift) * times + plus) as f32;
                });
            }
            _ => self.pending = Some((name.to_owned(), affine)),
        }
        Ok(())
    }

    /// One number stands for every feature.
    fn sized(&mut self, name: &str, affine: &Affine) -> Result<Affine, Error> {
        let (at, length) = (format!("{}: node {}", self.context.place, name.escape_debug()), affine.scale.len());
        if let Some(features) = self.features.filter(|features| length > 1 && *features != length) {
            let problem = format!("it has {length} numbers, but {features} features are declared below it");
            return Err(Error::new(at, problem, EXPORT_AGAIN));
        }
        if length > 1 {
            self.known(length);
        }
        let features = self.features.unwrap_or(length);
        self.context.budget.take(&at, features.saturating_mul(4 * size_of::<f64>()))?;
        Ok(stretched(affine, features))
    }

    /// Scaled samples held to `[-bound, bound]`: first from below, then from above.
    fn hold(&mut self, name: &str, values: &[f64], is_most: bool) -> Result<(), Error> {
        let at = || format!("{}: node {}", self.context.place, name.escape_debug());
        let refuse = |problem: &str| {
            let remedy = "hold samples to a number and to its negative, before the first layer, or leave it out";
            Err(Error::new(at(), problem, remedy))
        };
        if !self.layers.is_empty() || !self.bounds.is_empty() {
            return refuse("it holds what is no scaled sample to numbers");
        }
        if !is_most {
            if self.least.is_some() {
                return refuse("it holds samples from below twice");
            }
            // Of one channel no constant says how many there are.
            if let (None, Some(declared)) = (self.features, self.declared) {
                self.known(declared);
            }
            self.normalize();
            if self.pending.is_some() {
                return refuse("it holds samples whose scaling is none");
            }
            self.least = Some(values.to_vec());
            return Ok(());
        }
        if self.pending.is_some() {
            return refuse("it holds samples that were scaled between both");
        }
        let Some(least) = self.least.take() else { return refuse("it holds samples from above alone") };
        let features = self.features.unwrap_or(1).max(values.len()).max(least.len());
        let each = |values: &[f64], place: usize| values.get(place).or(values.first()).copied().unwrap_or(f64::NAN);
        if (0..features).any(|place| each(&least, place) != -each(values, place)) {
            return refuse("it holds samples to other numbers from above than from below");
        }
        self.context.budget.take(&at(), features.saturating_mul(size_of::<f32>()))?;
        self.known(features);
        self.bounds = (0..features).map(|place| each(values, place) as f32).collect();
        Ok(())
    }

    /// Puts what waits into the kernel above; of the input, into the scaling of samples.
    fn fold(&mut self, kernel: &mut Matrix, bias: &mut Vector) {
        if self.normalize() {
            return;
        }
        if let Some((_, affine)) = self.pending.take() {
            affine.fold(kernel, bias);
        }
    }

    /// Makes what waits before the first layer the scaling of the samples, where it can be: (x - mean) / scale.
    fn normalize(&mut self) -> bool {
        let is_first = self.layers.is_empty() && self.bounds.is_empty() && self.least.is_none();
        let Some((_, affine)) = self.pending.as_ref().filter(|_| is_first) else { return false };
        let affine = stretched(affine, self.features.unwrap_or(affine.scale.len()));
        let one =
            |(scale, shift): (&f64, &f64)| Normalization { mean: (-shift / scale) as f32, scale: (1.0 / scale) as f32 };
        let all: Vec<Normalization> = affine.scale.iter().zip(&affine.shift).map(one).collect();
        let usable = all.iter().all(|one| one.mean.is_finite() && one.scale.is_normal()) && self.features.is_some();
        if usable {
            (self.normalization, self.pending) = (all, None);
        }
        usable
    }

    /// Makes what waits, and no layer takes in, a dense layer with a diagonal kernel.
    fn flush(&mut self) -> Result<(), Error> {
        if self.normalize() {
            return Ok(());
        }
        let Some((name, affine)) = self.pending.take() else { return Ok(()) };
        let features = affine.scale.len();
        let at = format!("{}: node {}", self.context.place, name.escape_debug());
        self.context.budget.take(&at, features.saturating_mul(features).saturating_mul(size_of::<f32>()))?;
        let mut values = vec![0.0; features * features];
        values.iter_mut().step_by(features + 1).zip(&affine.scale).for_each(|(value, scale)| *value = *scale as f32);
        let kernel = Matrix { source: String::new(), rows: features, columns: features, values };
        let bias = Vector { source: String::new(), values: affine.shift.iter().map(|shift| *shift as f32).collect() };
        self.known(features);
        self.push(&name, Kind::Dense(Dense { kernel, bias, activation: Activation::Linear }));
        Ok(())
    }

    /// A largest value stays one through a scale that is not negative.
    fn flush_unless_it_grows(&mut self) -> Result<(), Error> {
        if self.pending.as_ref().is_some_and(|(_, affine)| !affine.grows()) { self.flush() } else { Ok(()) }
    }

    fn pool(&mut self, name: &str, pooling: Pooling) -> Result<(), Error> {
        if pooling == Pooling::Max {
            self.flush_unless_it_grows()?;
        }
        self.is_pooled = true;
        self.push(name, Kind::Pooling(pooling));
        Ok(())
    }

    fn activation(&mut self, name: &str, activation: Activation) -> Result<(), Error> {
        self.flush()?;
        match self.layers.last_mut().map(|layer| &mut layer.kind) {
            Some(Kind::Dense(Dense { activation: below, .. }) | Kind::Conv1d(Conv1d { activation: below, .. }))
                if *below == Activation::Linear =>
            {
                *below = activation;
            }
            _ => self.push(name, Kind::Activation(activation)),
        }
        Ok(())
    }

    fn conv(&mut self, name: &str, kernel: &Const, stride: usize, padding: Padding) -> Result<(), Error> {
        let dims = kernel.dims();
        let &[units, inputs, frames] = dims.as_slice() else {
            return Err(Error::new(self.context.place, format!("a window has the shape {dims:?}"), EXPORT_AGAIN));
        };
        // The oldest frame first, its features side by side.
        let values = kernel.transposed(&[0, 2, 1]).map(|kernel| self.values(&kernel)).transpose()?;
        let source = kernel.name().to_owned();
        let columns = frames.saturating_mul(inputs);
        let mut kernel = Matrix { source, rows: units, columns, values: values.unwrap_or_default() };
        let mut bias = Vector { source: String::new(), values: vec![0.0; units] };
        if self.features.is_none() {
            self.known(inputs);
        }
        if padding == Padding::Valid {
            self.fold(&mut kernel, &mut bias);
        } else {
            self.flush()?;
        }
        let activation = Activation::Linear;
        self.push(name, Kind::Conv1d(Conv1d { frames, stride, padding, activation, kernel, bias }));
        Ok(())
    }

    fn layer_norm(
        &mut self,
        name: &str,
        (scale, shift): (Option<&Const>, Option<&Const>),
        epsilon: f32,
    ) -> Result<(), Error> {
        let Some(length) = scale.or(shift).map(Const::len).or(self.features) else {
            let at = format!("{}: node {}", self.context.place, name.escape_debug());
            return Err(Error::new(
                at,
                "nothing says how many features it normalizes",
                "declare the shape of its input",
            ));
        };
        let of = |tensor: Option<&Const>, plain: f32| match tensor {
            Some(tensor) => Ok(Vector { source: tensor.name().to_owned(), values: self.values(tensor)? }),
            None => Ok::<_, Error>(Vector { source: String::new(), values: vec![plain; length] }),
        };
        let (scale, shift) = (of(scale, 1.0)?, of(shift, 0.0)?);
        self.known(length);
        self.push(name, Kind::LayerNorm(LayerNorm { scale, shift, epsilon }));
        Ok(())
    }

    fn directions(
        &mut self,
        name: &str,
        (forward, backward): (&Direction, &Direction),
        merge: Merge,
        each_step: bool,
    ) -> Result<(), Error> {
        let (waiting, normalized) = (self.pending.clone(), self.normalization.len());
        let forward = self.recurrent(&forward.0, forward.1)?;
        // What has not become the scaling of the samples goes into both.
        if self.normalization.len() == normalized {
            self.pending = waiting;
        }
        let backward = self.recurrent(&backward.0, backward.1)?;
        self.is_pooled |= !each_step;
        self.push(name, Kind::Bidirectional(Box::new(Bidirectional { forward, backward, merge, each_step })));
        Ok(())
    }

    /// The rows of the gates one behind the other, by their places in the file.
    fn blocks(
        &self,
        gates: &Gates,
        order: &[usize],
        (direction, units, is_mirrored): (usize, usize, bool),
    ) -> Result<Vec<f32>, Error> {
        let mut values = Vec::new();
        for (place, &in_file) in order.iter().enumerate() {
            let Some(block) = gates.block(direction, (place, in_file), units) else { continue };
            // Room for all at once, where there is memory for all.
            let all = block.len().saturating_mul(order.len());
            if values.is_empty() && all.saturating_mul(size_of::<f32>()) <= self.context.budget.left() {
                values.reserve_exact(all);
            }
            let from = values.len();
            block.append(&mut values, self.context.place, self.context.budget)?;
            // Behind this the blocks have one name.
            if let (Gates::Each(_), Some(place)) = (gates, values[from..].iter().position(|value| !value.is_finite())) {
                let at = format!("{}: tensor {}", self.context.place, block.name().escape_debug());
                let problem = format!("value {place} is {} in f32", values[from + place]);
                return Err(Error::new(at, problem, "save weights of a training that has not diverged"));
            }
        }
        if is_mirrored {
            let of_input_gate = values.len() / order.len().max(1);
            values[..of_input_gate].iter_mut().for_each(|value| *value = -*value);
        }
        Ok(values)
    }

    /// One direction of a recurrent operator, its gates in the order of a description.
    fn recurrent(&mut self, both: &Both, direction: usize) -> Result<Recurrent, Error> {
        let Both { cell, units, inputs, .. } = both;
        let (units, inputs) = (*units, *inputs);
        let order = order(*cell);
        let rows = order.len() * units;
        let blocks = |gates: &Gates, order: &[usize]| self.blocks(gates, order, (direction, units, both.is_mirrored));
        let matrix = |gates: &Gates, columns| -> Result<Matrix, Error> {
            Ok(Matrix { source: gates.name().to_owned(), rows, columns, values: blocks(gates, order)? })
        };
        let kernels = (matrix(&both.kernel, inputs)?, matrix(&both.recurrent_kernel, both.features())?);
        let source = both.bias.as_ref().map_or_else(String::new, |bias| bias.name().to_owned());
        let halves = |half: usize| -> Result<Vec<f32>, Error> {
            let order: Vec<usize> = order.iter().map(|gate| gate + half * order.len()).collect();
            match &both.bias {
                // A bias for each gate is the only one: none is that of the product with U.
                Some(Gates::Each(_)) if half == 1 => Ok(vec![0.0; rows]),
                Some(bias) => blocks(bias, &order),
                None => Ok(vec![0.0; rows]),
            }
        };
        let (mut first, second) = (halves(0)?, halves(1)?);
        let resets_after = *cell == Cell::Gru { reset_after: true };
        if !resets_after {
            first.iter_mut().zip(&second).for_each(|(first, second)| *first += second);
        }
        let recurrent_bias = resets_after.then(|| Vector { source: source.clone(), values: second });
        let peepholes = both.peepholes.as_ref().map(|tensor| {
            // i, o, f in the file
            Ok::<_, Error>(Vector { source: tensor.name().to_owned(), values: blocks(tensor, &[0, 2, 1])? })
        });
        let state = |tensor: Option<&Const>| -> Result<Option<Vector>, Error> {
            let Some(tensor) = tensor else { return Ok(None) };
            let of = tensor.picked(0, direction);
            let values = of.map(|state| self.values(&state)).transpose()?.unwrap_or_default();
            Ok(Some(Vector { source: tensor.name().to_owned(), values }))
        };
        let projection = both.projections.get(direction).map(|projection| self.matrix(projection)).transpose()?;
        let (initial_hidden, initial_cell) = (state(both.initial_hidden.as_ref())?, state(both.initial_cell.as_ref())?);
        let [gates, candidates, out] = both.activations[direction];
        let is_rnn = *cell == Cell::Rnn;
        let mut layer = Recurrent {
            activation: if is_rnn { gates } else { candidates },
            gate_activation: if is_rnn { Activation::Sigmoid } else { gates },
            output_activation: Some(out).filter(|out| *cell == Cell::Lstm && *out != candidates),
            recurrent_bias,
            initial_hidden,
            initial_cell,
            peepholes: peepholes.transpose()?,
            clip: both.clip,
            projection,
            cell_clip: both.state_clips.0,
            projection_clip: both.state_clips.1,
            coupled: both.coupled,
            backwards: both.backwards[direction],
            ..Recurrent::new(*cell, units, kernels, Vector { source, values: first })
        };
        if self.features.is_none() {
            self.known(inputs);
        }
        self.fold(&mut layer.kernel, &mut layer.bias);
        Ok(layer)
    }

    /// What the outputs mean, where the last layer says it.
    fn task(&self, is_stepped: bool) -> Option<Task> {
        let (activation, outputs) = match &self.layers.last()?.kind {
            Kind::Dense(dense) => (dense.activation, dense.kernel.rows),
            Kind::Activation(activation) => (*activation, self.features.unwrap_or(0)),
            _ => return None,
        };
        match (activation, outputs, self.is_pooled && !is_stepped) {
            (Activation::Softmax, _, true) | (Activation::Sigmoid, 1, true) => Some(Task::Classify),
            (Activation::Softmax, _, false) | (Activation::Sigmoid, 1, false) => Some(Task::Tag),
            (Activation::Linear, _, true) => Some(Task::Regress),
            (Activation::Linear, _, false) => Some(Task::RegressEach),
            _ => None,
        }
    }
}

/// Of each gate of a description the place in the file: i, f, c, o of i, o, f, c.
pub(crate) fn order(cell: Cell) -> &'static [usize] {
    match cell {
        Cell::Lstm => &[0, 2, 3, 1],
        Cell::Gru { .. } => &[0, 1, 2],
        Cell::Rnn => &[0],
    }
}

/// With as many numbers as there are features, where it has one for all.
fn stretched(affine: &Affine, features: usize) -> Affine {
    match (&affine.scale[..], &affine.shift[..]) {
        (&[scale], &[shift]) if features <= 1 << 20 => {
            Affine { scale: vec![scale; features], shift: vec![shift; features] }
        }
        _ => affine.clone(),
    }
}
