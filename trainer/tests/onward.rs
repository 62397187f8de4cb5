//! Promise: `latch train --resume-from` goes on from the network of another run, imported or trained, with its words and classes, and learns with integers.

use crate::support::{Place, succeed};

/// A folder with an imported network of texts in `imported`, whose own run is gone, and its vocabulary.
fn imported() -> (Place, Vec<u8>) {
    let place = Place::with_run();
    succeed(&mut place.latch(["export", "--run", "run", "--format", "safetensors", "--out", "net"]));
    let words = place.read("run/vocabulary.txt");
    std::fs::remove_dir_all(place.file("run")).expect("a folder");
    succeed(&mut place.latch(["import", "net", "--out", "imported", "--data", "data/train.tsv.gz"]));
    (place, words)
}

/// `latch train --resume-from FROM` on the data's parts.
fn onward(place: &Place, from: &str, out: &str, more: &[&str]) -> std::process::Command {
    let fixed = ["train", "--data", "data/train.tsv.gz", "--valid", "data/valid.tsv.gz", "--resume-from", from];
    let mut command = place.latch(fixed);
    command.args(["--out", out, "--json"]).args(more);
    command
}

/// The log loss and the accuracy of a run's int4 image on the training texts.
fn judged(place: &Place, run: &str) -> (f64, f64) {
    let image = ["export", "--run", run, "--precision", "int4", "--no-calibrate", "--out", "new.latch"];
    succeed(&mut place.latch(image));
    let eval = ["eval", "--image", "new.latch", "--data", "data/train.tsv.gz", "--json"];
    let line = succeed(&mut place.latch(eval)).json();
    (line["log_loss"].as_f64().expect("a loss"), line["accuracy"].as_f64().expect("a share"))
}

#[test]
fn an_imported_network_learns_with_integers_and_its_image_is_better_for_it() {
    let (place, words) = imported();
    let quantize = ["--quantize", "int4", "--quantize-epochs", "4"];
    let line = succeed(&mut onward(&place, "imported", "aware", &quantize)).json();
    assert_eq!(line["epochs"], 4, "{line}");
    assert!(line["quantized_valid_accuracy"].is_number(), "{line}");
    assert!(place.read("aware/vocabulary.txt") == words, "the words are the network's own");
    // What came in was judged, and is the network in floats.
    let metrics = String::from_utf8(place.read("aware/metrics.jsonl")).expect("text");
    let epochs: Vec<u64> = metrics
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["epoch"].as_u64().expect("a number"))
        .collect();
    assert_eq!(epochs, [0, 1, 2, 3, 4]);
    let (before, after) = (judged(&place, "imported"), judged(&place, "aware"));
    assert!(after.0 < before.0, "{before:?} {after:?}");
    assert!(after.1 >= before.1, "{before:?} {after:?}");

    // The same seed gives the same bytes, from its own file of options too, and a run that is done has its end again.
    succeed(&mut onward(&place, "imported", "again", &quantize));
    succeed(&mut place.latch(["train", "--config", "aware/latch.toml", "--out", "repeated", "--json"]));
    for file in ["quantized.network", "best.network", "metrics.jsonl", "checkpoint"] {
        assert!(place.read(&format!("aware/{file}")) == place.read(&format!("again/{file}")), "{file}");
        assert!(place.read(&format!("aware/{file}")) == place.read(&format!("repeated/{file}")), "{file}");
    }
    let resumed = succeed(&mut place.latch(["train", "--resume", "--out", "aware", "--json"])).json();
    assert_eq!(resumed["quantized_valid_accuracy"], line["quantized_valid_accuracy"]);
}

