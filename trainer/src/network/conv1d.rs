//! A convolution over time, forward and backward over all steps of a shard.
//!
//! ```text
//! y_t = f(b + Σ_{k<K} W_k·x_{t-K+1+k})          f: relu or linear; x before the first step is zero
//! ```
//!
//! The K frames of a window in a row are the input of a dense layer, whose kernel is `[W_0 … W_{K-1}]`. With a stride S there is a y at the steps 0, S, 2S …, of a valid
//! convolution at K-1, K-1+S, K-1+2S …, and the layers above have only these steps. This is Keras's `Conv1D(padding="causal", strides=S)`, and its `padding="valid"`.

pub mod integers;

use super::dense::Dense;
use super::steps::Steps;
use crate::config::chain::Activation;
use crate::config::chain::rhythm::Rhythm;
use crate::network::recurrent::Kernels;
use crate::real::{Real, add};
use nalgebra::DMatrix;
use rand::Rng;

/// The weights of a convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv1d<T: Real> {
    /// Frames of the window, K.
    pub frames: usize,
    /// Steps from one answer to the next, S.
    pub stride: usize,
    /// Whether its first answer comes when its window is full.
    pub valid: bool,
    /// What a window goes through: its kernel is units × K·inputs, the oldest frame first.
    pub dense: Dense<T>,
}

/// What the forward pass leaves for the backward pass besides the output.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape<T> {
    /// The windows (K·inputs × columns above).
    window: Vec<T>,
    /// dL/dwindow, of the same shape.
    below: Vec<T>,
    /// The K-1 frames before the steps of each sequence, the oldest first (inputs × (K-1) × sequences), or empty: zeros.
    pub(crate) history: Vec<T>,
    /// The same behind the last step, where [`Tape::keeps`] says so.
    next: Vec<T>,
    /// Whether sequences will go on.
    pub(crate) keeps: bool,
}

/// The steps below a layer and above it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Between<'a> {
    pub(crate) below: &'a Steps,
    pub(crate) above: &'a Steps,
}

impl Between<'_> {
    /// Calls `each` with the column above, the frame's place in the window, and its column below, for all frames that are there.
    pub(super) fn each_frame(self, frames: usize, rhythm: Rhythm, mut each: impl FnMut(usize, usize, usize)) {
        let lead = self.above.lead;
        for step in lead..self.above.len() {
            // Of what was before there is a history, and no frame.
            let last = self.below.below(step, rhythm);
            for sequence in 0..self.above.count(step) {
                for place in frames.saturating_sub(last + 1 - lead)..frames {
                    let column = self.below.token(last + place + 1 - frames, sequence);
                    each(self.above.token(step, sequence), place, column);
                }
            }
        }
    }
}

impl<T: Real> Conv1d<T> {
    /// A layer of zeros.
    pub(crate) fn zeros(inputs: usize, units: usize, (frames, stride): (usize, usize), activation: Activation) -> Self {
        Self { frames, stride, valid: false, dense: Dense::zeros(inputs * frames, units, activation) }
    }

    /// At which of the steps below it answers.
    pub(crate) fn rhythm(&self) -> Rhythm {
        if self.valid { Rhythm::of_window(self.frames, self.stride) } else { Rhythm { first: 0, stride: self.stride } }
    }

    /// Draws a Glorot-uniform kernel over the whole window; the bias is zero.
    pub(crate) fn initialize(&mut self, rng: &mut impl Rng) {
        self.dense.initialize(rng);
    }

