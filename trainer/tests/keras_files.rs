//! Promise: a file of Keras becomes a run whose f32 image answers what Keras answered, and what no image holds is refused by the layer's name. The models are those
//! of `interchange/tests/goldens/keras`.

use serde_json::Value;

use crate::goldens::{answers, numbers, placed};
use crate::support::succeed;

const ARCHIVE: &str = "keras/keras3.zip";

/// The input and the output of a golden.
fn golden(cases: &Value, file: &str) -> (Vec<f64>, Vec<f64>) {
    let case = cases.as_array().and_then(|cases| cases.iter().find(|case| case["file"] == file)).expect("a case");
    (numbers(case, "x"), numbers(case, "y"))
}

#[test]
fn models_of_samples_answer_what_keras_answered() {
    let names = [
        "lstm-three-layers.keras",
        "normalization.h5",
        "batch-norm-before-lstm.keras",
        "bidirectional-concat.keras",
        "bidirectional-sum.h5",
        "bidirectional-mul.keras",
        "bidirectional-ave.h5",
        "bidirectional-two-layers.keras",
        "batch-norm-no-center-both-ways.h5",
        "conv-valid.keras",
        "conv-causal.h5",
        "conv-causal-stride.keras",
        "batch-norm-before-valid-conv.h5",
        "conv-max-pooling.keras",
        "conv-max-pooling.h5",
        "max-pooling-overlapping.keras",
    ];
    let (place, cases) = placed(ARCHIVE, &names);
    for name in names {
        let run = format!("run-of-{name}");
        let (x, y) = golden(&cases, name);
        // Two values are those of two classes: the image has the second less the first.
        let task = ["--task", "classify"];
        let said = if name.starts_with("bidirectional") && y.len() == 2 { &task[..] } else { &[] };
        let line = succeed(&mut place.latch(["import", name, "--out", &run, "--json"].iter().chain(said))).json();
        let y = if said.is_empty() { y } else { vec![y[1] - y[0]] };
        let found = answers(&place, &run, &x);
        // Of classes the image has the logits.
        let found = if line["task"] == "classify" && y.len() == 1 && said.is_empty() {
            found.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect()
        } else if line["task"] == "classify" && said.is_empty() {
            let all: f64 = found.iter().map(|logit| logit.exp()).sum();
            found.iter().map(|logit| logit.exp() / all).collect()
        } else {
            found
        };
        assert_eq!(found.len(), y.len(), "{name}: {found:?}");
        found.iter().zip(&y).for_each(|(found, y)| assert!((found - y).abs() < 1e-5, "{name}: {found} {y}"));
    }
}

#[test]
fn a_vocabulary_comes_with_the_model_and_what_is_cut_otherwise_is_shown() {
    let name = "text-vectorization.keras";
    let (place, cases) = placed(ARCHIVE, &[name]);
    let import = succeed(&mut place.latch(["import", name, "--out", "run"]));
    let warning = "texts are cut otherwise than where it was trained, as far as this shows: \"Don't stop!\" was \"dont\" \"stop\"";
    assert!(import.stderr.contains(warning), "{}", import.stderr);
    assert_eq!(place.read("run/vocabulary.txt"), b"cat\ndont\nmat\nsat\nthe\n");
    place.write("texts.tsv", "0\tthe cat sat\n1\tdont sit on the mat\n");
    succeed(&mut place.latch([
        "export",
        "--run",
        "run",
        "--data",
        "texts.tsv",
        "--precision",
        "f32",
        "--out",
        "new.latch",
    ]));
    let predict = ["predict", "--image", "new.latch", "--json", "The cat sat on the mat"];
    let line = succeed(&mut place.latch(predict)).json();
    let (_, y) = golden(&cases, name);
    let of_second = line["probabilities"]["1"].as_f64().unwrap_or_else(|| panic!("{line}"));
    assert!((of_second - y[0]).abs() < 1e-4, "{line} in place of {}", y[0]);
}