#[test]
fn epochs_in_floats_go_on_from_the_network_and_are_taken_where_they_are_better() {
    let (place, _) = imported();
    let line = succeed(&mut onward(&place, "imported", "more", &["--epochs", "2"])).json();
    assert_eq!(line["epochs"], 2, "{line}");
    let metrics = String::from_utf8(place.read("more/metrics.jsonl")).expect("text");
    let losses: Vec<f64> = metrics
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["valid_loss"].as_f64().expect("a loss")
        })
        .collect();
    assert_eq!(losses.len(), 3);
    // A rate at which everything is forgotten leaves the network that came in.
    let line = succeed(&mut onward(&place, "imported", "lost", &["--epochs", "1", "--lr", "3"])).json();
    let best = |run: &str| {
        let folder = latch_trainer::runs::folder::RunFolder::new(place.file(run));
        folder.best().expect("a network").network
    };
    assert!(best("lost") == best("imported"), "{line}");
    let is_better = losses[1..].iter().any(|loss| *loss < losses[0]);
    assert_eq!(best("more") != best("imported"), is_better, "{losses:?}");
    // A run that was trained here is gone on from in the same way.
    succeed(&mut onward(&place, "more", "further", &["--quantize", "int8", "--quantize-epochs", "1"]));
}

#[test]
fn what_contradicts_the_network_is_refused_by_name() {
    let (place, _) = imported();
    let model = ["--model", "text 80 > embedding 4 > lstm 8 > last > dense"];
    place.refuse_usage(&mut onward(&place, "imported", "new", &model), &["--resume-from", "--model"]);
    let quantize = ["--quantize", "int8"];
    let refuse = |from: &str, more: &[&str], words: &[&str]| {
        place.refuse(onward(&place, from, "new", &quantize).args(more), words);
    };
    refuse("nowhere", &[], &["nowhere"]);
    refuse("imported", &["--task", "tag"], &["--task: the network was made for classify"]);
    refuse("imported", &["--tokens", "chars"], &["--tokens: the network reads another kind of token"]);
    place
        .refuse(&mut onward(&place, "imported", "imported", &quantize), &["imported: this folder already holds a run"]);
    place.write("others.csv", "label,text\nspam,a good film\nham,a bad film\n".repeat(20));
    let others = ["train", "--resume-from", "imported", "--data", "others.csv", "--quantize", "int8", "--out", "new"];
    place.refuse(&mut place.latch(others), &["others.csv", "known classes"]);
}

#[test]
fn a_network_of_series_learns_with_integers_from_its_own_data_or_other_series_of_its_classes() {
    let place = Place::with_data(20);
    let swing = |speed: f64, number: usize| {
        let value = |step: usize| format!("{:.3}", (speed * step as f64 + number as f64).sin());
        (0..20).map(value).collect::<Vec<_>>().join(",")
    };
    let series = |count: usize| {
        let row = |number: usize| match number % 2 {
            0 => swing(0.9, number) + ":fast\n",
            _ => swing(0.3, number) + ":slow\n",
        };
        let head = "@univariate true\n@classLabel true fast slow\n@data\n";
        head.to_owned() + &(0..count).map(row).collect::<String>()
    };
    place.write("swings.ts", series(60));
    let model = ["--model", "samples 1 > gru 6 > last > dense", "--epochs", "30", "--lr", "0.02"];
    succeed(place.latch(["train", "--data", "swings.ts", "--out", "floats"]).args(model));
    let quantize = ["--quantize", "int4", "--quantize-epochs", "3", "--json"];
    let onward = ["train", "--data", "swings.ts", "--resume-from", "floats", "--out", "aware"];
    let line = succeed(place.latch(onward).args(quantize)).json();
    assert_eq!(line["epochs"], 3, "{line}");
    let accuracy = line["quantized_valid_accuracy"].as_f64().expect("a share");
    assert!(accuracy > 0.9, "{line}");
    let image = ["export", "--run", "aware", "--precision", "int4", "--no-calibrate", "--out", "aware.latch"];
    succeed(&mut place.latch(image));
    let eval = ["eval", "--image", "aware.latch", "--data", "swings.ts", "--json"];
    let judged = succeed(&mut place.latch(eval)).json();
    assert!(judged["accuracy"].as_f64().expect("a share") > 0.9, "{judged}");

    place.write("texts.csv", "label,text\nfast,a good film\nslow,a bad film\n".repeat(20));
    let texts = ["train", "--data", "texts.csv", "--resume-from", "floats", "--out", "new", "--quantize", "int8"];
    place.refuse(&mut place.latch(texts), &["texts.csv: no series are in it, and the network reads samples"]);
    place.write("others.ts", series(60).replace("fast", "quick"));
    let others = ["train", "--data", "others.ts", "--resume-from", "floats", "--out", "new", "--quantize", "int8"];
    place.refuse(&mut place.latch(others), &["others.ts", "quick"]);
}

