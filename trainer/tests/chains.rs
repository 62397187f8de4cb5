//! Promise: a model of any chain of layers that `--model` takes is trained, resumed, exported and judged; its image of
//! floats gives the network's logits, and that of integers the same verdicts but for a few. A mistake in the chain is
//! pointed at.

use crate::support::{Place, succeed};
use latch_engine::Model;
use latch_engine::image::Image;
use latch_trainer::config::{ModelConfig, Storage};
use latch_trainer::evaluate::evaluate;
use latch_trainer::export::{Export, Trained};
use latch_trainer::runs::folder::RunFolder;
use serde_json::Value;

/// Largest difference of two logits in floats, of a sum in another order.
const FLOATS: f32 = 1e-4;

/// Largest difference of a logit in integers from that in floats.
const INTEGERS: f32 = 0.1;

/// Trains a chain for one epoch.
fn train(place: &Place, chain: &str, more: &[&str]) {
    let model = format!("text 200 > {chain}");
    let fixed = ["--model", &model, "--epochs", "1", "--lr", "0.02", "--average", "0"];
    let options: Vec<&str> = fixed.into_iter().chain(more.iter().copied()).collect();
    place.train("run", &options);
}

/// Holds the images of the run to its network, and what `latch eval` says of them to what `latch export` says.
fn check_images(place: &Place, chain: &str) {
    let trained = Trained::read(&RunFolder::new(place.file("run"))).expect("a run");
    let network = &trained.best.network;
    assert_eq!(network.config().chain, chain.parse().expect("a chain"));
    let texts = &trained.opened.validation;
    let ids: Vec<Vec<u32>> = texts.iter().map(|text| trained.opened.vocabulary.ids(&text.text)).collect();
    let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let expected = network.forward(&ids).expect("logits");
    // Without calibration the logits of the image are those of the network.
    let export = Export::of(trained.source(), false).expect("weights");
    let bytes = export.image(Storage::F32).expect("an image").bytes;
    let found = evaluate(&Model::new(&Image::open(&bytes).expect("it opens")), texts).expect("answers");
    assert_eq!(found.logits.len(), expected.len());
    for (found, expected) in found.logits.iter().zip(expected.iter()) {
        assert!((found - expected).abs() <= FLOATS * (1.0 + expected.abs()), "{chain}: {found} and {expected}");
    }
    let spread = |values: &[f32]| {
        values.iter().fold(f32::MIN, |a, &b| a.max(b)) - values.iter().fold(f32::MAX, |a, &b| a.min(b))
    };
    assert!(spread(&found.logits) > 10.0 * FLOATS, "{chain}: all texts have one logit");

    // Integers, where the layers have them.
    let second = if network.config().chain.of_floats().is_some() { "f16" } else { "int8" };
    for precision in ["f32", second] {
        let exported = place.export("run", precision).json();
        // The share of texts with the verdict of the floats.
        let agreement = exported["agreement"].as_f64().expect("a share");
        assert!(agreement >= if precision == "f32" { 1.0 } else { 0.8 }, "{chain} {precision}: {exported}");
        let image = format!("{precision}.latch");
        let eval = ["eval", "--image", &image, "--data", "data/valid.tsv.gz", "--json"];
        assert_eq!(succeed(&mut place.latch(eval)).json()["accuracy"], exported["accuracy"], "{chain} {precision}");
        let inspected = succeed(&mut place.latch(["inspect", &image, "--json"])).json();
        assert_eq!(inspected["image_bytes"], exported["image_bytes"]);
    }
}

#[test]
fn chains_of_every_kind_of_layer_are_trained_and_their_images_say_what_the_networks_say() {
    let place = Place::with_data(600);
    for chain in [
        "embedding 4 > gru 6 > attention > dense",
        "embedding 4 > rnn 6 > mean > dense 8 relu > dense",
        "embedding 4 > lstm 5 > gru 4 > last > dense",
        "embedding 4 > gru 5 reset_before > max > dense",
        "embedding 4 > conv1d 8 k3 relu > gru 4 > last > dense",
        "embedding 4 > conv1d 8 k3 valid relu > gru 4 > last > dense",
        "embedding 4 > conv1d 8 k2 valid relu > maxpool 2 > lstm 4 > last > dense",
    ] {
        train(&place, chain, &[]);
        check_images(&place, chain);
        std::fs::remove_dir_all(place.file("run")).expect("the run");
    }
}

