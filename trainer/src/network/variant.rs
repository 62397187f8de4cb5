//! Recurrent cells as other tools have them, forward over all steps of a shard and backward through all of them.
//!
//! ```text
//! p = h_{t-1} ∘ m        z = clip(W·x + U·p + b)        each behind its activation: act of candidates, gate of gates, out of c
//! lstm   i, f = gate(z + p_i∘c_{t-1}), gate(z + p_f∘c_{t-1})     g = act(z)     c_t = f∘c_{t-1} + i∘g
//!        o = gate(z + p_o∘c_t)     h_t = o ∘ out(c_t), or P·(o ∘ out(c_t))     f = 1 - i where the gates are coupled
//! gru    z, r = gate(z)     n = act(clip(W·x + b + r ∘ (U·p + b_h))) or act(clip(W·x + b + U·(r ∘ p)))     h_t = (1 - z)∘n + z∘h_{t-1}
//! rnn    h_t = act(z)
//! ```
//!
//! Peepholes p_i, p_f, p_o: Gers and Schmidhuber 2000; coupled gates: Greff et al. 2017; projection P: Sak, Senior and Beaufays 2014. Gates have the order of the
//! plain layers; coupled ones have no f. No integers: images have these cells in f32 and f16.

use super::recurrent::{Input, Kernels, Line};
use super::steps::Steps;
use super::tensors::{glorot, orthogonal, tensors};
use crate::config::chain::Activation;
use crate::config::chain::variant::{CellActivation, VariantConfig, VariantKind};
use crate::products::{outer, product};
use crate::real::{Real, add, add_column_sum, multiply};
use nalgebra::DMatrix;
use rand::Rng;
use std::ops::Range;

/// The weights of a variant with U units, G gates and F features of its hidden state.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant<T: Real> {
    /// What it does with its rows.
    pub form: VariantConfig,
    /// The kernel W, G·U × inputs.
    pub kernel: DMatrix<T>,
    /// The recurrent kernel U, G·U × F.
    pub recurrent_kernel: DMatrix<T>,
    /// The bias b, G·U × 1.
    pub bias: DMatrix<T>,
    /// The bias b_h of the product with U, 3·U × 1, of a GRU whose reset acts after it.
    pub recurrent_bias: Option<DMatrix<T>>,
    /// The peepholes of i, f and o, 3·U × 1; of coupled gates those of i and o, 2·U × 1.
    pub peepholes: Option<DMatrix<T>>,
    /// The projection P, F × U.
    pub projection: Option<DMatrix<T>>,
}

tensors!(Variant: kernel, recurrent_kernel, bias, recurrent_bias, peepholes, projection);

/// What the forward pass of a layer leaves for the backward pass, and the scratch of both: a column a token, in the time-major order of [`Steps`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape<T> {
    /// The gates behind their activations (G·U × tokens), which become their sums' gradients, and the hidden states (F × tokens).
    pub(crate) line: Line<T>,
    /// The derivatives of the gates by their sums, zero where a sum is clipped (G·U × tokens).
    slopes: Vec<T>,
    /// The cell states c (U × tokens).
    pub(crate) cells: Vec<T>,
    /// Those that the first step has where there is one in front (U × sequences), or empty.
    pub(crate) start_cells: Vec<T>,
    /// out(c), and its derivative by c (U × tokens).
    squashed: [Vec<T>; 2],
    /// o ∘ out(c) (U × tokens), and the whole dL/dh behind the backward pass (F × tokens): with a projection.
    unprojected: Vec<T>,
    hidden_gradient: Vec<T>,
    /// Of a GRU U·p + b_h (3·U × tokens), which becomes its gradient; with the reset before the product U·p of z and r of one step (2·U × sequences).
    inner: Vec<T>,
    /// With the reset before the product r ∘ p (U × tokens), and U_n·(r ∘ p) of one step and its gradient (U × sequences).
    reset: Vec<T>,
    candidate: Vec<T>,
    /// The gradient of c that comes from the step after (U × sequences).
    cell_gradient: Vec<T>,
}

