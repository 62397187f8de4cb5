//! Promise: where nobody says model, epochs and validation, a small set decides them by trials on its training texts; the run says what was tried, keeps what was decided, and
//! is repeated from its own file to the bit without another trial. A large set has the fixed defaults.

use std::collections::BTreeSet;

use crate::support::{Place, answer, names, succeed};

/// So many messages of two kinds.
fn messages(count: usize) -> String {
    let row = |number: usize| {
        let (kind, word) = [("ham", "lunch"), ("spam", "prize"), ("ham", "home"), ("spam", "claim")][number % 4];
        format!("{kind}\tmessage {} about {word} number {}\n", number % 7, number % 31)
    };
    (0..count).map(row).collect()
}

fn text(place: &Place, name: &str) -> String {
    String::from_utf8(place.read(name)).expect("UTF-8")
}

/// The value of a key in a run's `latch.toml`.
fn option(place: &Place, run: &str, key: &str) -> Option<String> {
    let file = text(place, &format!("{run}/latch.toml"));
    let line = file.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")).map(str::to_owned));
    line.map(|value| value.trim_matches('"').to_owned())
}

/// Checks that a run's own file repeats it without a trial.
fn assert_repeated(place: &Place, run: &str) {
    let said = succeed(&mut place.latch(["train", "--config", &format!("{run}/latch.toml"), "--out", "again"]));
    assert!(!said.stdout.contains("trying"), "{}", said.stdout);
    for name in ["best.network", "config.json", "metrics.jsonl", "vocabulary.txt", "latch.toml"] {
        assert!(place.read(&format!("{run}/{name}")) == place.read(&format!("again/{name}")), "{name} differs");
    }
    for (of, image) in [(run, "one.latch"), ("again", "two.latch")] {
        succeed(&mut place.latch(["export", "--run", of, "--precision", "int8", "--out", image]));
    }
    assert!(place.read("one.latch") == place.read("two.latch"), "the images differ");
    std::fs::remove_dir_all(place.file("again")).expect("it is there");
}

#[test]
fn few_texts_try_models_are_cross_validated_and_the_run_repeats_without_trying() {
    let place = Place::with_data(20);
    place.write("few.tsv", messages(100));
    let said = succeed(&mut place.latch(["train", "--data", "few.tsv", "--epochs", "3", "--out", "run"])).stdout;
    assert!(said.contains("no --model is given: trying 6 on 100 texts"), "{said}");
    let table: Vec<&str> = said.lines().filter(|line| line.contains(" > dense")).collect();
    assert_eq!((table.len(), table.iter().filter(|line| line.contains(" taken ")).count()), (6, 1), "{said}");
    assert!(said.contains("5 divisions of 100 texts, 80 to learn from"), "{said}");
    assert!(said.contains("cross-validation of 100 texts in 5 parts, then a run of all of them"), "{said}");
    assert!(said.contains("fold 5 of 5") && said.contains("80 train, 20 validation"), "{said}");

    let trials: serde_json::Value = serde_json::from_slice(&place.read("run/trials.json")).expect("JSON");
    let rows = trials["models"].as_array().expect("rows");
    let taken: Vec<&str> =
        rows.iter().filter(|row| row["taken"] == true).filter_map(|row| row["model"].as_str()).collect();
    let kept = ["model", "epochs", "patience", "folds"].map(|key| option(&place, "run", key));
    assert_eq!(kept.each_ref().map(Option::as_deref), [Some(taken[0]), Some("3"), Some("3"), Some("5")]);
    assert_repeated(&place, "run");

    // The answers of the folds are judged, and the image says how.
    succeed(&mut place.latch(["export", "--run", "run", "--precision", "int8", "--out", "few.latch"]));
    let all = said.lines().find_map(|line| line.strip_prefix("all answers together: accuracy ")).expect("a score");
    let accuracy = all.split(',').next().expect("a share");
    let inspected = succeed(&mut place.latch(["inspect", "few.latch"])).stdout;
    assert!(inspected.contains(&format!("validation accuracy {accuracy}")), "{accuracy}: {inspected}");

    // The same is what --folds 5 gives.
    succeed(&mut place.latch(["train", "--data", "few.tsv", "--epochs", "3", "--folds", "5", "--out", "same"]));
    for name in ["trials.json", "best.network", "latch.toml"] {
        assert!(place.read(&format!("run/{name}")) == place.read(&format!("same/{name}")), "{name} differs");
    }
}

