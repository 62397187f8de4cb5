use super::*;
use crate::open;
use crate::reference::of_samples;

const LIMITS: Limits = Limits { rows: 10, width: 12, layers: 2 };

/// A file of so many weights, 0.01, 0.02, …
fn file(config: &str, weights: usize) -> String {
    let weights: Vec<String> = (1..=weights).map(|number| format!("{}", number as f32 / 100.0)).collect();
    let metadata = r#""metadata":{"name":"Small\n","loudness":-20.5,"gear_make":null,"date":{"year":2024}}"#;
    let weights = weights.join(",");
    format!(
        r#"{{"version":"0.5.4",{metadata},"architecture":"LSTM","config":{config},"weights":[{weights}],"sample_rate":48000}}"#
    )
}

const ONE: &str = r#"{"input_size":1,"hidden_size":1,"num_layers":1}"#;

fn refused(text: &str, words: &str) {
    let error = open(text.as_bytes(), "a.nam", &LIMITS).expect_err(words).to_string();
    assert!(error.starts_with("a.nam: ") && error.contains(words), "{error}");
}

#[test]
fn weights_are_those_of_each_layer_in_order_with_the_state_to_begin_with() {
    let model = open(file(ONE, 16).as_bytes(), "a.nam", &LIMITS).unwrap();
    let lstm = model.recurrent().next().unwrap();
    // W [4, 1 + 1] is 0.01 … 0.08, b 0.09 … 0.12, h0 0.13, c0 0.14, the head 0.15 and 0.16.
    assert_eq!(lstm.kernel.values, [0.01, 0.03, 0.05, 0.07]);
    assert_eq!(lstm.recurrent_kernel.values, [0.02, 0.04, 0.06, 0.08]);
    assert_eq!(lstm.bias.values, [0.09, 0.1, 0.11, 0.12]);
    let initial = |vector: &Option<Vector>| vector.as_ref().unwrap().values.clone();
    assert_eq!((initial(&lstm.initial_hidden), initial(&lstm.initial_cell)), (vec![0.13], vec![0.14]));
    assert_eq!((model.weights(), model.source.version.as_deref()), (14, Some("0.5.4")));
    let notes = [("name".to_owned(), "Small\n".to_owned()), ("loudness".to_owned(), "-20.5".to_owned())];
    assert_eq!(model.source.notes, notes);

    let sigma = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (x, h) = (0.5, 0.13);
    let [i, f, o] =
        [(0.01, 0.02, 0.09), (0.03, 0.04, 0.1), (0.07, 0.08, 0.12)].map(|(w, u, b)| sigma(w * x + u * h + b));
    let c = f * 0.14 + i * (0.05 * x + 0.06 * h + 0.11_f64).tanh();
    let expected = 0.15 * o * c.tanh() + 0.16;
    let found = of_samples(&model, &[0.5]).answers[0];
    assert!((found - expected).abs() < 1e-7, "{found} and {expected}");
}

#[test]
fn two_layers_over_two_inputs_are_read_and_named() {
    // Layer 0: 8 · 4 + 8 + 4, layer 1: 8 · 4 + 8 + 4, head 3.
    let text = file(r#"{"input_size":2,"hidden_size":2,"num_layers":2}"#, 91);
    let model = open(text.as_bytes(), "a.nam", &LIMITS).unwrap();
    let Input::Samples(samples) = &model.input else { panic!("samples") };
    assert_eq!(samples.names, ["input", "condition 1"]);
    let second = model.recurrent().nth(1).unwrap();
    assert_eq!((second.kernel.values[0], second.kernel.source.as_str()), (0.45, "weights, W of the input of layer 1"));
    assert_eq!(model.layers[2].kind.vectors()[0].values, [0.91]);
}

#[test]
fn another_architecture_another_size_or_another_number_of_weights_is_refused_by_name() {
    let whole = file(ONE, 16);
    refused(
        &whole.replace("\"LSTM\"", "\"WaveNet\""),
        "it is \"WaveNet\", and Latch has LSTMs and GRUs; train an LSTM",
    );
    refused(&whole.replace("\"LSTM\"", "\"ConvNet\""), "ConvNet");
    refused(&file(ONE, 15), "weights: its shape is [15], but [16] is declared, by 1 layers of 1 units over 1 inputs");
    refused(&whole.replace("0.13,", "\"x\","), "weights: it is an array of 16 values, but [16] is declared");
    refused(&whole.replace("0.13,", "1e39,"), "tensor weights, h0 of layer 0: value 0 is inf in f32");
    refused(&whole.replace("hidden_size\":1", "hidden_size\":0"), "config.hidden_size: it is 0");
    refused(&whole.replace("hidden_size\":1", "hidden_size\":4000000000"), "a whole number from 1 to 12 is needed");
    refused(&whole.replace("\"num_layers\":1", "\"x\":1"), "config.num_layers: it is missing");
    refused(&whole.replace("\"num_layers\":1", "\"num_layers\":1,\"out_channels\":2"), "config.out_channels: it is 2");
    refused(&whole.replace("\"weights\":", "\"wights\":"), "weights: they are missing");
    for rate in ["-1", "0", "\"48k\"", "[48000]"] {
        refused(&whole.replace("48000", rate), "sample_rate: it is ");
    }
    for known in ["null", "44100"] {
        assert!(open(whole.replace("48000", known).as_bytes(), "a.nam", &LIMITS).is_ok(), "{known}");
    }
}