/// An activation of sums in place, behind a clip, and its derivatives by the sums in front of the clip.
fn activate<T: Real>(of: CellActivation, clip: Option<f32>, sums: &mut [T], slopes: &mut [T]) {
    let (zero, one) = (T::zero(), T::one());
    slopes.fill(one);
    if let Some(clip) = clip.map(|clip| T::of(f64::from(clip))) {
        for (sum, slope) in sums.iter_mut().zip(&mut *slopes) {
            if sum.abs() >= clip {
                (*sum, *slope) = (if *sum > zero { clip } else { -clip }, zero);
            }
        }
    }
    match of {
        CellActivation::Plain(Activation::Linear) => {}
        CellActivation::Plain(Activation::Relu) => {
            for (sum, slope) in sums.iter_mut().zip(slopes) {
                // What is no number stays so.
                if *sum <= zero {
                    (*sum, *slope) = (zero, zero);
                }
            }
        }
        CellActivation::Plain(Activation::Tanh) => {
            T::tanh_slice(sums);
            sums.iter().zip(slopes).for_each(|(value, slope)| *slope *= one - *value * *value);
        }
        CellActivation::Plain(Activation::Sigmoid) => {
            T::sigmoid_slice(sums);
            sums.iter().zip(slopes).for_each(|(value, slope)| *slope *= *value * (one - *value));
        }
        CellActivation::HardSigmoid { alpha, beta } => {
            let (alpha, beta) = (T::of(f64::from(alpha)), T::of(f64::from(beta)));
            for (sum, slope) in sums.iter_mut().zip(slopes) {
                *sum = alpha * *sum + beta;
                *slope *= alpha;
                if *sum <= zero || *sum >= one {
                    (*sum, *slope) = (if *sum <= zero { zero } else { one }, zero);
                }
            }
        }
    }
}

impl<T: Real> Variant<T> {
    /// A layer of zeros.
    pub(crate) fn zeros(inputs: usize, units: usize, form: VariantConfig) -> Self {
        let (gates, features) = (form.gates(), form.projected.unwrap_or(units));
        let vector = |rows| DMatrix::zeros(rows, 1);
        Self {
            form,
            kernel: DMatrix::zeros(gates * units, inputs),
            recurrent_kernel: DMatrix::zeros(gates * units, features),
            bias: vector(gates * units),
            recurrent_bias: (form.kind == VariantKind::Gru(true)).then(|| vector(3 * units)),
            peepholes: form.peepholes.then(|| vector((gates - 1) * units)),
            projection: form.projected.map(|features| DMatrix::zeros(features, units)),
        }
    }

    /// Draws Glorot-uniform kernels and an orthogonal recurrent kernel; biases are zero, but one for a forget gate.
    pub(crate) fn initialize(&mut self, rng: &mut impl Rng) {
        let units = self.units();
        glorot(&mut self.kernel, rng);
        if self.recurrent_kernel.nrows() < self.recurrent_kernel.ncols() {
            glorot(&mut self.recurrent_kernel, rng);
        } else {
            orthogonal(&mut self.recurrent_kernel, rng);
        }
        self.peepholes.iter_mut().chain(&mut self.projection).for_each(|tensor| glorot(tensor, rng));
        self.bias.fill(T::zero());
        self.recurrent_bias.iter_mut().for_each(|bias| bias.fill(T::zero()));
        if self.form.kind == VariantKind::Lstm && !self.form.coupled {
            self.bias.rows_mut(units, units).fill(T::one());
        }
    }

    /// The number of units.
    pub fn units(&self) -> usize {
        self.kernel.nrows() / self.form.gates()
    }

    /// Features of its hidden state.
    pub fn features(&self) -> usize {
        self.recurrent_kernel.ncols()
    }

    /// Units of its cell state; none of a GRU or of a simple unit.
    pub(crate) fn cells(&self) -> usize {
        if self.form.kind == VariantKind::Lstm { self.units() } else { 0 }
    }

    /// The rows of U that meet h_{t-1} itself; the others meet it after the reset.
    pub(crate) fn split(&self) -> usize {
        if self.form.kind == VariantKind::Gru(false) { 2 * self.units() } else { self.kernel.nrows() }
    }

