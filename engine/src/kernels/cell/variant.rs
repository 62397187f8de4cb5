//! Recurrent cells as other tools have them, in floats: other activations, peepholes, a clip, coupled gates and a projection.
//!
//! ```text
//! lstm   i, f, o = gate(W x + U h + b)      g = act(W x + U h + b)      c' = f c + i g      h' = o out(c')
//!        i, f: W x + U h + b + p c          o: W x + U h + b + p c'                         with peepholes p
//!        f = 1 - i                                                                          with coupled gates
//!        h' = P (o out(c'))                                                                 with a projection P
//! gru    z, r = gate(W x + U h + b)         h' = n + z (h - n)
//!        n = act(W x + b + r (U h + c))     or      n = act(W x + b + U (r h))
//! rnn    h' = act(W x + U h + b)
//! ```
//!
//! With a clip L all sums are held to [-L, L] before their activations; c on its way to h is not. Peepholes: Gers and Schmidhuber 2000; coupled gates: Greff et
//! al. 2017; projection: Sak, Senior and Beaufays 2014.

use super::super::{Backend, FeaturesFloat, FloatWeight, RowsFloat};
use super::rnn::MOST_RECTIFIED;
use super::without_subnormals;

/// The cell that a variant is one of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Cell {
    /// Gates i, f, g, o; coupled ones i, g, o.
    #[default]
    Lstm,
    /// Gates z, r, n, the reset behind the recurrent kernel's product.
    GruAfter,
    /// The same, the reset before it.
    GruBefore,
    /// One row a unit.
    Rnn,
}

/// What sums, or an LSTM's c, go through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Activation {
    /// Nothing, held to ±[`MOST_RECTIFIED`].
    Linear,
    /// `max(x, 0)`, at most [`MOST_RECTIFIED`].
    Relu,
    /// The hyperbolic tangent.
    #[default]
    Tanh,
    /// The logistic sigmoid.
    Sigmoid,
    /// `min(max(α x + β, 0), 1)`.
    HardSigmoid,
}

impl Activation {
    /// As it is written in a chain.
    pub const fn name(self) -> &'static str {
        match self {
            Activation::Linear => "linear",
            Activation::Relu => "relu",
            Activation::Tanh => "tanh",
            Activation::Sigmoid => "sigmoid",
            Activation::HardSigmoid => "hard_sigmoid",
        }
    }

    /// Its values are in [-1, 1].
    pub const fn is_bounded(self) -> bool {
        !matches!(self, Activation::Linear | Activation::Relu)
    }

    /// Its values are in [0, 1], as those of gates are as a rule.
    pub const fn is_gate(self) -> bool {
        matches!(self, Activation::Sigmoid | Activation::HardSigmoid)
    }
}

/// An activation with the α and β of a hard sigmoid, which mean nothing in others.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Function {
    /// Which one.
    pub activation: Activation,
    /// The slope.
    pub alpha: f32,
    /// The value at 0.
    pub beta: f32,
}

/// A layer with `U` units and `F` features of its hidden state, both padded to multiples of 8, `U8` and `F8`, with zeros.
#[derive(Debug, Clone, Copy)]
pub struct Variant<'a, W> {
    /// The cell.
    pub cell: Cell,
    /// The forget gate of an LSTM is 1 less its input gate, and has no rows.
    pub coupled: bool,
    /// Units, without padding.
    pub units: usize,
    /// The rows `[gate][U8 units]` over x.
    pub kernel: RowsFloat<'a, W>,
    /// The same over the `F` features of h; of a GRU those of n behind the others as a matrix of their own, as in [`GruFloat`](super::gru::GruFloat). The
    /// biases are those of n where the reset comes after the product, `U8`.
    pub recurrent: RowsFloat<'a, W>,
    /// p of an LSTM, `[gate i, f, o][U8 units]`, of coupled gates i, o; nothing without peepholes.
    pub peepholes: &'a [f32],
    /// The rows `[F8 features]` over the `U` units; nothing without a projection.
    pub projection: Option<RowsFloat<'a, W>>,
    /// Of candidates, of gates, and of c on its way to h.
    pub functions: [Function; 3],
    /// What sums are held to, L; an infinity where they are not.
    pub clip: f32,
}

