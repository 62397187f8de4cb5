//! One run of a network over one shard, forward and backward.

use super::Network;
use super::conv1d::Between;
use super::embedding::Embedding;
use super::integers::Integers;
use super::layer::{Backward, Layer, Tape};
use super::lookup::Lookup;
use super::recurrent::{Input, Kernels};
use super::steps::Steps;
use crate::config::chain::rhythm::Rhythm;
use crate::real::{Real, multiply};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

/// One run of a network over one shard, forward and backward, with all its memory. It is used again for the next batch, so
/// that after the largest shard nothing is allocated any more.
#[derive(Debug, Clone)]
pub(crate) struct Pass<T: Real> {
    pub(crate) steps: Steps,
    /// The steps above each layer that does not answer each step, the lowest first.
    strided: Vec<Steps>,
    /// The factor of each token's embedding, or empty.
    word_mask: Vec<T>,
    /// What the lowest layer reads (features × tokens); not written where a lookup stands in its place.
    embedded: Vec<T>,
    pub(crate) stages: Vec<Stage<T>>,
    /// dL/dlogits (outputs × answers in the order of the shard), set by the caller between forward and backward; then that of each layer's output,
    /// and after the backward pass dL/dx of every token (embedding × tokens).
    pub(crate) gradient: Vec<T>,
    below: Vec<T>,
}

/// The part of one layer.
#[derive(Debug, Clone)]
pub(crate) struct Stage<T: Real> {
    /// What the layer read (inputs × columns), where that is not the output of the layer below: under dropout, and in integers.
    input: Vec<T>,
    /// Dropout of the input (inputs × sequences), or empty.
    mask: Vec<T>,
    pub(crate) tape: Tape<T>,
    /// The gradients of the layer's weights.
    pub(crate) sums: Layer<T>,
}

impl<T: Real> Pass<T> {
    /// Memory for passes of networks with the shape of `network`.
    pub(crate) fn new(network: &Network<T>) -> Self {
        let stage = |sums| Stage { input: Vec::new(), mask: Vec::new(), tape: Tape::default(), sums };
        Self {
            steps: Steps::default(),
            strided: Vec::new(),
            word_mask: Vec::new(),
            embedded: Vec::new(),
            stages: network.zero_layers().into_iter().map(stage).collect(),
            gradient: Vec::new(),
            below: Vec::new(),
        }
    }

    /// The logits (outputs × answers) in the order of the shard, after the forward pass.
    pub(crate) fn logits(&self, network: &Network<T>) -> &Vec<T> {
        let last = network.layers.last().zip(self.stages.last());
        last.map_or(&self.embedded, |(layer, stage)| layer.output(&stage.tape))
    }

    /// The steps of the answers, where each step has one, and at which of the shard's steps they come.
    pub(crate) fn top(&self, network: &Network<T>) -> (&Steps, Rhythm) {
        let rhythm: Rhythm = network.layers.iter().map(Layer::rhythm).collect();
        (self.strided.last().filter(|_| !rhythm.is_each()).unwrap_or(&self.steps), rhythm)
    }

