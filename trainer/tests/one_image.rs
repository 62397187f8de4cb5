//! Promise: one run, one image. Whoever asks for the image of a run at a precision gets the same bytes.

use std::fs;

use crate::support::{Place, answer, assert_usage_error, refuse, succeed};
use latch_trainer::config::Storage;
use latch_trainer::export::{Export, Trained};
use latch_trainer::runs::folder::RunFolder;

/// The bytes that `latch export` writes of a run.
fn exported(place: &Place, run: &str, precision: &str) -> Vec<u8> {
    place.export(run, precision);
    place.read(&format!("{precision}.latch"))
}

#[test]
fn the_library_gives_the_bytes_of_latch_export_at_every_precision() {
    let place = Place::with_data(200);
    for (run, more) in [("floats", &[][..]), ("integers", &["--quantize", "int4", "--quantize-epochs", "1"])] {
        place.train(run, more);
        let trained = Trained::read(&RunFolder::new(place.file(run))).expect("a run");
        let export = Export::of(trained.source(), true).expect("weights");
        assert!(export.calibration(Storage::Int8).is_some());
        for storage in Storage::ALL {
            let image = export.image(storage).expect("an image");
            assert_eq!(image.aware, (run, storage) == ("integers", Storage::Int4));
            assert!(exported(&place, run, storage.name()) == *image.bytes, "{run} {}", storage.name());
        }
    }
}

#[test]
fn a_run_keeps_what_its_streams_begin_behind_and_an_export_may_say_otherwise() {
    let place = Place::with_data(200);
    place.train("cold", &[]);
    place.train("warm", &["--warm-up", "a film"]);
    // What the image begins behind is no part of training, and of the run's own options.
    assert!(place.read("cold/best.network") == place.read("warm/best.network"));
    assert!(fs::read_to_string(place.file("warm/latch.toml")).expect("options").contains("warm-up = \"a film\""));
    let inspect = |image: &str| succeed(&mut place.latch(["inspect", image])).stdout;
    let of_run = exported(&place, "warm", "int8");
    assert!(inspect("int8.latch").contains("start       a stream begins after 2 tokens"), "{}", inspect("int8.latch"));
    assert!(inspect("int8.latch").contains("\"start\""), "{}", inspect("int8.latch"));
    let json = succeed(&mut place.latch(["inspect", "int8.latch", "--json"])).json();
    assert_eq!(json["start_steps"], 2);
    let trained = Trained::read(&RunFolder::new(place.file("warm"))).expect("a run");
    let export = Export::of(trained.source(), true).expect("weights");
    assert!(of_run == *export.image(Storage::Int8).expect("an image").bytes);
    let over = ["export", "--run", "cold", "--precision", "int8", "--out", "over.latch", "--warm-up"];
    succeed(place.latch(over).arg("a film"));
    assert!(place.read("over.latch") == of_run);
    assert!(!inspect("over.latch").is_empty() && exported(&place, "cold", "int8") != of_run);
    assert!(!inspect("int8.latch").contains("start "), "{}", inspect("int8.latch"));
    let safetensors =
        ["export", "--run", "cold", "--format", "safetensors", "--out", "x.safetensors", "--warm-up", "a"];
    refuse(&mut place.latch(safetensors), &["--warm-up", "it is for images"]);
    assert_usage_error(&answer(&mut place.training("other", &["--warm-up", " "])), &["--warm-up", "250"]);
}