#[test]
fn a_list_of_words_in_the_order_of_the_ids_is_sorted_with_the_rows_of_the_embedding() {
    let name = "embedding-mask-zero.keras";
    let (place, cases) = placed(ARCHIVE, &[name]);
    let import = |words: &str, out: &str| {
        place.write("words.txt", words);
        place.latch(["import", name, "--task", "classify", "--vocabulary", "words.txt", "--out", out, "--json"])
    };
    // Ids 0, 3, 0, 2, 5, 0 were read, 0 being padding; id 1 is that of unknown words, and 6 of none.
    succeed(&mut import("\n[UNK]\nsat\ncat\nmat\nbird\n", "run"));
    assert_eq!(place.read("run/vocabulary.txt"), b"bird\ncat\nmat\nsat\n");
    succeed(&mut place.latch(["export", "--run", "run", "--precision", "f32", "--out", "new.latch"]));
    let line = succeed(&mut place.latch(["predict", "--image", "new.latch", "--json", "cat sat bird"])).json();
    let (_, y) = golden(&cases, name);
    // Of two logits the image has the second less the first.
    let wanted = 1.0 / (1.0 + (y[0] - y[1]).exp());
    let found = line["probabilities"]["1"].as_f64().unwrap_or_else(|| panic!("{line}"));
    assert!((found - wanted).abs() < 1e-5, "{line} in place of {wanted}");

    place.refuse(
        &mut import("cat\nmat\n", "other"),
        &["--vocabulary", "id 0 for padding", "line 1 has the word \"cat\""],
    );
    place.refuse(&mut import("\ncat\nmat\ncat\n", "other"), &["\"cat\" stands in line 2 and in line 4"]);
    place.refuse(&mut import("\na\nb\nc\nd\ne\nf\ng\n", "other"), &["it has 8 lines", "has 7 rows"]);
    place.refuse(&mut import("\n", "other"), &["--vocabulary: there is no word in it"]);
    let fewer = succeed(&mut import("\n[UNK]\nsat\ncat\n", "fewer")).stderr;
    assert!(fewer.contains("it has 4 lines, and the embedding 3 rows more, which are left out"), "{fewer}");
    let long = "a".repeat(33);
    let said = succeed(&mut import(&format!("\u{feff}\n[UNK]\nsat\ncat\n{long}\nmat\nbird\n"), "long")).stderr;
    assert!(said.contains("1 word of no use in an image") && said.contains(&long), "{said}");
    assert_eq!(place.read("long/vocabulary.txt"), b"bird\ncat\nmat\nsat\n");
}

#[test]
fn a_file_with_words_of_its_own_takes_no_other_list() {
    let name = "text-vectorization.keras";
    let (place, _) = placed(ARCHIVE, &[name]);
    place.write("words.txt", "\n[UNK]\nthe\nsat\nmat\ndont\ncat\n");
    let mut import = place.latch(["import", name, "--vocabulary", "words.txt", "--out", "run", "--json"]);
    place.refuse(&mut import, &["--vocabulary: text-vectorization.keras: its own vocabulary has other words", "leave"]);
}

#[test]
fn frames_that_a_model_masks_are_padding_which_an_image_is_not_given() {
    let name = "masking-lstm.keras";
    let (place, cases) = placed(ARCHIVE, &[name]);
    let said = succeed(&mut place.latch(["import", name, "--out", "run"])).stderr;
    assert!(said.contains("a frame of -1 in every channel is padding to the layer masking"), "{said}");
    let (x, y) = golden(&cases, name);
    let steps: Vec<f64> = x.chunks(3).filter(|frame| frame.iter().any(|x| *x != -1.0)).flatten().copied().collect();
    assert!(steps.len() < x.len());
    let found = answers(&place, "run", &steps);
    assert_eq!(found.len(), y.len());
    found.iter().zip(&y).for_each(|(found, y)| assert!((found - y).abs() < 1e-5, "{found} {y}"));
    // A probe with padding is compared without it, and one of nothing else is none.
    let rows: Vec<String> = x.chunks(3).map(|row| format!("{},{},{}", row[0], row[1], row[2])).collect();
    place.write("padded.csv", rows.join("\n") + "\n");
    let line = succeed(&mut place.latch(["import", name, "--probe", "padded.csv", "--out", "probed", "--json"])).json();
    assert!(line["parity"][1]["largest_difference"].as_f64().is_some_and(|most| most < 1e-5), "{line}");
    place.write("none.csv", "-1,-1,-1\n-1,-1,-1\n");
    let mut none = place.latch(["import", name, "--probe", "none.csv", "--out", "none", "--json"]);
    place.refuse(&mut none, &["none.csv: every frame in it is padding to the model"]);
}

