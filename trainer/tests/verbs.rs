//! What each verb of `latch` answers, for people and for machines.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use crate::support::{self, Answer, Place, RUN_FILES, answer, answer_to, latch, names, succeed};
use serde_json::{Map, Value};

const VERBS: [&str; 11] =
    ["demo", "data", "train", "export", "import", "tokens", "eval", "predict", "run", "inspect", "report"];

/// The keys of an object, in order of their names.
fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// `latch predict` on an image of a place, with this on its standard input: an answer a line.
fn predict(place: &Place, input: &[u8]) -> Vec<Value> {
    let answer = answer_to(&mut place.latch(["predict", "--image", "int8.latch", "--json"]), input);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    answer.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

// --- help

#[test]
fn every_verb_has_help_with_an_example_of_itself() {
    for verb in VERBS {
        let help = succeed(&mut latch([verb, "--help"]));
        assert!(help.stderr.is_empty() && help.stdout.contains("Usage: latch "), "{help:?}");
        let (_, examples) = help.stdout.split_once("Example").unwrap_or_else(|| panic!("{verb} has no example"));
        assert!(examples.contains(&format!("latch {verb}")), "{examples}");
        assert!(help.stdout.contains("--json"), "{verb} has no --json");
    }
}

#[test]
fn the_help_of_latch_names_every_verb() {
    let help = succeed(&mut latch(["--help"]));
    assert!(VERBS.iter().all(|verb| help.stdout.contains(&format!("\n  {verb} "))), "{help:?}");
    assert!(succeed(&mut latch(["--version"])).stdout.starts_with("latch 0."));
}

#[test]
fn the_examples_of_the_help_are_command_lines_that_latch_understands() {
    for verb in VERBS {
        let help = succeed(&mut latch([verb, "--help"])).stdout;
        let (_, examples) = help.split_once("Example").expect("examples");
        let lines: Vec<&str> = examples.lines().map(str::trim).filter(|line| line.starts_with("latch ")).collect();
        assert!(!lines.is_empty(), "{verb}");
        for line in lines {
            // With --help at its end the line is taken apart and nothing is done.
            let script =
                format!("exec \"$0\" {} --help", line.trim_start_matches("latch ").split(" < ").next().expect("words"));
            let parsed = answer(std::process::Command::new("sh").args(["-c", &script, support::LATCH]));
            assert_eq!((parsed.code, parsed.stdout.contains("Usage: ")), (Some(0), true), "{line}: {parsed:?}");
        }
    }
}

#[test]
fn a_verb_that_does_not_exist_is_a_usage_error() {
    support::assert_usage_error(&answer(&mut latch(["compress"])), &["compress"]);
}

// --- one line of JSON

#[test]
fn train_answers_with_one_line_of_json() {
    let place = Place::with_data(200);
    let answer = place.train("run", &["--json"]);
    let line = answer.json();
    let known = [
        "balanced_accuracy",
        "best_valid_accuracy",
        "data",
        "epochs",
        "macro_f1",
        "per_class",
        "run",
        "seconds",
        "tokens_per_s",
    ];
    let found: Vec<&str> = keys(&line).into_iter().filter(|key| *key != "never_answered").collect();
    assert_eq!(found, known);
    assert_eq!((line["epochs"].as_u64(), line["run"].as_str()), (Some(2), Some("run")));
    let accuracy = line["best_valid_accuracy"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&accuracy) && line["tokens_per_s"].as_f64() > Some(0.0), "{line}");
    // What people read has gone to standard error.
    assert_eq!(answer.stderr.lines().filter(|line| line.starts_with("epoch ")).count(), 2, "{answer:?}");
}

#[test]
fn data_answers_with_one_line_of_json() {
    let place = Place::with_data(20);
    let line = succeed(&mut place.latch(["data", "built-in", "--out", "more", "--examples", "100", "--json"])).json();
    assert_eq!(keys(&line), ["name", "path", "seed", "sha256", "test", "train", "valid"]);
    assert_eq!(["train", "valid", "test"].map(|part| line[part].as_u64().unwrap()), [80, 10, 10]);
    assert_eq!(names(&place.file("more")), ["test.tsv.gz", "train.tsv.gz", "valid.tsv.gz"]);
}

#[test]
fn export_eval_and_inspect_answer_with_one_line_of_json_and_agree() {
    let place = Place::with_run();
    for precision in ["f32", "f16", "int8"] {
        let exported = place.export("run", precision).json();
        let image = format!("{precision}.latch");
        let expected = [
            "accuracy",
            "agreement",
            "image_bytes",
            "judged_on",
            "layers",
            "path",
            "precision",
            "state_bytes",
            "temperature",
            "unknown",
        ];
        // Of integers alone is it said what they do to each layer.
        let expected = expected.into_iter().filter(|key| precision == "int8" || *key != "layers");
        assert_eq!(keys(&exported), expected.collect::<Vec<_>>());
        assert_eq!((exported["path"].as_str(), exported["precision"].as_str()), (Some(&*image), Some(precision)));
        assert_eq!(exported["image_bytes"].as_u64(), Some(place.read(&image).len() as u64));

        // Export reports on the run's validation part: eval of the image on that part says the same.
        let eval =
            succeed(&mut place.latch(["eval", "--image", &image, "--data", "data/valid.tsv.gz", "--json"])).json();
        for key in [
            "n",
            "accuracy",
            "log_loss",
            "brier",
            "calibration_error",
            "auc",
            "precision",
            "image_bytes",
            "state_bytes",
            "ns_per_token",
        ] {
            assert!(keys(&eval).contains(&key), "{key}: {eval}");
        }
        for key in ["accuracy", "precision", "image_bytes", "state_bytes"] {
            assert_eq!(eval[key], exported[key], "{key} of {precision}");
        }
        assert_eq!(eval["n"].as_u64(), Some(20));
        let confusion: u64 = eval["confusion"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|row| row.as_array().unwrap())
            .map(|n| n.as_u64().unwrap())
            .sum();
        assert_eq!(confusion, 20, "{eval}");

        let inspected = succeed(&mut place.latch(["inspect", &image, "--json"])).json();
        for key in ["precision", "image_bytes", "state_bytes"] {
            assert_eq!(inspected[key], exported[key], "{key} of {precision}");
        }
    }
}