    /// Has the sequences in `self.steps` go on with the states of all layers that `states` gives for the caller's number of each, or begin where there are none; and
    /// has the forward pass keep what [`Pass::states`] gives.
    pub(crate) fn go_on<'s>(&mut self, network: &Network<T>, states: Option<&dyn Fn(usize) -> &'s [Vec<T>]>) {
        self.steps.lead = usize::from(states.is_some());
        for (number, (layer, stage)) in network.layers.iter().zip(&mut self.stages).enumerate() {
            layer.forget(&mut stage.tape);
            if let Some(states) = states {
                self.steps.order.iter().for_each(|&index| layer.go_on(&mut stage.tape, &states(index)[number]));
            }
        }
    }

    /// The states of all layers behind the last step of each sequence, with the caller's number of it.
    pub(crate) fn states(&self, network: &Network<T>) -> Vec<(usize, Vec<Vec<T>>)> {
        let of = |(place, &index): (usize, &usize)| {
            let mut columns = Columns::Tokens(0);
            let states = network.layers.iter().zip(&self.stages).map(|(layer, stage)| {
                let steps = columns.steps(&self.steps, &self.strided);
                columns = columns.after(layer);
                layer.state(&stage.tape, steps, place)
            });
            (index, states.collect())
        };
        self.steps.order.iter().enumerate().map(of).collect()
    }

    /// What the backward pass left of a recurrent lowest layer: dL/d(W·x + b) of every token.
    pub(crate) fn gate_gradients(&self, network: &Network<T>) -> &[T] {
        let lowest = network.layers.first().zip(self.stages.first());
        lowest.and_then(|(layer, stage)| layer.line(&stage.tape)).map_or(&[], |line| &line.gates)
    }

    /// Draws the dropout masks of the shard, in a fixed order; without a generator nothing is dropped.
    fn draw_masks(&mut self, network: &Network<T>, rng: Option<&mut impl Rng>) {
        let config = network.config();
        let sequences = self.steps.sequences();
        let Some(rng) = rng else {
            self.word_mask.clear();
            for (layer, stage) in network.layers.iter().zip(&mut self.stages) {
                stage.mask.clear();
                layer.line_mut(&mut stage.tape).into_iter().for_each(|line| line.recurrent_mask.clear());
            }
            return;
        };
        draw_mask(&mut self.word_mask, self.steps.tokens(), config.chain.word_dropout, rng);
        let stages = network.layers.iter().zip(&mut self.stages);
        for ((layer, stage), (of, inputs)) in stages.zip(config.layers()) {
            draw_mask(&mut stage.mask, inputs * sequences, of.dropout(), rng);
            if let Some((line, cell)) = layer.line_mut(&mut stage.tape).zip(of.cell()) {
                let features = of.features(inputs, 0);
                draw_mask(&mut line.recurrent_mask, features * sequences, cell.recurrent_dropout, rng);
            }
        }
    }

    /// Writes what the lowest layer reads from the vectors of a table, under the masks.
    fn embed(&mut self, features: usize, table: impl Fn(&[u32], &mut [T])) {
        let Pass { steps, word_mask, embedded, stages, .. } = self;
        embedded.resize(features * steps.tokens(), T::zero());
        table(&steps.ids, embedded);
        scale_columns(embedded, word_mask, features);
        if let Some(stage) = stages.first().filter(|stage| !stage.mask.is_empty()) {
            steps.mask(embedded, &stage.mask, features);
        }
    }

    /// Runs the shard in `self.steps` forward to [`Pass::logits`]. With a generator, dropout is applied. With a lookup, the lowest layer
    /// reads that; nothing of its input can be dropped then.
    pub(crate) fn forward(
        &mut self,
        network: &Network<T>,
        kernels: &[Kernels<T>],
        lookup: Option<&Lookup<T>>,
        rng: Option<&mut ChaCha8Rng>,
    ) {
        self.draw_masks(network, rng);
        if lookup.is_none() {
            self.embed(network.config().chain.embedding, |ids, output| network.embedding.forward(ids, output));
        }
        stride(&self.steps, &mut self.strided, network);
        let Pass { steps, strided, embedded, stages, .. } = self;
        let mut columns = Columns::Tokens(0);
        for ((number, layer), (_, features)) in network.layers.iter().enumerate().zip(network.config().layers()) {
            let (under, stage) = stages.split_at_mut(number);
            let Stage { input, mask, tape, .. } = &mut stage[0];
            let input = match (under.last(), lookup) {
                (None, Some(lookup)) => lookup.input(),
                (None, None) => Input::Tokens(embedded),
                (Some(under), _) => {
                    let output = network.layers[number - 1].output(&under.tape);
                    Input::Tokens(if mask.is_empty() {
                        output
                    } else {
                        input.clone_from(output);
                        columns.drop(input, mask, columns.steps(steps, strided), features);
                        input
                    })
                }
            };
            let above = columns.after(layer);
            let between = Between { below: columns.steps(steps, strided), above: above.steps(steps, strided) };
            layer.forward(&kernels[number], between, input, (features, columns.count(between.below)), tape);
            columns = above;
        }
    }

    /// The same with the integers of a network's image: without dropout what the engine computes. A recurrent layer or a convolution reads what it gets as the bytes of the
    /// embedding or in Q0.7, any other in Q0.15, as numbers below 1.
    pub(crate) fn forward_integers(&mut self, integers: &Integers<T>, rng: Option<&mut ChaCha8Rng>) {
        let network = &integers.real;
        self.draw_masks(network, rng);
        let features = network.config().chain.embedding;
        let by_bytes = network.layers.first().is_some_and(|layer| layer.reads_columns());
        self.embed(features, |ids, output| {
            if network.config().reads_samples() {
                // Samples come in Q0.15 of their range, as the values of a layer.
                network.embedding.forward(ids, output);
                integers.round(output);
                if by_bytes {
                    output.iter_mut().for_each(|value| *value = narrow(*value));
                }
                return;
            }
            Embedding::gather(&integers.embedding, features, ids, output);
            if !by_bytes {
                widen(output);
            }
        });
        stride(&self.steps, &mut self.strided, network);
        let Pass { steps, strided, embedded, stages, .. } = self;
        let mut columns = Columns::Tokens(0);
        for ((number, layer), (_, features)) in network.layers.iter().enumerate().zip(network.config().layers()) {
            let (under, stage) = stages.split_at_mut(number);
            let Stage { input, mask, tape, .. } = &mut stage[0];
            let input: &[T] = match under.last() {
                None => embedded,
                Some(under) => {
                    let below = &network.layers[number - 1];
                    match (layer.reads_columns(), below.line(&under.tape)) {
                        // Between recurrent layers: what the one below remembers.
                        (true, Some(line)) => input.clone_from(&line.narrowed),
                        (true, None) => {
                            input.clear();
                            input.extend(below.output(&under.tape).iter().map(|&value| narrow(value)));
                        }
                        (false, _) => input.clone_from(below.output(&under.tape)),
                    }
                    columns.drop(input, mask, columns.steps(steps, strided), features);
                    input
                }
            };
            let above = columns.after(layer);
            let between = Between { below: columns.steps(steps, strided), above: above.steps(steps, strided) };
            integers.layers[number].forward(layer, between, features, input, tape);
            columns = above;
        }
    }

    /// Goes back from `self.gradient` to the gradients of all weights and of the embedded tokens. Must follow
    /// [`Pass::forward`] on the same network, once, or [`Pass::forward_integers`]: then `network` has the real values of the `integers`.
    /// After a forward pass through a lookup, the lowest layer's gradients stay on its line, and what follows from them for W, b and the
    /// embedding is left to [`Lookup::backward`].
    pub(crate) fn backward(
        &mut self,
        network: &Network<T>,
        integers: Option<&Integers<T>>,
        kernels: &[Kernels<T>],
        lookup: bool,
    ) {
        let Pass { steps, strided, word_mask, embedded, stages, gradient, below } = self;
        let shapes: Vec<usize> = network.config().layers().map(|(_, inputs)| inputs).collect();
        for ((number, layer), features) in network.layers.iter().enumerate().zip(shapes).rev() {
            let columns =
                network.layers[..number].iter().fold(Columns::Tokens(0), |columns, layer| columns.after(layer));
            let above = columns.after(layer).steps(steps, strided);
            let steps = Between { below: columns.steps(steps, strided), above };
            let (under, stage) = stages.split_at_mut(number);
            let Stage { input, mask, tape, sums } = &mut stage[0];
            let input: &[T] = match under.last() {
                None => embedded,
                Some(under) if mask.is_empty() && integers.is_none() => network.layers[number - 1].output(&under.tape),
                Some(_) => input,
            };
            let lookup = lookup && number == 0;
            let kernels = &kernels[number];
            let way = Backward { kernels, steps, features, input, gradient, below, lookup };
            layer.backward(way, tape, sums);
            if lookup {
                return;
            }
            if let Some(integers) = integers {
                integers.layers[number].scale_gradients(sums);
            }
            columns.drop(below, mask, steps.below, features);
            std::mem::swap(gradient, below);
        }
        scale_columns(gradient, word_mask, network.config().chain.embedding);
    }
}