#[test]
fn a_run_with_a_warm_up_is_exported_without_one_by_none_or_0() {
    let place = Place::with_data(200);
    place.train("cold", &[]);
    place.train("warm", &["--warm-up", "a film"]);
    let cold = exported(&place, "cold", "int8");
    assert!(exported(&place, "warm", "int8") != cold);
    for none in ["none", "0"] {
        let export = ["export", "--run", "warm", "--precision", "int8", "--out", "none.latch", "--warm-up", none];
        succeed(&mut place.latch(export));
        assert!(place.read("none.latch") == cold, "{none}");
    }
    // A run that was made before such a warm-up was refused is not lost.
    let config = String::from_utf8(place.read("warm/config.json")).expect("text");
    for frames in ["250", "\"250\""] {
        place.write("warm/config.json", config.replace("\"a film\"", frames));
        let mut export = place.latch(["export", "--run", "warm", "--out", "none.latch"]);
        refuse(&mut export, &["--warm-up: must be a text", "give the text itself", "or give none"]);
        succeed(export.args(["--warm-up", "none"]));
    }
    let number = &mut place.training("other", &["--warm-up", "250"]);
    refuse(number, &["--warm-up: must be a text where the model reads text, and 250 is a number of frames"]);
    // No warm-up is nothing that a run keeps.
    place.train("none", &["--warm-up", "none"]);
    assert!(!String::from_utf8(place.read("none/config.json")).expect("text").contains("warm_up"));
}

#[test]
fn a_search_hands_over_the_image_that_latch_export_gives_of_its_run() {
    let place = Place::with_data(400);
    let answer = succeed(&mut place.latch([
        "search",
        "--data",
        "data/train.tsv.gz",
        "--valid",
        "data/valid.tsv.gz",
        "--flash",
        "4KiB",
        "--trials",
        "3",
        "--epochs",
        "3",
        "--out",
        "search",
        "--json",
    ]))
    .json();
    let run = answer["best"]["run"].as_str().expect("the best trial's folder");
    let precision = answer["best"]["precision"].as_str().expect("its precision");
    assert!(exported(&place, &format!("search/{run}"), precision) == place.read("search/best.latch"));
    for trial in fs::read_to_string(place.file("search/search.jsonl")).expect("trials").lines() {
        let trial: serde_json::Value = serde_json::from_str(trial).expect("a trial");
        let run = format!("search/{}", trial["run"].as_str().expect("a folder"));
        let image = exported(&place, &run, trial["precision"].as_str().expect("a precision"));
        assert!(image == place.read(&format!("{run}/image.latch")), "{trial}");
    }
}

#[test]
fn the_demo_keeps_the_images_that_latch_export_gives_of_its_run_and_names_commands_that_work() {
    let place = Place::with_data(20);
    let demo = succeed(&mut place.latch(["demo", "--built-in", "--json"]));
    assert_eq!(demo.json()["folder"], "latch-demo");
    for precision in ["f32", "f16", "int8"] {
        let image = exported(&place, "latch-demo/run", precision);
        assert!(image == place.read(&format!("latch-demo/{precision}.latch")), "{precision}");
    }
    let said = &demo.stderr;
    assert!(said.contains("8000 to learn from, 1000 to choose the best epoch, 1000 to test with"), "{said}");
    // Only a terminal breaks the lines of the model, of the texts and of what was read.
    let free = |line: &str| {
        line.contains("--model")
            || line.trim_start().starts_with('"')
            || ["read ", "unknown tokens: "].iter().any(|word| line.starts_with(word))
    };
    assert!(said.lines().all(|line| line.chars().count() <= 80 || free(line)), "{said}");
    let next: Vec<Vec<&str>> = said
        .lines()
        .filter_map(|line| line.trim().strip_prefix("latch "))
        .map(|line| line.split(' ').collect())
        .collect();
    assert_eq!(next.iter().map(|command| command[0]).collect::<Vec<_>>(), ["train", "init", "report"], "{said}");
    for command in &next {
        // Not all ten epochs: that the command is taken is what counts.
        let quick: &[&str] =
            if command[0] == "train" { &["--epochs", "1", "--model", crate::support::TINY] } else { &[] };
        succeed(place.latch(command).args(quick));
    }
    assert!(said.contains("latch-sim run --board nrf52840 --image latch-demo/int8.latch"), "{said}");
}