/// Texts in which the words `one`, `two`, `three` say everything: what a task's labels are made of.
fn counted(line: impl Fn(&[&str], usize) -> String) -> String {
    let words = ["one", "two", "three"];
    let text = |number: usize| -> Vec<&str> {
        // The digits of a number that differs from line to line.
        (0..3 + number % 4).map(|at| words[(number * 7_919 / 3_usize.pow(at as u32)) % 3]).collect()
    };
    (0..400).map(|number| line(&text(number), number) + "\n").collect()
}

/// Trains, exports and judges a task in a place; what `eval --json` says.
fn task_through_all_verbs(place: &Place, data: &str, task: &str) -> Value {
    let pooling = if task == "tag" { "" } else { "attention > " };
    let model = format!("text 20 > embedding 4 > lstm 8 > {pooling}dense");
    let model = ["--model", &model];
    let more = ["--epochs", "12", "--lr", "0.02", "--average", "0.9", "--batch", "16", "--out", task];
    succeed(place.latch(["train", "--data", data, "--task", task]).args(model).args(more));
    succeed(&mut place.latch(["export", "--run", task, "--precision", "int8", "--out", "task.latch"]));
    succeed(&mut place.latch(["report", task, "--out", "task.html"]));
    succeed(&mut place.latch(["eval", "--image", "task.latch", "--data", data, "--json"])).json()
}

fn predicted(place: &Place, text: &str) -> Value {
    succeed(&mut place.latch(["predict", "--image", "task.latch", text, "--json"])).json()
}

#[test]
fn classes_go_through_every_verb() {
    let place = Place::with_data(20);
    // The class is called by the last word.
    let class = |text: &[&str]| if text.last() == Some(&"three") { "drei" } else { text[text.len() - 1] }.to_owned();
    std::fs::write(place.file("classes.csv"), counted(|text, _| format!("{},{}", text.join(" "), class(text))))
        .unwrap();
    let line = task_through_all_verbs(&place, "classes.csv", "classify");
    assert!(line["accuracy"].as_f64() > Some(0.9) && line["confusion"].as_array().unwrap().len() == 3, "{line}");
    assert_eq!(line["classes"], serde_json::json!(["drei", "one", "two"]));
    let said = predicted(&place, "one one three");
    assert_eq!(
        (said["class"].as_str(), said["probabilities"].as_object().map(Map::len)),
        (Some("drei"), Some(3)),
        "{said}"
    );
    assert!(said["probabilities"]["drei"].as_f64() > Some(0.5), "{said}");
    let inspected = succeed(&mut place.latch(["inspect", "task.latch"])).stdout;
    assert!(inspected.contains("one of 3 classes, for the whole text"), "{inspected}");
    assert!(inspected.contains("classes     drei, one, two\n"), "{inspected}");
    let words = succeed(&mut place.latch(["eval", "--image", "task.latch", "--data", "classes.csv"])).stdout;
    assert!(words.lines().any(|line| line.starts_with("drei ")), "{words}");
    place.write("other.csv", "one two,one\none three,three\n");
    support::refuse(
        &mut place.latch(["eval", "--image", "task.latch", "--data", "other.csv"]),
        &["other.csv:2: the label \"three\" is none of the known classes (drei, one, two)", "--label-map three=CLASS"],
    );
    let mapped = ["eval", "--image", "task.latch", "--data", "other.csv", "--label-map", "three=drei", "--json"];
    assert_eq!(succeed(&mut place.latch(mapped)).json()["n"], 2);
}

/// Three words of ten say everything, and are not the most frequent ones.
#[test]
fn useful_words_are_chosen_where_labels_are_classes_of_texts_and_refused_elsewhere() {
    let place = Place::with_data(20);
    let class = |text: &[&str]| ["one", "two", "three"].iter().position(|word| text.last() == Some(word)).unwrap();
    let line = |text: &[&str], number: usize| {
        format!("{}\tthe a of in it is to {number} the a of in it is to {}", class(text), text[text.len() - 1])
    };
    std::fs::write(place.file("classes.tsv"), counted(line)).unwrap();
    let data = ["train", "--data", "classes.tsv", "--epochs", "1"];
    let vocabulary = |words: &str, out: &str| {
        let model = format!("text 3 words={words} > embedding 2 word_dropout=0.3 > lstm 4 > attention");
        succeed(place.latch(data).args(["--model", &model, "--out", out]));
        succeed(&mut place.latch(["train", "--resume", "--out", out]));
        std::fs::read_to_string(place.file(out).join("vocabulary.txt")).unwrap()
    };
    assert_eq!(vocabulary("useful", "useful"), "one\nthree\ntwo\n");
    assert_eq!(vocabulary("count", "count"), "a\nin\nis\n");
    support::refuse(
        place.latch(data).args([
            "--task",
            "regress",
            "--model",
            "text 9 words=useful > embedding 4 > lstm 4",
            "--out",
            "values",
        ]),
        &["--model words: must be count where the labels are no classes of whole texts"],
    );
}

