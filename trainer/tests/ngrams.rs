//! Promise: n-grams stand beside a network whose every token has an answer, lift a small one where the words before decide, and training says of them what
//! an evaluation of the image says.

use serde_json::Value;

use crate::support::{Place, succeed};

/// Words of the texts.
const WORDS: usize = 24;

/// Numbers that a seed decides.
struct Draws(u64);

impl Draws {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % count
    }
}

/// Texts in which a token's label is decided by its word and the one before it, and by neither alone: `label` writes one of four kinds.
fn pairs(seed: u64, count: usize, label: impl Fn(usize) -> String) -> String {
    let mut rule = Draws(7);
    let kinds: Vec<usize> = (0..WORDS * (WORDS + 1)).map(|_| rule.below(4)).collect();
    let mut draws = Draws(seed);
    let text = |_| {
        let mut before = WORDS;
        let (tokens, labels): (Vec<String>, Vec<String>) = (0..4 + draws.below(6))
            .map(|_| {
                let word = draws.below(WORDS);
                let kind = kinds[before * WORDS + word];
                before = word;
                (
                    format!("\"{}{}\"", ["b", "d", "f", "k", "l", "m", "n", "r"][word / 3], ["a", "e", "o"][word % 3]),
                    label(kind),
                )
            })
            .unzip();
        format!("{{\"tokens\":[{}],\"labels\":[{}]}}\n", tokens.join(","), labels.join(","))
    };
    (0..count).map(text).collect()
}

fn tags(kind: usize) -> String {
    format!("\"{}\"", ["ADJ", "DET", "NOUN", "VERB"][kind])
}

/// Trains a small network into `run`; gives the line of training and that of an evaluation of its f32 image on the validation part.
fn judged(place: &Place, task: &str, model: &str, more: &[&str]) -> (Value, Value) {
    let fixed = ["train", "--data", "train.jsonl", "--valid", "valid.jsonl", "--task", task, "--json", "--out", "run"];
    let options = ["--model", model, "--epochs", "3", "--lr", "0.02", "--average", "0"];
    let trained = succeed(place.latch(fixed).args(options).args(more)).json();
    let export = ["export", "--run", "run", "--precision", "f32", "--no-calibrate", "--out", "f32.latch"];
    succeed(&mut place.latch(export));
    let evaluated =
        succeed(&mut place.latch(["eval", "--image", "f32.latch", "--data", "valid.jsonl", "--json"])).json();
    std::fs::remove_dir_all(place.file("run")).expect("the run");
    (trained, evaluated)
}

fn accuracy(line: &Value, key: &str) -> f64 {
    line[key].as_f64().unwrap_or_else(|| panic!("{key}: {line}"))
}

#[test]
fn ngrams_tell_a_small_network_the_tags_that_the_word_before_decides_and_eval_agrees_with_train() {
    let place = Place::with_data(20);
    place.write("train.jsonl", pairs(1, 800, tags));
    place.write("valid.jsonl", pairs(2, 200, tags));
    let (alone, _) = judged(&place, "tag", "text 100 > embedding 4 > gru 6 > dense", &[]);
    assert!(accuracy(&alone, "best_valid_accuracy") < 0.6, "{alone}");
    // The words that the network does not know, and those that it does not even read, are in n-grams too.
    for (model, least) in [
        ("text 100 ngrams=3000 > embedding 4 > gru 6 > dense", 0.95),
        ("text 8 unknown=skip ngrams=3000 > embedding 4 > gru 6 > dense", 0.95),
        ("chars 100 ngrams=3000 longest=6 > embedding 4 > gru 6 > dense", 0.9),
        ("chars 100 > embedding 4 > gru 6 > dense", 0.25),
    ] {
        let (trained, evaluated) = judged(&place, "tag", model, &[]);
        assert!(accuracy(&trained, "best_valid_accuracy") > least, "{model}: {trained}");
        assert_eq!(trained["per_class"], evaluated["per_class"], "{model}");
    }
    let quantized = ["--quantize", "int8", "--quantize-epochs", "1", "--class-weights", "balanced"];
    let (trained, _) = judged(&place, "tag", "text 100 ngrams=3000 > embedding 4 > gru 6 > dense", &quantized);
    assert!(accuracy(&trained, "quantized_valid_accuracy") > 0.95, "{trained}");
}