    /// Runs the layer over `input` and leaves gates, cells and hidden states on the tape.
    pub(crate) fn forward(&self, kernels: &Kernels<T>, steps: &Steps, input: Input<'_, T>, tape: &mut Tape<T>) {
        let (units, features, rows) = (self.units(), self.features(), self.kernel.nrows());
        tape.line.begin(features, &self.bias, kernels, steps, input);
        self.make_room(steps, tape);
        for step in 0..steps.len() {
            let columns = steps.columns(step);
            let range = features * columns.start..features * columns.end;
            if step < steps.lead {
                tape.line.hidden[range].copy_from_slice(&tape.line.start);
                if self.cells() > 0 {
                    tape.cells[units * columns.start..units * columns.end].copy_from_slice(&tape.start_cells);
                }
                continue;
            }
            input.look_up(rows, steps, step, &mut tape.line.gates);
            let before = step.checked_sub(1).map(|step| steps.columns(step).start);
            if let Some(before) = before {
                let Line { gates, hidden, previous, recurrent_mask, .. } = &mut tape.line;
                Line::recall(&mut previous[range.clone()], hidden, recurrent_mask, features * before);
                if !matches!(self.form.kind, VariantKind::Gru(_)) {
                    let (gates, previous) = (&mut gates[rows * columns.start..rows * columns.end], &previous[range]);
                    product(gates, &kernels.recurrent[0], |column| &previous[column * features..][..features], true);
                }
            }
            match self.form.kind {
                VariantKind::Lstm => self.lstm_step(tape, columns, before),
                VariantKind::Gru(true) => self.gru_after(kernels, tape, columns, before),
                VariantKind::Gru(false) => self.gru_before(kernels, tape, columns, before),
                VariantKind::Rnn => {
                    let gates = rows * columns.start..rows * columns.end;
                    let Tape { line, slopes, .. } = &mut *tape;
                    let sums = &mut line.gates[gates.clone()];
                    activate(self.form.activation, self.form.clip, sums, &mut slopes[gates.clone()]);
                    line.hidden[gates].copy_from_slice(sums);
                }
            }
        }
    }

    fn make_room(&self, steps: &Steps, tape: &mut Tape<T>) {
        let (units, zero) = (self.units(), T::zero());
        let (tokens, sequences) = (steps.tokens(), steps.count(0));
        tape.slopes.resize(self.kernel.nrows() * tokens, zero);
        let Tape { cells, squashed: [squashed, slopes], unprojected, inner, reset, candidate, .. } = tape;
        match self.form.kind {
            VariantKind::Lstm => {
                [cells, squashed, slopes, unprojected].into_iter().for_each(|room| room.resize(units * tokens, zero));
            }
            VariantKind::Gru(true) => inner.resize(3 * units * tokens, zero),
            VariantKind::Gru(false) => {
                inner.resize(2 * units * sequences, zero);
                candidate.resize(units * sequences, zero);
                reset.resize(units * tokens, zero);
            }
            VariantKind::Rnn => {}
        }
    }

    /// The peepholes of a gate: 0 of the input gate, 1 of the forget gate, and the last of the output gate.
    fn peephole(&self, gate: usize) -> Option<&[T]> {
        let units = self.units();
        self.peepholes.as_ref().map(|peepholes| &peepholes.as_slice()[gate * units..][..units])
    }

    /// From the sums of one step's gates to c and h. `before` is where the columns of the step before begin.
    fn lstm_step(&self, tape: &mut Tape<T>, columns: Range<usize>, before: Option<usize>) {
        let (units, features, rows) = (self.units(), self.features(), self.kernel.nrows());
        let VariantConfig { activation, gates: gate, output, coupled, clip, .. } = self.form;
        let last = rows / units - 1;
        let Tape { line: Line { gates, hidden, .. }, slopes, cells, squashed, unprojected, .. } = tape;
        let (earlier, cells) = cells.split_at_mut(units * columns.start);
        for (column, cell) in cells.chunks_exact_mut(units).take(columns.len()).enumerate() {
            let token = columns.start + column;
            let before = before.map(|before| &earlier[units * (before + column)..][..units]);
            let (gates, slopes) = (&mut gates[rows * token..][..rows], &mut slopes[rows * token..][..rows]);
            for (place, (sums, slopes)) in
                gates.chunks_exact_mut(units).zip(slopes.chunks_exact_mut(units)).take(last).enumerate()
            {
                if place + 1 == last {
                    activate(activation, clip, sums, slopes);
                    continue;
                }
                if let (Some(peephole), Some(before)) = (self.peephole(place), before) {
                    sums.iter_mut().zip(peephole.iter().zip(before)).for_each(|(sum, (p, c))| *sum += *p * *c);
                }
                activate(gate, clip, sums, slopes);
            }
            let (gates, outputs) = gates.split_at_mut(last * units);
            for unit in 0..units {
                let (input, before) = (gates[unit], before.map_or(T::zero(), |before| before[unit]));
                let forget = if coupled { T::one() - input } else { gates[units + unit] };
                cell[unit] = forget * before + input * gates[(last - 1) * units + unit];
            }
            if let Some(peephole) = self.peephole(last - 1) {
                outputs.iter_mut().zip(peephole.iter().zip(&*cell)).for_each(|(sum, (p, c))| *sum += *p * *c);
            }
            activate(gate, clip, outputs, &mut slopes[last * units..]);
            let [squashed, slopes] = squashed.each_mut().map(|values| &mut values[units * token..][..units]);
            squashed.copy_from_slice(cell);
            activate(output, None, squashed, slopes);
            let values = &mut unprojected[units * token..][..units];
            values.iter_mut().zip(outputs).zip(squashed).for_each(|((h, o), s)| *h = *o * *s);
            let hidden = &mut hidden[features * token..][..features];
            match &self.projection {
                None => hidden.copy_from_slice(values),
                Some(projection) => {
                    hidden.fill(T::zero());
                    for (column, value) in projection.as_slice().chunks_exact(features).zip(values) {
                        hidden.iter_mut().zip(column).for_each(|(h, p)| *h += *p * *value);
                    }
                }
            }
        }
    }