#[test]
fn a_validation_part_that_is_asked_for_is_held_out_of_the_trials_and_of_the_run() {
    let place = Place::with_data(20);
    place.write("few.tsv", messages(100));
    let train = ["train", "--data", "few.tsv", "--epochs", "2", "--valid", "0.2", "--out", "run"];
    let said = succeed(&mut place.latch(train)).stdout;
    assert!(said.contains("trying 6 on 80 texts") && said.contains("80 train, 20 validation"), "{said}");
    assert!(!said.contains("fold 1"), "{said}");
    assert!(place.file("run/trials.json").exists());
    assert_repeated(&place, "run");
}

#[test]
fn fast_takes_a_model_untried_and_a_model_that_is_given_is_never_tried() {
    let place = Place::with_data(20);
    place.write("few.tsv", messages(100));
    let model = ["--model", "text 20 > embedding 2 > gru 2 > last > dense"];
    for (more, out) in [(&["--fast"][..], "fast"), (&model, "given")] {
        let train = ["train", "--data", "few.tsv", "--batch", "50", "--out", out];
        let said = succeed(place.latch(train).args(more)).stdout;
        assert!(!said.contains("trying") && said.contains("90 train, 10 validation"), "{said}");
        assert!(!place.file(&format!("{out}/trials.json")).exists());
        // Epochs by steps: a small set is passed over more often.
        assert_eq!(option(&place, out, "epochs").as_deref(), Some("60"));
        assert_repeated(&place, out);
    }
    assert!(option(&place, "fast", "model").is_some_and(|model| model.contains("ngrams=")));
    assert!(names(&place.file("fast")).iter().all(|name| !name.starts_with("fold-")));
    // The file keeps no word of it: the model stands there.
    assert_eq!(option(&place, "fast", "fast"), None);
}

#[test]
fn every_task_and_kind_of_token_has_models_to_try() {
    let place = Place::with_data(20);
    let tags = |number: usize| {
        let (word, label) = [("Anna", "name"), ("sees", "no"), ("Berlin", "place")][number % 3];
        format!("{{\"tokens\": [\"a\", \"{word}\", \"x{number}\"], \"labels\": [\"no\", \"{label}\", \"no\"]}}\n")
    };
    let value = |number: usize| format!("{}\tscore {number} of {} stars\n", number % 5, number % 5);
    place.write("tags.jsonl", (0..60).map(tags).collect::<String>());
    place.write("values.tsv", (0..60).map(value).collect::<String>());
    place.write("few.tsv", messages(60));
    for (data, more) in [
        ("tags.jsonl", &["--task", "tag"][..]),
        ("values.tsv", &["--task", "regress"]),
        ("few.tsv", &["--tokens", "chars"]),
        ("few.tsv", &["--folds", "2"]),
    ] {
        let out = format!("{data}{}", more[1]);
        let train = ["train", "--data", data, "--epochs", "1", "--batch", "60", "--out", &out];
        let said = succeed(place.latch(train).args(more)).stdout;
        assert!(said.contains("no --model is given: trying") && said.contains("taken"), "{said}");
        assert!(place.file(&format!("{out}/held-out")).exists(), "{out} has no cross-validation");
        let folds = if more[0] == "--folds" { "2" } else { "5" };
        assert_eq!(option(&place, &out, "folds").as_deref(), Some(folds));
    }
}

