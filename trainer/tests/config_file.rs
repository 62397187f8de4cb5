//! Promise: `latch init` writes a file of options, `latch train --config` runs it, and a run keeps the file that repeats it.

use std::fs;

use crate::support::{Place, TINY, answer, refuse, succeed};

#[test]
fn the_file_that_init_writes_trains_as_soon_as_it_is_there() {
    let place = Place::with_data(120);
    let init = succeed(&mut place.latch(["init", "--data", "data/train.tsv.gz"]));
    assert!(init.stdout.contains("wrote latch.toml") && init.stdout.contains("latch train --config latch.toml"));
    let text = String::from_utf8(place.read("latch.toml")).expect("UTF-8");
    for line in [
        "data = \"data/train.tsv.gz\"",
        "# epochs = 10  # an example",
        "# model",
        "# patience",
        "out = \"runs/train\"  # an example: any folder that holds no run yet",
        "# valid",
        "# label-column",
        "# warm-up = 250  # an example",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line} is missing:\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100 || !line.starts_with('#')), "{text}");

    // The command line counts before the file.
    let more = ["--epochs", "1", "--model", TINY];
    succeed(place.latch(["train", "--config", "latch.toml"]).args(more));
    let kept = String::from_utf8(place.read("runs/train/latch.toml")).expect("UTF-8");
    assert!(!kept.contains("an example"), "{kept}");
    // The folder of that run is no example for the next.
    succeed(&mut place.latch(["init", "--data", "data/train.tsv.gz", "--force"]));
    assert!(
        String::from_utf8(place.read("latch.toml")).expect("UTF-8").contains("out = \"runs/train-2\"  # an example")
    );
    assert!(kept.contains("epochs = 1\n") && kept.contains(&format!("model = \"{}\"", TINY)), "{kept}");
}

#[test]
fn init_replaces_no_file_unasked_and_takes_no_data_that_is_not_there() {
    let place = Place::with_data(20);
    place.refuse(&mut place.latch(["init", "--data", "nothing.csv"]), &["nothing.csv", "no such file"]);
    place.write("latch.toml", "mine");
    place.refuse(&mut place.latch(["init"]), &["latch.toml", "this file already exists", "--force"]);
    succeed(&mut place.latch(["init", "--force"]));
    let text = String::from_utf8(place.read("latch.toml")).expect("UTF-8");
    assert!(text.contains("data = \"data.csv\"  # an example: name your data\n"), "{text}");
    // A missing folder is named.
    place.refuse(&mut place.latch(["init", "--out", "none/latch.toml"]), &["none", "does not exist"]);
}

#[test]
fn a_run_keeps_the_file_that_repeats_it_exactly_from_any_folder() {
    let place = Place::with_data(160);
    fs::create_dir(place.file("job")).expect("a folder");
    let file = format!(
        "data = \"../data/train.tsv.gz\"\nvalid = \"../data/valid.tsv.gz\"\nmodel = \"{}\"\nepochs = 2\nseed = 5\n\
         lr = 1e-2\nlabel-smoothing = 0.05\nleave-out = \"2/5\"\nout = \"run\"\n",
        TINY
    );
    place.write("job/latch.toml", file);
    succeed(&mut place.latch(["train", "--config", "job/latch.toml"]));
    succeed(&mut place.latch(["train", "--config", "job/run/latch.toml", "--out", "again"]));
    for name in ["best.network", "config.json", "metrics.jsonl", "vocabulary.txt"] {
        assert!(place.read(&format!("job/run/{name}")) == place.read(&format!("again/{name}")), "{name} differs");
    }
    assert!(place.read("job/run/latch.toml") == place.read("again/latch.toml"));
    // It is for another folder, which has to be named.
    let again = &["again/latch.toml: `out` is missing", "or give --out"];
    place.refuse(&mut place.latch(["train", "--config", "again/latch.toml"]), again);
    // Such a file is all that a run may have left that was killed; somebody else's is not replaced.
    fs::create_dir(place.file("killed")).expect("a folder");
    fs::copy(place.file("again/latch.toml"), place.file("killed/latch.toml")).expect("a copy");
    succeed(&mut place.latch(["train", "--config", "again/latch.toml", "--epochs", "1", "--out", "killed"]));
    fs::create_dir(place.file("mine")).expect("a folder");
    place.write("mine/latch.toml", "# mine\n");
    let mut into_mine = place.latch(["train", "--config", "again/latch.toml", "--out", "mine"]);
    place.refuse(&mut into_mine, &["latch.toml: a run writes its own file of this name", "move this file"]);
}