/// Floats of scratch of a step: the sums of all gates, and the inputs, or behind their product a value a unit.
pub const fn scratch_float(gates: usize, inputs: usize, units: usize) -> usize {
    let lanes = units.next_multiple_of(8);
    gates * lanes + if inputs > lanes { inputs } else { lanes }
}

/// Holds a number to [-most, most]; what is no number stays so.
#[inline(always)]
fn held(x: f32, most: f32) -> f32 {
    match x {
        x if x > most => most,
        x if x < -most => -most,
        x => x,
    }
}

impl Function {
    /// The function of each value, in place, behind the clip.
    fn apply<B: Backend>(self, backend: B, clip: f32, x: &mut [f32]) {
        if clip < f32::INFINITY {
            x.iter_mut().for_each(|x| *x = held(*x, clip));
        }
        match self.activation {
            Activation::Linear => x.iter_mut().for_each(|x| *x = held(*x, MOST_RECTIFIED)),
            Activation::Relu => x.iter_mut().for_each(|x| *x = x.clamp(0.0, MOST_RECTIFIED)),
            Activation::Tanh => backend.tanh_f32(x),
            Activation::Sigmoid => backend.sigmoid_f32(x),
            Activation::HardSigmoid => {
                x.iter_mut().for_each(|x| *x = (self.alpha * *x + self.beta).clamp(0.0, 1.0));
            }
        }
    }
}

/// What a state keeps: far from an infinity, and not subnormal.
#[inline(always)]
fn kept(x: f32) -> f32 {
    without_subnormals(held(x, MOST_RECTIFIED))
}

/// One step: `h` and, of an LSTM, `c` are replaced by their next values.
///
/// - `scratch`: [`scratch_float`] floats; what it holds afterwards means nothing. With fewer nothing is done.
/// - `h`: hidden state, length `F8`, and `c`: cell state, length `U8` of an LSTM. What pads keeps 0 when it began with 0.
pub fn step_float<B: Backend, W: FloatWeight>(
    backend: B,
    layer: &Variant<'_, W>,
    x: FeaturesFloat<'_, W>,
    scratch: &mut [f32],
    (h, c): (&mut [f32], &mut [f32]),
) {
    let lanes = layer.units.next_multiple_of(8);
    let Some((sums, scratch)) = scratch.split_at_mut_checked(layer.kernel.bias.len()) else { return };
    let Some(features) = scratch.get_mut(..x.len()) else { return };
    if !backend.join_float(x, features, &[]) {
        return;
    }
    backend.rows_float(&layer.kernel, features, sums);
    match layer.cell {
        Cell::Lstm => lstm(backend, layer, (sums, scratch), (h, c)),
        Cell::GruAfter | Cell::GruBefore => gru(backend, layer, (sums, scratch), h),
        Cell::Rnn => {
            let Some(previous) = h.get(..layer.units) else { return };
            backend.add_rows_float(&layer.recurrent, previous, sums);
            layer.functions[0].apply(backend, layer.clip, sums);
            keep(sums.get(..lanes).unwrap_or(&[]), layer.units, h);
        }
    }
}

/// New values into a hidden state, as many as it has without its padding.
fn keep(new: &[f32], count: usize, h: &mut [f32]) {
    h.iter_mut().zip(new).take(count).for_each(|(h, new)| *h = kept(*new));
}

