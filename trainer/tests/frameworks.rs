//! A run goes to PyTorch and Keras and comes back to the bit; what is wrong with a file of theirs is said with the tensor's name.

use std::collections::HashMap;
use std::fs;

use crate::support::{self, Place, answer, names, succeed};
use half::{bf16, f16};
use latch_trainer::config::chain::Pooling;
use latch_trainer::exchange::{Answers, Format, Given, Layout, from_bytes, to_bytes};
use latch_trainer::network::{Network, NetworkConfig};
use latch_trainer::runs::{checkpoint::Best, folder::RunFolder};
use latch_trainer::vocabulary::Vocabulary;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use latch_engine::input::text::Unknown;

const LAYOUTS: [Layout; 2] = [Layout::PyTorch, Layout::Keras];

fn best(place: &Place, run: &str) -> Best {
    RunFolder::new(place.file(run)).best().expect("the run has a network")
}

/// The bits of every weight of a network.
fn bits(network: &Network<f32>) -> Vec<(String, Vec<u32>)> {
    let of = |tensor: &nalgebra::DMatrix<f32>| tensor.iter().map(|value| value.to_bits()).collect();
    network.tensors().into_iter().map(|(name, tensor)| (name, of(tensor))).collect()
}

/// One tensor of a network.
fn tensor<'n>(network: &'n mut Network<f32>, name: &str) -> &'n mut nalgebra::DMatrix<f32> {
    let named = network.tensors_mut().into_iter().find(|(found, _)| found == name);
    named.expect("the network has the tensor").1
}

/// A network with random weights and no zero among its biases, and its words.
fn random(layers: usize, pooling: Pooling, unknown: Unknown) -> (Network<f32>, Vocabulary) {
    let words = ["a", "bad", "film", "good", "not", "very"].map(str::to_owned).to_vec();
    let vocabulary = Vocabulary::from_words(words, unknown);
    let config = NetworkConfig::stacked(vocabulary.rows(), 3, layers, 4, Some(pooling));
    let mut network = Network::new(&config, 7).expect("the sizes describe a network");
    for (number, (_, tensor)) in network.tensors_mut().into_iter().enumerate() {
        for (index, value) in tensor.iter_mut().enumerate() {
            *value += ((number + 5) as f32 * (index + 1) as f32).sin();
        }
    }
    tensor(&mut network, "lstm.0.bias")[0] = -0.0;
    (network, vocabulary)
}

/// A file in pieces that a test can change.
#[derive(Clone)]
struct Pieces {
    tensors: HashMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
    note: Option<Value>,
}

impl Pieces {
    fn of(layout: Layout) -> Self {
        let (network, vocabulary) = random(2, Pooling::Mean, Unknown::LastRow);
        let bytes = to_bytes(&network, &vocabulary, &Answers::default(), layout).expect("a network can be written");
        let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("a header");
        let note = &metadata.metadata().as_ref().expect("metadata")["latch"];
        let tensors = SafeTensors::deserialize(&bytes).expect("a file").tensors();
        let piece = |view: TensorView<'_>| (view.dtype(), view.shape().to_vec(), view.data().to_vec());
        Pieces {
            tensors: tensors.into_iter().map(|(name, view)| (name, piece(view))).collect(),
            note: Some(serde_json::from_str(note).expect("JSON")),
        }
    }

    fn with_note(mut self, key: &str, value: Value) -> Self {
        self.note.as_mut().expect("a note")[key] = value;
        self
    }

    /// With a tensor of another type and shape.
    fn with(mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Self {
        self.tensors.insert(name.into(), (dtype, shape.into(), bytes));
        self
    }

    /// With a tensor of zeros.
    fn zeros(self, name: &str, shape: &[usize]) -> Self {
        self.with(name, Dtype::F32, shape, vec![0; 4 * shape.iter().product::<usize>()])
    }

    /// With every tensor's values coded by `code`.
    fn coded<const N: usize>(mut self, dtype: Dtype, code: impl Fn(f32) -> [u8; N]) -> Self {
        for (held, _, bytes) in self.tensors.values_mut() {
            *held = dtype;
            *bytes = bytes.as_chunks().0.iter().flat_map(|&value| code(f32::from_le_bytes(value))).collect();
        }
        self
    }

    /// With one value of a tensor replaced.
    fn with_value(mut self, name: &str, index: usize, value: f32) -> Self {
        let bytes = &mut self.tensors.get_mut(name).expect("a tensor").2;
        bytes[4 * index..][..4].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.tensors.remove(name).expect("a tensor");
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, (dtype, shape, bytes))| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).expect("sizes that fit"))
        });
        let metadata = self.note.as_ref().map(|note| HashMap::from([("latch".to_owned(), note.to_string())]));
        safetensors::serialize(views, metadata).expect("a file")
    }
}

