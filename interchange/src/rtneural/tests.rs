use super::*;
use crate::open;
use crate::reference::of_samples;

const LIMITS: Limits = Limits { rows: 10, width: 12, layers: 2 };

/// A convolution of two frames with relu and a stride, a dense layer with a tanh of its own, and a dense layer.
const CHAIN: &str = r#"{"in_shape":[null,null,1],"layers":[
    {"type":"conv1d","activation":"relu","shape":[null,null,2],"kernel_size":[2],"dilation":[1],"weights":[[[[1,-1]],[[0.5,2]]],[0.1,0.2]]},
    {"type":"dense","activation":"","shape":[null,null,1],"weights":[[[0.5],[-0.25]],[0.125]]},
    {"type":"activation","activation":"tanh","shape":[null,null,1],"weights":[]},
    {"type":"time-distributed-dense","activation":"","shape":[null,null,1],"weights":[[[2]],[1]]}]}"#;

const LSTM: &str = r#"{"in_shape":[null,null,1],"in_skip":1,"in_gain":-6,"out_gain":20,"samplerate":44100,
    "input_batch":[0.5,-0.5],"output_batch":[1,2],"layers":[
    {"type":"lstm","activation":"","shape":[null,null,1],"weights":[[[0.1,0.2,0.3,0.4]],[[0.5,0.6,0.7,0.8]],[0.01,0.02,0.03,0.04]]},
    {"type":"dense","activation":"","shape":[null,null,1],"weights":[[[2]],[1]]}]}"#;

fn model(text: &str) -> Described {
    open(text.as_bytes(), "a.json", &LIMITS).unwrap()
}

fn refused(text: &str, words: &str) {
    let error = open(text.as_bytes(), "a.json", &LIMITS).expect_err(words).to_string();
    assert!(error.starts_with("a.json: ") && error.contains(words), "{error}");
}

#[test]
fn a_convolution_and_an_activation_behind_a_dense_layer_are_read() {
    let chain = model(CHAIN);
    let names: Vec<&str> = chain.layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["layers[0], conv1d", "layers[1], dense", "layers[3], dense"]);
    let dense = |x0: f64, x1: f64| {
        let (a, b) = ((x0 + 0.5 * x1 + 0.1).max(0.0), (-x0 + 2.0 * x1 + 0.2).max(0.0));
        2.0 * (0.5 * a - 0.25 * b + 0.125).tanh() + 1.0
    };
    let answers = of_samples(&chain, &[0.3, -0.6, 0.9]).answers;
    let expected = [dense(0.0, 0.3), dense(0.3, -0.6), dense(-0.6, 0.9)];
    assert!(answers.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{answers:?} and {expected:?}");
    let strided = model(&CHAIN.replace("\"dilation\":[1]", "\"dilation\":[1],\"strides\":[2],\"groups\":1"));
    let found = of_samples(&strided, &[0.3, -0.6, 0.9]).answers;
    assert!(found.len() == 2 && (found[1] - expected[2]).abs() < 1e-6, "{found:?}");
}

#[test]
fn gains_in_decibels_the_skip_and_the_rate_of_aida_x_are_read() {
    let aida = model(LSTM);
    let Input::Samples(samples) = &aida.input else { panic!("samples") };
    assert_eq!(
        (samples.rate, samples.names.join(", "), aida.skip),
        (Some(44_100.0), "input".into(), Some(crate::Skip::of(0)))
    );
    assert!((aida.gain.input - 0.501_187_2).abs() < 1e-6 && aida.gain.output == 10.0, "{:?}", aida.gain);
    let probe = Probe { input: vec![0.5, -0.5], output: vec![1.0, 2.0] };
    assert_eq!(aida.source.probe, Some(probe));
    let sigma = |x: f64| 1.0 / (1.0 + (-x).exp());
    let x = 0.5 * f64::from(aida.gain.input);
    let c = sigma(0.1 * x + 0.01) * (0.3 * x + 0.03).tanh();
    let expected = 10.0 * (2.0 * sigma(0.4 * x + 0.04) * c.tanh() + 1.0 + x);
    let found = of_samples(&aida, &[0.5]).answers[0];
    assert!((found - expected).abs() < 1e-6, "{found} and {expected}");
    let rate = r#""metadata":{"samplerate":48000},"in_skip":1"#;
    let other = model(&LSTM.replace("\"in_skip\":1", rate));
    assert!(matches!(&other.input, Input::Samples(samples) if samples.rate == Some(48_000.0)));
    refused(&LSTM.replace("\"in_skip\":1", "\"in_skip\":2"), "in_skip: it is 2");
    refused(&LSTM.replace("\"out_gain\":20", "\"out_gain\":1e6"), "gain: it is inf");
}