#[test]
fn unknown_words_share_rows_through_every_verb_but_not_in_a_file_of_tensors() {
    let place = Place::with_data(200);
    for (rule, said) in [
        ("row", "share one row"),
        ("skip", "are left out"),
        ("hashed:9", "share 9 rows by their hash"),
        ("ending:5", "share 5 rows by the hash of their last three characters"),
    ] {
        let out = rule.replace(':', "-");
        let model = format!("text 30 unknown={rule} > embedding 2 word_dropout=0.3 > lstm 4 > attention");
        succeed(&mut place.latch(["train", "--data", "data", "--epochs", "1", "--model", &model, "--out", &out]));
        succeed(&mut place.latch(["train", "--resume", "--out", &out]));
        place.export(&out, "int8");
        let image = succeed(&mut place.latch(["inspect", "int8.latch"])).stdout;
        assert!(image.contains(&format!("unknown     words that are not in the vocabulary {said}\n")), "{image}");
        let image = succeed(&mut place.latch(["inspect", "int8.latch", "--json"])).json();
        let rows = rule.split_once(':').map_or(u64::from(rule == "row"), |(_, rows)| rows.parse().unwrap());
        assert_eq!((image["unknown"].as_str(), image["rows"].as_u64()), (Some(said), Some(30 + rows)), "{image}");
        succeed(&mut place.latch(["eval", "--image", "int8.latch", "--data", "data"]));
    }
    support::refuse(
        &mut place.latch(["export", "--run", "ending-5", "--format", "safetensors", "--out", "ending.safetensors"]),
        &["unknown: its unknown words share rows by their hash"],
    );
}

#[test]
fn an_embedding_in_tiers_goes_through_every_verb() {
    let place = Place::with_data(200);
    for (out, tiers, said, storage) in [
        ("narrow", "whole=10 rare=1", "10 of 31 ids have whole rows; the others 1 features of 8 bits", "int8"),
        ("four", "whole=9 rare=3 rare_bits=4", "9 of 31 ids have whole rows; the others 3 features of 4 bits", "mixed"),
        (
            "quotient",
            "whole=8 quotient=5",
            "the others 2 features of 8 bits, of a quotient and one of 5 remainders",
            "int4",
        ),
    ] {
        let model = format!("text 30 > embedding 3 {tiers} > lstm 4 > attention");
        let train = ["train", "--data", "data", "--epochs", "2", "--model", &model, "--out", out];
        succeed(&mut place.latch(train.iter().chain(&["--quantize", storage, "--quantize-epochs", "1"])));
        succeed(&mut place.latch(["train", "--resume", "--out", out]));
        for precision in ["f32", storage] {
            let exported = place.export(out, precision).json();
            assert_eq!(exported["quantization_aware"] == true, precision != "f32", "{exported}");
            let image = format!("{precision}.latch");
            let text = succeed(&mut place.latch(["inspect", &image])).stdout;
            assert_eq!(text.contains(said), precision != "f32", "{text}");
            succeed(&mut place.latch(["eval", "--image", &image, "--data", "data"]));
        }
    }
    support::refuse(
        &mut place.latch(["export", "--run", "quotient", "--fold-to", "64KiB", "--out", "folded.latch"]),
        &["--fold-to: an embedding in tiers cannot be folded"],
    );
    let whole = ["--flash", "16KiB", "--model", "text 30 > embedding 3 whole=10 > lstm 4", "--out", "searched"];
    support::refuse(
        place.latch(["train", "--data", "data"]).args(whole),
        &["--model whole: a search chooses the rows of the embedding itself"],
    );
}

#[test]
fn a_run_learns_from_teachers_and_goes_on_without_them() {
    let place = Place::with_data(200);
    let tiny = "text 30 > embedding 3 word_dropout=0.3 > lstm 4 > attention";
    let with_ngrams = tiny.replace("text 30", "text 30 ngrams=20");
    let train = |more: &[&str]| {
        let options = ["train", "--data", "data", "--valid", "0.1", "--epochs", "2", "--json", "--model"];
        place.latch(
            options
                .iter()
                .copied()
                .chain([if more.contains(&"n-grams") { with_ngrams.as_str() } else { tiny }])
                .chain(more.iter().copied().filter(|word| *word != "n-grams")),
        )
    };
    for part in ["1", "2"] {
        succeed(&mut train(&["--leave-out", &format!("{part}/2"), "--out", &format!("teacher-{part}")]));
    }
    let taught = ["--teacher", "teacher-1,teacher-2", "--distill", "0.7", "--distill-temperature", "2"];
    for out in ["one", "two"] {
        succeed(&mut train(&[&taught[..], &["n-grams", "--out", out]].concat()));
    }
    succeed(&mut train(&["n-grams", "--out", "untaught"]));
    let best = |run: &str| std::fs::read(place.file(run).join("best.network")).unwrap();
    assert_eq!(best("one"), best("two"));
    assert_ne!(best("one"), best("untaught"));
    // What the teachers say is kept with the run.
    std::fs::remove_dir_all(place.file("teacher-1")).unwrap();
    succeed(&mut place.latch(["train", "--resume", "--out", "one"]));
    place.export("one", "int8");
    support::refuse(&mut train(&[&taught[..], &["--out", "three"]].concat()), &["teacher-1"]);
    // Another seed has another validation part, from which the teacher has learned.
    let leaks = ["--teacher", "teacher-2", "--seed", "2", "--out", "four"];
    support::refuse(&mut train(&leaks), &["teacher-2", "has learned from", "validation texts"]);
    std::fs::write(place.file("one").join("teachers"), b"nothing").unwrap();
    support::refuse(&mut place.latch(["train", "--resume", "--out", "one"]), &["teachers"]);
    std::fs::remove_file(place.file("one").join("teachers")).unwrap();
    support::refuse(&mut place.latch(["train", "--resume", "--out", "one"]), &["what the teachers say is missing"]);
}

