use super::*;
use crate::Layout;
use crate::described::{Answer, Embedding, Format, Gain, Layer, Normalization, Samples, Source, Text};

fn matrix(rows: usize, columns: usize, values: &[f32]) -> Matrix {
    Matrix { source: String::new(), rows, columns, values: values.to_vec() }
}

fn vector(values: &[f32]) -> Vector {
    Vector { source: String::new(), values: values.to_vec() }
}

fn model(input: Input, kinds: Vec<Kind>) -> Described {
    let layer = |kind: Kind| Layer { name: kind.name().into(), kind };
    Described {
        source: Source::of(Format::Safetensors(Layout::PyTorch)),
        input,
        layers: kinds.into_iter().map(layer).collect(),
        skip: None,
        gain: Gain::default(),
        answer: Answer::default(),
    }
}

fn near(found: &[f64], expected: &[f64]) {
    let same = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(same, "{found:?} and {expected:?}");
}

#[test]
fn a_gru_resets_after_or_before_its_product_and_begins_with_what_it_is_given() {
    let sigma = |x: f64| 1.0 / (1.0 + (-x).exp());
    for reset_after in [true, false] {
        let kernels = (matrix(3, 1, &[0.1, 0.2, 0.3]), matrix(3, 1, &[0.4, 0.5, 0.6]));
        let gru = Recurrent::new(Cell::Gru { reset_after }, 1, kernels, vector(&[0.7, 0.8, 0.9]));
        let recurrent_bias = reset_after.then(|| vector(&[-0.1, -0.2, -0.3]));
        let gru = Recurrent { recurrent_bias, initial_hidden: Some(vector(&[0.25])), ..gru };
        let model = model(Input::Samples(Samples { channels: 1, ..Samples::default() }), vec![Kind::Recurrent(gru)]);
        let bias = |value: f64| if reset_after { value } else { 0.0 };
        let (x, h) = (0.5, 0.25);
        let z = sigma(0.1 * x + 0.4 * h + 0.7 + bias(-0.1));
        let r = sigma(0.2 * x + 0.5 * h + 0.8 + bias(-0.2));
        let inner = if reset_after { r * (0.6 * h - 0.3) } else { 0.6 * (r * h) };
        let n = (0.3 * x + 0.9 + inner).tanh();
        near(&of_samples(&model, &[0.5]).answers, &[(1.0 - z) * n + z * h]);
    }
}

#[test]
fn ids_are_rows_of_the_table_and_a_pooling_makes_one_answer_of_all_steps() {
    let table = Kind::Embedding(Embedding { table: matrix(3, 2, &[0.0, 1.0, 0.5, -1.0, -0.5, 2.0]), mask_zero: false });
    let softmax = |x: [f64; 2]| {
        let powers = x.map(f64::exp);
        powers.map(|power| power / (powers[0] + powers[1]))
    };
    let weight = |h: f64| (4.0 * h).exp();
    let all: f64 = [0.0, 0.5, -0.5].map(weight).iter().sum();
    let weighted =
        |values: [f64; 3]| values.iter().zip([0.0, 0.5, -0.5]).map(|(x, h)| x * weight(h)).sum::<f64>() / all;
    for (pooling, pooled) in [
        (Pooling::Last, [-0.5, 2.0]),
        (Pooling::Mean, [0.0, 2.0 / 3.0]),
        (Pooling::Max, [0.5, 2.0]),
        (Pooling::Attention, [weighted([0.0, 0.5, -0.5]), weighted([1.0, -1.0, 2.0])]),
    ] {
        let dense = Dense {
            kernel: matrix(2, 2, &[1.0, 0.0, 0.0, 1.0]),
            bias: vector(&[0.0, 0.0]),
            activation: Activation::Softmax,
        };
        let model = model(Input::Ids(Text::default()), vec![table.clone(), Kind::Pooling(pooling), Kind::Dense(dense)]);
        let Computed { layers, answers } = of_ids(&model, &[0, 1, 2]);
        near(&layers[0], &[0.0, 1.0, 0.5, -1.0, -0.5, 2.0]);
        near(&layers[1], &pooled);
        near(&answers, &softmax(pooled));
    }
}

#[test]
fn a_window_ends_with_its_step_or_has_it_in_its_middle_or_lies_within() {
    let kernel = matrix(1, 3, &[1.0, 10.0, 100.0]);
    for (padding, stride, expected) in [
        (Padding::Causal, 1, vec![100.0, 210.0, 321.0, 432.0]),
        (Padding::Causal, 2, vec![100.0, 321.0]),
        (Padding::Same, 1, vec![210.0, 321.0, 432.0, 43.0]),
        (Padding::Valid, 1, vec![321.0, 432.0]),
        (Padding::Valid, 2, vec![321.0]),
    ] {
        let activation = Activation::Linear;
        let conv1d = Conv1d { frames: 3, stride, padding, activation, kernel: kernel.clone(), bias: vector(&[0.0]) };
        let model = model(Input::Samples(Samples { channels: 1, ..Samples::default() }), vec![Kind::Conv1d(conv1d)]);
        near(&of_samples(&model, &[1.0, 2.0, 3.0, 4.0]).answers, &expected);
    }
}

#[test]
fn samples_are_normalized_and_activations_are_the_usual_ones() {
    let normalization = vec![Normalization { mean: 1.0, scale: 2.0 }, Normalization { mean: 0.0, scale: 0.5 }];
    let input = Input::Samples(Samples { channels: 2, normalization, ..Samples::default() });
    let dense = |activation| {
        Kind::Dense(Dense { kernel: matrix(2, 2, &[1.0, 0.0, 0.0, 1.0]), bias: vector(&[0.0, 0.0]), activation })
    };
    for (activation, expected) in [
        (Activation::Linear, [1.5, -8.0]),
        (Activation::Relu, [1.5, 0.0]),
        (Activation::Tanh, [1.5_f64.tanh(), (-8.0_f64).tanh()]),
        (Activation::Sigmoid, [1.0 / (1.0 + (-1.5_f64).exp()), 1.0 / (1.0 + 8.0_f64.exp())]),
        (Activation::HardSigmoid, [0.8, 0.0]),
        (Activation::HardSigmoidSixth, [0.75, 0.0]),
    ] {
        // A frame that is cut off is not read.
        near(&of_samples(&model(input.clone(), vec![dense(activation)]), &[4.0, -4.0, 9.0]).answers, &expected);
    }
}