#[test]
fn cells_with_options_and_normalizations_are_trained_go_on_and_are_refused_in_integers() {
    let place = Place::with_data(600);
    for chain in [
        "embedding 4 > lstm 6 project=3 peepholes clip=4 > layernorm epsilon=0.01 > last > layernorm epsilon=0.01 > dense",
        "embedding 4 > lstm 6 coupled gates=hard_sigmoid > gru 5 gates=hard_sigmoid clip=2 > mean > dense",
    ] {
        train(&place, chain, &[]);
        check_images(&place, chain);
        let more = String::from_utf8(place.read("run/config.json")).unwrap().replace("\"epochs\": 1", "\"epochs\": 2");
        place.write("run/config.json", more);
        let resumed = succeed(&mut place.latch(["train", "--resume", "--out", "run", "--json"])).json();
        assert_eq!(resumed["epochs"], 2);
        let export = ["export", "--run", "run", "--precision", "int8", "--out", "int8.latch"];
        let words = "images have a variant of a recurrent cell in f32 and f16 only, not in int8";
        place.refuse(&mut place.latch(export), &[words, "or export with --precision f16"]);
        std::fs::remove_dir_all(place.file("run")).expect("the run");
    }
    let model = ["--model", "text 50 > embedding 4 > gru 5 > layernorm", "--quantize", "int8"];
    let words = ["--quantize", "`layernorm`, which images have in f32 and f16 only"];
    place.refuse(&mut place.training("run", &model), &words);
}

#[test]
fn a_gru_learns_with_the_integers_of_its_image() {
    let place = Place::with_data(600);
    let chain = "embedding 4 > gru 6 > attention > dense";
    train(&place, chain, &["--quantize", "int8", "--quantize-epochs", "1"]);
    let trained = Trained::read(&RunFolder::new(place.file("run"))).expect("a run");
    let aware = trained.quantized.as_ref().expect("a network that learned with integers");
    assert!(aware.best.network != trained.best.network);
    let export = Export::of(trained.source(), false).expect("weights");
    let image = export.image(Storage::Int8).expect("an image");
    assert!(image.aware);
    // The validation of the epoch is that of the image, through the engine.
    let texts = &trained.opened.validation;
    let found = evaluate(&Model::new(&Image::open(&image.bytes).expect("it opens")), texts).expect("answers");
    assert_eq!(found.accuracy, aware.best.metrics.valid_accuracy);
    let ids: Vec<Vec<u32>> = texts.iter().map(|text| trained.opened.vocabulary.ids(&text.text)).collect();
    let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let floats = aware.best.network.forward(&ids).expect("logits");
    for (found, expected) in found.logits.iter().zip(floats.iter()) {
        assert!((found - expected).abs() < INTEGERS, "{found} and {expected}");
    }
    let exported = place.export("run", "int8").json();
    assert_eq!(exported["quantization_aware"], true, "{exported}");
}

/// Chains with every cell, every pooling, every activation before and behind it, and none of some of these.
const CHAINS: [&str; 10] = [
    "embedding 4 > lstm 5 > last",
    "embedding 4 > gru 5 reset_before > lstm 4 > mean > dense 4",
    "embedding 4 > rnn 6 relu > max > dense 5 tanh",
    "embedding 4 > dense 6 relu > rnn 5 > attention > dense 5 sigmoid > dense 4 relu",
    "embedding 4 > gru 5 dropout=0.2 > dense 6 tanh dropout=0.2 > attention > dense 4 relu dropout=0.2",
    "embedding 4 word_dropout=0.1 > dense 4 sigmoid > rnn 5 relu recurrent_dropout=0.2 > dense 6 > dense 3 > last",
    "embedding 4 > conv1d 6 k3 s2 relu dropout=0.2 > gru 5 > conv1d 4 k2 > mean > dense 4",
    "embedding 4 > mean",
    "embedding 4 > last > dense 5 sigmoid",
    "embedding 4 word_dropout=0.1 > dense 6 > dense 5 relu > max > dense 5 tanh > dense 4",
];