/// Takes up the steps above each layer that does not answer each step.
fn stride<T: Real>(steps: &Steps, strided: &mut Vec<Steps>, network: &Network<T>) {
    let rhythms = network.layers.iter().map(Layer::rhythm).filter(|rhythm| !rhythm.is_each());
    let mut count = 0;
    for (place, rhythm) in rhythms.enumerate() {
        if strided.len() == place {
            strided.push(Steps::default());
        }
        let (below, above) = strided.split_at_mut(place);
        above[0].every(below.last().unwrap_or(steps), rhythm);
        count = place + 1;
    }
    strided.truncate(count);
}

/// Bytes of the embedding as the engine gives them to a layer that is not recurrent: Q0.15, as numbers.
fn widen<T: Real>(values: &mut [T]) {
    let (lowest, unit) = (T::of(-127.0), T::of(2_f64.powi(-7)));
    values.iter_mut().for_each(|value| *value = value.max(lowest) * unit);
}

/// A number in Q0.15 as the engine gives it to a recurrent layer: an integer of Q0.7.
fn narrow<T: Real>(value: T) -> T {
    let wide = (value * T::of(32_768.0)).to_integer() as i16;
    T::of_integer(i32::from(wide.saturating_add(128) >> 8))
}

/// What the columns of a matrix are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Columns {
    /// Below the pooling, above so many layers that do not answer each step.
    Tokens(usize),
    /// Above it.
    Sequences,
}