/// What follows `W x + b` in an LSTM.
fn lstm<B: Backend, W: FloatWeight>(
    backend: B,
    layer: &Variant<'_, W>,
    (sums, scratch): (&mut [f32], &mut [f32]),
    (h, c): (&mut [f32], &mut [f32]),
) {
    let (lanes, [candidate, gate, out]) = (c.len(), layer.functions);
    let columns = layer.recurrent.weights.len().checked_div(sums.len()).unwrap_or(0);
    let Some(previous) = h.get(..columns) else { return };
    backend.add_rows_float(&layer.recurrent, previous, sums);
    let Some((inputs, rest)) = sums.split_at_mut_checked(lanes) else { return };
    let Some((forgets, rest)) = rest.split_at_mut_checked(if layer.coupled { 0 } else { lanes }) else { return };
    let Some((candidates, outputs)) = rest.split_at_mut_checked(lanes) else { return };
    let peephole = |gate: usize| layer.peepholes.get(gate * lanes..(gate + 1) * lanes).unwrap_or(&[]);
    // Without peepholes nothing is added.
    add_products(peephole(0), c, inputs);
    gate.apply(backend, layer.clip, inputs);
    if !layer.coupled {
        add_products(peephole(1), c, forgets);
        gate.apply(backend, layer.clip, forgets);
    }
    candidate.apply(backend, layer.clip, candidates);
    for (unit, ((c, i), g)) in c.iter_mut().zip(&*inputs).zip(&*candidates).take(layer.units).enumerate() {
        let f = if layer.coupled { 1.0 - i } else { forgets.get(unit).copied().unwrap_or(0.0) };
        *c = kept(f * *c + i * g);
    }
    add_products(peephole(if layer.coupled { 1 } else { 2 }), c, outputs);
    gate.apply(backend, layer.clip, outputs);
    candidates.iter_mut().zip(&*c).for_each(|(out, c)| *out = *c);
    out.apply(backend, f32::INFINITY, candidates);
    candidates.iter_mut().zip(outputs).for_each(|(h, o)| *h = held(*o * *h, MOST_RECTIFIED));
    let Some(projection) = &layer.projection else { return keep(candidates, layer.units, h) };
    let Some(units) = scratch.get_mut(..layer.units) else { return };
    units.iter_mut().zip(candidates).for_each(|(unit, value)| *unit = *value);
    h.fill(0.0);
    backend.add_rows_float(projection, units, h);
    h.iter_mut().for_each(|h| *h = kept(*h));
}

/// `sums += p c`
fn add_products(p: &[f32], c: &[f32], sums: &mut [f32]) {
    sums.iter_mut().zip(p.iter().zip(c)).for_each(|(sum, (p, c))| *sum += p * c);
}

/// What follows `W x + b` in a GRU.
fn gru<B: Backend, W: FloatWeight>(
    backend: B,
    layer: &Variant<'_, W>,
    (sums, scratch): (&mut [f32], &mut [f32]),
    h: &mut [f32],
) {
    let (lanes, units, [candidate, gate, _]) = (h.len(), layer.units, layer.functions);
    let RowsFloat { weights, bias } = layer.recurrent;
    let Some((gates, candidates)) = weights.split_at_checked(2 * lanes * units) else { return };
    let (gates, candidates) = (RowsFloat { weights: gates, bias: &[] }, RowsFloat { weights: candidates, bias: &[] });
    let Some((gate_sums, sums)) = sums.split_at_mut_checked(2 * lanes) else { return };
    let (Some(previous), Some(room)) = (h.get(..units), scratch.get_mut(..lanes)) else { return };
    backend.add_rows_float(&gates, previous, gate_sums);
    gate.apply(backend, layer.clip, gate_sums);
    let Some((z, r)) = gate_sums.split_at_checked(lanes) else { return };
    if layer.cell == Cell::GruAfter {
        // U h + c while the candidate's sums hold W x + b.
        room.iter_mut().zip(bias).for_each(|(sum, bias)| *sum = *bias);
        backend.add_rows_float(&candidates, previous, room);
        add_products(r, room, sums);
    } else {
        let Some(product) = room.get_mut(..units) else { return };
        product.iter_mut().zip(r).zip(previous).for_each(|((product, r), h)| *product = r * h);
        backend.add_rows_float(&candidates, product, sums);
    }
    candidate.apply(backend, layer.clip, sums);
    for ((h, z), n) in h.iter_mut().zip(z).zip(sums).take(units) {
        *h = kept(*n + z * (*h - *n));
    }
}
