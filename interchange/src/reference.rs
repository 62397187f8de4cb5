//! What a description computes, in the plainest arithmetic: f64, one step after another, no table and no trick. It judges what is made of the description.

use crate::described::{
    Activation, Bidirectional, Cell, Conv1d, Dense, Described, Input, Kind, LayerNorm, Matrix, MaxPool, Merge, Padding,
    Pooling, Recurrent, Samples, Skip, Vector,
};

/// What a model computes of one sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Computed {
    /// The outputs of each layer, steps × features: one step of a pooling and of what lies above it, fewer steps above a stride.
    pub layers: Vec<Vec<f64>>,
    /// The answers, steps × outputs: those of the last layer with skip and gain.
    pub answers: Vec<f64>,
}

/// Runs a model that reads samples over frames, steps × channels. An incomplete frame at the end is not read.
pub fn of_samples(model: &Described, frames: &[f32]) -> Computed {
    let Input::Samples(samples) = &model.input else { return of_ids(model, &[]) };
    let (channels, gain) = (samples.channels.max(1), model.gain);
    let frames = &frames[..frames.len() / channels * channels];
    let layers = run(model, scaled(model, samples, frames));
    let outputs = model.outputs().max(1);
    let last = layers.last().cloned().unwrap_or_default();
    let steps = last.len() / outputs;
    // Of a model with one answer the last step counts; of a stride S the answer k is that of step k·S.
    let step = |answer: usize| match (steps, frames.len() / channels) {
        (1, all) => all.saturating_sub(1),
        (_, all) => answer * (all.div_ceil(steps.max(1))).max(1),
    };
    let answer = |(place, value): (usize, f64)| {
        let skipped = model.skip.map_or(0.0, |Skip { channel, lag }| {
            let step = step(place / outputs).saturating_sub(lag);
            let sample = frames.get(step * channels + channel).copied().unwrap_or(0.0);
            f64::from(sample) * if channel == 0 { f64::from(gain.input) } else { 1.0 }
        });
        f64::from(gain.output) * (value + skipped)
    };
    let answers = last.into_iter().enumerate().map(answer).collect();
    Computed { layers, answers }
}

/// The frames, steps × channels, that the first layer of a model takes for steps: all of them where it masks none.
pub fn without_padding(model: &Described, frames: &[f32]) -> Vec<f32> {
    let (Input::Samples(samples), Some(Kind::Masking(value))) =
        (&model.input, model.layers.first().map(|layer| &layer.kind))
    else {
        return frames.to_vec();
    };
    let (channels, value) = (samples.channels.max(1), f64::from(*value));
    let frames = &frames[..frames.len() / channels * channels];
    let scaled = scaled(model, samples, frames);
    let steps = frames.chunks_exact(channels).zip(scaled.chunks_exact(channels));
    steps.filter(|(_, scaled)| scaled.iter().any(|x| *x != value)).flat_map(|(frame, _)| frame).copied().collect()
}

/// What the first layer reads of whole frames.
///
/// ```text
/// x = gain.input · (sample − mean) / scale, held to its bound; of a difference its samples are x_t − x_{t−N}
/// ```
fn scaled(model: &Described, samples: &Samples, frames: &[f32]) -> Vec<f64> {
    let channels = samples.channels.max(1);
    let scaled = |(place, &sample): (usize, &f32)| {
        let normalization = samples.normalization.get(place % channels);
        let (mean, scale) = normalization.map_or((0.0, 1.0), |one| (f64::from(one.mean), f64::from(one.scale)));
        let gain = if place % channels == 0 { f64::from(model.gain.input) } else { 1.0 };
        let before = match samples.difference.saturating_mul(channels) {
            0 => 0.0,
            lag => frames.get(place.checked_sub(lag).unwrap_or(place % channels)).copied().unwrap_or(0.0),
        };
        let scaled = gain * (f64::from(sample) - f64::from(before) - mean) / scale;
        samples.bounds.get(place % channels).map_or(scaled, |&bound| scaled.clamp(-f64::from(bound), f64::from(bound)))
    };
    frames.iter().enumerate().map(scaled).collect()
}