#[test]
fn channels_in_another_order_words_of_another_run_and_missing_files_are_refused_by_name() {
    let place = Place::with_run();
    let words = String::from_utf8(place.read("run/vocabulary.txt")).expect("text");
    let (first, _) = words.split_once('\n').expect("words");
    let others = words.replacen(first, &format!("{first}a"), 1);
    place.write("run/vocabulary.txt", &others);
    place.refuse(
        &mut onward(&place, "run", "new", &[]),
        &["run/vocabulary.txt: the words are not those that the network has learned with"],
    );
    let row = |step: usize| format!("{},{},{},{}", step / 20, step % 7, step % 3, ["a", "b"][step / 20 % 2]);
    let rows: Vec<String> = (0..800).map(row).collect();
    place.write("series.csv", format!("number,x,y,label\n{}\n", rows.join("\n")));
    let fixed = ["train", "--data", "series.csv", "--series-column", "number"];
    let model =
        ["--model", "samples 2 > gru 3 > last > dense", "--epochs", "1", "--channels", "x,y", "--out", "floats"];
    succeed(place.latch(fixed).args(model));
    let from = ["--resume-from", "floats", "--epochs", "1", "--json", "--out"];
    let said = ["--channels: it names y,x, and the network reads x,y", "in the order of the network"];
    for other in ["y,x", "Y,X", "3,2"] {
        place.refuse(place.latch(fixed).args(from).args(["new", "--channels", other]), &said);
    }
    succeed(place.latch(fixed).args(from).args(["same", "--channels", "x,y"]));
    place.write("empty.csv", "");
    let mut empty = place.latch(["train", "--data", "empty.csv", "--resume-from", "floats", "--out", "new"]);
    place.refuse(&mut empty, &["empty.csv: the file is empty; name a file with labelled series"]);
    std::fs::remove_file(place.file("same/checkpoint")).expect("a file");
    let said = ["same/checkpoint: the file is missing", "begin again with --resume-from"];
    place.refuse(&mut place.latch(["train", "--resume", "--out", "same", "--json"]), &said);
}

#[test]
fn a_run_that_was_stopped_before_its_configuration_begins_anew_and_one_that_has_learned_is_kept() {
    let place = Place::with_run();
    let quantize = ["--quantize", "int8", "--quantize-epochs", "1"];
    succeed(&mut onward(&place, "run", "aware", &quantize));
    // In the order in which they are written.
    let first =
        ["data.json", "occurrences", "characters", "vocabulary.txt", "checkpoint", "best.network", "latch.toml"];
    for count in 1..=first.len() {
        let stopped = format!("stopped-{count}");
        std::fs::create_dir(place.file(&stopped)).expect("a folder");
        for name in &first[..count] {
            std::fs::copy(place.file("aware").join(name), place.file(&stopped).join(name)).expect("a file");
        }
        succeed(&mut onward(&place, "run", &stopped, &quantize));
        for file in ["quantized.network", "best.network", "metrics.jsonl", "vocabulary.txt"] {
            assert!(place.read(&format!("{stopped}/{file}")) == place.read(&format!("aware/{file}")), "{count} {file}");
        }
    }
    for (from, name) in [("run", "checkpoint"), ("run", "best.network"), ("aware", "quantized.network")] {
        let kept = format!("kept-{name}");
        std::fs::create_dir(place.file(&kept)).expect("a folder");
        std::fs::copy(place.file(from).join(name), place.file(&kept).join(name)).expect("a file");
        let words = format!("{kept}: this folder already holds a run");
        place.refuse(&mut onward(&place, "run", &kept, &quantize), &[&words]);
    }
}

