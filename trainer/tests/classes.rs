//! Promise: classes of unequal size are learned as they are asked for, every class is judged by itself, and training and evaluation say the same.

use serde_json::Value;

use crate::support::{self, Place, refuse, succeed};

/// A text a line in which a word says everything: 6 of 100 are `spam`, which is in the list of rare words.
fn unequal(count: usize) -> String {
    let line = |number: usize| {
        let rare = number % 17 == 3;
        let word = if rare { ["prize", "claim"][number % 2] } else { ["home", "train", "lunch"][number % 3] };
        format!("{}\tnumber {} says {word} {}\n", if rare { "spam" } else { "ham" }, number % 50, number % 7)
    };
    (0..count).map(line).collect()
}

const MODEL: [&str; 2] = ["--model", "text 80 > embedding 4 > gru 6 > max > dense"];

fn train(place: &Place, more: &[&str]) -> (Value, String) {
    let fixed = ["train", "--data", "data.tsv", "--json"];
    let answer = succeed(place.latch(fixed).args(MODEL).args(more));
    (answer.json(), answer.stderr)
}

#[test]
fn classes_that_count_alike_are_found_and_the_warning_names_those_that_are_never_answered() {
    let place = Place::with_data(20);
    place.write("data.tsv", unequal(600));
    let short = ["--epochs", "1", "--lr", "0.002", "--average", "0"];
    let (plain, said) = train(&place, &[&short[..], &["--out", "plain"]].concat());
    assert_eq!(plain["never_answered"], serde_json::json!(["spam"]), "{plain}");
    assert!(
        said.contains("warning: spam is never answered, although 4 of these validation texts have it as label"),
        "{said}"
    );
    assert!(said.contains("--class-weights balanced"), "{said}");
    let long =
        ["--epochs", "12", "--lr", "0.01", "--average", "0", "--class-weights", "balanced", "--select", "macro-f1"];
    let (balanced, said) = train(&place, &[&long[..], &["--out", "balanced"]].concat());
    assert!(balanced["never_answered"].is_null() && balanced["macro_f1"].as_f64() > Some(0.95), "{balanced} {said}");
    assert!(said.contains("(highest validation macro F1)"), "{said}");
    let spam = &balanced["per_class"][1];
    assert_eq!((spam["class"].as_str(), spam["support"].as_u64()), (Some("spam"), Some(4)), "{balanced}");
    assert!(
        said.lines().any(|line| line.starts_with("spam "))
            && said.lines().all(|line| line.starts_with("best epoch") || line.chars().count() <= 240),
        "{said}"
    );
    // What was asked for is kept: in the configuration and in the file of options.
    let config: Value = serde_json::from_slice(&place.read("balanced/config.json")).expect("JSON");
    assert_eq!(
        (config["train"]["class_weights"].as_str(), config["train"]["select"].as_str()),
        (Some("balanced"), Some("macro-f1"))
    );
    let options = String::from_utf8(place.read("balanced/latch.toml")).expect("UTF-8");
    assert!(options.contains("class-weights = \"balanced\"\nselect = \"macro-f1\"\n"), "{options}");
    let again = ["train", "--config", "balanced/latch.toml", "--out", "again"];
    succeed(&mut place.latch(again));
    assert!(place.read("again/best.network") == place.read("balanced/best.network"));
}