#[test]
fn every_chain_learns_with_the_integers_of_its_image() {
    let place = Place::with_data(100);
    for chain in CHAINS {
        for (name, storage) in [("int8", Storage::Int8), ("int4", Storage::Int4)] {
            train(&place, chain, &["--quantize", name, "--quantize-epochs", "1"]);
            let trained = Trained::read(&RunFolder::new(place.file("run"))).expect("a run");
            let aware = trained.quantized.as_ref().expect("a network that learned with integers");
            assert!(aware.best.network != trained.best.network, "{chain} {name}");
            let image = Export::of(trained.source(), false).expect("weights").image(storage).expect("an image");
            assert!(image.aware, "{chain} {name}");
            // The validation of the epoch is that of the image, through the engine.
            let model = Image::open(&image.bytes).expect("it opens");
            let found = evaluate(&Model::new(&model), &trained.opened.validation).expect("answers");
            assert_eq!(found.accuracy, aware.best.metrics.valid_accuracy, "{chain} {name}");
            assert_eq!(place.export("run", name).json()["quantization_aware"], true, "{chain} {name}");
            std::fs::remove_dir_all(place.file("run")).expect("the run");
        }
    }
}

/// Texts of three words, of which the second says what the labels are and the third is in no other text.
fn labelled(line: impl Fn([&str; 3], usize) -> String) -> String {
    (0..60)
        .map(|number| {
            let words = ["hello", ["Ada", "Grace", "Alan"][number % 3], &format!("t{number}")];
            line(words, number % 3) + "\n"
        })
        .collect()
}

#[test]
fn every_task_learns_with_the_integers_of_its_image() {
    let place = Place::with_data(20);
    let each = |labels: [f64; 3]| {
        labelled(move |words, number| {
            serde_json::json!({ "tokens": words, "labels": [labels[0], labels[number], labels[0]] }).to_string()
        })
    };
    place.write("classes.tsv", labelled(|words, number| format!("{number}\t{}", words.join(" "))));
    place.write("values.tsv", labelled(|words, number| format!("{}\t{}", 10 * number, words.join(" "))));
    place.write("tags.jsonl", each([0.0, 1.0, 2.0]).replace(".0", ""));
    place.write("numbers.jsonl", each([0.5, -0.5, 3.0]));
    let pooled = ["embedding 4 > rnn 5 relu > mean > dense 4 tanh", "embedding 4 > dense 5 relu > max"];
    let steps = ["embedding 4 > gru 5 > dense 5 tanh", "embedding 4 > conv1d 5 k2 s2 relu > rnn 5 relu > lstm 4"];
    for (task, file, chains) in [
        ("classify", "classes.tsv", pooled),
        ("regress", "values.tsv", pooled),
        ("tag", "tags.jsonl", steps),
        ("regress-each", "numbers.jsonl", steps),
    ] {
        for (chain, precision) in chains.into_iter().flat_map(|chain| [(chain, "int8"), (chain, "int4")]) {
            let fixed = ["train", "--data", file, "--task", task, "--epochs", "1", "--out", "run", "--json"];
            let more = ["--model", chain, "--quantize", precision, "--quantize-epochs", "1"];
            succeed(&mut place.latch(fixed.iter().chain(&more)));
            let exported = place.export("run", precision).json();
            assert_eq!(exported["quantization_aware"], true, "{task} {chain}: {exported}");
            std::fs::remove_dir_all(place.file("run")).expect("the run");
        }
    }
}

#[test]
fn a_chain_without_pooling_or_end_is_filled_up_and_one_of_a_run_goes_on() {
    let place = Place::with_data(200);
    place.train("run", &["--model", "embedding 4 word_dropout=0.1 > gru 6", "--epochs", "1"]);
    let config: Value = serde_json::from_slice(&place.read("run/config.json")).expect("a configuration");
    let model = "text 5000 > embedding 4 word_dropout=0.1 > gru 6 > last > dense";
    assert_eq!(config["train"]["model"], model);
    let more = String::from_utf8(place.read("run/config.json")).unwrap().replace("\"epochs\": 1", "\"epochs\": 2");
    place.write("run/config.json", more);
    let resumed = succeed(&mut place.latch(["train", "--resume", "--out", "run", "--json"])).json();
    assert_eq!(resumed["epochs"], 2);
    place.export("run", "int8");
}