/// Runs a model that reads ids over these, each a row of its embedding.
pub fn of_ids(model: &Described, ids: &[u32]) -> Computed {
    let layers = run(model, ids.iter().map(|&id| f64::from(id)).collect());
    let answers = layers
        .last()
        .map_or_else(Vec::new, |last| last.iter().map(|value| f64::from(model.gain.output) * value).collect());
    Computed { layers, answers }
}

/// The outputs of each layer over what the lowest reads, steps × features; of ids a step has one.
fn run(model: &Described, input: Vec<f64>) -> Vec<Vec<f64>> {
    let mut layers: Vec<Vec<f64>> = Vec::with_capacity(model.layers.len());
    // Whether a step is one to the layers that ask; all of them are where it says nothing.
    let mut seen: Vec<bool> = Vec::new();
    for (layer, inputs) in model.fed() {
        let below = layers.last().unwrap_or(&input);
        let steps = || below.chunks_exact(inputs.max(1));
        layers.push(match &layer.kind {
            Kind::Embedding(embedding) => {
                if embedding.mask_zero {
                    seen = below.iter().map(|&id| id != 0.0).collect();
                }
                below.iter().flat_map(|&id| row(&embedding.table, id as usize).map(f64::from)).collect()
            }
            Kind::Recurrent(recurrent) => {
                let outputs = of_recurrent(recurrent, below, inputs, &seen, false);
                // The steps above have the order of its outputs.
                if recurrent.backwards && !recurrent.aligned {
                    seen.reverse();
                }
                outputs
            }
            Kind::Bidirectional(both) => of_directions(both, below, inputs, &seen),
            Kind::Conv1d(conv1d) => of_conv1d(conv1d, below, inputs),
            Kind::Dense(dense) => steps().flat_map(|x| of_dense(dense, x)).collect(),
            Kind::Pooling(pooling) => of_pooling(*pooling, below, inputs, &seen),
            Kind::LayerNorm(norm) => steps().flat_map(|x| of_layer_norm(norm, x)).collect(),
            Kind::MaxPool(pool) => of_max_pool(*pool, below, inputs),
            Kind::Masking(value) => {
                seen = steps().map(|x| x.iter().any(|x| *x != f64::from(*value))).collect();
                // What is no step has the value 0 in every feature.
                steps().zip(&seen).flat_map(|(x, seen)| x.iter().map(|x| if *seen { *x } else { 0.0 })).collect()
            }
            Kind::Activation(activation) => steps().flat_map(|x| activated(*activation, x)).collect(),
        });
        if matches!(layer.kind, Kind::Conv1d(_) | Kind::MaxPool(_) | Kind::Pooling(_)) {
            seen.clear();
        }
    }
    layers
}

/// A row of a matrix; nothing of one that is not there.
fn row(matrix: &Matrix, row: usize) -> impl Iterator<Item = f32> + '_ {
    matrix.values.chunks(matrix.columns.max(1)).nth(row).into_iter().flatten().copied()
}

/// W·x
fn product(matrix: &Matrix, x: &[f64]) -> Vec<f64> {
    let columns = matrix.columns;
    let row = |number: usize| matrix.values.get(number * columns..(number + 1) * columns).unwrap_or_default();
    (0..matrix.rows).map(|number| dot(row(number), x)).collect()
}

/// Σ w·x, in sums that do not wait for each other.
fn dot(w: &[f32], x: &[f64]) -> f64 {
    const SUMS: usize = 8;
    let (w, x) = (&w[..w.len().min(x.len())], &x[..w.len().min(x.len())]);
    let ((w, last_w), (x, last_x)) = (w.as_chunks::<SUMS>(), x.as_chunks::<SUMS>());
    let mut sums = [0.0; SUMS];
    for (w, x) in w.iter().zip(x) {
        for (sum, (w, x)) in sums.iter_mut().zip(w.iter().zip(x)) {
            *sum += f64::from(*w) * x;
        }
    }
    let last = last_w.iter().zip(last_x).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
    sums.iter().sum::<f64>() + last
}

/// a + b
fn sum(a: Vec<f64>, b: &[f64]) -> Vec<f64> {
    a.into_iter().zip(b).map(|(a, b)| a + b).collect()
}

fn wide(vector: &Vector) -> Vec<f64> {
    vector.values.iter().map(|&value| f64::from(value)).collect()
}