#[test]
fn values_come_out_in_the_unit_of_their_labels() {
    let place = Place::with_data(20);
    let value = |text: &[&str]| 1000 + 10 * text.iter().filter(|word| **word == "two").count();
    std::fs::write(place.file("values.tsv"), counted(|text, _| format!("{}\t{}", value(text), text.join(" "))))
        .unwrap();
    let line = task_through_all_verbs(&place, "values.tsv", "regress");
    assert!(line["accuracy"].as_f64() > Some(0.8) && line["rmse"].as_f64() < Some(6.0), "{line}");
    let said = predicted(&place, "one two three");
    assert!((1_000.0..1_030.0).contains(&said["value"].as_f64().unwrap()), "{said}");
    support::refuse(
        &mut place.latch(["eval", "--image", "task.latch", "--data", "values.tsv", "--plot", "x.svg"]),
        &["--plot"],
    );
}

#[test]
fn every_token_has_an_answer_where_it_has_a_label() {
    let place = Place::with_data(20);
    let line = |text: &[&str], _: usize| {
        // A token that the engine reads as two, and one that it cannot read, keep their one label.
        let mut tokens: Vec<String> = text.iter().map(ToString::to_string).collect();
        tokens.push("one-two".into());
        tokens.push("\u{1F600}".into());
        let after_two = |at: usize| if at > 0 && tokens[at - 1] == "two" { "B-TWO" } else { "O" };
        let mut labels: Vec<&str> = (0..tokens.len()).map(after_two).collect();
        *labels.last_mut().unwrap() = labels[labels.len() - 2];
        serde_json::json!({ "tokens": tokens, "labels": labels }).to_string()
    };
    std::fs::write(place.file("tags.jsonl"), counted(line)).unwrap();
    let line = task_through_all_verbs(&place, "tags.jsonl", "tag");
    assert!(line["accuracy"].as_f64() > Some(0.95), "{line}");
    assert_eq!(line["n"].as_u64(), Some((0..400).map(|number| 5 + number % 4).sum()), "{line}");
    let said = predicted(&place, "one two three");
    let classes: Vec<_> = said["trail"].as_array().unwrap().iter().map(|step| step[1]["class"].as_str()).collect();
    assert_eq!(classes, [Some("O"), Some("O"), Some("B-TWO")], "{said}");
}

#[test]
fn an_early_answer_is_exported_judged_and_predicted() {
    let place = Place::with_run();
    let plain = ["eval", "--image", "plain.latch", "--data", "data/valid.tsv.gz", "--early"];
    succeed(&mut place.latch(["export", "--run", "run", "--out", "plain.latch"]));
    support::refuse(&mut place.latch(plain), &["plain.latch", "--early-error"]);
    let export = ["export", "--run", "run", "--early-error", "60%", "--out", "early.latch", "--json"];
    let exported = succeed(&mut place.latch(export)).json();
    assert!(exported["early"]["read"].as_u64() < exported["early"]["tokens"].as_u64(), "{exported}");
    assert!(names(&place.file("run")).contains(&"calibration.json".to_owned()));
    let eval =
        ["eval", "--image", "early.latch", "--data", "data/valid.tsv.gz", "--early", "--plot", "r.svg", "--json"];
    let judged = succeed(&mut place.latch(eval)).json();
    assert_eq!(judged["early"], exported["early"]);
    assert!(String::from_utf8(place.read("r.svg")).unwrap().contains("<svg"));
    let said = predicted_by(&place, "early.latch");
    assert!(said["certain_after"].as_u64() <= said["tokens"].as_u64(), "{said}");
}

/// What an image says of the first text that it is certain of.
fn predicted_by(place: &Place, image: &str) -> Value {
    let texts =
        succeed(&mut place.latch(["predict", "--image", image, "a good film a good film a good film", "--json"]));
    texts.json()
}

#[test]
fn labels_that_do_not_suit_their_task_are_refused_with_file_and_line() {
    let place = Place::with_data(20);
    let refuse = |name: &str, text: &str, task: &[&str], words: &[&str]| {
        std::fs::write(place.file(name), text).unwrap();
        support::refuse(place.latch(["train", "--data", name, "--out", "none"]).args(task), words);
        assert!(!place.file("none").exists());
    };
    refuse("a.tsv", "0\ta\n\tb\n", &[], &["a.tsv:2: ", "the label is empty"]);
    let many: String = (0..300).map(|user| format!("user{user}\ta fine film\n")).collect();
    refuse("a.tsv", &many, &[], &["a.tsv:257: ", "more than 256 different labels", "--label-column"]);
    refuse("a.tsv", &many.replace("user", "1."), &[], &["a.tsv:257: ", "--task regress"]);
    refuse("a.tsv", "0.5\ta\ngood\tb\n", &["--task", "regress"], &["a.tsv:2: ", "is not a number"]);
    refuse("a.tsv", "0\ta\n1\tb\n", &["--label-column", "5"], &["--label-column: ", "has no column \"5\""]);
    refuse(
        "a.jsonl",
        "{\"tokens\":[\"a\",\"b\"],\"labels\":[0]}\n",
        &["--task", "tag"],
        &["a.jsonl:1: ", "number of labels is 1"],
    );
    let map = ["train", "--data", "a.tsv", "--out", "none", "--label-map", "ham"];
    place.refuse_usage(&mut place.latch(map), &["--label-map", "is not LABEL=CLASS"]);
}