#[test]
fn a_label_with_a_comma_is_renamed_on_the_command_line_and_in_a_table_of_the_file() {
    let place = Place::with_data(20);
    let row = |number: usize| format!("\"{}\",film {}\n", ["Sales, EU", "art", "it's"][number % 3], number % 9);
    place.write("data.csv", format!("label,text\n{}", (0..90).map(row).collect::<String>()));
    let common = ["--data", "data.csv", "--model", "text 20 > embedding 4 > gru 4 > mean", "--epochs", "1"];
    let line = ["--label-map", "Sales, EU=sales", "--label-map", "it's=its, perhaps"];
    succeed(place.latch(["train", "--out", "line"]).args(common).args(line));
    place.write("latch.toml", "label-map = { \"Sales, EU\" = \"sales\", \"it's\" = \"its, perhaps\" }\n");
    succeed(place.latch(["train", "--config", "latch.toml", "--out", "file"]).args(common));
    succeed(&mut place.latch(["train", "--config", "line/latch.toml", "--out", "again"]));
    let config = String::from_utf8(place.read("line/config.json")).expect("UTF-8");
    assert!(
        config.contains("\"art\"") && config.contains("\"its, perhaps\"") && config.contains("\"sales\""),
        "{config}"
    );
    for run in ["file", "again"] {
        assert!(place.read(&format!("{run}/config.json")) == place.read("line/config.json"), "{run}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_line_before_anything_is_begun() {
    let place = Place::with_data(20);
    let begin = "data = \"data/train.tsv.gz\"\nout = \"run\"\n";
    for (line, words) in [
        ("epoch = 3", &["latch.toml:3", "unknown key `epoch`", "did you mean `epochs`?"][..]),
        ("epochs = \"ten\"", &["latch.toml:3", "`epochs`", "epochs = 10"]),
        ("json = true", &["latch.toml:3", "for the command line only"]),
        ("lr = nan", &["latch.toml:3", "`lr`: nan must be a positive number", "lr = 0.005"]),
        ("average = 1.0", &["latch.toml:3", "`average`: 1.0 must be a number from 0 to below 1"]),
        ("batch = 9999999", &["latch.toml:3", "`batch`", "from 1 to 1048576"]),
        ("label-map = { ham = true }", &["latch.toml:3", "`label-map`: \"ham\" is true or false"]),
        ("lr = ", &["latch.toml:3", "name = value"]),
    ] {
        place.write("latch.toml", format!("{begin}{line}\n"));
        place.refuse(&mut place.latch(["train", "--config", "latch.toml"]), words);
    }
    place.write("latch.toml", format!("{begin}model = \"embedding 8 > gur 16\"\n"));
    let pointed = answer(&mut place.latch(["train", "--config", "latch.toml"]));
    assert_eq!(pointed.code, Some(2));
    let sentence = "latch: latch.toml:3: `model`: unknown layer `gur`; did you mean `gru`?";
    assert_eq!(pointed.stderr, format!("{sentence}\n  embedding 8 > gur 16\n                ^^^\n"));
    refuse(&mut place.latch(["train", "--config", "none.toml"]), &["none.toml", "no such file"]);
    place.write("latch.toml", "out = \"run\"\n");
    let missing = &["latch.toml: `data` is missing; add a line such as `data = ", "or give --data"];
    place.refuse(&mut place.latch(["train", "--config", "latch.toml"]), missing);
    place.write("latch.toml", format!("{begin}classes = 3\n"));
    place.refuse(&mut place.latch(["train", "--config", "latch.toml"]), &["latch.toml:3", "unknown key `classes`"]);
    place.write("latch.toml", begin);
    place
        .refuse_usage(&mut place.latch(["train", "--resume", "--config", "latch.toml", "--out", "run"]), &["--config"]);
}

#[test]
fn an_embedding_that_would_take_more_memory_than_is_allowed_is_refused_before_the_folder_is_begun() {
    let place = Place::with_data(40);
    let model = "text 50 unknown=hashed:1000000 > embedding 1000 > mean > dense";
    let train = place.training("run", &["--model", model]);
    place.refuse(&mut { train }, &["--model embedding", "rows of 1000 features take", "--max-memory"]);
    assert!(!place.file("run").exists());
}