#[test]
fn a_network_of_values_goes_on_in_the_scale_of_the_data_and_learns_with_integers() {
    let place = Place::with_data(20);
    // An amplifier of one channel, whose answers are wanted twice as loud.
    place.write(
        "gru.json",
        r#"{"gru.weight_ih_l0":[[0.5],[0.2],[0.1]],"gru.weight_hh_l0":[[0.1],[0.2],[0.3]],
        "gru.bias_ih_l0":[0,0.1,0.2],"gru.bias_hh_l0":[0.1,0,0.1],"dense.weight":[[1.5]],"dense.bias":[0.5]}"#,
    );
    succeed(&mut place.latch(["import", "gru.json", "--out", "sound"]));
    succeed(&mut place.latch(["export", "--run", "sound", "--precision", "f32", "--out", "sound.latch"]));
    let inputs: Vec<f64> =
        (0..600).map(|step| 0.8 * (0.3 * f64::from(step) + 0.001 * f64::from(step * step)).sin()).collect();
    let rows: String = inputs.iter().map(|value| format!("{value:.5}\n")).collect();
    place.write("x.csv", format!("x\n{rows}"));
    succeed(&mut place.latch(["run", "--image", "sound.latch", "--data", "x.csv", "--out", "y.csv"]));
    let table = String::from_utf8(place.read("y.csv")).expect("text");
    let answers: Vec<f64> = table.split([',', '\n']).filter_map(|number| number.trim().parse().ok()).collect();
    assert_eq!(answers.len(), inputs.len());
    let labelled = |of: &dyn Fn(f64) -> f64| {
        let rows = inputs.iter().zip(&answers).map(|(x, y)| format!("{x:.5},{:.5}\n", of(*y)));
        "x,y\n".to_owned() + &rows.collect::<String>()
    };
    place.write("same.csv", labelled(&|y| y));
    place.write("louder.csv", labelled(&|y| 2.0 * y + 0.1));
    let onward = |data: &str, from: &str, out: &str, more: &[&str]| {
        let fixed = ["train", "--data", data, "--label-column", "y", "--task", "regress-each", "--resume-from", from];
        let mut command = place.latch(fixed);
        command.args(["--out", out, "--json"]).args(more);
        command
    };
    let first = |run: &str| {
        let metrics = String::from_utf8(place.read(&format!("{run}/metrics.jsonl"))).expect("text");
        let line: serde_json::Value = serde_json::from_str(metrics.lines().next().expect("a line")).expect("JSON");
        assert_eq!(line["epoch"], 0);
        line["valid_rmse"].as_f64().expect("a number")
    };
    // On what it says itself it has no error, whatever the scale of these labels is.
    let quantize = ["--quantize", "int8", "--quantize-epochs", "2"];
    succeed(&mut onward("same.csv", "sound", "same", &quantize));
    assert!(first("same") < 1e-3, "{}", first("same"));
    let image = ["export", "--run", "same", "--precision", "int8", "--no-calibrate", "--out", "same.latch"];
    succeed(&mut place.latch(image));
    let judged = |image: &str, data: &str| {
        let eval = ["eval", "--image", image, "--data", data, "--label-column", "y", "--json"];
        succeed(&mut place.latch(eval)).json()["rmse"].as_f64().expect("a number")
    };
    assert!(judged("same.latch", "same.csv") < 0.02, "{}", judged("same.latch", "same.csv"));

    // Learned on from a run of Latch's own, whose scale is that of its data.
    let line = succeed(&mut onward("louder.csv", "sound", "louder", &["--epochs", "60", "--lr", "0.03"])).json();
    let (before, after) = (first("louder"), line["best_valid_rmse"].as_f64().expect("a number"));
    assert!(before > 0.1 && after < 0.5 * before, "{before} {after}");
    succeed(&mut onward("louder.csv", "louder", "again", &quantize));
    assert!((first("again") - after).abs() < 1e-3 * after, "{} {after}", first("again"));
    succeed(&mut onward("same.csv", "louder", "back", &quantize));
    assert!(first("back") > 0.1, "its answers are in the unit of the louder labels: {}", first("back"));
}