/// `latch import` must refuse these bytes with these words, and make no run.
fn refuse(place: &Place, bytes: &[u8], words: &[&str]) {
    place.write("net.safetensors", bytes);
    place.refuse(&mut place.latch(["import", "net.safetensors", "--out", "imported", "--json"]), words);
}

// --- there and back

#[test]
fn a_network_comes_back_to_the_bit_in_both_layouts_with_every_pooling_and_rule() {
    for layout in LAYOUTS {
        for layers in 1..=3 {
            for pooling in [Pooling::Last, Pooling::Mean, Pooling::Max] {
                for unknown in [Unknown::LastRow, Unknown::Skip] {
                    let (network, vocabulary) = random(layers, pooling, unknown);
                    let bytes = to_bytes(&network, &vocabulary, &Answers::default(), layout).unwrap();
                    assert_eq!(bytes, to_bytes(&network, &vocabulary, &Answers::default(), layout).unwrap());
                    let received = from_bytes(&bytes, "file", &Given::default()).unwrap();
                    assert_eq!(received.format, Format::Safetensors(layout));
                    assert_eq!(received.vocabulary, vocabulary);
                    assert_eq!(received.network.config(), network.config());
                    assert_eq!(bits(&received.network), bits(&network));
                }
            }
        }
    }
}

#[test]
fn a_run_comes_back_to_the_bit_and_gives_the_same_image() {
    let place = Place::with_images();
    for layout in ["pytorch", "keras"] {
        let line = succeed(&mut place.latch([
            "export",
            "--run",
            "run",
            "--format",
            "safetensors",
            "--layout",
            layout,
            "--out",
            "net",
            "--json",
        ]))
        .json();
        assert_eq!((line["layout"].as_str(), line["words"].as_u64()), (Some(layout), Some(80)));
        assert_eq!(line["bytes"].as_u64(), Some(place.read("net").len() as u64));
        let data = ["--data", "data/train.tsv.gz", "--valid", "data/valid.tsv.gz"];
        let line = succeed(&mut place.latch(["import", "net", "--out", layout, "--json"].iter().chain(&data))).json();
        assert_eq!((line["layout"].as_str(), line["run"].as_str()), (Some(layout), Some(layout)));
        let (own, imported) = (best(&place, "run"), best(&place, layout));
        assert_eq!(bits(&imported.network), bits(&own.network));
        assert_eq!(imported.metrics.valid_accuracy, own.metrics.valid_accuracy);
        assert_eq!(place.read(&format!("{layout}/vocabulary.txt")), place.read("run/vocabulary.txt"));
        assert_eq!(
            names(&place.file(layout)),
            ["best.network", "characters", "config.json", "occurrences", "vocabulary.txt"]
        );

        // The images differ in where they come from, and in nothing else.
        let of_run = place.read("int8.latch");
        place.export(layout, "int8");
        let imported = place.read("int8.latch");
        let differing = of_run.iter().zip(&imported).filter(|(a, b)| a != b).count();
        assert!(of_run.len().abs_diff(imported.len()) < 64 && differing < of_run.len(), "{differing}");
        let eval = |image: &[u8]| {
            place.write("image", image);
            let mut line =
                succeed(&mut place.latch(["eval", "--image", "image", "--data", "data/test.tsv.gz", "--json"])).json();
            for varying in ["ns_per_token", "image_bytes"] {
                line[varying] = Value::Null;
            }
            line
        };
        assert_eq!(eval(&imported), eval(&of_run));
        place.write("int8.latch", of_run);
    }
}