#[test]
fn weights_of_classes_are_given_by_name_and_an_unknown_name_is_refused_with_the_classes() {
    let place = Place::with_data(20);
    place.write("data.tsv", unequal(200));
    let short = ["--epochs", "1", "--class-weights"];
    train(&place, &[&short[..], &["ham=1,spam=20", "--out", "given"]].concat());
    train(&place, &[&short[..], &["none", "--out", "none"]].concat());
    assert!(place.read("given/best.network") != place.read("none/best.network"));
    let fixed = ["train", "--data", "data.tsv", "--out", "refused"];
    let with = |weights: &'static str| {
        let mut command = place.latch(fixed);
        command.args(MODEL).args(["--class-weights", weights]);
        command
    };
    place.refuse(
        &mut with("ham=1,spma=20"),
        &["--class-weights: the data has no class \"spma\"; its classes are ham, spam"],
    );
    place.refuse_usage(&mut with("ham"), &["CLASS=WEIGHT"]);
    place.write("numbers.tsv", "1.5\ta film\n2.5\ta good film\n3\tgood\n4\tbest film\n");
    for option in [["--class-weights", "balanced"], ["--select", "macro-f1"], ["--threshold", "f1"]] {
        let numbers = ["train", "--data", "numbers.tsv", "--task", "regress", "--out", "refused"];
        place.refuse(place.latch(numbers).args(option), &[option[0]]);
    }
    place.write("three.tsv", "a\tone\nb\ttwo\nc\tthree\na\tfour\nb\tfive\nc\tsix\n");
    let three = ["train", "--data", "three.tsv", "--threshold", "f1", "--out", "refused"];
    place.refuse(&mut place.latch(three), &["--threshold: must be left out unless the data has two classes"]);
}

#[test]
fn a_threshold_for_f1_is_in_the_image_and_every_verb_answers_by_it() {
    let place = Place::with_data(20);
    place.write("data.tsv", unequal(400));
    let asked = ["--epochs", "2", "--lr", "0.004", "--average", "0", "--threshold", "f1", "--out", "run"];
    let (line, said) = train(&place, &asked);
    assert!(said.contains("threshold: spam from a probability of "), "{said}");
    let logit = line["threshold"].as_f64().expect("a threshold");
    for precision in ["f32", "int8"] {
        place.export("run", precision);
        let image = format!("{precision}.latch");
        let inspected = succeed(&mut place.latch(["inspect", &image])).stdout;
        assert!(inspected.contains("\nthreshold   chosen: a probability of 0.5 of this image was 0."), "{inspected}");
    }
    // The validation part of the run, judged by the image: the scores that training has said.
    let exported = place.export("run", "f32").json();
    let per_class = line["per_class"].as_array().expect("classes");
    let right: f64 =
        per_class.iter().map(|class| class["recall"].as_f64().unwrap() * class["support"].as_f64().unwrap()).sum();
    let all: f64 = per_class.iter().map(|class| class["support"].as_f64().unwrap()).sum();
    assert!((exported["accuracy"].as_f64().unwrap() - right / all).abs() < 1e-9, "{exported} {line}");
    // Without it the same network answers otherwise where its logit lies between.
    let plain = [&asked[..6], &["--out", "plain"]].concat();
    train(&place, &plain);
    succeed(&mut place.latch([
        "export",
        "--run",
        "plain",
        "--precision",
        "f32",
        "--no-calibrate",
        "--out",
        "plain.latch",
    ]));
    succeed(&mut place.latch([
        "export",
        "--run",
        "run",
        "--precision",
        "f32",
        "--no-calibrate",
        "--out",
        "moved.latch",
    ]));
    let probability = |image: &str| {
        let line = succeed(&mut place.latch(["predict", "--image", image, "--json", "number 3 says prize"])).json();
        let p = line["probability"].as_f64().expect("a probability");
        (p / (1.0 - p)).ln()
    };
    assert!((probability("plain.latch") - logit - probability("moved.latch")).abs() < 1e-4);
}