#[test]
fn a_declared_size_that_the_weights_do_not_have_is_refused_with_both() {
    let lstm = |from: &str, to: &str, words: &str| refused(&LSTM.replacen(from, to, 1), words);
    lstm(
        "null,null,1],\"weights\"",
        "null,null,2],\"weights\"",
        "layers[0].weights[0]: its shape is [1, 4], but [1, 8]",
    );
    lstm("\"in_shape\":[null,null,1]", "\"in_shape\":[2]", "layers[0].weights[0]: its shape is [1, 4], but [2, 4]");
    lstm("[[0.5,0.6,0.7,0.8]]", "[[0.5,0.6,0.7]]", "layers[0].weights[1]: its shape is [1, 3], but [1, 4]");
    lstm("[0.01,0.02,0.03,0.04]", "[0.01]", "layers[0].weights[2]: its shape is [1], but [4]");
    lstm(",[0.01,0.02,0.03,0.04]", "", "layers[0].weights: there are 2 tensors, but 3 of a lstm are needed");
    lstm("[[2]]", "[[2],[2]]", "layers[1].weights[0]: its shape is [2, 1], but [1, 1]");
    lstm("[[2]]", "[[2],2]", "layers[1].weights[0]: it is an array of 2 values, but [1, 1]");
    lstm("\"shape\":[null,null,1]", "\"shape\":[null,null,\"x\"]", "layers[0].shape: it is \"x\"");
    refused(&CHAIN.replace("[[[1,-1]],[[0.5,2]]]", "[[[1,-1]]]"), "its shape is [1, 1, 2], but [2, 1, 2]");
}

#[test]
fn layers_that_latch_does_not_have_are_refused_by_name() {
    for kind in ["batchnorm", "prelu", "conv2d", "elu", "sample-rate-convert"] {
        let text = CHAIN.replace("time-distributed-dense", kind);
        refused(&text, &format!("layers[3].type: it is {kind:?}, and Latch has dense, conv1d, lstm and gru"));
    }
    refused(&CHAIN.replace("\"dilation\":[1]", "\"dilation\":[2]"), "layers[0].dilation: it is 2: a window with gaps");
    refused(&CHAIN.replace("\"dilation\":[1]", "\"groups\":3"), "layers[0].groups: it is 3");
    refused(&CHAIN.replace("\"relu\"", "\"selu\""), "layers[0].activation: it is \"selu\"");
    refused(
        &LSTM.replacen("\"activation\":\"\"", "\"activation\":\"relu\"", 1),
        "it is \"relu\", and RTNeural computes tanh",
    );
    let behind = LSTM.replace("{\"type\":\"dense\"", "{\"type\":\"tanh\",\"shape\":[1]},{\"type\":\"dense\"");
    refused(&behind, "layers[1].type: tanh stands behind no dense layer");
    refused(&LSTM.replacen("\"type\":\"lstm\",", "", 1), "layers[0].type: it is missing");
    refused(&CHAIN.replace("\"layers\":[", "\"layers\":[7,"), "layers[0]: it is 7, and no layer");
}

#[test]
fn tensors_of_pytorch_become_recurrent_layers_and_one_dense_layer() {
    let text = r#"{"a.weight_ih_l0":[[1],[2],[3]],"a.weight_hh_l0":[[4],[5],[6]],"a.bias_ih_l0":[1,2,3],"a.bias_hh_l0":[4,5,6],
        "b.weight_ih_l0":[[1]],"b.weight_hh_l0":[[2]],"d.weight":[[3]],"d.bias":[4]}"#;
    let model = model(text);
    let kinds: Vec<&str> = model.layers.iter().map(|layer| layer.kind.name()).collect();
    assert_eq!(
        (kinds.join(" > "), model.source.format),
        ("gru > rnn > dense".into(), Format::RtNeural(Layout::PyTorch))
    );
    assert_eq!(model.recurrent().next().unwrap().kernel.values, [2.0, 1.0, 3.0]);
    assert_eq!(model.recurrent().nth(1).unwrap().bias.values, [0.0]);
    refused(&text.replace("[[4],[5],[6]]", "[[4],[5]]"), "tensor a.weight_hh_l0: it is numbers in the shape [2, 1]");
    refused(&text.replace("[[1],[2],[3]]", "[[1],[2]]"), "tensor a.weight_ih_l0: its shape is [2, 1], but [3, 1]");
    refused(
        &text.replace("\"d.bias\"", "\"e.weight\":[[1]],\"d.bias\""),
        "tensor e.weight: a file of tensors does not say",
    );
    refused(&text.replace("\"d.bias\"", "\"e.more\""), "tensor e.more: it has no place");
}