fn activated(activation: Activation, x: &[f64]) -> Vec<f64> {
    let each = |of: &dyn Fn(f64) -> f64| x.iter().map(|x| of(*x)).collect();
    match activation {
        Activation::Linear => x.to_vec(),
        Activation::Relu => x.iter().map(|x| x.max(0.0)).collect(),
        Activation::Tanh => x.iter().map(|x| x.tanh()).collect(),
        // 1 / (1 + e⁻ˣ)
        Activation::Sigmoid => x.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
        // clamp(0.2·x + 0.5, 0, 1)
        Activation::HardSigmoid => x.iter().map(|x| (0.2 * x + 0.5).clamp(0.0, 1.0)).collect(),
        // clamp(x/6 + 0.5, 0, 1)
        Activation::HardSigmoidSixth => x.iter().map(|x| (x / 6.0 + 0.5).clamp(0.0, 1.0)).collect(),
        // clamp(α·x + β, 0, 1)
        Activation::HardSigmoidOf(alpha, beta) => each(&|x| (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0)),
        Activation::Affine(alpha, beta) => each(&|x| f64::from(alpha) * x + f64::from(beta)),
        Activation::LeakyRelu(alpha) => each(&|x| if x >= 0.0 { x } else { f64::from(alpha) * x }),
        Activation::ThresholdedRelu(alpha) => each(&|x| if x > f64::from(alpha) { x } else { 0.0 }),
        Activation::ScaledTanh(alpha, beta) => each(&|x| f64::from(alpha) * (f64::from(beta) * x).tanh()),
        // α·(eˣ − 1) below 0
        Activation::Elu(alpha) => each(&|x| if x >= 0.0 { x } else { f64::from(alpha) * x.exp_m1() }),
        Activation::Softsign => each(&|x| x / (1.0 + x.abs())),
        // ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|)
        Activation::Softplus => each(&|x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        Activation::Softmax => {
            // e^(x − max) / Σ e^(x − max)
            let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = x.iter().map(|x| (x - most).exp()).collect();
            let all: f64 = powers.iter().sum();
            powers.into_iter().map(|power| power / all).collect()
        }
    }
}

/// The hidden states of a recurrent layer over x, steps × inputs, in the order in which it reads, or in that of the steps where they are brought back; the
/// equations stand above [`Cell`]. A step that is none leaves the state as it is: its output is that of the step before, or zeros.
fn of_recurrent(layer: &Recurrent, x: &[f64], inputs: usize, seen: &[bool], zeros: bool) -> Vec<f64> {
    let features = layer.features();
    let begin = |initial: &Option<Vector>, length| initial.as_ref().map_or_else(|| vec![0.0; length], wide);
    let (mut h, mut c) = (begin(&layer.initial_hidden, features), begin(&layer.initial_cell, layer.units));
    let bias = wide(&layer.bias);
    let mut hidden: Vec<Vec<f64>> = Vec::new();
    let mut output = vec![0.0; features];
    let mut steps: Vec<(usize, &[f64])> = x.chunks_exact(inputs.max(1)).enumerate().collect();
    if layer.backwards {
        steps.reverse();
    }
    for (step, x) in steps {
        if seen.get(step) == Some(&false) {
            if zeros {
                output.fill(0.0);
            }
            hidden.push(output.clone());
            continue;
        }
        // W·x + b, and U·h (+ b_h)
        let a = sum(product(&layer.kernel, x), &bias);
        let mut u = product(&layer.recurrent_kernel, &h);
        if let Some(bias) = &layer.recurrent_bias {
            u = sum(u, &wide(bias));
        }
        h = match layer.cell {
            Cell::Lstm => lstm_step(layer, &sum(a, &u), &mut c),
            Cell::Gru { reset_after } => gru_step(layer, &a, &u, &h, reset_after),
            // h = act(W·x + U·h + b)
            Cell::Rnn => clipped(layer, layer.activation, &sum(a, &u)),
        };
        output.clone_from(&h);
        hidden.push(output.clone());
    }
    if layer.aligned {
        hidden.reverse();
    }
    hidden.concat()
}

/// An activation of sums that are held to the clip before.
fn clipped(layer: &Recurrent, activation: Activation, x: &[f64]) -> Vec<f64> {
    match layer.clip.map(f64::from) {
        Some(clip) => activated(activation, &x.iter().map(|x| x.clamp(-clip, clip)).collect::<Vec<_>>()),
        None => activated(activation, x),
    }
}

/// The next h, and the next c in its place, of z = W·x + U·h + b.
fn lstm_step(layer: &Recurrent, z: &[f64], c: &mut Vec<f64>) -> Vec<f64> {
    let units = layer.units;
    let peepholes = layer.peepholes.as_ref().map_or_else(|| vec![0.0; 3 * units], wide);
    // z + p∘c
    let gate = |z: &[f64], p: &[f64], c: &[f64]| {
        let sums: Vec<f64> = z.iter().zip(p.iter().zip(c)).map(|(z, (p, c))| z + p * c).collect();
        clipped(layer, layer.gate_activation, &sums)
    };
    let i = gate(&z[..units], &peepholes[..units], c);
    let f = if layer.coupled {
        i.iter().map(|i| 1.0 - i).collect()
    } else {
        gate(&z[units..2 * units], &peepholes[units..2 * units], c)
    };
    let g = clipped(layer, layer.activation, &z[2 * units..3 * units]);
    // c = f∘c + i∘g        h = o ∘ out(c)
    *c = (0..units).map(|unit| f[unit] * c[unit] + i[unit] * g[unit]).collect();
    hold(c, layer.cell_clip);
    let o = gate(&z[3 * units..], &peepholes[2 * units..], c);
    let out = activated(layer.output_activation.unwrap_or(layer.activation), c);
    let h: Vec<f64> = out.iter().zip(&o).map(|(c, o)| o * c).collect();
    // h = P·(o ∘ out(c))
    match &layer.projection {
        Some(projection) => {
            let mut h = product(projection, &h);
            hold(&mut h, layer.projection_clip);
            h
        }
        None => h,
    }
}

/// Holds values to a clip, where there is one.
fn hold(values: &mut [f64], clip: Option<f32>) {
    if let Some(clip) = clip.map(f64::from) {
        values.iter_mut().for_each(|value| *value = value.clamp(-clip, clip));
    }
}

/// The next h of a = W·x + b and u = U·h (+ b_h).
fn gru_step(layer: &Recurrent, a: &[f64], u: &[f64], h: &[f64], reset_after: bool) -> Vec<f64> {
    let units = layer.units;
    let gate = |sums: &[f64]| clipped(layer, layer.gate_activation, sums);
    let z = gate(&sum(a[..units].to_vec(), &u[..units]));
    let r = gate(&sum(a[units..2 * units].to_vec(), &u[units..2 * units]));
    // n = act(W·x + b + r ∘ (U·h + b_h)), or act(W·x + b + U·(r∘h))
    let inner: Vec<f64> = if reset_after {
        u[2 * units..].iter().zip(&r).map(|(u, r)| r * u).collect()
    } else {
        let reset: Vec<f64> = h.iter().zip(&r).map(|(h, r)| r * h).collect();
        product(&layer.recurrent_kernel, &reset)[2 * units..].to_vec()
    };
    let n = clipped(layer, layer.activation, &sum(a[2 * units..].to_vec(), &inner));
    // h = (1 − z)∘n + z∘h
    (0..units).map(|unit| (1.0 - z[unit]) * n[unit] + z[unit] * h[unit]).collect()
}

/// Both directions, the outputs of the second brought into the order of the first.
fn of_directions(layer: &Bidirectional, x: &[f64], inputs: usize, seen: &[bool]) -> Vec<f64> {
    let Bidirectional { forward, backward, merge, each_step } = layer;
    let of = |direction: &Recurrent| -> Vec<Vec<f64>> {
        let outputs = of_recurrent(direction, x, inputs, seen, *each_step);
        outputs.chunks_exact(direction.features().max(1)).map(<[f64]>::to_vec).collect()
    };
    let (mut forward, mut backward) = (of(forward), of(backward));
    if *each_step {
        backward.reverse();
    } else {
        forward = forward.pop().into_iter().collect();
        backward = backward.pop().into_iter().collect();
    }
    let merged = |(a, b): (Vec<f64>, Vec<f64>)| -> Vec<f64> {
        let pairs = || a.iter().zip(&b);
        match merge {
            Merge::Concat => [&a[..], &b[..]].concat(),
            Merge::Sum => pairs().map(|(a, b)| a + b).collect(),
            Merge::Product => pairs().map(|(a, b)| a * b).collect(),
            Merge::Mean => pairs().map(|(a, b)| (a + b) / 2.0).collect(),
        }
    };
    forward.into_iter().zip(backward).flat_map(merged).collect()
}

/// y = scale ∘ (x − mean) / sqrt(variance + epsilon) + shift
fn of_layer_norm(layer: &LayerNorm, x: &[f64]) -> Vec<f64> {
    let count = x.len() as f64;
    let mean = x.iter().sum::<f64>() / count;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    let root = (variance + f64::from(layer.epsilon)).sqrt();
    let (scale, shift) = (wide(&layer.scale), wide(&layer.shift));
    x.iter().zip(scale.iter().zip(&shift)).map(|(x, (scale, shift))| scale * (x - mean) / root + shift).collect()
}

/// The largest of each feature in windows that lie within the sequence.
fn of_max_pool(layer: MaxPool, x: &[f64], inputs: usize) -> Vec<f64> {
    let steps: Vec<&[f64]> = x.chunks_exact(inputs.max(1)).collect();
    let windows = steps.windows(layer.frames.max(1)).step_by(layer.stride.max(1));
    let largest =
        |window: &[&[f64]], feature: usize| window.iter().map(|x| x[feature]).fold(f64::NEG_INFINITY, f64::max);
    windows.flat_map(|window| (0..inputs).map(move |feature| largest(window, feature))).collect()
}

/// y = act(W·window + b) at the first step of its padding and each stride steps behind it; zeros lie around the sequence where its padding says so.
fn of_conv1d(layer: &Conv1d, x: &[f64], inputs: usize) -> Vec<f64> {
    let steps = x.len() / inputs.max(1);
    let (first, ahead) = match layer.padding {
        Padding::Causal => (0, 0),
        Padding::Same => (0, layer.frames / 2),
        Padding::Valid => (layer.frames.saturating_sub(1), 0),
    };
    let frame = |step: usize, place: usize| {
        let at = (step + place + ahead + 1).checked_sub(layer.frames).filter(|at| *at < steps);
        (0..inputs).map(move |feature| at.map_or(0.0, |at| x[at * inputs + feature]))
    };
    let output = |step| {
        let window: Vec<f64> = (0..layer.frames).flat_map(|place| frame(step, place)).collect();
        activated(layer.activation, &sum(product(&layer.kernel, &window), &wide(&layer.bias)))
    };
    (first..steps).step_by(layer.stride.max(1)).flat_map(output).collect()
}

/// y = act(W·x + b)
fn of_dense(layer: &Dense, x: &[f64]) -> Vec<f64> {
    activated(layer.activation, &sum(product(&layer.kernel, x), &wide(&layer.bias)))
}

/// One vector of all steps; a mean is that of the steps that are some.
fn of_pooling(pooling: Pooling, x: &[f64], inputs: usize, seen: &[bool]) -> Vec<f64> {
    let steps: Vec<&[f64]> = x.chunks_exact(inputs.max(1)).collect();
    let Some(last) = steps.last() else { return vec![0.0; inputs] };
    // Σ w·x / Σ w
    let mean = |weight: &dyn Fn(&[f64]) -> f64| {
        let all: f64 = steps.iter().map(|step| weight(step)).sum();
        (0..inputs).map(|feature| steps.iter().map(|step| weight(step) * step[feature]).sum::<f64>() / all).collect()
    };
    match pooling {
        Pooling::Last => last.to_vec(),
        Pooling::Mean => {
            let counted = steps.iter().enumerate().filter(|(step, _)| seen.get(*step) != Some(&false));
            let counted: Vec<&[f64]> = counted.map(|(_, step)| *step).collect();
            let of = |feature: usize| counted.iter().map(|step| step[feature]).sum::<f64>() / counted.len() as f64;
            (0..inputs).map(of).collect()
        }
        Pooling::Max => {
            let largest = |feature: usize| steps.iter().map(|step| step[feature]).fold(f64::NEG_INFINITY, f64::max);
            (0..inputs).map(largest).collect()
        }
        // w = e^(4·h), h the first feature, held to [-1, 1]
        Pooling::Attention => mean(&|step| (4.0 * step[0].clamp(-1.0, 1.0)).exp()),
    }
}

#[cfg(test)]
mod tests;