#[test]
fn what_is_said_beside_a_file_is_used_or_refused() {
    let (place, _) = placed(
        ARCHIVE,
        &["alone.weights.h5", "two-of-a-kind-out-of-order.h5", "embedding-lstm.h5", "conv-valid.keras"],
    );
    let import = |file: &'static str, more: &[&'static str]| {
        place.latch(["import", file, "--out", "run", "--json"].iter().chain(more))
    };
    let chain = "embedding > lstm > bidirectional gru > last > dense";
    place.refuse(&mut import("alone.weights.h5", &[]), &["it holds weights alone", "--chain"]);
    let inspected = ["import", "alone.weights.h5", "--chain", chain, "--inspect", "--json"];
    assert_eq!(succeed(&mut place.latch(inspected)).json()["layers"][2]["kind"], "bidirectional");
    place.refuse(
        &mut import("two-of-a-kind-out-of-order.h5", &["--until", "third"]),
        &["no layer \"third\"", "second, first"],
    );
    // What is inside is shown all the same.
    let inspect = ["import", "two-of-a-kind-out-of-order.h5", "--until", "third", "--inspect"];
    let said = succeed(&mut place.latch(inspect)).stdout;
    assert!(said.contains("inside       layer second: ") && said.contains("stops: two-of-a-kind"), "{said}");
    let said = succeed(&mut place.latch(["import", "alone.weights.h5", "--inspect"])).stdout;
    assert!(said.starts_with("format       Keras .h5\n") && said.contains("it holds weights alone"), "{said}");
    place.refuse(
        &mut import("conv-valid.keras", &["--until", "conv1d"]),
        &["layer conv1d: it has no answer before its window is full, and the model answers each step"],
    );
    place.write("tokenizer.json", r#"{"config": {"oov_token": "?", "word_index": {"?": 1, "the": 2, "cat": 3}}}"#);
    place.refuse(&mut import("embedding-lstm.h5", &["--tokenizer", "nothing.json"]), &["nothing.json"]);
    succeed(&mut import("embedding-lstm.h5", &["--tokenizer", "tokenizer.json"]));
    assert_eq!(place.read("run/vocabulary.txt"), b"cat\nthe\n");
}

#[test]
fn a_probe_that_ends_before_the_first_answer_is_refused() {
    let (place, _) = placed(ARCHIVE, &["conv-valid.keras"]);
    place.write("short.csv", "1,2,3\n4,5,6\n");
    let mut import = place.latch(["import", "conv-valid.keras", "--probe", "short.csv", "--out", "run"]);
    let words = ["short.csv: the probe has 2 steps, and the first answer needs 3; name a longer --probe"];
    place.refuse(&mut import, &words);
    place.write("enough.csv", "1,2,3\n4,5,6\n7,8,9\n");
    let task = ["--task", "classify", "--out", "run"];
    succeed(place.latch(["import", "conv-valid.keras", "--probe", "enough.csv"]).args(task));
    // What came with the model is gone: only an import has it again.
    std::fs::remove_file(place.file("run/probe")).expect("a file");
    let words = ["run/probe: the model's scaling and probe are missing", "import the model again"];
    place.refuse(&mut place.latch(["export", "--run", "run", "--out", "new.latch"]), &words);
    let onward = ["train", "--data", "data/train.tsv.gz", "--resume-from", "run", "--out", "new"];
    place.refuse(&mut place.latch(onward), &words);
}