/// Texts of every task with tokens that no vocabulary has.
fn of_tasks() -> [(&'static str, String); 4] {
    let many = |line: &dyn Fn(usize) -> String| (0..300).map(|number| line(number) + "\n").collect::<String>();
    let words = ["thanks", "flight", "hotel", "noon", "five"];
    let word = move |number: usize, at: usize| words[(number / 3 + at * (1 + number % 4)) % 5];
    let tags = move |number: usize| {
        let tokens = ["\u{200b}", word(number, 1), "\u{200b}", "—", word(number, 2), "!", "!", "!", "\u{200b}"];
        let tokens = tokens.map(|token| format!("\"{token}\"")).join(",");
        let labels: Vec<String> = (0..9).map(|at| ((number / 3 + at) % 3).to_string()).collect();
        format!("{{\"tokens\":[{tokens}],\"labels\":[{}]}}", labels.join(","))
    };
    let text = move |number: usize| format!("{} {} …", word(number, 1), word(number, 2));
    [
        ("classify", many(&|number| format!("{{\"label\":\"c{}\",\"text\":\"{}\"}}", number % 7 / 2, text(number)))),
        ("regress", many(&|number| format!("{{\"label\":{}.5,\"text\":\"{}\"}}", number % 7, text(number)))),
        ("tag", many(&tags)),
        (
            "regress-each",
            many(&|number| {
                format!(
                    "{{\"tokens\":[\"\u{200b}\",\"{}\",\"{}\"],\"labels\":[0.5,{},{}]}}",
                    word(number, 1),
                    word(number, 2),
                    number % 5,
                    number % 3
                )
            }),
        ),
    ]
}

#[test]
fn training_and_evaluation_say_the_same_of_the_same_part_whatever_the_task() {
    let place = Place::with_data(20);
    let emoji = "{\"tokens\":[\"thanks\",\"😀\",\"flight\",\"5\",\"€\"],\"labels\":[0,1,2,0,1]}\n".repeat(300);
    let mut sets = of_tasks().to_vec();
    sets.push(("tag", emoji));
    for (number, (task, data)) in sets.iter().enumerate() {
        // Lines are repeated here and there: the validation part is a file of its own.
        let lines: Vec<&str> = data.lines().collect();
        place.write("train.jsonl", lines[..200].join("\n"));
        place.write("valid.jsonl", lines[200..].join("\n") + "\n");
        for unknown in ["row", "skip"] {
            let out = format!("{task}-{unknown}-{number}");
            let pooling = if ["tag", "regress-each"].contains(task) { "" } else { "attention > " };
            let model = format!("text 5 unknown={unknown} > embedding 4 > lstm 6 > {pooling}dense 5 tanh > dense");
            let fixed = ["train", "--data", "train.jsonl", "--valid", "valid.jsonl", "--json", "--task", task];
            let options = ["--model", &model, "--epochs", "3", "--lr", "0.02", "--average", "0", "--out", &out];
            let trained = succeed(place.latch(fixed).args(options)).json();
            succeed(&mut place.latch(["export", "--run", &out, "--precision", "f32", "--out", "task.latch"]));
            let eval = ["eval", "--image", "task.latch", "--data", "valid.jsonl", "--json"];
            let judged = succeed(&mut place.latch(eval)).json();
            let (said, found) = (trained["best_valid_accuracy"].as_f64().unwrap(), judged["accuracy"].as_f64());
            // R² of numbers is rounded in floats; shares of right answers are the same number.
            let found = found.unwrap_or_else(|| panic!("{task}: {judged}"));
            let allowed = if task.starts_with("regress") { 1e-4 } else { 0.0 };
            assert!((said - found).abs() <= allowed, "{task} {unknown}: {trained} {judged}");
            if !task.starts_with("regress") {
                assert_eq!(trained["per_class"], judged["per_class"], "{task} {unknown}");
            }
        }
    }
}

#[test]
fn two_hundred_and_fifty_six_classes_go_through_every_verb() {
    let place = Place::with_data(20);
    let data: String =
        (0..2_560).map(|number| format!("class {}\tword{} and {}\n", number % 256, number % 256, number % 7)).collect();
    place.write("data.tsv", &data);
    let began = std::time::Instant::now();
    let model = ["--model", "text 300 > embedding 12 > gru 12 > max > dense"];
    let options = ["--epochs", "12", "--lr", "0.03", "--average", "0", "--class-weights", "balanced", "--out", "run"];
    let line = succeed(place.latch(["train", "--data", "data.tsv", "--json"]).args(model).args(options)).json();
    assert_eq!(line["per_class"].as_array().map(Vec::len), Some(256));
    succeed(&mut place.latch(["export", "--run", "run", "--precision", "int8", "--out", "int8.latch"]));
    let quantized = [
        "train",
        "--data",
        "data.tsv",
        "--epochs",
        "1",
        "--quantize",
        "int8",
        "--quantize-epochs",
        "1",
        "--out",
        "quantized",
    ];
    succeed(place.latch(quantized).args(model));
    succeed(&mut place.latch(["report", "run", "--out", "run.html"]));
    let eval = succeed(&mut place.latch(["eval", "--image", "int8.latch", "--data", "data.tsv"])).stdout;
    assert!(eval.lines().all(|line| line.chars().count() <= 80), "{eval}");
    let judged = succeed(&mut place.latch(["eval", "--image", "int8.latch", "--data", "data.tsv", "--json"])).json();
    assert!(judged["accuracy"].as_f64() > Some(0.9), "{}", judged["accuracy"]);
    let said = succeed(&mut place.latch(["predict", "--image", "int8.latch", "--json", "word37 and 5"])).json();
    assert_eq!(said["class"].as_str(), Some("class 37"), "{said}");
    assert_eq!(said["probabilities"].as_object().map(|all| all.len()), Some(256));
    // In words, the five most probable ones.
    let words = succeed(&mut place.latch(["predict", "--image", "int8.latch", "word37 and 5"])).stdout;
    let said = words.lines().next().unwrap_or_default();
    assert!(
        said.starts_with("class 37, probabilities class 37 0.") && said.contains(", 251 more; 3 tokens"),
        "{words}"
    );
    assert!(began.elapsed().as_secs() < 120, "{:?}", began.elapsed());
    let page = String::from_utf8(place.read("run.html")).expect("UTF-8");
    assert!(page.contains("<section id=\"classes\">") && page.contains("<td>class 255</td>"));
    place.write("more.tsv", data + "one too many\ta text\n");
    refuse(&mut place.latch(["train", "--data", "more.tsv", "--out", "more"]), &["more than 256 different labels"]);
}

#[test]
fn runs_of_every_task_teach_and_are_searched_for() {
    let place = Place::with_data(20);
    for (task, data) in of_tasks() {
        let file = format!("{task}.jsonl");
        // Several classes, not two.
        assert!(task != "classify" || (0..3).all(|class| data.contains(&format!("\"c{class}\""))));
        place.write(&file, &data);
        let pooling = if ["tag", "regress-each"].contains(&task) { "" } else { "attention > " };
        let model = format!("text 5 unknown=skip > embedding 4 > lstm 6 > {pooling}dense");
        let train = |out: &str, more: &[&str]| {
            let fixed = ["train", "--data", &file, "--task", task, "--epochs", "3", "--lr", "0.02", "--average", "0"];
            succeed(place.latch(fixed).args(["--model", &model, "--out", out]).args(more));
            place.read(&format!("{out}/best.network"))
        };
        let (one, two) = (format!("{task}-1"), format!("{task}-2"));
        train(&one, &["--leave-out", "1/2"]);
        train(&two, &["--leave-out", "2/2"]);
        let teachers = format!("{one},{two}");
        let taught = train(&format!("{task}-taught"), &["--teacher", &teachers, "--distill", "0.9"]);
        assert!(taught != train(&format!("{task}-alone"), &[]), "{task}");
        assert!(taught == train(&format!("{task}-again"), &["--teacher", &teachers, "--distill", "0.9"]), "{task}");
        let searched = format!("{task}-search");
        let search = ["search", "--data", &file, "--task", task, "--flash", "3KiB", "--trials", "3", "--epochs", "2"];
        let line = succeed(place.latch(search).args(["--out", &searched, "--json"])).json();
        assert_eq!(line["trials"].as_u64(), Some(3), "{line}");
        let image = format!("{searched}/best.latch");
        succeed(&mut place.latch(["eval", "--image", &image, "--data", &file]));
    }
    place.refuse(
        &mut place.latch([
            "train",
            "--data",
            "tag.jsonl",
            "--task",
            "tag",
            "--teacher",
            "classify-1",
            "--out",
            "refused",
        ]),
        &["classify-1", "this teacher's task is classify, and the student's is tag"],
    );
}

#[test]
fn a_student_of_numbers_and_of_tokens_learns_what_its_teacher_says_and_not_the_labels() {
    let place = Place::with_data(20);
    let words = ["one", "two", "three", "four"];
    for task in ["regress", "tag"] {
        let line = |number: usize, label: usize, last: String| {
            let [first, second] = [number, number / 4].map(|at| words[at % 4]);
            match task {
                "tag" => format!("{{\"tokens\":[\"{first}\",\"{second}\",\"{last}\"],\"labels\":[{label},0,0]}}\n"),
                _ => format!("{label}\t{first} {second} {last}\n"),
            }
        };
        let right_label = |number: usize| number % 4 / 2;
        let extension = if task == "tag" { "jsonl" } else { "tsv" };
        // What the teacher learns is told by the first word; the student's own labels are noise.
        let (right, noise) = (format!("{task}-right.{extension}"), format!("{task}-noise.{extension}"));
        let valid = format!("{task}-valid.{extension}");
        let file = |name: &str, texts: std::ops::Range<usize>, label: &dyn Fn(usize) -> usize, last: &str| {
            let lines = texts.map(|number| line(number, label(number), format!("{last}{}", number % 9)));
            place.write(name, lines.collect::<String>());
        };
        file(&right, 0..320, &right_label, "x");
        file(&noise, 0..320, &|number| number * 7_919 / 31 % 2, "x");
        file(&valid, 0..40, &right_label, "y");
        let pooling = if task == "tag" { "" } else { "max > " };
        let model = format!("text 5 > embedding 4 > gru 6 > {pooling}dense");
        let train = |data: &str, out: &str, more: &[&str]| {
            let fixed = ["train", "--data", data, "--valid", &valid, "--task", task, "--epochs", "20", "--lr", "0.02"];
            let line = succeed(
                place.latch(fixed).args(["--model", &model, "--average", "0", "--out", out, "--json"]).args(more),
            );
            line.json()["best_valid_accuracy"].as_f64().expect("a number")
        };
        let (teacher, student, alone) = (format!("{task}-teacher"), format!("{task}-student"), format!("{task}-alone"));
        let knows = train(&right, &teacher, &[]);
        let taught = train(&noise, &student, &["--teacher", &teacher, "--distill", "1"]);
        let untaught = train(&noise, &alone, &[]);
        assert!(knows > 0.9 && taught > knows - 0.1 && untaught < taught - 0.05, "{task}: {knows} {taught} {untaught}");
    }
}

#[test]
fn folds_are_scored_with_mean_and_spread_and_end_with_a_model_of_all_data() {
    let place = Place::with_data(20);
    place.write("data.tsv", unequal(204));
    let options = [
        "--folds",
        "3",
        "--epochs",
        "4",
        "--lr",
        "0.01",
        "--average",
        "0",
        "--threshold",
        "f1",
        "--class-weights",
        "balanced",
    ];
    let (line, said) = train(&place, &[&options[..], &["--out", "run"]].concat());
    let folds = line["folds"].as_array().expect("folds");
    assert_eq!((folds.len(), folds.iter().map(|fold| fold["validation"].as_u64().unwrap()).sum::<u64>()), (3, 204));
    let accuracies: Vec<f64> = folds.iter().map(|fold| fold["valid_accuracy"].as_f64().unwrap()).collect();
    let mean = accuracies.iter().sum::<f64>() / 3.0;
    let spread = (accuracies.iter().map(|accuracy| (accuracy - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    assert!((line["best_valid_accuracy"].as_f64().unwrap() - mean).abs() < 1e-9, "{line}");
    assert!((line["accuracy_spread"].as_f64().unwrap() - spread).abs() < 1e-9, "{line}");
    for row in ["fold ", "1 ", "2 ", "3 ", "mean ", "spread "] {
        assert!(said.lines().any(|line| line.starts_with(row)), "{row:?}: {said}");
    }
    // Every text is answered once, by a run that has not learned from it.
    let support: u64 =
        line["per_class"].as_array().unwrap().iter().map(|class| class["support"].as_u64().unwrap()).sum();
    assert_eq!(support, 204);
    let mut best: Vec<u64> = folds.iter().map(|fold| fold["epoch"].as_u64().unwrap()).collect();
    best.sort_unstable();
    assert_eq!(line["epochs"].as_u64(), Some(best[1]));
    // The run of all data is a run as any other: it is exported with the threshold of the folds, inspected, reported on and taken up.
    succeed(&mut place.latch(["export", "--run", "run", "--out", "all.latch"]));
    let inspected = succeed(&mut place.latch(["inspect", "all.latch"])).stdout;
    assert!(inspected.contains("\nthreshold   chosen") && inspected.contains("204 examples"), "{inspected}");
    succeed(&mut place.latch(["report", "run", "--out", "run.html"]));
    let again = succeed(&mut place.latch(["train", "--resume", "--out", "run", "--json"])).json();
    assert_eq!((&again["folds"], &again["per_class"]), (&line["folds"], &line["per_class"]));
    place.refuse(
        place.latch(["train", "--data", "data.tsv", "--out", "run"]).args(options),
        &["run: this folder already holds a run"],
    );
    place.refuse_usage(
        place.latch(["train", "--data", "data.tsv", "--valid", "0.2", "--out", "new"]).args(options),
        &["--valid", "--folds"],
    );
}

#[test]
fn a_cross_validation_that_was_stopped_goes_on_and_ends_in_the_same_bytes() {
    let place = Place::with_data(20);
    place.write("data.tsv", unequal(136));
    let options = ["--folds", "2", "--epochs", "2"];
    train(&place, &[&options[..], &["--out", "whole"]].concat());
    train(&place, &[&options[..], &["--out", "stopped"]].concat());
    // Stopped in the second fold: the first one is done, and nothing is there of what follows.
    for name in support::names(&place.file("stopped")) {
        let path = place.file("stopped").join(&name);
        match &*name {
            "folds.json" | "fold-1" => {}
            "fold-2" => std::fs::remove_dir_all(path).expect("a folder"),
            _ => std::fs::remove_file(path).expect("a file"),
        }
    }
    place.refuse(&mut place.latch(["export", "--run", "stopped", "--out", "x.latch"]), &["stopped"]);
    succeed(&mut place.latch(["train", "--resume", "--out", "stopped"]));
    for file in ["best.network", "held-out", "metrics.jsonl", "vocabulary.txt", "fold-2/best.network", "latch.toml"] {
        assert!(place.read(&format!("whole/{file}")) == place.read(&format!("stopped/{file}")), "{file}");
    }
    // What lies where a fold would is none of this cross-validation.
    std::fs::create_dir_all(place.file("foreign/fold-2")).expect("a folder");
    let foreign = ["train", "--data", "data.tsv", "--out", "foreign"];
    place.refuse(place.latch(foreign).args(options), &["foreign: this folder already holds a cross-validation"]);
    let fold_config = place.read("whole/fold-1/config.json");
    place.write("whole/fold-2/config.json", fold_config);
    let said = place.latch(["train", "--resume", "--out", "whole"]).output().expect("it runs");
    let problem = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.code() == Some(2) && problem.contains("fold-2: this run is not the part"), "{problem}");
    place.write("few.tsv", "a\tone\nb\ttwo\na\tthree\n");
    let few = ["train", "--data", "few.tsv", "--folds", "5", "--out", "few"];
    place.refuse(&mut place.latch(few), &["few.tsv", "3 texts are too few for 5 parts", "--folds"]);
}

#[test]
fn folds_work_for_numbers_and_for_tokens() {
    let place = Place::with_data(20);
    for (task, data) in of_tasks().into_iter().filter(|(task, _)| *task != "classify") {
        let file = format!("{task}.jsonl");
        place.write(&file, data);
        let model = if task == "regress" {
            "text 5 > embedding 4 > gru 4 > max > dense"
        } else {
            "text 5 > embedding 4 > gru 4 > dense"
        };
        let fixed =
            ["train", "--data", &file, "--task", task, "--folds", "2", "--epochs", "2", "--out", task, "--json"];
        let line = succeed(place.latch(fixed).args(["--model", model])).json();
        assert_eq!(line["folds"].as_array().map(Vec::len), Some(2), "{line}");
        succeed(&mut place.latch(["export", "--run", task, "--out", "task.latch"]));
    }
}

#[test]
fn ngrams_of_values_are_fitted_in_the_unit_that_the_network_learns() {
    let place = Place::with_data(20);
    let row = |index: usize| {
        let (word, value) = [("no", 1_000), ("two", 1_100), ("nine", 1_300)][index % 3];
        format!("{value}\t{word} apples on the tree number {}\n", index % 11)
    };
    place.write("values.tsv", (0..300).map(row).collect::<String>());
    let model = "text 20 ngrams=20 ngram_texts=1 > embedding 4 > gru 4 > mean > dense";
    let said = succeed(
        place
            .latch(["train", "--data", "values.tsv", "--task", "regress", "--epochs", "3", "--out", "values"])
            .args(["--model", model]),
    );
    let line = said.stdout.lines().find(|line| line.contains("n-grams alone")).expect("a line of the n-grams");
    let scores: Vec<f64> = line
        .split("R² ")
        .skip(1)
        .map(|rest| rest.split(';').next().unwrap_or(rest))
        .map(|score| score.trim().parse().expect("a number"))
        .collect();
    assert!(scores.len() == 2 && scores.iter().all(|&score| score > 0.9), "{line}");
    succeed(&mut place.latch(["export", "--run", "values", "--precision", "int8", "--out", "values.latch"]));
    let judged =
        succeed(&mut place.latch(["eval", "--image", "values.latch", "--data", "values.tsv", "--json"])).json();
    assert!(judged["rmse"].as_f64().expect("a number") < 40.0, "{judged}");
}

/// The probability of the network at the threshold that an image says it was chosen at.
fn threshold_of(place: &Place, image: &str) -> f64 {
    let inspected = succeed(&mut place.latch(["inspect", image])).stdout;
    let (_, rest) =
        inspected.split_once("a probability of 0.5 of this image was ").unwrap_or_else(|| panic!("{inspected}"));
    let number: String = rest.chars().take_while(|digit| digit.is_ascii_digit() || *digit == '.').collect();
    number.trim_end_matches('.').parse().expect("a number")
}

#[test]
fn a_threshold_is_the_same_figure_in_training_and_in_the_image_whatever_the_tokens_are() {
    let place = Place::with_data(20);
    let words = ["thanks", "flight", "hotel", "noon", "five"];
    let tags = |number: usize| {
        let (first, second) = (words[number % 5], words[number / 5 % 5]);
        let rare = usize::from(first == "noon" && !number.is_multiple_of(3));
        // The network reads neither the first token nor the last, whose label is rare too.
        let tokens = format!("[\"\u{200b}\",\"{first}\",\"{second}\",\"\u{200b}\"]");
        format!("{{\"tokens\":{tokens},\"labels\":[0,{rare},0,{}]}}\n", usize::from(number.is_multiple_of(11)))
    };
    place.write("tag.jsonl", (0..200).map(tags).collect::<String>());
    place.write("tag-valid.jsonl", (200..400).map(tags).collect::<String>());
    place.write("text.tsv", unequal(400));
    place.write("text-valid.tsv", &unequal(900)[unequal(400).len()..]);
    for (task, data, valid, pooling) in
        [("tag", "tag.jsonl", "tag-valid.jsonl", ""), ("classify", "text.tsv", "text-valid.tsv", "max > ")]
    {
        let model = format!("text 60 unknown=skip > embedding 4 > gru 6 > {pooling}dense");
        let fixed = ["train", "--data", data, "--valid", valid, "--task", task, "--threshold", "f1", "--json"];
        let options = ["--model", &model, "--epochs", "3", "--lr", "0.02", "--average", "0", "--out", task];
        let trained = succeed(place.latch(fixed).args(options)).json();
        let logit = trained["threshold"].as_f64().unwrap_or_else(|| panic!("{trained}"));
        let said = 1.0 / (1.0 + (-logit).exp());
        succeed(&mut place.latch(["export", "--run", task, "--precision", "f32", "--out", "moved.latch"]));
        assert!((threshold_of(&place, "moved.latch") - said).abs() < 1e-5, "{task}: {said} {trained}");
        let judged = succeed(&mut place.latch(["eval", "--image", "moved.latch", "--data", valid, "--json"])).json();
        assert_eq!(judged["per_class"], trained["per_class"], "{task}");
        let said = succeed(&mut place.latch(["eval", "--image", "moved.latch", "--data", valid])).stdout;
        assert!(said.contains("threshold     chosen; a probability of 0.5 was 0."), "{said}");
    }
}

#[test]
fn a_threshold_that_few_texts_chose_is_warned_of() {
    let place = Place::with_data(20);
    place.write("data.tsv", unequal(400));
    let options = ["--epochs", "2", "--lr", "0.01", "--threshold", "f1", "--out", "run"];
    let (_, said) = train(&place, &options);
    assert!(said.contains("warning: the threshold was chosen on "), "{said}");
    assert!(said.contains(" of spam: with other texts it would be another one; give more of them"), "{said}");
}

#[test]
fn a_run_after_folds_says_what_it_knows_in_report_export_and_when_it_is_taken_up() {
    let place = Place::with_data(20);
    std::fs::create_dir(place.file("set")).expect("a folder");
    place.write("set/train.tsv", unequal(204));
    place.write("set/valid.tsv", unequal(40));
    let fixed = ["train", "--data", "set", "--folds", "2", "--threshold", "f1", "--lr", "0.01", "--out", "run"];
    let said = succeed(place.latch(fixed).args(MODEL).args(["--epochs", "3", "--average", "0"]));
    assert_eq!(said.stdout.matches("note: valid.tsv is not read: a cross-validation divides").count(), 1, "{said:?}");
    // The threshold that was said is the image's.
    let (_, rest) = said.stdout.split_once("threshold: spam from a probability of ").expect("a threshold");
    let chosen: f64 = rest[..5].parse().expect("a number");
    let exported = succeed(&mut place.latch(["export", "--run", "run", "--out", "run.latch"])).stdout;
    assert!((threshold_of(&place, "run.latch") - chosen).abs() < 6e-4, "{rest}");
    assert!(exported.contains("answers of the folds") && !exported.contains("the validation part"), "{exported}");
    succeed(&mut place.latch(["report", "run", "--out", "run.html"]));
    let page = String::from_utf8(place.read("run.html")).expect("UTF-8");
    for words in ["<section id=\"folds\">", "<section id=\"classes\">", "accuracy of the folds", "held out"] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains("best epoch 0") && !page.contains("NaN"));
    // Without the plan it is a run as any other, which has no validation part.
    std::fs::remove_file(place.file("run/folds.json")).expect("a file");
    let again = succeed(&mut place.latch(["train", "--resume", "--out", "run"]));
    assert!(
        again.stdout.contains(" on all data, without a validation part; ") && !again.stdout.contains("NaN"),
        "{again:?}"
    );
    std::fs::remove_file(place.file("run/held-out")).expect("a file");
    place.refuse(
        &mut place.latch(["export", "--run", "run", "--out", "new.latch"]),
        &["its cross-validation has not come to its end; take folds.json from a copy"],
    );
}

#[test]
fn a_run_whose_last_epoch_is_the_best_is_told_that_more_may_help() {
    let place = Place::with_data(20);
    place.write("data.tsv", unequal(200));
    let (_, said) = train(&place, &["--epochs", "2", "--lr", "0.005", "--average", "0", "--out", "run"]);
    assert!(said.contains("best epoch 2 of 2") && said.contains("more --epochs may help"), "{said}");
}
