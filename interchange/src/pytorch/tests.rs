use crate::json::Tensor;

use super::*;

const LIMITS: Limits = Limits { rows: 100, width: 100, layers: 4 };

/// Tensors of these names and shapes, with values that count.
fn tensors(named: &[(&str, &[usize])]) -> Object {
    let tensor = |shape: &[usize]| {
        let count = shape.iter().product::<usize>();
        Json::Tensor(Tensor { shape: shape.to_vec(), values: (0..count).map(|value| value as f32 * 0.01).collect() })
    };
    Object(named.iter().map(|(name, shape)| ((*name).to_owned(), tensor(shape))).collect())
}

fn refusal(named: &[(&str, &[usize])], chain: Option<&str>) -> String {
    read(tensors(named), "net", chain, &LIMITS).expect_err("it is refused").to_string()
}

const RNN: [(&str, &[usize]); 2] = [("rnn.weight_ih_l0", &[4, 3]), ("rnn.weight_hh_l0", &[4, 4])];
const FC: [(&str, &[usize]); 2] = [("fc.weight", &[2, 4]), ("fc.bias", &[2])];

#[test]
fn recurrent_modules_stand_in_the_only_order_that_their_shapes_allow() {
    let second = [("a.weight_ih_l0", &[5, 4][..]), ("a.weight_hh_l0", &[5, 5])];
    let table = [("embedding.weight", &[7, 3][..])];
    let model = read(tensors(&[&second[..], &RNN, &table].concat()), "net", None, &LIMITS).expect("one order");
    let names: Vec<&str> = model.layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!((names, model.outputs()), (vec!["embedding", "rnn", "a"], 5));
    assert!(refusal(&[&second[..], &RNN].concat(), None).contains("in which order its recurrent modules stand"));
    let narrow = [("embedding.weight", &[7, 2][..])];
    assert!(refusal(&[&narrow[..], &RNN].concat(), None).contains("[4, 2]"));
}

#[test]
fn what_is_asked_for_is_answered_by_one_of_the_chains_that_are_shown() {
    let named = [RNN, FC].concat();
    let error = refusal(&named, None);
    assert!(error.contains("each step has an answer, or only the last one"), "{error}");
    for (chain, pools) in [("rnn > last > fc", true), ("rnn > fc", false)] {
        assert!(error.contains(&format!("{chain:?}")), "{error}");
        let model = read(tensors(&named), "net", Some(chain), &LIMITS).expect(chain);
        assert_eq!((model.pooling().is_some(), model.outputs()), (pools, 2));
    }
}

#[test]
fn tensors_of_other_modules_are_refused_by_their_names() {
    for (name, shape, words) in [
        ("bn.running_mean", &[4][..], "tensor bn.running_mean: it belongs to a BatchNorm"),
        ("conv.weight", &[4, 3, 3, 3], "tensor conv.weight: it has no place"),
        ("scale", &[1], "tensor scale: it has no place"),
    ] {
        let named = [&RNN[..], &[(name, shape)]].concat();
        let error = refusal(&named, Some("rnn"));
        assert!(error.contains(words), "{error}");
    }
    assert!(refusal(&[("scale", &[1])], None).contains("no module is among its 1 tensors (\"scale\")"));
    let one_bias = [&RNN[..], &[("rnn.bias_ih_l0", &[4])]].concat();
    assert!(refusal(&one_bias, None).contains("tensor rnn.bias_hh_l0: it is missing"), "the other bias is there");
    let odd = [("rnn.weight_ih_l0", &[5, 3][..]), ("rnn.weight_hh_l0", &[5, 4])];
    assert!(refusal(&odd, None).contains("tensor rnn.weight_hh_l0"));
    let deep: Vec<String> =
        (0..6).flat_map(|layer| [format!("r.weight_ih_l{layer}"), format!("r.weight_hh_l{layer}")]).collect();
    let deep: Vec<(&str, &[usize])> = deep.iter().map(|name| (name.as_str(), &[3, 3][..])).collect();
    assert!(refusal(&deep, None).contains("there are 6 layers, more than an image's 4"));
}