#[test]
fn classes_values_and_tags_come_back_as_what_they_were_under_their_names() {
    let place = Place::with_data(20);
    let topics = ["sport", "art", "food"];
    let row = |label: String, number: usize| format!("{label}\tthe {} film {}\n", topics[number % 3], number % 7);
    let rows = |label: &dyn Fn(usize) -> String| (0..120).map(|number| row(label(number), number)).collect::<String>();
    place.write("classify.tsv", rows(&|number| topics[number % 3].to_owned()));
    place.write("regress.tsv", rows(&|number| format!("{}.5", number % 3)));
    let tags = |number: usize| {
        let name = ["Ada", "Alan"][number % 2];
        format!(
            "{{\"tokens\":[\"hello\",\"{name}\",\"of\",\"t{}\"],\"labels\":[\"O\",\"PER\",\"O\",\"LOC\"]}}\n",
            number % 5
        )
    };
    place.write("tag.jsonl", (0..120).map(tags).collect::<String>());
    for (task, texts, classes) in [
        ("classify", "classify.tsv", &["art", "food", "sport"][..]),
        ("regress", "regress.tsv", &[]),
        ("tag", "tag.jsonl", &["LOC", "O", "PER"]),
    ] {
        let model =
            if task == "tag" { "text 40 > embedding 4 > gru 6" } else { "text 40 > embedding 4 > gru 6 > mean" };
        let train = ["train", "--data", texts, "--task", task, "--model", model, "--epochs", "2", "--out", task];
        succeed(&mut place.latch(train));
        let [file, imported] = [format!("{task}.safetensors"), format!("{task}-imported")];
        succeed(&mut place.latch(["export", "--run", task, "--format", "safetensors", "--out", &file]));
        for data in [None, Some(texts)] {
            let mut import = place.latch(["import", &file, "--out", &imported, "--json"]);
            let line = succeed(import.args(data.iter().flat_map(|data| ["--data", data]))).json();
            assert_eq!((&line["task"], &line["classes"]), (&json!(task), &json!(classes)), "{line}");
            // Every layer of the image computes what the file says.
            let rows = line["parity"].as_array().unwrap_or_else(|| panic!("{line}"));
            assert_eq!(rows.len(), if task == "tag" { 4 } else { 5 }, "{line}");
            for row in rows {
                let most = |key: &str| row[key].as_f64().unwrap_or_else(|| panic!("{row}"));
                assert!(
                    most("values") > 0.0 && most("largest_difference") < 1e-5 * most("largest_value").max(1.0),
                    "{row}"
                );
            }
            // The last layer of values has them in the unit of their labels.
            let kept = |run: &str| {
                let mut tensors = bits(&best(&place, run).network);
                tensors.retain(|(name, _)| task != "regress" || !name.starts_with("dense"));
                tensors
            };
            assert_eq!(kept(&imported), kept(task));
            let export = ["export", "--run", &imported, "--precision", "f32", "--out", "image"];
            succeed(place.latch(export).args(["--data", texts].iter().filter(|_| data.is_none())));
            let image = succeed(&mut place.latch(["inspect", "image", "--json"])).json();
            let of_run = ["export", "--run", task, "--precision", "f32", "--out", "own", "--json"];
            succeed(&mut place.latch(of_run));
            let own = succeed(&mut place.latch(["inspect", "own", "--json"])).json();
            for key in ["classes", "outputs", "answer", "each_step"] {
                assert_eq!(image[key], own[key], "{task} {key}");
            }
            fs::remove_dir_all(place.file(&imported)).expect("the run");
        }
    }
    // What the file says, no option says otherwise.
    let import = ["import", "regress.safetensors", "--task", "classify", "--out", "other"];
    place.refuse(&mut place.latch(import), &["--task: ", "metadata latch.task says that the task is regress"]);
}

