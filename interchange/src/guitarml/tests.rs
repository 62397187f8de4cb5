use super::*;
use crate::described::{Activation, Cell, Kind};
use crate::open;
use crate::reference::of_samples;

const LIMITS: Limits = Limits { rows: 10, width: 12, layers: 2 };

fn numbers(shape: &[usize], first: f32) -> String {
    match shape {
        [] => format!("{first}"),
        [count, inner @ ..] => {
            let size = inner.iter().product::<usize>().max(1) as f32;
            let items: Vec<String> = (0..*count).map(|at| numbers(inner, first + 0.1 * size * at as f32)).collect();
            format!("[{}]", items.join(","))
        }
    }
}

/// A file of a cell of one unit over two inputs, with G rows.
fn file(unit: &str, gates: usize) -> String {
    let data = format!(
        r#"{{"model":"SimpleRNN","input_size":2,"skip":1,"output_size":1,"unit_type":"{unit}","num_layers":1,"hidden_size":1,"bias_fl":true}}"#
    );
    let tensors = [
        ("rec.weight_ih_l0", numbers(&[gates, 2], -0.3)),
        ("rec.weight_hh_l0", numbers(&[gates, 1], 0.2)),
        ("rec.bias_ih_l0", numbers(&[gates], 0.1)),
        ("rec.bias_hh_l0", numbers(&[gates], -0.2)),
        ("lin.weight", "[[2]]".to_owned()),
        ("lin.bias", "[0.25]".to_owned()),
    ];
    let tensors = tensors.map(|(name, values)| format!("\"{name}\":{values}")).join(",");
    format!("{{\"model_data\":{data},\"state_dict\":{{{tensors}}}}}")
}

fn refused(text: &str, words: &str) {
    let error = open(text.as_bytes(), "a.json", &LIMITS).expect_err(words).to_string();
    assert!(error.starts_with("a.json: ") && error.contains(words), "{error}");
}

#[test]
fn the_first_input_is_added_to_the_answer_and_others_are_knobs() {
    let model = open(file("RNN", 1).as_bytes(), "a.json", &LIMITS).unwrap();
    let Input::Samples(samples) = &model.input else { panic!("samples") };
    assert_eq!((samples.names.join(", "), model.skip), ("input, condition 1".into(), Some(crate::Skip::of(0))));
    let h = (-0.3 * 0.5 - 0.2 * 1.0 + 0.1 - 0.2_f64).tanh();
    let next = (-0.3 * 0.25 - 0.2 * 1.0 + 0.2 * h + 0.1 - 0.2_f64).tanh();
    let answers = of_samples(&model, &[0.5, 1.0, 0.25, 1.0]).answers;
    for (found, expected) in answers.iter().zip([2.0 * h + 0.25 + 0.5, 2.0 * next + 0.25 + 0.25]) {
        assert!((found - expected).abs() < 1e-6, "{found} and {expected}");
    }
    let plain = open(file("RNN", 1).replace("\"skip\":1", "\"skip\":0").as_bytes(), "a.json", &LIMITS).unwrap();
    assert_eq!(plain.skip, None);
}

#[test]
fn gates_of_a_gru_come_into_the_neutral_order_and_those_of_an_lstm_have_it() {
    let model = open(file("GRU", 3).as_bytes(), "a.json", &LIMITS).unwrap();
    let gru = model.recurrent().next().unwrap();
    // r, z, n become z, r, n.
    assert_eq!(gru.cell, Cell::Gru { reset_after: true });
    let near = |found: &[f32], expected: &[f32]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(near(&gru.kernel.values, &[-0.1, 0.0, -0.3, -0.2, 0.1, 0.2]), "{:?}", gru.kernel.values);
    assert!(near(&gru.recurrent_bias.as_ref().unwrap().values, &[-0.1, -0.2, 0.0]));
    let model = open(file("LSTM", 4).as_bytes(), "a.json", &LIMITS).unwrap();
    let lstm = model.recurrent().next().unwrap();
    assert!(near(&lstm.bias.values, &[-0.1, 0.1, 0.3, 0.5]), "{:?}", lstm.bias.values);
    assert!(matches!(&model.layers[1].kind, Kind::Dense(dense) if dense.activation == Activation::Linear));
}

#[test]
fn sizes_that_are_declared_and_those_of_the_tensors_must_agree() {
    let whole = file("LSTM", 4);
    refused(
        &whole.replace("hidden_size\":1", "hidden_size\":2"),
        "tensor rec.weight_ih_l0: its shape is [4, 2], but [8, 2]",
    );
    refused(
        &whole.replace("input_size\":2", "input_size\":1"),
        "tensor rec.weight_ih_l0: its shape is [4, 2], but [4, 1]",
    );
    refused(&whole.replace("\"LSTM\"", "\"GRU\""), "tensor rec.weight_ih_l0: its shape is [4, 2], but [3, 2]");
    refused(&whole.replace("num_layers\":1", "num_layers\":2"), "tensor rec.bias_ih_l1: it is missing");
    refused(&whole.replace("output_size\":1", "output_size\":2"), "tensor lin.weight: its shape is [1, 1], but [2, 1]");
    refused(&whole.replace("\"skip\":1", "\"skip\":2"), "model_data.skip: it is 2");
    refused(&whole.replace("\"LSTM\"", "\"TCN\""), "model_data.unit_type: it is \"TCN\"");
    refused(&whole.replace("SimpleRNN", "RecNet"), "model_data.model: it is \"RecNet\"");
    refused(&whole.replace("\"lin.bias\"", "\"lin.more\""), "tensor lin.bias: it is missing, and model_data.bias_fl");
    let free = whole.replace("\"bias_fl\":true", "\"bias_fl\":false");
    refused(
        &free.replace("\"rec.bias_hh_l0\"", "\"more\""),
        "tensor rec.bias_hh_l0: it is missing, and the other bias",
    );
    refused(&free.replace("\"lin.bias\"", "\"lin.more\""), "tensor lin.more: it has no place");
    let reverse = whole.replace("\"lin.bias\":", "\"rec.weight_ih_l0_reverse\":[1],\"lin.bias\":");
    refused(&reverse, "tensor rec.weight_ih_l0_reverse: it belongs to a layer that reads the future first");
    let projected = whole.replace("\"lin.bias\":", "\"rec.weight_hr_l0\":[1],\"lin.bias\":");
    refused(&projected, "tensor rec.weight_hr_l0: it is a projection");
}