#[test]
fn ngrams_tell_numbers_of_tokens_too() {
    let place = Place::with_data(20);
    let value = |kind: usize| ["-1.5", "0", "2", "7"][kind].to_owned();
    place.write("train.jsonl", pairs(1, 800, value));
    place.write("valid.jsonl", pairs(2, 200, value));
    let (trained, evaluated) =
        judged(&place, "regress-each", "text 100 ngrams=3000 > embedding 4 > gru 6 > dense", &[]);
    let [said, found] = [accuracy(&trained, "best_valid_accuracy"), accuracy(&evaluated, "accuracy")];
    assert!(said > 0.9 && (said - found).abs() < 1e-4, "{trained} {evaluated}");
}

#[test]
fn tags_with_ngrams_are_cross_validated_taught_resumed_and_reported() {
    let place = Place::with_data(20);
    place.write("train.jsonl", pairs(1, 300, tags));
    let model = "text 100 ngrams=2000 ngram_texts=2 > embedding 4 > gru 6 > dense";
    let train = |out: &str, more: &[&str]| {
        let fixed = ["train", "--data", "train.jsonl", "--task", "tag", "--model", model, "--lr", "0.02", "--json"];
        succeed(place.latch(fixed).args(["--epochs", "2", "--out", out]).args(more)).json()
    };
    let folds = train("folds", &["--folds", "2"]);
    assert!(accuracy(&folds, "best_valid_accuracy") > 0.6, "{folds}");
    place.export("folds", "int8");
    succeed(&mut place.latch(["report", "folds", "--out", "folds.html"]));
    // What an image of folds says of itself is what the folds say of it.
    let inspected = succeed(&mut place.latch(["inspect", "int8.latch", "--json"])).json();
    assert_eq!((&inspected["each_step"], &inspected["outputs"]), (&true.into(), &4.into()));

    train("one", &["--leave-out", "1/2"]);
    train("two", &["--leave-out", "2/2"]);
    let taught = train("taught", &["--teacher", "one,two", "--distill", "0.9"]);
    assert!(accuracy(&taught, "best_valid_accuracy") > 0.6, "{taught}");

    let whole = train("whole", &[]);
    let resumed = succeed(&mut place.latch(["train", "--resume", "--out", "whole", "--json"])).json();
    assert_eq!(whole["best_valid_accuracy"], resumed["best_valid_accuracy"]);
    // N-grams of other texts are none of this run's.
    std::fs::copy(place.file("one/ngrams"), place.file("whole/ngrams")).expect("a copy");
    let export = &mut place.latch(["export", "--run", "whole", "--out", "whole.latch"]);
    place.refuse(export, &["ngrams: the n-grams are not those of the run's training texts"]);
}

#[test]
fn where_the_network_knows_no_word_the_answer_of_the_ngrams_is_called_so() {
    let place = Place::with_data(20);
    let row = |number: usize| {
        let (class, word) = [("good", "lovely"), ("bad", "awful")][number % 2];
        format!("{class}\tthe thing {number} is {word}\n")
    };
    place.write("data.tsv", (0..400).map(row).collect::<String>());
    // Three words are known: those that every text has.
    let model = "text 3 unknown=skip ngrams=1000 ngram_texts=1 > embedding 4 > gru 4 > last > dense";
    succeed(&mut place.latch(["train", "--data", "data.tsv", "--model", model, "--epochs", "2", "--out", "run"]));
    succeed(&mut place.latch(["export", "--run", "run", "--out", "i.latch"]));
    let said = |text: &str| succeed(&mut place.latch(["predict", "--image", "i.latch", text])).stdout;
    let known = said("lovely");
    assert!(known.contains("good") && known.contains("the answer of its n-grams"), "{known}");
    let nothing = said("zebra");
    assert!(nothing.contains("only the default answer"), "{nothing}");
}