#[test]
fn export_folds_as_many_ids_as_a_budget_has_room_for_and_no_verdict_changes() {
    let place = Place::with_run();
    let plain = place.export("run", "int8").json();
    let bytes = plain["image_bytes"].as_u64().expect("a number");
    let export = |budget: u64| {
        let budget = budget.to_string();
        let more = ["--precision", "int8", "--fold-to", &budget, "--out", "folded.latch"];
        answer(place.latch(["export", "--run", "run", "--json"]).args(more))
    };
    let refused = export(bytes);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--fold-to") && refused.stderr.contains(&bytes.to_string()), "{refused:?}");
    assert!(!place.file("folded.latch").exists());

    let folded = export(bytes + 30_000).json();
    let ids = folded["folded"].as_u64().expect("a number");
    assert!(ids > 1 && folded["folded_share"].as_f64() > Some(0.1), "{folded}");
    let stated = folded["image_bytes"].as_u64().expect("a number");
    assert!((bytes..=bytes + 30_000).contains(&stated) && stated == place.read("folded.latch").len() as u64);
    assert_eq!((&folded["accuracy"], &folded["agreement"]), (&plain["accuracy"], &plain["agreement"]));
    let inspect = |image: &str| succeed(&mut place.latch(["inspect", image, "--json"])).json();
    let (inspected, before) = (inspect("folded.latch"), inspect("int8.latch"));
    assert_eq!((inspected["version"].as_u64(), inspected["folded"].as_u64()), (Some(8), Some(ids)));
    assert_eq!(inspected["self_test"], before["self_test"]);
    let shown = succeed(&mut place.latch(["inspect", "folded.latch"])).stdout;
    assert!(shown.contains(&format!("{ids} of ")) && shown.contains("projected rows"), "{shown}");
}

#[test]
fn eval_and_export_report_the_same_accuracy_to_people() {
    let place = Place::with_images();
    let percent = |answer: &Answer, row: &str| {
        let line =
            answer.stdout.lines().find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("{row}: {answer:?}"));
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    let export =
        succeed(&mut place.latch(["export", "--run", "run", "--out", "again.latch", "--data", "data/test.tsv.gz"]));
    let eval = succeed(&mut place.latch(["eval", "--image", "again.latch", "--data", "data"]));
    assert_eq!(percent(&export, "int8 "), percent(&eval, "accuracy "));
    assert_eq!(place.read("again.latch"), place.read("int8.latch"), "the data of the report went into the image");
}

#[test]
fn the_bytes_that_inspect_lists_add_up_to_the_file() {
    let place = Place::with_images();
    for image in ["int8.latch", "f32.latch"] {
        let size = place.read(image).len() as u64;
        let line = succeed(&mut place.latch(["inspect", image, "--json"])).json();
        let sections: u64 =
            line["sections"].as_array().unwrap().iter().map(|section| section["bytes"].as_u64().unwrap()).sum();
        let rest: u64 =
            ["header_bytes", "alignment_bytes", "checksum_bytes"].iter().map(|key| line[*key].as_u64().unwrap()).sum();
        assert_eq!((sections + rest, line["image_bytes"].as_u64()), (size, Some(size)), "{line}");

        let text = succeed(&mut place.latch(["inspect", image])).stdout;
        let (_, table) = text.split_once("section ").unwrap();
        let (rows, _) = table.split_once("\n\n").unwrap_or((table, ""));
        let bytes: Vec<u64> =
            rows.lines().skip(2).filter_map(|row| row.split_whitespace().last()?.parse().ok()).collect();
        let (all, parts) = bytes.split_last().unwrap();
        assert_eq!((*all, parts.iter().sum::<u64>()), (size, size), "{text}");
    }
}

#[test]
fn inspect_lists_every_word_that_training_chose() {
    let place = Place::with_images();
    let text = succeed(&mut place.latch(["inspect", "int8.latch", "--words"])).stdout;
    let (_, list) = text.split_once("\nvocabulary, 80 words:\n").unwrap();
    let words: Vec<&str> = list.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(words.join("\n") + "\n", String::from_utf8(place.read("run/vocabulary.txt")).unwrap());
}

#[test]
fn eval_scores_texts_of_one_class_and_says_what_that_leaves_undefined() {
    let place = Place::with_images();
    place.write("good.tsv", "positive\ta fine film\npositive\tvery good\npositive\ta gem\n");
    let eval = |more: &[&'static str]| {
        let fixed = ["eval", "--image", "int8.latch", "--data", "good.tsv"];
        succeed(&mut place.latch(fixed.iter().chain(more)))
    };
    let line = eval(&["--json"]).json();
    assert_eq!((line["n"].as_u64(), line.get("auc")), (Some(3), None), "{line}");
    assert!(line["confusion"][0] == serde_json::json!([0, 0]) && line["accuracy"].is_f64(), "{line}");
    let text = eval(&[]).stdout;
    assert!(text.contains("all labels are positive: ROC AUC is not defined") && !text.contains("ROC AUC   "), "{text}");
}

