//! Promise: a Keras file that is damaged, or holds what a description does not have, is refused by the name of the layer or the tensor.

use std::io::{Cursor, Read, Write};
use std::path::Path;

use latch_interchange::keras::{Options, read};
use latch_interchange::{Described, Error, Limits, glimpse};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

const LIMITS: Limits = Limits { rows: 1 << 20, width: 2048, layers: 32 };

fn open(bytes: &[u8]) -> Result<Described, Error> {
    read(bytes, "net", &Options::default(), &LIMITS)
}

/// A model of the goldens.
fn golden(archive: &str, name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/keras").join(archive);
    let bytes = std::fs::read(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    member(&bytes, name)
}

fn member(archive: &[u8], name: &str) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).expect("it is an archive");
    let mut bytes = Vec::new();
    archive.by_name(name).unwrap_or_else(|_| panic!("no {name}")).read_to_end(&mut bytes).expect("it is whole");
    bytes
}

/// An archive of these members.
fn archive(members: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).expect("memory");
        writer.write_all(bytes).expect("memory");
    }
    writer.finish().expect("memory").into_inner()
}

/// A `.keras` file of the goldens whose configuration has other words.
fn edited(name: &str, (from, to): (&str, &str)) -> Vec<u8> {
    let file = golden("keras3.zip", name);
    let config = String::from_utf8(member(&file, "config.json")).expect("text");
    assert!(config.contains(from), "{name} has no {from}: {config}");
    let config = config.replacen(from, to, 1);
    let weights = member(&file, "model.weights.h5");
    let metadata = member(&file, "metadata.json");
    archive(
        &[("metadata.json", &metadata), ("config.json", config.as_bytes()), ("model.weights.h5", &weights)],
        CompressionMethod::Stored,
    )
}

#[test]
fn what_a_description_does_not_have_is_refused_by_the_name_of_the_layer() {
    let lambda = ("\"class_name\": \"Dropout\"", "\"class_name\": \"Lambda\"");
    let custom = ("\"class_name\": \"Dropout\"", "\"class_name\": \"Attention>Mine\"");
    let shape = ("\"units\": 4", "\"units\": 5");
    for (name, change, words) in [
        ("embedding-spatial-dropout.keras", lambda, "net: layer dropout: it runs Python code of its own (Lambda)"),
        (
            "embedding-spatial-dropout.keras",
            custom,
            "net: layer dropout: its class is \"Attention>Mine\", which is not read",
        ),
        (
            "lstm-dense.keras",
            ("\"activation\": \"tanh\"", "\"activation\": \"gelu\""),
            "net: layer lstm: activation: it is \"gelu\", which is not read",
        ),
        (
            "lstm-dense.keras",
            shape,
            "net: tensor layers/lstm/cell/vars/0 of lstm: its shape is [3, 16], but [3, 20] is declared",
        ),
        (
            "gru-dense.keras",
            ("\"reset_after\": true", "\"reset_after\": false"),
            "net: tensor layers/gru/cell/vars/2 of gru: its shape is [2, 12], but [12] is declared",
        ),
        (
            "gru-dense.keras",
            ("\"use_bias\": true", "\"use_bias\": false"),
            "net: layer gru: it has 3 tensors, but its configuration declares 2",
        ),
        (
            "conv-stride.keras",
            ("\"dilation_rate\": [1]", "\"dilation_rate\": [2]"),
            "net: layer conv1d: dilation_rate: it is [2], and only 1 is read",
        ),
        (
            "bidirectional-sum.keras",
            ("\"merge_mode\": \"sum\"", "\"merge_mode\": null"),
            "net: layer bidirectional: merge_mode: it is null, which makes no one output",
        ),
        (
            "lstm-dense.keras",
            ("\"class_name\": \"Sequential\"", "\"class_name\": \"MyModel\""),
            "net: model_config: its class is \"MyModel\", whose layers the file does not say",
        ),
        (
            "flatten-behind-last.keras",
            ("\"return_sequences\": false", "\"return_sequences\": true"),
            "net: layer flatten: it puts 6 steps side by side into one vector",
        ),
        (
            "batch-norm-before-lstm.keras",
            ("\"class_name\": \"Dense\"", "\"class_name\": \"Identity\""),
            "net: layer batch_normalization_1: it (BatchNormalization) has no place in the layers beside it",
        ),
        (
            "lstm-dense.keras",
            ("\"units\": 4", "\"units\": -4"),
            "net: layer lstm: units: it is -4, and a number of at least 1 is needed",
        ),
        (
            "lstm-dense.keras",
            ("\"units\": 4", "\"units\": 4294967295"),
            "net: tensor layers/lstm/cell/vars/0 of lstm: its shape is [3, 16]",
        ),
        (
            "global-max.keras",
            ("\"return_sequences\": true", "\"return_sequences\": false"),
            "net: layer global_max_pooling1d: it (GlobalMaxPooling1D) reads steps",
        ),
    ] {
        let error = open(&edited(name, change)).expect_err(words).to_string();
        assert!(error.starts_with(words), "{name}: {error}");
    }
}