    /// Visits every tensor with its name, in a fixed order.
    pub fn for_each_tensor<'a>(&'a self, visit: &mut dyn FnMut(&'static str, &'a DMatrix<T>)) {
        self.dense.for_each_tensor(visit);
    }

    /// Visits every tensor to change it, in the order of [`Self::for_each_tensor`]. A tensor must keep its shape.
    pub fn for_each_tensor_mut<'a>(&'a mut self, visit: &mut dyn FnMut(&'static str, &'a mut DMatrix<T>)) {
        self.dense.for_each_tensor_mut(visit);
    }

    /// Features of a frame.
    fn inputs(&self) -> usize {
        self.dense.kernel.ncols() / self.frames
    }

    /// Takes up Wᵀ for the way back.
    pub(crate) fn update(&self, kernels: &mut Kernels<T>) {
        self.dense.update(&mut kernels.kernel_transpose);
    }

    /// Writes the windows of `input` (inputs × columns below) onto the tape.
    fn gather(&self, steps: Between<'_>, input: &[T], tape: &mut Tape<T>) {
        let (inputs, width) = (self.inputs(), self.dense.kernel.ncols());
        tape.window.clear();
        tape.window.resize(width * steps.above.tokens(), T::zero());
        steps.each_frame(self.frames, self.rhythm(), |above, place, below| {
            let to = width * above + inputs * place;
            tape.window[to..to + inputs].copy_from_slice(&input[inputs * below..][..inputs]);
        });
        self.recall(steps, tape);
        if tape.keeps {
            self.keep(steps.below, input, tape);
        }
    }

    /// Writes the frames before the first step into the windows that reach back to them.
    fn recall(&self, steps: Between<'_>, tape: &mut Tape<T>) {
        let (inputs, width) = (self.inputs(), self.dense.kernel.ncols());
        let (kept, lead) = (self.frames - 1, steps.above.lead);
        if tape.history.is_empty() {
            return;
        }
        for step in lead..steps.above.len() {
            let reached = steps.below.below(step, self.rhythm()) - lead;
            for sequence in 0..steps.above.count(step) {
                let window = &mut tape.window[width * steps.above.token(step, sequence)..][..width];
                let history = &tape.history[inputs * kept * sequence..][..inputs * kept];
                let missing = kept.saturating_sub(reached);
                window[..inputs * missing].copy_from_slice(&history[inputs * (kept - missing)..]);
            }
        }
    }

    /// Keeps the last frames of each sequence.
    fn keep(&self, below: &Steps, input: &[T], tape: &mut Tape<T>) {
        let (inputs, kept) = (self.inputs(), self.frames - 1);
        tape.next.clear();
        for sequence in 0..below.sequences() {
            let count = below.lengths()[sequence] - below.lead;
            let earlier = kept.saturating_sub(count);
            match tape.history.get(inputs * kept * sequence..inputs * kept * (sequence + 1)) {
                Some(history) => tape.next.extend_from_slice(&history[inputs * (kept - earlier)..]),
                None => tape.next.resize(tape.next.len() + inputs * earlier, T::zero()),
            }
            for step in count - (kept - earlier)..count {
                let column = below.token(below.lead + step, sequence);
                tape.next.extend_from_slice(&input[inputs * column..][..inputs]);
            }
        }
    }

    /// What the sequence at a place of the shard has kept.
    pub(crate) fn kept<'t>(&self, tape: &'t Tape<T>, sequence: usize) -> &'t [T] {
        let kept = self.inputs() * (self.frames - 1);
        tape.next.get(kept * sequence..kept * (sequence + 1)).unwrap_or_default()
    }

    /// Runs the layer over `input` (inputs × columns below) and writes `output` (units × columns above).
    pub(crate) fn forward(&self, steps: Between<'_>, input: &[T], tape: &mut Tape<T>, output: &mut Vec<T>) {
        self.gather(steps, input, tape);
        self.dense.forward(&tape.window, steps.above.tokens(), output);
    }

    /// Replaces `sums` with the gradients of the weights and `below` (inputs × columns below) with dL/dinput, from dL/doutput, as [`Dense::backward`] does.
    pub(crate) fn backward(
        &self,
        kernels: &Kernels<T>,
        steps: Between<'_>,
        values: (&[T], &[T]),
        gradient: &mut [T],
        sums: &mut Self,
        (tape, below): (&mut Tape<T>, &mut Vec<T>),
    ) {
        let (inputs, width) = (self.inputs(), self.dense.kernel.ncols());
        let Tape { window, below: windows, .. } = tape;
        self.dense.backward(&kernels.kernel_transpose, window, values, gradient, &mut sums.dense, windows);
        below.clear();
        below.resize(inputs * steps.below.tokens(), T::zero());
        steps.each_frame(self.frames, self.rhythm(), |above, place, column| {
            let from = width * above + inputs * place;
            add(&mut below[inputs * column..][..inputs], &windows[from..from + inputs]);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::generator;
    use rand::RngExt;

    /// Sequences of these lengths, and what is above them at a stride.
    fn steps(lengths: &[usize], rhythm: Rhythm) -> (Steps, Steps) {
        let sequences: Vec<Vec<u32>> = lengths.iter().map(|&length| vec![0; length]).collect();
        let (mut below, mut above) = (Steps::default(), Steps::default());
        below.gather(&(0..lengths.len()).collect::<Vec<usize>>(), |index| &sequences[index]);
        above.every(&below, rhythm);
        (below, above)
    }

    #[test]
    fn a_convolution_is_the_sum_over_its_window_at_each_step_of_its_stride() {
        let lengths = [9, 7, 3, 1, 0];
        let windows = [
            (1, 1, Activation::Linear),
            (3, 1, Activation::Relu),
            (4, 2, Activation::Linear),
            (2, 5, Activation::Relu),
        ];
        for ((frames, stride, activation), valid) in windows.into_iter().flat_map(|one| [(one, false), (one, true)]) {
            let rng = &mut generator([9, 0, 0, 0]);
            let mut layer = Conv1d::<f64> { valid, ..Conv1d::zeros(2, 3, (frames, stride), activation) };
            layer.initialize(rng);
            layer.dense.bias = DMatrix::from_fn(3, 1, |_, _| rng.random::<f64>() - 0.5);
            let (below, above) = steps(&lengths, layer.rhythm());
            let first = if valid { frames - 1 } else { 0 };
            let input: Vec<f64> = (0..2 * below.tokens()).map(|_| rng.random::<f64>() - 0.5).collect();
            let (mut tape, mut output) = (Tape::default(), Vec::new());
            layer.forward(Between { below: &below, above: &above }, &input, &mut tape, &mut output);
            for (sequence, length) in lengths.into_iter().enumerate() {
                for (number, step) in (first..length).step_by(stride).enumerate() {
                    for unit in 0..3 {
                        let mut sum = layer.dense.bias[unit];
                        for k in 0..frames {
                            let Some(t) = (step + k + 1).checked_sub(frames) else { continue };
                            let x = &input[2 * below.token(t, sequence)..][..2];
                            sum += (0..2).map(|i| layer.dense.kernel[(unit, 2 * k + i)] * x[i]).sum::<f64>();
                        }
                        let expected = if activation == Activation::Relu { sum.max(0.0) } else { sum };
                        let found = output[3 * above.token(number, sequence) + unit];
                        assert!((found - expected).abs() < 1e-13, "{frames} {stride}: {found} {expected}");
                    }
                }
            }
            let answers: usize = lengths.iter().map(|length| (first..*length).step_by(stride).count()).sum();
            assert_eq!(output.len(), 3 * answers);
        }
    }
}