// --- predict

#[test]
fn predict_reads_both_spellings_of_an_accent_as_one() {
    let place = Place::with_images();
    let answers = predict(&place, "a caf\u{e9} film\na cafe\u{301} film\n".as_bytes());
    assert_eq!(answers[0], answers[1]);
    let alone = succeed(&mut place.latch(["predict", "--image", "int8.latch", "--json", "a cafe\u{301} film"])).json();
    assert_eq!(alone, answers[0]);
}

#[test]
fn predict_judges_its_argument() {
    let place = Place::with_images();
    let answer = succeed(&mut place.latch([
        "predict",
        "--image",
        "int8.latch",
        "--json",
        "the story was not dull but gripping .",
    ]));
    let line = answer.json();
    assert_eq!(keys(&line), ["class", "probabilities", "probability", "tokens", "trail", "unknown"]);
    let trail = line["trail"].as_array().unwrap();
    assert_eq!((trail.len() as u64, line["tokens"].as_u64()), (8, Some(8)), "{line}");
    assert_eq!(trail[7][1], line["probability"]);
    let text =
        succeed(&mut place.latch(["predict", "--image", "int8.latch", "the story was not dull but gripping ."])).stdout;
    assert!(text.starts_with("positive, ") || text.starts_with("negative, "), "{text}");
    assert!(
        text.contains(" 8 tokens; unknown to the model: story, dull, gripping\n") && text.contains("gripping "),
        "{text}"
    );
}

#[test]
fn predict_says_that_a_text_is_the_name_of_a_file() {
    let place = Place::with_images();
    let answer = succeed(&mut place.latch(["predict", "--image", "int8.latch", "int8.latch"]));
    assert!(answer.stderr.contains("int8.latch is a file too"), "{}", answer.stderr);
}

#[test]
fn predict_judges_several_arguments_and_the_lines_of_standard_input_among_them() {
    let place = Place::with_images();
    let alone = |text: &str| succeed(&mut place.latch(["predict", "--image", "int8.latch", "--json", text])).json();
    let (fine, dull) = (alone("a fine film"), alone("a dull film"));
    let args = ["predict", "--image", "int8.latch", "a fine film", "-", "a fine film", "--json"];
    let answer = answer_to(&mut place.latch(args), b"a dull film\na fine film\n");
    let lines: Vec<Value> = answer.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines, [&fine, &dull, &fine, &fine].map(Clone::clone));
    // In words, each answer begins a line of its own.
    let said = succeed(&mut place.latch(["predict", "--image", "int8.latch", "a fine film", "a dull film"])).stdout;
    assert_eq!(said.lines().filter(|line| line.contains(", probability ")).count(), 2, "{said}");
}

#[test]
fn predict_judges_standard_input_line_by_line_whatever_the_lines_are() {
    let place = Place::with_images();
    // An empty line, pictures, a line end of another system, and no line end at the end.
    let answers = predict(&place, "a fine film\n\n\u{1f600}\u{1f44d}\u{1f3fd}\na fine film\r\na fine film".as_bytes());
    assert_eq!(answers.len(), 5);
    assert_eq!((answers[1]["tokens"].as_u64(), answers[1]["trail"].as_array().unwrap().len()), (Some(0), 0));
    assert!(answers[2]["probability"].is_f64());
    assert_eq!((&answers[3], &answers[4]), (&answers[0], &answers[0]));
    let alone = succeed(&mut place.latch(["predict", "--image", "int8.latch", "--json", "a fine film"])).json();
    assert_eq!(alone, answers[0]);
    assert!(predict(&place, b"").is_empty());
}

#[test]
fn predict_reads_a_line_of_four_mebibytes() {
    let place = Place::with_images();
    let mut line = vec![b'x'; 4 << 20];
    line.extend(b"\r\nshort\n");
    assert_eq!(predict(&place, &line).len(), 2);
}