impl Columns {
    /// Their steps, of those of the shard and those above each layer that does not answer each step; above the pooling there are none.
    fn steps<'s>(self, steps: &'s Steps, strided: &'s [Steps]) -> &'s Steps {
        match self {
            Self::Tokens(strides) if strides > 0 => &strided[strides - 1],
            _ => steps,
        }
    }

    fn count(self, steps: &Steps) -> usize {
        match self {
            Self::Tokens(_) => steps.tokens(),
            Self::Sequences => steps.sequences(),
        }
    }

    /// What they are above a layer.
    fn after<T: Real>(self, layer: &Layer<T>) -> Self {
        match self {
            _ if matches!(layer, Layer::Pooling(_)) => Self::Sequences,
            Self::Tokens(strides) if !layer.rhythm().is_each() => Self::Tokens(strides + 1),
            columns => columns,
        }
    }

    /// Applies a dropout mask (features × sequences), the same at every step of a sequence; an empty one changes nothing.
    fn drop<T: Real>(self, values: &mut [T], mask: &[T], steps: &Steps, features: usize) {
        match self {
            Self::Tokens(_) => steps.mask(values, mask, features),
            Self::Sequences => multiply(&mut values[..mask.len()], mask),
        }
    }
}

/// Fills `mask` with `length` factors: 0 with probability `dropout`, else 1 / (1 - dropout), so that the expectation is one.
/// Without dropout the mask is empty and nothing is drawn.
fn draw_mask<T: Real>(mask: &mut Vec<T>, length: usize, dropout: f64, rng: &mut impl Rng) {
    mask.clear();
    if dropout > 0.0 {
        let kept = T::of(1.0 / (1.0 - dropout));
        let dropout = dropout as f32;
        mask.extend((0..length).map(|_| if rng.random::<f32>() < dropout { T::zero() } else { kept }));
    }
}

/// Multiplies column j of `values` (rows × `factors.len()`) with `factors[j]`; no factors change nothing.
fn scale_columns<T: Real>(values: &mut [T], factors: &[T], rows: usize) {
    for (column, &factor) in values.chunks_exact_mut(rows).zip(factors) {
        column.iter_mut().for_each(|value| *value *= factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::generator;

    #[test]
    fn a_mask_keeps_the_expectation() {
        let mut mask: Vec<f64> = Vec::new();
        draw_mask(&mut mask, 100_000, 0.25, &mut generator([1, 2, 3, 4]));
        let mean = mask.iter().sum::<f64>() / mask.len() as f64;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        draw_mask(&mut mask, 10, 0.0, &mut generator([1, 2, 3, 4]));
        assert!(mask.is_empty());
    }
}