    /// The gates of one step of a GRU whose reset acts after the product, and h.
    fn gru_after(&self, kernels: &Kernels<T>, tape: &mut Tape<T>, columns: Range<usize>, before: Option<usize>) {
        let (units, rows) = (self.units(), 3 * self.units());
        let bias = self.recurrent_bias.as_ref().map_or(&[][..], |bias| bias.as_slice());
        let Tape { line: Line { gates, previous, hidden, .. }, slopes, inner, .. } = tape;
        let inner = &mut inner[rows * columns.start..rows * columns.end];
        inner.chunks_exact_mut(rows).for_each(|column| column.copy_from_slice(bias));
        if before.is_some() {
            let previous = &previous[units * columns.start..];
            product(inner, &kernels.recurrent[0], |column| &previous[column * units..][..units], true);
        }
        for (column, inner) in inner.chunks_exact(rows).enumerate() {
            let token = columns.start + column;
            let (gates, slopes) = (&mut gates[rows * token..][..rows], &mut slopes[rows * token..][..rows]);
            add(&mut gates[..2 * units], &inner[..2 * units]);
            activate(self.form.gates, self.form.clip, &mut gates[..2 * units], &mut slopes[..2 * units]);
            for unit in 0..units {
                let reset = gates[units + unit];
                gates[2 * units + unit] += reset * inner[2 * units + unit];
            }
            activate(self.form.activation, self.form.clip, &mut gates[2 * units..], &mut slopes[2 * units..]);
            mix(gates, hidden, (units, token), before.map(|before| before + column));
        }
    }

    /// The gates of one step of a GRU whose reset acts before the product, and h.
    fn gru_before(&self, kernels: &Kernels<T>, tape: &mut Tape<T>, columns: Range<usize>, before: Option<usize>) {
        let (units, rows) = (self.units(), 3 * self.units());
        let Tape { line: Line { gates, previous, hidden, .. }, slopes, inner, reset, candidate, .. } = tape;
        let inner = &mut inner[..2 * units * columns.len()];
        let candidate = &mut candidate[..units * columns.len()];
        let previous = &previous[units * columns.start..];
        inner.fill(T::zero());
        candidate.fill(T::zero());
        if before.is_some() {
            product(inner, &kernels.recurrent[0], |column| &previous[column * units..][..units], false);
        }
        for (column, inner) in inner.chunks_exact(2 * units).enumerate() {
            let token = columns.start + column;
            let (gates, slopes) = (&mut gates[rows * token..][..2 * units], &mut slopes[rows * token..][..2 * units]);
            add(gates, inner);
            activate(self.form.gates, self.form.clip, gates, slopes);
            let (reset, p) = (&mut reset[units * token..][..units], &previous[units * column..]);
            reset.iter_mut().zip(&gates[units..]).zip(p).for_each(|((reset, r), p)| *reset = *r * *p);
        }
        if before.is_some() {
            let reset = &reset[units * columns.start..];
            product(candidate, &kernels.recurrent[1], |column| &reset[column * units..][..units], false);
        }
        for (column, candidate) in candidate.chunks_exact(units).enumerate() {
            let token = columns.start + column;
            let (gates, slopes) = (&mut gates[rows * token..][..rows], &mut slopes[rows * token..][..rows]);
            add(&mut gates[2 * units..], candidate);
            activate(self.form.activation, self.form.clip, &mut gates[2 * units..], &mut slopes[2 * units..]);
            mix(gates, hidden, (units, token), before.map(|before| before + column));
        }
    }