#[test]
fn predict_answers_each_line_at_once() {
    let place = Place::with_images();
    let mut command = place.latch(["predict", "--image", "int8.latch", "--json", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for text in ["a fine film", "a dull film"] {
        // The pipe stays open: an answer that waited for its end would never come.
        writeln!(input, "{text}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_goes_away_ends_no_verb_with_an_error() {
    let place = Place::with_images();
    let texts = "a fine film\n".repeat(20_000);
    let verbs: [(&[&str], &str); 6] = [
        (&["predict", "--image", "int8.latch", "--json"], &texts),
        (&["predict", "--image", "int8.latch"], &texts),
        (&["inspect", "int8.latch", "--words"], ""),
        (&["eval", "--image", "int8.latch", "--data", "data"], ""),
        (&["export", "--run", "run", "--out", "again.latch"], ""),
        (&["train", "--data", "data", "--model", support::TINY, "--epochs", "2", "--out", "new"], ""),
    ];
    for (args, input) in verbs {
        let mut command = place.latch(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feeder = std::thread::spawn({
            let input = input.to_owned();
            move || drop(stdin.write_all(input.as_bytes()))
        });
        // As `| head -1` does; a verb that has not begun to write finds the pipe closed from the start.
        let mut output = BufReader::new(child.stdout.take().unwrap());
        if !input.is_empty() {
            output.read_line(&mut String::new()).unwrap();
        }
        drop(output);
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        let is_warning = |line: &str| line.starts_with("warning: ");
        assert!(child.wait().unwrap().success() && errors.lines().all(is_warning), "{args:?}: {errors}");
        feeder.join().unwrap();
    }
    // The work was done all the same.
    assert_eq!(names(&place.file("new")), RUN_FILES);
    assert_eq!(place.read("again.latch"), place.read("int8.latch"));
}

// --- training

#[test]
fn one_seed_gives_the_same_bytes_in_two_runs_and_on_any_number_of_threads() {
    let place = Place::with_data(200);
    let images = |run: &str, threads: Option<&str>| {
        let mut command = place.training(run, &["--seed", "7"]);
        if let Some(threads) = threads {
            command.env("RAYON_NUM_THREADS", threads);
        }
        succeed(&mut command);
        ["f32", "f16", "int8"].map(|precision| {
            place.export(run, precision);
            place.read(&format!("{precision}.latch"))
        })
    };
    let first = images("first", None);
    for (run, threads) in [("second", None), ("one", Some("1")), ("two", Some("2")), ("five", Some("5"))] {
        assert!(images(run, threads) == first, "{run}");
        for file in RUN_FILES {
            assert!(place.read(&format!("{run}/{file}")) == place.read(&format!("first/{file}")), "{run}/{file}");
        }
    }
    place.train("other", &["--seed", "8"]);
    assert_ne!(place.read("other/best.network"), place.read("first/best.network"));
}

#[test]
fn the_same_seed_gives_the_same_data() {
    let (one, two) = (Place::with_data(100), Place::with_data(100));
    assert!(support::tree(one.path()) == support::tree(two.path()));
}

#[test]
fn an_epoch_is_a_plain_line_where_no_terminal_listens() {
    let place = Place::with_data(200);
    let answer = place.train("run", &[]);
    let lines: Vec<&str> = answer.stdout.lines().collect();
    // Of the classes there is a table with a line of its own before it.
    assert_eq!(lines.len(), 11, "{answer:?}");
    assert!(lines[0].starts_with("read 160 texts, 2 classes (negative 80, positive 80)"), "{answer:?}");
    assert!(lines[1].starts_with("unknown tokens: ") && lines[1].contains(" of validation"), "{answer:?}");
    assert!(
        lines[5].starts_with("macro F1 ") && lines[9].starts_with("negative ") && lines[10].starts_with("positive ")
    );
    let lines = &lines[2..5];
    assert!(
        lines[0].starts_with("epoch  1/2  train loss 0.") && lines[1].starts_with("epoch  2/2  train loss 0."),
        "{answer:?}"
    );
    assert!(lines[2].starts_with("best epoch ") && lines[2].ends_with("; run in run"), "{answer:?}");
    // No escape sequences, no bars, nothing else but that two epochs were too few.
    assert!(!answer.stdout.contains(['\u{1b}', '\r']), "{answer:?}");
    let warnings: Vec<&str> = answer.stderr.lines().collect();
    assert!(warnings[0].contains("of the tokens of the validation texts are unknown"), "{answer:?}");
    assert!(warnings[1].starts_with("warning: the validation loss of 0."), "{answer:?}");
    assert!(warnings[2..].iter().all(|line| line.contains("never answered")), "{answer:?}");
}

#[test]
fn a_run_folder_holds_what_it_says() {
    let place = Place::with_run();
    assert_eq!(names(&place.file("run")), RUN_FILES);

    let config: Value = serde_json::from_slice(&place.read("run/config.json")).unwrap();
    assert_eq!((config["train"]["epochs"].as_u64(), config["train"]["model"].as_str()), (Some(2), Some(support::TINY)));
    assert!(
        config["data"].as_str().unwrap().ends_with("data/train.tsv.gz")
            && config["data_sha256"].as_str().unwrap().len() == 64
    );

    let words = String::from_utf8(place.read("run/vocabulary.txt")).unwrap();
    let words: Vec<&str> = words.lines().collect();
    assert!(words.len() == 80 && words.is_sorted(), "{words:?}");

    let metrics = String::from_utf8(place.read("run/metrics.jsonl")).unwrap();
    let metrics: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(metrics.iter().map(|line| line["epoch"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    let of_metrics = [
        "epoch",
        "gradient_norm",
        "learning_rate",
        "tokens",
        "train_accuracy",
        "train_loss",
        "valid_accuracy",
        "valid_loss",
        "valid_macro_f1",
        "valid_rmse",
    ];
    assert_eq!(keys(&metrics[0]), of_metrics);

    let svg = String::from_utf8(place.read("run/curves.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>") && svg.contains("Accuracy"), "{svg}");
    assert_eq!(png_size(&place.read("run/curves.png")), (1920, 680));
    assert!(["run/best.network", "run/checkpoint"].iter().all(|file| place.read(file).len() > 1000));
}

/// Width and height of a PNG, every chunk of which is checked: its name, its length and its checksum.
fn png_size(bytes: &[u8]) -> (u32, u32) {
    let word = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
    let mut rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n").expect("the signature");
    let (mut names, mut size, mut packed) = (Vec::new(), (0, 0), Vec::new());
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(12 + word(rest) as usize);
        let (covered, stated) = chunk[4..].split_at(chunk.len() - 8);
        let mut crc = flate2::Crc::new();
        crc.update(covered);
        assert_eq!(crc.sum(), word(stated));
        let (name, data) = covered.split_at(4);
        match name {
            b"IHDR" => size = (word(data), word(&data[4..])),
            b"IDAT" => packed.extend_from_slice(data),
            _ => {}
        }
        names.push(String::from_utf8(name.to_vec()).unwrap());
        rest = after;
    }
    assert_eq!((names.first().map(String::as_str), names.last().map(String::as_str)), (Some("IHDR"), Some("IEND")));
    let mut pixels = Vec::new();
    flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut pixels).unwrap();
    // A filter byte a line, and four bytes a pixel.
    assert_eq!(pixels.len(), (1 + 4 * size.0 as usize) * size.1 as usize);
    size
}

/// The well-known collection of text messages, in small: unknown names of columns, empty ones behind them, words as labels.
fn messages() -> String {
    let rows = [
        ("ham", "are you coming home, or do we eat without you"),
        ("spam", "\"win a prize, call this number now\""),
        ("ham", "see you there in ten minutes then"),
        ("spam", "urgent you have won a holiday so claim it"),
    ];
    let row = |number: usize| {
        let (label, text) = rows[number % 4];
        let text = text.replace("home,", "home").replace("now\"", &format!("now {number}\""));
        format!("{label},{},,,\n", if text.starts_with('"') { text } else { format!("{text} {number}") })
    };
    "v1,v2,,,\n".to_owned() + &(0..60).map(row).collect::<String>()
}

#[test]
fn a_table_of_messages_with_words_as_labels_trains_as_it_is_and_says_what_was_read() {
    let place = Place::with_data(20);
    place.write("sms.csv", messages());
    let model = ["--model", "text 60 > embedding 4 > gru 4", "--epochs", "1"];
    let said = succeed(place.latch(["train", "--data", "sms.csv", "--out", "sms"]).args(model)).stdout;
    assert!(
        said.contains(
            "read 60 texts, 2 classes (ham 30, spam 30), label column v1, text column v2; 54 train, 6 validation"
        ),
        "{said}"
    );
    succeed(&mut place.latch(["export", "--run", "sms", "--out", "sms.latch"]));
    let line = succeed(&mut place.latch(["predict", "--image", "sms.latch", "--json", "win a prize"])).json();
    let class = line["class"].as_str().unwrap();
    assert!(class == "ham" || class == "spam", "{line}");
    let sum: f64 = line["probabilities"].as_object().unwrap().values().map(|p| p.as_f64().unwrap()).sum();
    assert!(
        (sum - 1.0).abs() < 1e-6
            && (line["probability"].as_f64().unwrap() - line["probabilities"]["spam"].as_f64().unwrap()).abs() < 1e-6,
        "{line}"
    );
    let inspected = succeed(&mut place.latch(["inspect", "sms.latch"])).stdout;
    assert!(inspected.contains("classes     ham, spam; the logit stands for spam\n"), "{inspected}");
    // A run keeps where its labels are and what they are called.
    place.write("renamed.csv", messages().replace("v1,v2", "kind,words"));
    let columns = ["--label-column", "kind", "--text-column", "2", "--label-map", "ham=no,spam=yes"];
    let train = ["train", "--data", "renamed.csv", "--out", "renamed"];
    succeed(place.latch(train).args(columns).args(model));
    succeed(&mut place.latch(["train", "--resume", "--out", "renamed"]));
    let config: Value = serde_json::from_slice(&place.read("renamed/config.json")).unwrap();
    assert_eq!(config["classes"], serde_json::json!(["no", "yes"]));
    succeed(&mut place.latch(["export", "--run", "renamed", "--data", "renamed.csv", "--out", "renamed.latch"]));
    // What the run knows of its data need not be said again.
    succeed(&mut place.latch(["eval", "--image", "renamed.latch", "--data", "renamed.csv", "--run", "renamed"]));
    // Two trainings with the same texts and classes by other names are the same training.
    assert!(place.read("sms/best.network") == place.read("renamed/best.network"));
}

#[test]
fn a_folder_with_a_validation_part_trains_with_it_and_the_training_data_is_no_validation_part() {
    let place = Place::with_data(40);
    let model = ["--model", "text 60 > embedding 4 > gru 4", "--epochs", "1"];
    let said = succeed(place.latch(["train", "--data", "data", "--out", "folder"]).args(model)).stdout;
    assert!(said.contains("; 32 train, 4 validation from "), "{said}");
    let share =
        succeed(place.latch(["train", "--data", "data", "--valid", "0.25", "--out", "share"]).args(model)).stdout;
    assert!(share.contains("; 24 train, 8 validation, 4 test; "), "{share}");
    std::fs::copy(place.file("data/train.tsv.gz"), place.file("copy.tsv.gz")).unwrap();
    for valid in ["data/train.tsv.gz", "data/../data/train.tsv.gz", "copy.tsv.gz"] {
        let train = ["train", "--data", "data", "--valid", valid, "--out", "same"];
        support::refuse(&mut place.latch(train), &["--valid: ", "holds the texts that the network learns from"]);
    }
    // Nobody named the validation part of a folder.
    std::fs::copy(place.file("data/train.tsv.gz"), place.file("data/valid.tsv.gz")).unwrap();
    let own = answer(&mut place.latch(["train", "--data", "data", "--out", "same"]));
    assert!(own.stderr.contains("valid.tsv.gz: this validation file") && own.stderr.contains("--valid 0.1"), "{own:?}");
    assert!(own.code == Some(2) && !own.stderr.contains("leave it out"), "{own:?}");
}