#[test]
fn from_20_000_texts_on_the_default_is_fixed_and_is_cut_to_64_kib_where_words_are_long() {
    let place = Place::with_data(20);
    let word = |number: usize| -> String {
        // Words of twelve letters in Devanagari, three bytes each.
        let bits = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (0..12).filter_map(|place| char::from_u32(0x0905 + ((bits >> (4 * place)) % 45) as u32)).collect()
    };
    let plain = |number: usize| format!("{}\tword{} and more\n", ["a", "b"][number % 2], number % 300);
    let long =
        |number: usize| format!("{}\t{} {}\n", ["a", "b"][number % 2], word(number % 4_999), word(number % 4_973));
    place.write("plain.tsv", (0..20_000).map(plain).collect::<String>());
    place.write("long.tsv", (0..20_000).map(long).collect::<String>());
    for (data, out) in [("plain.tsv", "plain"), ("long.tsv", "long")] {
        let train = ["train", "--data", data, "--batch", "4096", "--epochs", "1", "--out", out];
        let said = succeed(&mut place.latch(train)).stdout;
        assert!(!said.contains("trying"), "{said}");
        assert_eq!(option(&place, out, "patience").as_deref(), Some("3"));
        assert_eq!(said.contains("the model is cut"), out == "long", "{said}");
        let image = format!("{out}.latch");
        succeed(&mut place.latch(["export", "--run", out, "--precision", "int8", "--out", &image]));
        assert!(place.read(&image).len() <= 65_536, "{} bytes", place.read(&image).len());
    }
    let default = "text 5000 > embedding 8 word_dropout=0.3 > lstm 32 > attention > dense";
    assert_eq!(option(&place, "plain", "model").as_deref(), Some(default));
    let models: BTreeSet<_> = ["plain", "long"].iter().map(|run| option(&place, run, "model")).collect();
    assert_eq!(models.len(), 2);
    assert_repeated(&place, "long");
}

#[test]
fn what_the_line_says_counts_before_what_the_file_of_a_run_has_against_it() {
    let place = Place::with_data(20);
    place.write("few.tsv", messages(100));
    let model = "text 20 > embedding 2 > gru 2 > last > dense";
    let train = ["train", "--data", "few.tsv", "--epochs", "1", "--folds", "2", "--model", model, "--out", "run"];
    succeed(&mut place.latch(train));
    let train = ["train", "--config", "run/latch.toml", "--valid", "0.1", "--out", "held-out"];
    let said = succeed(&mut place.latch(train)).stdout;
    assert!(said.contains("90 train, 10 validation") && !said.contains("fold 1"), "{said}");
}

#[test]
fn trials_that_all_diverge_and_a_place_that_cannot_be_written_to_end_before_anything_is_learned() {
    let place = Place::with_data(20);
    place.write("few.tsv", messages(60));
    let said = answer(&mut place.latch(["train", "--data", "few.tsv", "--lr", "1e9", "--out", "run"]));
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("every model that was tried have diverged; take a smaller --lr"), "{said:?}");
    assert!(!place.file("run").exists());
    // Nothing is on standard output: nothing was tried.
    place.refuse(&mut place.latch(["train", "--data", "few.tsv", "--out", "few.tsv/run"]), &["few.tsv"]);
}

#[test]
fn trials_decide_whether_rare_classes_count_more_and_say_what_that_did() {
    let place = Place::with_data(20);
    let row = |number: usize| {
        let (class, word) = match number % 110 {
            0 | 1 => ("rare", "claim"),
            n if n < 10 => ("seldom", "prize"),
            n if n % 2 == 0 => ("often", "lunch"),
            _ => ("often", "home"),
        };
        // The word is missing in some.
        let word = if number % 13 == 5 { "something" } else { word };
        format!("{class}\tmessage {} about {word} number {}\n", number % 7, number % 31)
    };
    place.write("unequal.tsv", (0..330).map(row).collect::<String>());
    let train = |more: &[&str], out: &str| {
        let said = succeed(place.latch(["train", "--data", "unequal.tsv", "--epochs", "4", "--out", out]).args(more));
        let weights = option(&place, out, "class-weights").expect("it is kept");
        (said.stdout, weights)
    };
    let (said, weights) = train(&[], "run");
    let trials: serde_json::Value = serde_json::from_slice(&place.read("run/trials.json")).expect("JSON");
    let smoothed = &trials["smoothed"];
    assert!(smoothed["macro_f1"].is_number() && said.contains("the classes differ much in size"), "{said}");
    assert_eq!(weights, if smoothed["taken"] == true { "smoothed" } else { "none" }, "{said}");
    assert_eq!(said.contains("weighted loss"), weights == "smoothed", "{said}");
    assert_repeated(&place, "run");
    // What is said is not tried.
    for given in ["none", "balanced"] {
        let (said, weights) = train(&["--class-weights", given], given);
        assert!(!said.contains("differ much in size") && weights == given, "{said}");
    }
    // Without trials nothing is open.
    assert_eq!(train(&["--fast"], "fast").1, "auto");
}