#[test]
fn each_token_has_an_answer_where_the_chain_does_not_pool() {
    let place = Place::with_data(20);
    let tags: String = (0..60)
        .map(|number| {
            let name = ["Ada", "Grace", "Alan"][number % 3];
            format!("{{\"tokens\":[\"hello\",\"{name}\",\"of\",\"t{number}\"],\"labels\":[0,1,0,2]}}\n")
        })
        .collect();
    place.write("tags.jsonl", tags);
    let train = |model: &str| {
        let fixed = ["train", "--data", "tags.jsonl", "--task", "tag", "--epochs", "1", "--out", "run", "--json"];
        place.latch(fixed.iter().chain(&["--model", model]))
    };
    place.refuse(&mut train("embedding 4 > gru 6 > mean"), &["--model: the chain pools a text"]);
    place.refuse(&mut train("embedding 4"), &["--model: must be of at least one recurrent layer"]);
    succeed(&mut train("embedding 4 > gru 6 > dense 5 tanh"));
    place.export("run", "int8");
    let image = succeed(&mut place.latch(["inspect", "int8.latch", "--json"])).json();
    assert_eq!((&image["each_step"], &image["outputs"]), (&true.into(), &3.into()));
}

#[test]
fn a_mistake_in_the_chain_is_pointed_at_with_the_nearest_name() {
    let place = Place::with_data(20);
    for (model, words) in [
        (
            "text 90 > embedding 8 > gur 24 > dense",
            "unknown layer `gur`; did you mean `gru`?\n  \
             text 90 > embedding 8 > gur 24 > dense\n                          ^^^\n",
        ),
        (
            "embedding 8 > gru 24 dropuot=0.1",
            "did you mean `dropout=`?\n  embedding 8 > gru 24 dropuot=0.1\n                       ^^^^^^^^^^^\n",
        ),
        (
            "text 9 ngrams=x > embedding 8",
            "ngrams: must be a whole number\n  text 9 ngrams=x > embedding 8\n         ^^^^^^^^\n",
        ),
    ] {
        let mut train = place.latch(["train", "--data", "data", "--out", "run", "--json", "--model", model]);
        place.refuse_usage(&mut train, &["--model", words]);
    }
}

#[test]
fn what_does_not_go_with_a_chain_is_refused_by_its_name() {
    let place = Place::with_data(20);
    let train = |model: &str, more: &[&str]| {
        place.latch(["train", "--data", "data", "--out", "run", "--json", "--model", model].iter().chain(more))
    };
    place.refuse_usage(&mut train("embedding 8 > gru 2041", &[]), &["--model", "8 inputs and 2041 units"]);
    let late = "conv1d: a valid convolution has no answer before its window is full, and the task asks for an answer at each step";
    place.refuse(&mut train("embedding 8 > conv1d 4 k3 valid > gru 3 > dense", &["--task", "tag"]), &["--model", late]);
}

/// What stands between quotes behind `--model`, and between backticks where it begins as a model does.
fn models_of(page: &str) -> Vec<&str> {
    let begins = |span: &&str| {
        let size = span.strip_prefix("text ").or(span.strip_prefix("embedding "));
        size.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) && span.contains(" > ")
    };
    let mut models: Vec<&str> = page.split("--model '").skip(1).filter_map(|rest| rest.split('\'').next()).collect();
    models.extend(page.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).filter(begins));
    models.retain(|model| !model.contains('…') && !["MODEL", "STUDENT"].contains(model));
    models
}

#[test]
fn every_model_in_the_documentation_is_read() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut pages = vec![root.join("README.md")];
    for folder in ["docs", "docs/results", "docs/decisions"] {
        let entries = std::fs::read_dir(root.join(folder)).expect("a folder");
        pages.extend(
            entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.extension() == Some("md".as_ref())),
        );
    }
    let mut count = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("a page");
        for model in models_of(&text) {
            let read = model.parse::<ModelConfig>().unwrap_or_else(|error| panic!("{}: {error}", page.display()));
            assert_eq!(read.to_string().parse::<ModelConfig>(), Ok(read), "{model}");
            count += 1;
        }
    }
    assert!(count > 40, "{count} models");
}