#[test]
fn tokens_are_the_ids_that_training_reads_one_line_of_json_a_text() {
    let place = Place::with_run();
    let chosen =
        ["tokens", "--data", "data/train.tsv.gz", "--words", "80", "--vocabulary", "words.txt", "--out", "train.jsonl"];
    let line = succeed(&mut place.latch(chosen.iter().chain(&["--json"]))).json();
    assert_eq!(
        (line["words"].as_u64(), line["rows"].as_u64(), line["texts"].as_u64()),
        (Some(80), Some(81), Some(160))
    );
    assert_eq!(place.read("words.txt"), place.read("run/vocabulary.txt"));
    let again = [["--vocabulary", "words.txt"], ["--run", "run"]];
    for words in again {
        succeed(
            &mut place.latch(["tokens", "--data", "data/train.tsv.gz", "--out", "again.jsonl"].iter().chain(&words)),
        );
        assert!(place.read("again.jsonl") == place.read("train.jsonl"));
    }
    let text = String::from_utf8(place.read("train.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 160);
    let mut tokens = 0;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let ids = line["ids"].as_array().unwrap();
        assert!(ids.iter().all(|id| id.as_u64() < Some(81)) && line["label"].as_u64() < Some(2), "{line}");
        tokens += ids.len();
    }
    assert_eq!(line["tokens"].as_u64(), Some(tokens as u64));
    let skipping = [
        "tokens",
        "--data",
        "data/train.tsv.gz",
        "--vocabulary",
        "words.txt",
        "--unknown",
        "skip",
        "--out",
        "skip.jsonl",
        "--json",
    ];
    assert_eq!(succeed(&mut place.latch(skipping)).json()["rows"].as_u64(), Some(80));
}

#[test]
fn tokens_refuses_words_that_are_out_of_order_and_a_missing_vocabulary() {
    let place = Place::with_data(20);
    place.write("words.txt", "good\nbad\n");
    let tokens =
        |words: &str| place.latch(["tokens", "--data", "data", "--vocabulary", words, "--out", "ids", "--json"]);
    place.refuse(&mut tokens("words.txt"), &["words.txt: \"good\" stands before \"bad\"", "byte order"]);
    place.refuse(&mut tokens("none.txt"), &["none.txt: there is no such file"]);
    place.refuse_usage(&mut place.latch(["tokens", "--data", "data", "--out", "ids"]), &["--run", "--vocabulary"]);
}

#[test]
fn other_floats_are_converted() {
    let place = Place::with_data(20);
    let expected = from_bytes(&Pieces::of(Layout::PyTorch).bytes(), "file", &Given::default()).unwrap().network;
    let files = [
        (Pieces::of(Layout::PyTorch).coded(Dtype::F64, |value| f64::from(value).to_le_bytes()), 0.0),
        (Pieces::of(Layout::PyTorch).coded(Dtype::F16, |value| f16::from_f32(value).to_le_bytes()), 1.0 / 1024.0),
        (Pieces::of(Layout::PyTorch).coded(Dtype::BF16, |value| bf16::from_f32(value).to_le_bytes()), 1.0 / 128.0),
    ];
    for (file, tolerance) in files {
        let network = from_bytes(&file.bytes(), "file", &Given::default()).unwrap().network;
        for ((name, found), (_, expected)) in network.tensors().into_iter().zip(expected.tensors()) {
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= tolerance * b.abs().max(1e-3);
            assert!(found.iter().zip(expected).all(close), "{name}");
        }
    }
    let integers = Pieces::of(Layout::PyTorch).coded(Dtype::I8, |value| (value as i8).to_le_bytes());
    refuse(&place, &integers.bytes(), &["net.safetensors: tensor embedding.weight: ", "type I8; save it as F32"]);
}

#[test]
fn both_biases_of_pytorch_count() {
    let pieces = Pieces::of(Layout::PyTorch);
    let mut plain = from_bytes(&pieces.bytes(), "file", &Given::default()).unwrap().network;
    let file = pieces.with_value("lstm.bias_hh_l1", 3, 0.25);
    let mut network = from_bytes(&file.bytes(), "file", &Given::default()).unwrap().network;
    tensor(&mut plain, "lstm.1.bias")[3] += 0.25;
    assert_eq!(network, plain);
    assert!(tensor(&mut network, "lstm.1.bias").len() == 16);
}

#[test]
fn a_file_without_metadata_needs_vocabulary_and_pooling() {
    let place = Place::with_data(20);
    for layout in LAYOUTS {
        let mut file = Pieces::of(layout);
        file.note = None;
        refuse(
            &place,
            &file.bytes(),
            &[
                "net.safetensors: it does not say which pooling the network has",
                "add --pooling last, mean, max or attention",
            ],
        );
        let import = |more: &[&'static str]| {
            let fixed = ["import", "net.safetensors", "--out", layout.name(), "--json", "--pooling", "mean"];
            place.latch(fixed.iter().chain(more))
        };
        place.refuse(&mut import(&[]), &["it has no vocabulary", "add --vocabulary"]);
        place.write("words.txt", "a\nbad\nfilm\ngood\nnot\nvery\n");
        let line = succeed(&mut import(&["--vocabulary", "words.txt"])).json();
        assert_eq!((line["layers"].as_u64(), &line["valid_accuracy"]), (Some(2), &Value::Null));
        let (network, _) = random(2, Pooling::Mean, Unknown::LastRow);
        assert_eq!(bits(&best(&place, layout.name()).network), bits(&network));
    }
}

#[test]
fn values_of_texts_come_back_in_their_own_unit_with_data_and_without() {
    let place = Place::with_data(20);
    let rows: String =
        (0..80).map(|row| format!("{},a {} film n{row}\n", 40 + row % 2 * 20, ["bad", "good"][row % 2])).collect();
    place.write("stars.csv", format!("label,text\n{rows}"));
    let model = ["--model", "text 20 > embedding 4 > lstm 4 > mean > dense", "--epochs", "6", "--lr", "0.02"];
    succeed(place.latch(["train", "--data", "stars.csv", "--task", "regress", "--out", "own"]).args(model));
    succeed(&mut place.latch(["export", "--run", "own", "--format", "safetensors", "--out", "net"]));
    succeed(&mut place.latch(["import", "net", "--out", "alone"]));
    succeed(&mut place.latch(["import", "net", "--data", "stars.csv", "--out", "beside"]));
    let value = |run: &str| {
        succeed(&mut place.latch(["export", "--run", run, "--precision", "f32", "--out", "new.latch"]));
        let line = succeed(&mut place.latch(["predict", "--image", "new.latch", "--json", "a good film"])).json();
        line["value"].as_f64().unwrap_or_else(|| panic!("{line}"))
    };
    let own = value("own");
    assert!(own > 45.0, "{own}");
    for run in ["alone", "beside"] {
        assert!((value(run) - own).abs() < 1e-3, "{run}: {} {own}", value(run));
    }
}

#[test]
fn metadata_beside_latchs_own_is_named_and_not_read() {
    let place = Place::with_data(20);
    let file = Pieces::of(Layout::PyTorch);
    let bytes = file.bytes();
    let tensors = SafeTensors::deserialize(&bytes).expect("a file");
    let note = file.note.as_ref().expect("a note").to_string();
    let metadata = [("latch", note.as_str()), ("pooling", "max"), ("format", "pt")];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
    place.write("net.safetensors", safetensors::serialize(tensors.iter(), Some(metadata)).expect("a file"));
    let answer = succeed(&mut place.latch(["import", "net.safetensors", "--out", "imported"]));
    let words = "net.safetensors: metadata \"format\", \"pooling\": not read";
    assert!(answer.stderr.contains(words), "{answer:?}");
    place.write("net.safetensors", bytes);
    let answer = succeed(&mut place.latch(["import", "net.safetensors", "--out", "again"]));
    assert!(!answer.stderr.contains("metadata"), "{answer:?}");
}

#[test]
fn words_that_the_tokenizer_never_makes_are_counted_and_named() {
    let place = Place::with_data(20);
    let (_, vocabulary) = random(1, Pooling::Mean, Unknown::LastRow);
    let mut words: Vec<String> = ["##ing", "great", "movie", "plot", "the", "was"].map(str::to_owned).to_vec();
    words.extend(vocabulary.words().iter().cloned());
    words.sort();
    let config = NetworkConfig::stacked(words.len() + 1, 3, 1, 4, Some(Pooling::Mean));
    let network = Network::new(&config, 7).expect("the sizes describe a network");
    let vocabulary = Vocabulary::from_words(words, Unknown::LastRow);
    place.write(
        "net.safetensors",
        to_bytes(&network, &vocabulary, &Answers::default(), Layout::PyTorch).expect("a file"),
    );
    let answer = succeed(&mut place.latch(["import", "net.safetensors", "--out", "imported", "--json"]));
    assert!(
        answer.stderr.contains("1 of 12 words never come out of the tokenizer") && answer.stderr.contains("\"##ing\"")
    );
    assert_eq!(answer.json()["unmade_words"], json!(["##ing"]));
}

// --- what an imported run can do and cannot

#[test]
fn an_imported_run_without_data_is_exported_with_what_is_assumed_or_with_texts_to_judge_it_by() {
    let place = Place::with_run();
    succeed(&mut place.latch(["export", "--run", "run", "--format", "safetensors", "--out", "net"]));
    succeed(&mut place.latch(["import", "net", "--out", "imported"]));
    // Nothing of the run it came from is needed any more.
    fs::remove_dir_all(place.file("run")).unwrap();
    let export = |more: &[&'static str]| {
        place.latch(["export", "--run", "imported", "--out", "new.latch", "--json"].iter().chain(more))
    };
    let bare = succeed(&mut export(&[])).json();
    assert!(bare["assumed"].as_str().is_some_and(|assumed| assumed.contains("read equally often")), "{bare}");
    assert!(bare["judged_on"].as_str().is_some_and(|part| part.contains("seeded words")), "{bare}");
    assert_eq!(bare["layers"]["rows"].as_array().map(Vec::len), Some(3), "{bare}");
    let data = ["--data", "data/valid.tsv.gz"];
    let line = succeed(&mut export(&data)).json();
    assert!(line["accuracy"].as_f64() > Some(0.0), "{line}");
    let again = ["export", "--run", "imported", "--format", "safetensors", "--out", "again"];
    succeed(&mut place.latch(again));
    assert!(place.read("again") == place.read("net"));
}

#[test]
fn classes_that_nobody_has_named_are_numbers() {
    let place = Place::with_data(200);
    let (network, vocabulary) = random(1, Pooling::Mean, Unknown::LastRow);
    let bytes = to_bytes(&network, &vocabulary, &Answers::default(), Layout::Keras).expect("a file");
    place.write("net.safetensors", bytes);
    succeed(&mut place.latch(["import", "net.safetensors", "--out", "imported"]));
    let export = ["export", "--run", "imported", "--out", "new.latch", "--data", "data/valid.tsv.gz", "--json"];
    place.refuse(&mut place.latch(export), &["is none of the known classes (0, 1)", "--label-map"]);
    let line = succeed(place.latch(export).args(["--label-map", "negative=0,positive=1"])).json();
    assert!(line["accuracy"].is_number(), "{line}");
}

#[test]
fn an_imported_run_is_neither_resumed_nor_trained_into() {
    let place = Place::with_run();
    succeed(&mut place.latch(["export", "--run", "run", "--format", "safetensors", "--out", "net"]));
    succeed(&mut place.latch(["import", "net", "--out", "imported"]));
    let words = ["imported: its network was imported from ", "net, so that no training is kept", "import it again"];
    place.refuse(&mut place.latch(["train", "--resume", "--out", "imported", "--json"]), &words);
    let words = ["imported: this folder already holds a run"];
    place.refuse(&mut place.training("imported", &["--json"]), &words);
    place.refuse(&mut place.latch(["import", "net", "--out", "imported", "--json"]), &words);
}

#[test]
fn a_damaged_imported_run_is_refused() {
    let place = Place::with_run();
    succeed(&mut place.latch(["export", "--run", "run", "--format", "safetensors", "--out", "net"]));
    succeed(&mut place.latch(["import", "net", "--out", "imported", "--data", "data"]));
    let export = || place.latch(["export", "--run", "imported", "--out", "new.latch", "--json"]);
    let mut words = place.read("imported/vocabulary.txt");
    let last = words.len() - 2;
    words[last] ^= 1;
    let whole = place.read("imported/vocabulary.txt");
    place.write("imported/vocabulary.txt", words);
    place.refuse(&mut export(), &["imported/vocabulary.txt: the words are not those of the imported network"]);
    place.write("imported/vocabulary.txt", whole);
    fs::copy(place.file("data/test.tsv.gz"), place.file("data/train.tsv.gz")).unwrap();
    place.refuse(&mut export(), &["data: the data is not what the run began with"]);
}

#[test]
fn options_of_images_and_of_safetensors_do_not_mix() {
    let place = Place::with_run();
    let export =
        |more: &[&'static str]| place.latch(["export", "--run", "run", "--out", "new", "--json"].iter().chain(more));
    for option in [["--precision", "int8"], ["--fold-to", "1MiB"], ["--data", "data"]] {
        let mut export = export(&["--format", "safetensors", option[0], option[1]]);
        place.refuse(&mut export, &[option[0], "it is for images"]);
    }
    place.refuse(&mut export(&["--layout", "keras"]), &["--layout", "add --format safetensors"]);
}

// --- files that are wrong

#[test]
fn a_damaged_file_is_refused() {
    let place = Place::with_data(20);
    let whole = Pieces::of(Layout::PyTorch).bytes();
    refuse(&place, &[], &["net.safetensors: the file is empty", "again"]);
    for length in [4, 8, 100, whole.len() / 2, whole.len() - 1] {
        refuse(&place, &whole[..length], &["net.safetensors: this is no whole safetensors file", "again"]);
    }
    let mut longer = whole.clone();
    longer.push(0);
    refuse(&place, &longer, &["net.safetensors: this is no whole safetensors file"]);
    // Files of other tools are called by their names.
    refuse(
        &place,
        b"\x80\x02}q\x00(X\x05\x00\x00\x00model",
        &["this is a Python pickle", "from safetensors.torch import save_file"],
    );
    refuse(&place, b"\x89HDF\r\n\x1a\n\0\0\0\0\0\0\0\0", &["this is no whole HDF5 file", "copy it again"]);
    for index in (0..whole.len().min(1200)).step_by(7) {
        let mut flipped = whole.clone();
        flipped[index] ^= 0x20;
        place.write("net.safetensors", flipped);
        // A flipped bit of a word or a weight may be a good file; nothing else may happen than this or a sentence.
        let import = answer(&mut place.latch(["import", "net.safetensors", "--out", "imported", "--json"]));
        if import.code == Some(0) {
            fs::remove_dir_all(place.file("imported")).unwrap();
        } else {
            support::assert_refused(&import, &["net.safetensors: "]);
        }
    }
    for (path, words) in
        [("/dev/zero", "not an ordinary file"), ("data", "it is a folder"), ("missing", "no such file")]
    {
        place.refuse(&mut place.latch(["import", path, "--out", "imported", "--json"]), &[path, words]);
    }
}

#[test]
fn a_missing_tensor_is_named() {
    let place = Place::with_data(20);
    for layout in LAYOUTS {
        let pieces = Pieces::of(layout);
        for name in pieces.tensors.keys() {
            let message =
                from_bytes(&pieces.clone().without(name).bytes(), "net", &Given::default()).unwrap_err().to_string();
            assert!(message.starts_with(&format!("net: tensor {name}: it is missing; ")), "{name}: {message}");
        }
    }
    refuse(
        &place,
        &Pieces::of(Layout::Keras).without("head.kernel").bytes(),
        &["net.safetensors: tensor head.kernel: it is missing; save it too"],
    );
    let mut other = Pieces::of(Layout::PyTorch).without("lstm.weight_ih_l0");
    other.note = None;
    refuse(&place, &other.bytes(), &["tensor lstm.weight_ih_l0: it is missing; save all tensors"]);
}

#[test]
fn a_tensor_of_another_shape_is_named() {
    let place = Place::with_data(20);
    for (file, words) in [
        (
            Pieces::of(Layout::PyTorch).zeros("lstm.weight_ih_l1", &[4, 16]),
            "tensor lstm.weight_ih_l1: its shape is [4, 16], but [16, 4] fits",
        ),
        (
            Pieces::of(Layout::PyTorch).zeros("lstm.bias_hh_l0", &[15]),
            "tensor lstm.bias_hh_l0: its shape is [15], but [16] fits",
        ),
        (
            Pieces::of(Layout::Keras).zeros("lstm.0.kernel", &[16, 3]),
            "tensor lstm.0.kernel: its shape is [16, 3], but [3, 16] fits",
        ),
        (
            Pieces::of(Layout::Keras).zeros("embedding.embeddings", &[7]),
            "tensor embedding.embeddings: its shape is [7], but two sizes",
        ),
        (
            Pieces::of(Layout::Keras).zeros("embedding.embeddings", &[0, 3]),
            "tensor embedding.embeddings: its shape is [0, 3], but two sizes",
        ),
        (
            Pieces::of(Layout::PyTorch).zeros("head.bias", &[2]).zeros("head.weight", &[2, 4]),
            "tensor head.bias: the head has 2 outputs, but two classes have one logit",
        ),
        (
            Pieces::of(Layout::PyTorch)
                .with_note("task", json!("regress"))
                .zeros("head.bias", &[3])
                .zeros("head.weight", &[3, 4]),
            "tensor head.bias: the head has 3 outputs, but regress has one value",
        ),
        (
            Pieces::of(Layout::PyTorch).zeros("lstm.weight_ih_l0_reverse", &[16, 3]),
            "tensor lstm.weight_ih_l0_reverse: it has no place in the layout pytorch",
        ),
        (
            Pieces::of(Layout::PyTorch).zeros("embedding.weight", &[5, 3]),
            "tensor embedding.weight: it has 5 rows for a vocabulary of 6 words",
        ),
        (
            Pieces::of(Layout::PyTorch).zeros("embedding.weight", &[7, 2048]),
            "tensor lstm.weight_hh_l0: 2048 features and 4 units",
        ),
    ] {
        // The sizes in the metadata would be the first to disagree.
        let file = ["rows", "embedding"].into_iter().fold(file, |file, key| file.with_note(key, Value::Null));
        refuse(&place, &file.bytes(), &["net.safetensors: ", words]);
    }
}

#[test]
fn a_value_that_is_not_finite_is_named() {
    let place = Place::with_data(20);
    for (value, shown) in [(f32::NAN, "value 5 is NaN"), (f32::INFINITY, "value 5 is inf")] {
        for (layout, name) in [
            (Layout::PyTorch, "lstm.weight_hh_l1"),
            (Layout::Keras, "lstm.1.bias"),
            (Layout::Keras, "embedding.embeddings"),
        ] {
            let file = Pieces::of(layout).with_value(name, 5, value);
            refuse(&place, &file.bytes(), &[&format!("tensor {name}: {shown}"), "not diverged"]);
        }
    }
    let large = Pieces::of(Layout::PyTorch).coded(Dtype::F64, |value| (f64::from(value) * 1e300).to_le_bytes());
    refuse(&place, &large.bytes(), &["tensor embedding.weight: value 0 is", "in f32"]);
}

#[test]
fn metadata_that_contradicts_the_tensors_or_the_options_is_refused() {
    let place = Place::with_data(20);
    for (key, value, words) in [
        (
            "gates",
            json!("i,o,f,c"),
            "metadata latch.gates: the gates are in the order \"i,o,f,c\", but pytorch is \"i,f,g,o\"",
        ),
        ("units", json!(8), "metadata latch.units: it says 8, but the tensors have 4"),
        ("layers", json!(1), "metadata latch.layers: it says 1, but the tensors have 2"),
        ("unknown", json!("skip"), "metadata latch.unknown: the embedding has 7 rows for 6 words"),
        ("classes", json!(["a", "b", "c"]), "metadata latch.classes: it names 3 classes, but the task has 2"),
        ("classes", json!(["a", "a"]), "metadata latch.classes: the class \"a\" is named twice"),
        ("task", json!("tag"), "metadata latch.pooling: each token has an answer"),
        ("layout", json!("tensorflow"), "metadata latch: it is not what Latch writes there"),
        ("layout", json!("keras"), "tensor embedding.embeddings: it is missing"),
        ("vocabulary", json!([]), "metadata latch.vocabulary: there is no word in it"),
        (
            "vocabulary",
            json!(["good", "bad", "a", "b", "c", "d"]),
            "metadata latch.vocabulary: \"good\" stands before \"bad\"",
        ),
        (
            "vocabulary",
            json!(["##ing", "A", "Film", "a", "bad", "good"]),
            "3 of 6 words never come out of Latch's tokenizer, such as \"##ing\"",
        ),
    ] {
        refuse(&place, &Pieces::of(Layout::PyTorch).with_note(key, value).bytes(), &["net.safetensors: ", words]);
    }
    place.write("net.safetensors", Pieces::of(Layout::Keras).bytes());
    place.write("words.txt", "a\nb\n");
    let import = ["import", "net.safetensors", "--out", "imported", "--json"];
    let other = ["--vocabulary", "words.txt"];
    place.refuse(
        &mut place.latch(import.iter().chain(&other)),
        &["--vocabulary: net.safetensors: metadata latch.vocabulary has other words"],
    );
    let mut other = place.latch(import.iter().chain(&["--pooling", "last"]));
    place.refuse(&mut other, &["--pooling: net.safetensors: metadata latch.pooling names another pooling"]);
}