#[test]
fn a_model_with_branches_is_refused_by_the_layer_that_joins_them() {
    let node = |name: &str| {
        format!(
            r#"{{"args": [{{"class_name": "__keras_tensor__", "config": {{"keras_history": ["{name}", 0, 0]}}}}], "kwargs": {{}}}}"#
        )
    };
    let two = r#"{"args": [[{"class_name": "__keras_tensor__", "config": {"keras_history": ["a", 0, 0]}}, {"class_name": "__keras_tensor__", "config": {"keras_history": ["b", 0, 0]}}]], "kwargs": {}}"#;
    let layer = |class: &str, name: &str, nodes: &str| {
        format!(
            r#"{{"class_name": "{class}", "name": "{name}", "config": {{"name": "{name}", "units": 1, "batch_shape": [null, null, 3]}}, "inbound_nodes": [{nodes}]}}"#
        )
    };
    let model = |layers: &[String], outputs: &str| {
        let layers = layers.join(", ");
        format!(r#"{{"class_name": "Functional", "config": {{"layers": [{layers}], "output_layers": {outputs}}}}}"#)
    };
    let inputs = || vec![layer("InputLayer", "a", ""), layer("InputLayer", "b", "")];
    let weights = member(&golden("keras3.zip", "lstm-dense.keras"), "model.weights.h5");
    let joined = [inputs(), vec![layer("Concatenate", "join", two), layer("Dense", "head", &node("join"))]].concat();
    let doubled = [inputs(), vec![layer("Dense", "head", &node("a")), layer("Dense", "tail", &node("a"))]].concat();
    let shared = [inputs(), vec![layer("Dense", "head", &format!("{}, {}", node("a"), node("b")))]].concat();
    let circle = vec![layer("Dense", "head", &node("tail")), layer("Dense", "tail", &node("head"))];
    // A mask that the model computes by itself.
    let masked = |mask: &str| {
        let tensor = |name: &str| format!(r#"{{"config": {{"keras_history": ["{name}", 0, 0]}}}}"#);
        let (table, mask) = (tensor("table"), tensor(mask));
        layer("LSTM", "memory", &format!(r#"{{"args": [{table}], "kwargs": {{"mask": {mask}}}}}"#))
    };
    let embedding = r#"{"class_name": "Embedding", "config": {"name": "table", "mask_zero": true}, "inbound_nodes": [[["a", 0, 0, {}]]]}"#;
    let compared = r#"{"class_name": "NotEqual", "config": {"name": "compared"}, "inbound_nodes": [{"args": [{"config": {"keras_history": ["a", 0, 0]}}, 5]}]}"#;
    let of_mask = |mask: &str| [inputs(), vec![embedding.to_owned(), compared.to_owned(), masked(mask)]].concat();
    let (given, other) = (of_mask("b"), of_mask("compared"));
    for (config, words) in [
        (
            model(&joined, r#"["head", 0, 0]"#),
            "net: layer join: it (Concatenate) reads a and b: the model has branches",
        ),
        (model(&doubled, r#"[["head", 0, 0], ["tail", 0, 0]]"#), "net: model_config: it has 2 outputs: head, tail"),
        (model(&shared, r#"["head", 0, 0]"#), "net: layer head: the model calls it more than once"),
        (model(&circle, r#"["head", 0, 0]"#), "net: model_config: no layer is called"),
        (model(&given, r#"["memory", 0, 0]"#), "net: layer memory: its mask (b) is that of no layer below it"),
        (model(&other, r#"["memory", 0, 0]"#), "net: layer memory: its mask (compared) is that of no layer below it"),
        (r#"{"class_name": "Mine", "config": {}}"#.to_owned(), "net: model_config: its class is \"Mine\""),
        ("[[[".to_owned(), "net: config.json: it is no JSON of a model"),
        (format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000)), "net: config.json: it is no JSON of a model"),
    ] {
        let members: [(&str, &[u8]); 2] = [("config.json", config.as_bytes()), ("model.weights.h5", &weights)];
        let error = open(&archive(&members, CompressionMethod::Stored)).expect_err(words).to_string();
        assert!(error.starts_with(words), "{error}");
    }
}

#[test]
fn an_archive_that_unpacks_to_far_more_than_its_size_is_refused() {
    let file = golden("keras3.zip", "lstm-dense.keras");
    let (config, zeros) = (member(&file, "config.json"), vec![0; 20_000_000]);
    let weights = member(&file, "model.weights.h5");
    for (members, words) in [
        (
            [("config.json", &config[..]), ("model.weights.h5", &zeros)],
            "net: model.weights.h5: it unpacks to 20000000 bytes",
        ),
        ([("config.json", &zeros), ("model.weights.h5", &weights)], "net: config.json: it unpacks to 20000000 bytes"),
    ] {
        let error = open(&archive(&members, CompressionMethod::Deflated)).expect_err(words).to_string();
        assert!(error.starts_with(words), "{error}");
    }
    // What Keras writes may be packed by other programs.
    let members: [(&str, &[u8]); 2] = [("config.json", &config), ("model.weights.h5", &weights)];
    open(&archive(&members, CompressionMethod::Deflated)).unwrap();
}

#[test]
fn weights_that_are_no_numbers_and_files_that_end_early_are_refused() {
    let file = golden("keras3.zip", "lstm-dense.h5");
    let model = open(&file).unwrap();
    let bias = model.recurrent().next().expect("an LSTM").bias.values[1];
    // Its four bytes stand once in the file.
    let at = file.windows(4).position(|window| window == bias.to_le_bytes()).expect("the file has it");
    let mut nan = file.clone();
    nan[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let error = open(&nan).unwrap_err().to_string();
    assert!(
        error.starts_with("net: tensor sequential") && error.contains("lstm_cell/bias: value 1 is NaN in f32"),
        "{error}"
    );
    for file in [file, golden("keras3.zip", "lstm-dense.keras")] {
        for length in (8..file.len()).step_by(97).chain([file.len() - 1]) {
            // What lies behind the last tensor of an HDF5 file may be missing.
            if let Err(error) = open(&file[..length]) {
                assert!(error.to_string().starts_with("net"), "{error}");
            }
        }
    }
}

#[test]
fn weights_alone_need_a_chain_that_fits_them() {
    let file = golden("keras3.zip", "alone.weights.h5");
    let error = open(&file).unwrap_err().to_string();
    assert!(error.contains("net: it holds weights alone") && error.contains("--chain"), "{error}");
    for (chain, words) in [
        ("embedding > lstm 4 > bidirectional gru 3 > last > dense 2", ""),
        ("text 7 > embedding 4 > lstm > dropout > bidirectional gru concat > last > dense softmax", ""),
        ("embedding > lstm 5 > bidirectional gru 3 > last > dense 2", "but [4, 20] is declared"),
        ("embedding > gru > bidirectional gru > last > dense", "net: layer GRU-0: the file has no weights of this GRU"),
        ("embedding > last", "net: chain: \"last\": it stands behind no recurrent layer"),
        ("embedding > lstm green", "net: chain: \"lstm green\": \"green\" says nothing"),
        ("embedding > transformer", "net: chain: \"transformer\": there is no layer \"transformer\""),
        ("embedding > > dense", "net: chain: \"\": it is empty"),
    ] {
        let options = Options { chain: Some(chain), ..Options::default() };
        match (read(&file, "net", &options, &LIMITS), words) {
            (Ok(model), "") => assert_eq!(model.outputs(), 2),
            (Ok(_), _) => panic!("{chain}"),
            (Err(error), words) => assert!(!words.is_empty() && error.to_string().contains(words), "{error}"),
        }
    }
    let whole = golden("keras3.zip", "lstm-dense.keras");
    let options = Options { chain: Some("lstm > dense"), ..Options::default() };
    let error = read(&whole, "net", &options, &LIMITS).unwrap_err().to_string();
    assert!(error.contains("it says its layers itself"), "{error}");
}

#[test]
fn a_model_is_read_up_to_a_layer_that_is_named() {
    let file = golden("keras3.zip", "two-of-a-kind-out-of-order.h5");
    let until = |until| read(&file, "net", &Options { until: Some(until), ..Options::default() }, &LIMITS);
    let model = until("first").unwrap();
    let names: Vec<&str> = model.layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["second", "first", "first"]);
    let error = until("third").unwrap_err().to_string();
    assert_eq!(error, "net: there is no layer \"third\"; name one of second, first, z, a");
}

#[test]
fn the_layers_of_a_model_within_the_model_are_shown_behind_it() {
    let file = golden("keras3.zip", "nested-deep.keras");
    let found = glimpse(&file, "net").expect("it is a model").found;
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).filter(|name| !name.contains("input")).collect();
    assert_eq!(names[..6], ["model", "layer dense", "layer deep", "layer lstm", "layer deepest", "layer gru"]);
}

#[test]
fn a_model_within_the_model_is_read_as_its_layers_and_refused_by_the_name_of_one() {
    let file = golden("keras3.zip", "nested-deep.keras");
    let model = read(&file, "net", &Options { until: Some("gru"), ..Options::default() }, &LIMITS).unwrap();
    let kinds: Vec<&str> = model.layers.iter().map(|layer| layer.kind.name()).collect();
    assert_eq!(kinds, ["dense", "lstm", "gru"]);
    let error = read(&file, "net", &Options { until: Some("nobody"), ..Options::default() }, &LIMITS).unwrap_err();
    assert!(error.to_string().starts_with("net: there is no layer \"nobody\"; name one of"), "{error}");
    for (name, change, words) in [
        (
            "nested-deep.keras",
            ("\"class_name\": \"GRU\"", "\"class_name\": \"Lambda\""),
            "net: layer gru: it runs Python code of its own (Lambda)",
        ),
        ("nested-deep.keras", ("\"name\": \"deepest\"", "\"name\": \"lost\""), ""),
        (
            "nested-sequential.keras",
            (
                "\"class_name\": \"Sequential\", \"config\": {\"name\": \"encoder\"",
                "\"class_name\": \"Mine\", \"config\": {\"name\": \"encoder\"",
            ),
            "net: layer encoder: its class is \"Mine\", which is not read",
        ),
        (
            "stacked-cells.keras",
            ("\"class_name\": \"GRUCell\"", "\"class_name\": \"MyCell\""),
            "net: layer rnn: cell: its class is \"MyCell\", which is not read",
        ),
        ("stacked-cells.keras", ("\"use_bias\": true", "\"use_bias\": false"), "net: "),
    ] {
        match open(&edited(name, change)) {
            Ok(_) => assert!(words.is_empty(), "{name}: {change:?}"),
            Err(error) => assert!(!words.is_empty() && error.to_string().starts_with(words), "{name}: {error}"),
        }
    }
    let mut config = r#"{"class_name": "Dense", "config": {"name": "head", "units": 1}}"#.to_owned();
    for depth in 0..10 {
        let model = format!(r#"{{"name": "model_{depth}", "layers": [{config}]}}"#);
        config = format!(r#"{{"class_name": "Sequential", "config": {model}}}"#);
    }
    let weights = member(&golden("keras3.zip", "lstm-dense.keras"), "model.weights.h5");
    let members: [(&str, &[u8]); 2] = [("config.json", config.as_bytes()), ("model.weights.h5", &weights)];
    let error = open(&archive(&members, CompressionMethod::Stored)).unwrap_err().to_string();
    assert!(error.starts_with("net: layer model_0: its layers lie too deep in other models"), "{error}");
}