    /// Goes back through all steps and turns the gates on the tape into the gradients of their sums. `hidden_gradient` is dL/dh (F × tokens)
    /// from the layer above and becomes the whole dL/dh. Must follow [`Variant::forward`], once.
    pub(crate) fn backward(&self, kernels: &Kernels<T>, steps: &Steps, tape: &mut Tape<T>, hidden_gradient: &mut [T]) {
        let (units, features, rows) = (self.units(), self.features(), self.kernel.nrows());
        let (zero, sequences) = (T::zero(), steps.count(0));
        tape.line.through.resize(features * sequences, zero);
        tape.cell_gradient.clear();
        tape.cell_gradient.resize(units * sequences, zero);
        for step in (0..steps.len()).rev() {
            let columns = steps.columns(step);
            if step < steps.lead {
                tape.line.gates[rows * columns.start..rows * columns.end].fill(zero);
                if self.recurrent_bias.is_some() {
                    tape.inner[rows * columns.start..rows * columns.end].fill(zero);
                }
                continue;
            }
            let before = step.checked_sub(1).map(|step| steps.columns(step).start);
            let (above, gradient) = hidden_gradient.split_at_mut(features * columns.start);
            for column in 0..columns.len() {
                let dh = &gradient[features * column..][..features];
                let (token, before) = (columns.start + column, before.map(|before| before + column));
                match self.form.kind {
                    VariantKind::Lstm => self.lstm_back(tape, dh, (token, column), before),
                    VariantKind::Gru(_) => self.gru_back(tape, dh, token, before, above),
                    VariantKind::Rnn => {
                        let gates = tape.line.gates[rows * token..][..rows].iter_mut();
                        let slopes = &tape.slopes[rows * token..][..rows];
                        gates.zip(dh).zip(slopes).for_each(|((gate, dh), slope)| *gate = *dh * *slope);
                    }
                }
            }
            self.back_through(kernels, tape, columns.clone(), before.is_some());
            if let Some(before) = before {
                let through = &mut tape.line.through[..features * columns.len()];
                if !tape.line.recurrent_mask.is_empty() {
                    multiply(through, &tape.line.recurrent_mask);
                }
                add(&mut above[features * before..][..through.len()], through);
            }
        }
        if self.projection.is_some() {
            tape.hidden_gradient.clear();
            tape.hidden_gradient.extend_from_slice(hidden_gradient);
        }
    }

    /// From the gradients of one step's sums to that of p, into `through`.
    fn back_through(&self, kernels: &Kernels<T>, tape: &mut Tape<T>, columns: Range<usize>, recall: bool) {
        let (units, features, rows) = (self.units(), self.features(), self.kernel.nrows());
        let Tape { line: Line { gates, previous, through, .. }, slopes, inner, candidate, .. } = tape;
        let gates = &mut gates[rows * columns.start..rows * columns.end];
        let through = &mut through[..features * columns.len()];
        let [transpose, others] = &kernels.recurrent_transpose;
        match self.form.kind {
            VariantKind::Gru(false) if !recall => {
                // p is zero, and with it the gradient of r.
                gates.chunks_exact_mut(rows).for_each(|gates| gates[units..2 * units].fill(T::zero()));
            }
            VariantKind::Gru(false) => {
                // ds = U_nᵀ·dn     dr = ds ∘ p ∘ gate'     dp = [U_z, U_r]ᵀ·[dz, dr] + ds ∘ r
                let ds = &mut candidate[..units * columns.len()];
                let found = &*gates;
                product(ds, others, |column| &found[rows * column + 2 * units..][..units], false);
                for (column, (gates, ds)) in gates.chunks_exact_mut(rows).zip(ds.chunks_exact_mut(units)).enumerate() {
                    let token = columns.start + column;
                    for unit in 0..units {
                        let reset = gates[units + unit];
                        gates[units + unit] =
                            ds[unit] * previous[units * token + unit] * slopes[rows * token + units + unit];
                        ds[unit] *= reset;
                    }
                }
                let gates = &*gates;
                product(through, transpose, |column| &gates[rows * column..][..2 * units], false);
                add(through, ds);
            }
            _ if !recall => {}
            VariantKind::Gru(true) => {
                let inner = &inner[rows * columns.start..];
                product(through, transpose, |column| &inner[rows * column..][..rows], false);
            }
            VariantKind::Lstm | VariantKind::Rnn => {
                let gates = &*gates;
                product(through, transpose, |column| &gates[rows * column..][..rows], false);
            }
        }
    }

    /// One column of one step of an LSTM backward: turns the gates into the gradients of their sums, and dL/dc_t into dL/dc_{t-1}.
    ///
    /// ```text
    /// dm = dh, or Pᵀ·dh            do = dm ∘ out(c) ∘ gate'
    /// dc = dc + dm ∘ o ∘ out'(c) + p_o ∘ do
    /// di = dc ∘ g ∘ gate', coupled dc ∘ (g - c_{t-1}) ∘ gate'     df = dc ∘ c_{t-1} ∘ gate'     dg = dc ∘ i ∘ act'
    /// dc_{t-1} = dc ∘ f + p_i ∘ di + p_f ∘ df
    /// ```
    fn lstm_back(&self, tape: &mut Tape<T>, dh: &[T], (token, column): (usize, usize), before: Option<usize>) {
        let (units, features, rows) = (self.units(), self.features(), self.kernel.nrows());
        let last = rows / units - 1;
        let Tape { line, slopes, cells, squashed: [squashed, output_slopes], cell_gradient, .. } = tape;
        let gates = &mut line.gates[rows * token..][..rows];
        let slopes = &slopes[rows * token..][..rows];
        let peephole = |gate: usize, unit: usize| self.peephole(gate).map_or(T::zero(), |peephole| peephole[unit]);
        for unit in 0..units {
            let dm = match &self.projection {
                None => dh[unit],
                Some(projection) => {
                    let column = &projection.as_slice()[features * unit..][..features];
                    column.iter().zip(dh).fold(T::zero(), |sum, (p, dh)| sum + *p * *dh)
                }
            };
            let (at, candidate) = (units * token + unit, (last - 1) * units + unit);
            let (i, g, o) = (gates[unit], gates[candidate], gates[last * units + unit]);
            let earlier = before.map_or(T::zero(), |before| cells[units * before + unit]);
            let dc = &mut cell_gradient[units * column + unit];
            let output = dm * squashed[at] * slopes[last * units + unit];
            *dc += dm * o * output_slopes[at] + peephole(last - 1, unit) * output;
            gates[last * units + unit] = output;
            gates[candidate] = *dc * i * slopes[candidate];
            if self.form.coupled {
                gates[unit] = *dc * (g - earlier) * slopes[unit];
                *dc = *dc * (T::one() - i) + peephole(0, unit) * gates[unit];
            } else {
                let forget = gates[units + unit];
                gates[unit] = *dc * g * slopes[unit];
                gates[units + unit] = *dc * earlier * slopes[units + unit];
                *dc = *dc * forget + peephole(0, unit) * gates[unit] + peephole(1, unit) * gates[units + unit];
            }
        }
    }

    /// One column of one step of a GRU backward: turns z and n into the gradients of their sums, with the reset after the product r and U·p + b_h too, and adds
    /// dh ∘ z to dh_{t-1}.
    ///
    /// ```text
    /// dz = dh ∘ (h_{t-1} - n) ∘ gate'     dn = dh ∘ (1 - z) ∘ act'     after: dr = dn ∘ (U_n·p + b_hn) ∘ gate', and dn ∘ r of U_n·p + b_hn
    /// ```
    fn gru_back(&self, tape: &mut Tape<T>, dh: &[T], token: usize, before: Option<usize>, above: &mut [T]) {
        let (units, rows) = (self.units(), 3 * self.units());
        let Tape { line: Line { gates, hidden, .. }, slopes, inner, .. } = tape;
        let gates = &mut gates[rows * token..][..rows];
        let slopes = &slopes[rows * token..][..rows];
        for unit in 0..units {
            let (z, r, n) = (gates[unit], gates[units + unit], gates[2 * units + unit]);
            let earlier = before.map_or(T::zero(), |before| hidden[units * before + unit]);
            if let Some(before) = before {
                above[units * before + unit] += dh[unit] * z;
            }
            let candidate = dh[unit] * (T::one() - z) * slopes[2 * units + unit];
            gates[unit] = dh[unit] * (earlier - n) * slopes[unit];
            gates[2 * units + unit] = candidate;
            if self.recurrent_bias.is_some() {
                let inner = &mut inner[rows * token..][..rows];
                gates[units + unit] = candidate * inner[2 * units + unit] * slopes[units + unit];
                inner[unit] = gates[unit];
                inner[units + unit] = gates[units + unit];
                inner[2 * units + unit] = candidate * r;
            }
        }
    }

    /// The gradients of all tensors but W and b, which follow from what [`Variant::backward`] left on the tape. They replace what is in `gradient`.
    pub(crate) fn recurrent_gradient(&self, steps: &Steps, tape: &mut Tape<T>, gradient: &mut Self) {
        let (units, features, rows) = (self.units(), self.features(), self.kernel.nrows());
        let first = steps.count(0);
        let count = steps.tokens() - first;
        let Tape { line: Line { gates, previous, outer: memory, .. }, inner, reset, .. } = &mut *tape;
        let previous = |token: usize| &previous[features * (first + token)..][..features];
        let recurrent = &mut gradient.recurrent_kernel;
        let left = if self.recurrent_bias.is_some() { &*inner } else { &*gates };
        let column = |token: usize| &left[rows * (first + token)..][..rows];
        outer(recurrent.as_mut_slice(), (rows, features), count, column, previous, memory);
        if self.form.kind == VariantKind::Gru(false) {
            // The rows of n meet r ∘ p.
            let mut lower = DMatrix::zeros(units, units);
            let column = |token: usize| &gates[rows * (first + token) + 2 * units..][..units];
            let reset = |token: usize| &reset[units * (first + token)..][..units];
            outer(lower.as_mut_slice(), (units, units), count, column, reset, memory);
            recurrent.rows_mut(2 * units, units).copy_from(&lower);
        }
        if let Some(bias) = &mut gradient.recurrent_bias {
            bias.fill(T::zero());
            add_column_sum(bias.as_mut_slice(), inner);
        }
        if let Some(projection) = &mut gradient.projection {
            let Tape { line, unprojected, hidden_gradient, .. } = &mut *tape;
            let lead: usize = (0..steps.lead).map(|step| steps.count(step)).sum();
            let column = |token: usize| &hidden_gradient[features * (lead + token)..][..features];
            let value = |token: usize| &unprojected[units * (lead + token)..][..units];
            let count = steps.tokens() - lead;
            outer(projection.as_mut_slice(), (features, units), count, column, value, &mut line.outer);
        }
        if let Some(peepholes) = &mut gradient.peepholes {
            self.peephole_gradient(steps, tape, peepholes.as_mut_slice());
        }
    }

    /// `dp_i = Σ di ∘ c_{t-1}     dp_f = Σ df ∘ c_{t-1}     dp_o = Σ do ∘ c_t`
    fn peephole_gradient(&self, steps: &Steps, tape: &Tape<T>, gradient: &mut [T]) {
        let (units, rows) = (self.units(), self.kernel.nrows());
        let last = rows / units - 1;
        gradient.fill(T::zero());
        for step in steps.lead..steps.len() {
            let columns = steps.columns(step);
            let before = step.checked_sub(1).map(|step| steps.columns(step).start);
            for (column, token) in columns.enumerate() {
                let gates = &tape.line.gates[rows * token..][..rows];
                for (place, gradient) in gradient.chunks_exact_mut(units).enumerate() {
                    let is_output = place + 1 == last;
                    let of = if is_output { Some(token) } else { before.map(|before| before + column) };
                    let Some(of) = of else { continue };
                    let sums = &gates[if is_output { last } else { place } * units..][..units];
                    let cells = &tape.cells[units * of..][..units];
                    gradient.iter_mut().zip(sums.iter().zip(cells)).for_each(|(sum, (d, c))| *sum += *d * *c);
                }
            }
        }
    }
}

/// `h_t = (1 - z)∘n + z∘h_{t-1}` of a token, from the token before where there is one.
fn mix<T: Real>(gates: &[T], hidden: &mut [T], (units, token): (usize, usize), before: Option<usize>) {
    for unit in 0..units {
        let (z, n) = (gates[unit], gates[2 * units + unit]);
        let earlier = before.map_or(T::zero(), |before| hidden[units * before + unit]);
        hidden[units * token + unit] = (T::one() - z) * n + z * earlier;
    }
}
