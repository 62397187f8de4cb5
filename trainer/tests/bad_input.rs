//! Whatever is wrong with the input ends in one sentence that names the place and the remedy, in exit code 2, and in folders that are
//! as they were before; with `--json` nothing is on standard output.

use std::fs;
use std::process::Command;

use crate::support::{self, LATCH, Place, TINY, answer, answer_to, assert_refused, names, refuse, succeed, tree};

/// The default model with few words.
const SMALL: &str = "text 80 > embedding 8 word_dropout=0.3 > lstm 32 > attention";

/// Trains on a file of this name and content; it must be refused, and leave nothing behind.
fn refuse_data(name: &str, content: impl AsRef<[u8]>, words: &[&str]) {
    let place = Place::with_data(20);
    place.write(name, content);
    place.refuse(&mut place.latch(["train", "--data", name, "--model", TINY, "--out", "runs/new", "--json"]), words);
}

/// Asks every verb that reads an image; each must refuse these bytes.
fn refuse_image(place: &Place, name: &str, content: impl AsRef<[u8]>, words: &[&str]) {
    place.write(name, content);
    let words: Vec<&str> = [name].iter().chain(words).copied().collect();
    place.refuse(&mut place.latch(["eval", "--image", name, "--data", "data", "--json"]), &words);
    place.refuse(&mut place.latch(["predict", "--image", name, "--json", "a fine film"]), &words);
    place.refuse(&mut place.latch(["inspect", name, "--json"]), &words);
    place.refuse(&mut place.latch(["inspect", name]), &words);
}

/// `sh` running `latch` in the folder, where no file may grow beyond some kilobytes: a write beyond the limit is an error, as on a full disk.
fn with_small_files(place: &Place, blocks: u32, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -c 0; ulimit -f {blocks}; exec \"$@\"")).arg("sh").arg(LATCH).args(args);
    command.current_dir(place.path());
    command
}

// --- data

#[test]
fn an_empty_file_is_refused() {
    refuse_data("reviews.tsv", "", &["reviews.tsv: there is no example in it"]);
    refuse_data("reviews.csv", "label,text\n", &["reviews.csv: there is no example in it"]);
    refuse_data("reviews.jsonl.gz", "", &["reviews.jsonl.gz:"]);
}

#[test]
fn data_of_one_class_is_refused() {
    refuse_data("reviews.tsv", "1\tgood\n1\tvery good\n1\tbest\n", &["reviews.tsv: all 3 labels are \"1\""]);
}

#[test]
fn an_empty_label_and_one_that_only_the_validation_part_has_are_refused_with_their_lines() {
    refuse_data("reviews.tsv", "0\tbad\n1\tgood\n \tbest\n", &["reviews.tsv:3: the label is empty"]);
    let place = Place::with_data(20);
    place.write("train.csv", "label,text\nbad,dull\ngood,fine\n");
    place.write("valid.csv", "label,text\nbad,boring\nsplendid,best\n");
    place.refuse(
        &mut place.latch(["train", "--data", "train.csv", "--valid", "valid.csv", "--out", "run", "--json"]),
        &["valid.csv:3: the label \"splendid\" is none of the known classes (bad, good)"],
    );
}

#[test]
fn text_that_is_no_utf8_is_refused_with_its_line() {
    refuse_data("reviews.tsv", b"0\tbad\n1\tgo\xffod\n", &["reviews.tsv:2: the text is not UTF-8 at byte offset 10"]);
}

#[test]
fn a_line_of_ten_megabytes_is_refused_with_its_line() {
    let long = format!("0\tbad\n1\t{}\n", "x".repeat(10_000_000));
    refuse_data("reviews.tsv", long, &["reviews.tsv:2: this text is longer than"]);
}

#[test]
fn texts_without_words_are_refused() {
    refuse_data("reviews.tsv", "0\t\n1\t\n0\t\n1\t\n0\t \n1\t\n", &["reviews.tsv: 6 of 6 texts are empty"]);
    let blanks: String = (1..40).map(|count| format!("{}\t{}\n", count % 2, "\u{1}\u{200b}".repeat(count))).collect();
    refuse_data("reviews.tsv", blanks, &["reviews.tsv: the texts hold no word"]);
}

#[test]
fn too_few_examples_for_a_validation_part_are_refused() {
    refuse_data("reviews.tsv", "0\tbad\n1\tgood\n", &["reviews.tsv: 2 texts are too few to hold out 10 % of them"]);
}

#[test]
fn texts_that_are_all_alike_are_refused_as_such_however_many_they_are() {
    let rows: String =
        (0..200).map(|number| format!("{}\tgreat film{}\n", number % 2, [" ", ""][number % 2])).collect();
    refuse_data("reviews.tsv", rows, &["reviews.tsv: all 200 texts are alike", "--text-column"]);
}

#[test]
fn a_missing_data_file_is_refused() {
    let place = Place::with_data(20);
    let missing = "data/missing.tsv";
    let words = ["data/missing.tsv: there is no such file or folder; check the path"];
    place.refuse(&mut place.latch(["train", "--data", missing, "--out", "run", "--json"]), &words);
    place.refuse(&mut place.latch(["train", "--data", "data", "--valid", missing, "--out", "run", "--json"]), &words);
}

#[test]
fn a_format_that_is_not_known_is_refused() {
    refuse_data("reviews.xlsx", "PK\u{3}\u{4}", &["reviews.xlsx: this is an Excel spreadsheet"]);
}

#[test]
fn a_cut_compressed_file_is_refused() {
    let place = Place::with_data(200);
    let bytes = place.read("data/train.tsv.gz");
    place.write("cut.tsv.gz", &bytes[..bytes.len() / 2]);
    place.refuse(
        &mut place.latch(["train", "--data", "cut.tsv.gz", "--out", "run", "--json"]),
        &["cut.tsv.gz:", "the compressed file ends before its text does; copy or download it again"],
    );
}

#[test]
fn eval_and_export_refuse_bad_data_as_train_does() {
    let place = Place::with_images();
    place.write("odd.tsv", "1\tgood\nbest\tbest\n");
    for data in ["odd.tsv", "missing.tsv"] {
        place.refuse(&mut place.latch(["eval", "--image", "int8.latch", "--data", data, "--json"]), &[data]);
        let export = ["export", "--run", "run", "--out", "new.latch", "--data", data, "--json"];
        place.refuse(&mut place.latch(export), &[data]);
    }
}

// --- options

#[test]
fn a_model_that_is_no_chain_is_told_how_one_is_written() {
    let place = Place::with_data(20);
    let train = |model| place.latch(["train", "--data", "data", "--out", "run", "--json", "--model", model]);
    for (model, carets) in [("vocab=80,embedding=4,lstm=8", 27), ("bag=4", 5), ("layers=2", 8)] {
        let written = "chain of its layers, from the text to the answer, as in `text 5000 > embedding 8 > lstm 32";
        let pointed = format!("\n  {model}\n  {}\n", "^".repeat(carets));
        place.refuse_usage(&mut train(model), &["--model", written, &pointed]);
    }
    place.refuse_usage(
        &mut train("vocab"),
        &["--model", "unknown layer `vocab`; known are text, chars, samples, embedding"],
    );
    place.refuse_usage(&mut train(""), &["--model"]);
}

#[test]
fn a_wrong_option_of_the_model_is_pointed_at() {
    let place = Place::with_data(20);
    let train = |model| place.latch(["train", "--data", "data", "--out", "run", "--json", "--model", model]);
    for (model, words) in [
        ("text 9 words=best > embedding 8", "words: must be count or useful\n"),
        ("text 9 unknown=some > embedding 8", "unknown: must be row, skip, hashed:ROWS or ending:ROWS\n"),
        ("embedding 8 rare=2", "rare, rare_bits and quotient are about the ids beyond whole="),
        ("embedding 8 > lstm 0", "a size is a whole number from 1"),
        ("embedding 8 > lstm 3 dropout=1", "`dropout` takes a number from 0 to below 1"),
        ("embedding 8 > gru 3 whole=2", "`whole=` is no option of `gru`: it belongs to `embedding`, as in"),
        ("embedding 8 > lstm 3 heads=4", "unknown option `heads=4` of `lstm`; "),
    ] {
        place.refuse_usage(&mut train(model), &["--model", words, "^\n"]);
    }
}

#[test]
fn zero_epochs_and_other_impossible_numbers_are_refused() {
    let place = Place::with_data(20);
    let train = |option, value| place.latch(["train", "--data", "data", "--out", "run", "--json", option, value]);
    for (option, value) in [
        ("--epochs", "0"),
        ("--epochs", "18446744073709551615"),
        ("--batch", "0"),
        ("--max-tokens", "0"),
        ("--patience", "0"),
        ("--valid", "1.5"),
        ("--valid", "NaN"),
    ] {
        place.refuse_usage(&mut train(option, value), &[option, value]);
    }
    for (option, value, words) in [
        ("--lr", "0", "0 must be a positive number"),
        ("--lr", "nan", "nan must be a positive number"),
        ("--lr", "inf", "inf must be a positive number"),
        ("--lr", "abc", "--lr: \"abc\" is not a number"),
        ("--seed", "x", "--seed: \"x\" is not a whole number"),
        ("--epochs", "0", "--epochs: 0 is not a whole number from 1 to 1000000"),
        ("--clip-norm", "0", "a positive number"),
        ("--weight-decay", "1", "from 0 to below 1"),
        ("--label-smoothing", "2", "from 0 to below 1"),
        ("--average", "1", "from 0 to below 1"),
        ("--batch", "18446744073709551615", "must be a whole number from 1 to"),
    ] {
        place.refuse_usage(&mut train(option, value), &[option, words]);
    }
}

#[test]
fn a_model_that_no_image_can_hold_is_refused_before_it_is_trained() {
    let place = Place::with_data(20);
    let train = |model| place.latch(["train", "--data", "data", "--out", "run", "--json", "--model", model]);
    let deep = format!("embedding 8{}", " > lstm 3".repeat(16));
    for (model, words) in [
        (deep.as_str(), "17 layers behind the embedding, the pooling and the last one included, are more than the 16"),
        ("embedding 8 > lstm 60000", "8 inputs and 60000 units are more than the 2048 in all"),
        ("embedding 100 > lstm 2000", "100 inputs and 2000 units are more"),
        ("embedding 9 > attention", "attention weighs values in [-1, 1]: put it behind a recurrent layer without relu"),
        ("embedding 8 whole=5 rare=9 > lstm 4", "rare: must be a whole number from 1 to 8"),
        ("text 9 unknown=hashed:1048576 > embedding 8", "unknown: must be of rows from 1 to below 1048576"),
    ] {
        place.refuse_usage(&mut train(model), &[words, "^\n"]);
    }
    let deep = format!("embedding 8{} > dense", " > lstm 3".repeat(15));
    for (model, words) in [
        (deep.as_str(), "--model: dense: 17 layers behind the embedding, the pooling and the last one included"),
        ("text 9 > embedding 8 whole=4000000000 > lstm 4", "--model whole: the texts have words for"),
        ("text 9 > embedding 8 whole=5 quotient=90 > lstm 4", "give quotient= at most"),
        ("text 9 unknown=ending:1048570 > embedding 8", "rows for unknown words are more than an image holds"),
    ] {
        place.refuse(&mut train(model), &[words]);
    }
}

#[test]
fn resume_takes_no_options_that_it_would_ignore() {
    let place = Place::with_run();
    for option in [["--epochs", "9"], ["--lr", "0.1"], ["--data", "data"], ["--model", TINY]] {
        let mut command = place.latch(["train", "--resume", "--out", "run", "--json"].iter().chain(&option));
        place.refuse_usage(&mut command, &["--resume", option[0]]);
    }
}

// --- training

#[test]
fn a_loss_that_is_no_number_ends_the_run_and_leaves_nothing() {
    let place = Place::with_data(200);
    place.refuse(
        &mut place.training("runs/diverged", &["--lr", "3e38", "--json"]),
        &["epoch 1 batch", "diverged; train again with a smaller --lr"],
    );
    place.train("runs/diverged", &[]);
}

#[test]
fn weights_that_grow_without_bound_end_the_run_in_a_sentence_though_their_loss_is_a_number() {
    let place = Place::with_data(200);
    for rate in ["1e30", "1e8"] {
        let training = &mut place.training("run", &["--lr", rate, "--json"]);
        place.refuse(training, &["epoch 1", "diverged; train again with a smaller --lr"]);
    }
}

#[test]
fn what_was_learned_before_the_weights_diverged_is_kept() {
    let place = Place::with_data(200);
    place.train("run", &["--lr", "1e-9", "--epochs", "2"]);
    let best = place.read("run/best.network");
    // The same run goes on for two more epochs, at a rate that nothing survives.
    let config = String::from_utf8(place.read("run/config.json")).unwrap();
    let config =
        config.replace("\"epochs\": 2", "\"epochs\": 4").replace("\"learning_rate\": 1e-9", "\"learning_rate\": 1e30");
    assert!(config.contains("\"epochs\": 4") && config.contains("1e30") || config.contains("1e+30"), "{config}");
    place.write("run/config.json", config);
    let resumed = refuse(
        &mut place.latch(["train", "--resume", "--out", "run", "--json"]),
        &["epoch 3", "diverged", "what was learned before is kept in run"],
    );
    assert_eq!(resumed.code, Some(2));
    assert!(place.read("run/best.network") == best);
    place.export("run", "f32");
}

#[test]
fn a_network_that_is_of_no_use_is_named_so_once() {
    let place = Place::with_data(20);
    // Labels that no word has anything to do with, three quarters of them alike.
    let text = |number: usize| {
        format!("{}\tone {} two {}\n", u8::from(number.is_multiple_of(4)), number * 7919 % 31, number * 104_729 % 37)
    };
    place.write("noise.tsv", (0..400).map(text).collect::<String>());
    let train = ["train", "--data", "noise.tsv", "--epochs", "1", "--lr", "1e-5", "--out", "run", "--model", TINY];
    let answer = succeed(&mut place.latch(train));
    let warnings: Vec<&str> = answer.stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert_eq!(warnings.len(), 1, "{answer:?}");
    assert!(warnings[0].contains("of no use yet"), "{answer:?}");
    // A run that has learned something is not warned about.
    let text = |number: usize| format!("{}\t{} film {number}\n", number % 2, ["bad", "good"][number % 2]);
    place.write("plain.tsv", (0..400).map(text).collect::<String>());
    let train = ["train", "--data", "plain.tsv", "--epochs", "5", "--lr", "0.02", "--out", "learned", "--model", TINY];
    let answer = succeed(&mut place.latch(train));
    assert!(!answer.stderr.contains("of no use"), "{answer:?}");
}

#[test]
fn a_pooling_of_each_step_is_no_choice_of_an_import() {
    let place = Place::with_run();
    succeed(&mut place.latch(["export", "--run", "run", "--format", "safetensors", "--out", "net"]));
    place.refuse_usage(
        &mut place.latch(["import", "net", "--pooling", "each", "--out", "torch"]),
        &["each", "attention"],
    );
}

#[test]
fn a_folder_that_has_a_run_is_not_trained_into_again() {
    let place = Place::with_run();
    place.refuse(
        &mut place.training("run", &["--json"]),
        &["run: this folder already holds a run; go on with it by --resume"],
    );
}

#[test]
fn a_folder_with_a_file_that_a_run_would_replace_is_not_trained_into() {
    let place = Place::with_data(20);
    for name in ["checkpoint", "vocabulary.txt", "curves.png"] {
        let folder = format!("holds-{name}");
        fs::create_dir(place.file(&folder)).unwrap();
        place.write(&format!("{folder}/{name}"), "mine");
        place.refuse(&mut place.training(&folder, &["--json"]), &[&folder, "already holds a run"]);
    }
}

#[test]
fn other_files_in_the_output_folder_are_kept() {
    let place = Place::with_data(200);
    fs::create_dir(place.file("notes")).unwrap();
    place.write("notes/mine.txt", "mine");
    place.refuse(&mut place.training("notes", &["--lr", "3e38", "--json"]), &["epoch 1"]);
    place.train("notes", &[]);
    assert_eq!(place.read("notes/mine.txt"), b"mine");
}

// --- places that cannot be written to

#[test]
fn a_file_in_place_of_a_folder_is_refused() {
    let place = Place::with_run();
    place.write("file", "mine");
    let words = ["a part of the path is a file where a folder is wanted; check the path"];
    for out in ["file", "file/below"] {
        place.refuse(&mut place.training(out, &["--json"]), &words);
        place.refuse(&mut place.latch(["data", "built-in", "--out", out, "--json"]), &words);
    }
    place.refuse(&mut place.latch(["export", "--run", "run", "--out", "file/image.latch", "--json"]), &words);
}

#[test]
fn a_folder_that_the_system_does_not_let_anyone_write_to_is_refused() {
    let place = Place::with_run();
    // Not even root may make a file or a folder here.
    for folder in ["/proc", "/sys", "/proc/latch/deep"] {
        place.refuse(&mut place.training(folder, &["--json"]), &[folder, "folder"]);
        place.refuse(&mut place.latch(["data", "built-in", "--out", folder, "--json"]), &[folder, "folder"]);
        let image = format!("{folder}/image.latch");
        place.refuse(&mut place.latch(["export", "--run", "run", "--out", &image, "--json"]), &[&image, "folder"]);
    }
}

#[test]
fn an_image_is_not_written_over_a_folder_a_device_or_into_a_missing_folder() {
    let place = Place::with_run();
    fs::create_dir(place.file("folder")).unwrap();
    for (out, words) in [
        ("folder", "folder: it is a folder where a file is wanted; name a file"),
        ("/dev/full", "/dev/full: it is not an ordinary file; name a file in a folder"),
        (
            "missing/image.latch",
            "missing/image.latch: the folder that it should go into does not exist; create that folder",
        ),
    ] {
        place.refuse(&mut place.latch(["export", "--run", "run", "--out", out, "--json"]), &[words]);
    }
}

#[test]
fn a_file_beyond_the_limit_of_file_sizes_is_refused_and_the_old_one_kept() {
    let place = Place::with_run();
    place.write("image.latch", "the old image");
    // One block of 512 bytes, or of 1,024 in some shells: the image has more.
    let export = ["export", "--run", "run", "--out", "image.latch", "--json"];
    place.refuse(
        &mut with_small_files(&place, 1, &export),
        &["image.latch: it would be larger than the system permits"],
    );
    let data = ["data", "built-in", "--examples", "2000", "--out", "data", "--json"];
    place.refuse(&mut with_small_files(&place, 1, &data), &["data/train.tsv.gz: it would be larger than"]);
    // The configuration fits, a network does not: what was written by then is removed again.
    let train = ["train", "--data", "data", "--model", SMALL, "--epochs", "2", "--out", "new", "--json"];
    place.refuse(
        &mut with_small_files(&place, 4, &train),
        &["new/best.network: it would be larger than", "nothing is kept to go on with, so begin again"],
    );
}

#[test]
fn a_run_that_has_no_space_to_go_on_says_that_it_is_kept_and_how_it_goes_on() {
    let place = Place::with_data(200);
    let train = ["train", "--data", "data", "--model", SMALL, "--epochs", "2", "--out", "new"];
    support::succeed(&mut place.latch(train));
    // Killed before its first network, it has a configuration to go on with.
    for learned in ["best.network", "checkpoint", "metrics.jsonl", "curves.svg", "curves.png"] {
        fs::remove_file(place.file("new").join(learned)).expect("a file");
    }
    let resume = ["train", "--resume", "--out", "new", "--json"];
    refuse(
        &mut with_small_files(&place, 4, &resume),
        &[
            "new/best.network: it would be larger than",
            "free some space, then go on with: latch train --resume --out new",
        ],
    );
    support::succeed(&mut place.latch(resume));
}

#[test]
fn nothing_half_written_stays_behind_a_limit_of_file_sizes_and_what_a_kill_left_is_cleared_away() {
    let place = Place::with_run();
    place.write("image.latch", "the old image");
    let halves = |folder: &str| names(&place.file(folder)).iter().filter(|name| name.ends_with(".partial")).count();
    let export = ["export", "--run", "run", "--out", "image.latch", "--json"];
    // The signal that comes with such a write would kill the program: it is not ignored here.
    place.refuse(&mut with_small_files(&place, 1, &export), &["image.latch: it would be larger than"]);
    assert_eq!((place.read("image.latch").as_slice(), halves(".")), (&b"the old image"[..], 0));
    place.write("run/.latch-abc123.partial", "half");
    support::succeed(&mut place.latch(["train", "--resume", "--out", "run"]));
    assert_eq!((names(&place.file("run")), halves("run")), (support::RUN_FILES.map(str::to_owned).to_vec(), 0));
}

#[test]
fn a_full_disk_is_refused_and_leaves_what_was_there() {
    let place = Place::with_run();
    // A disk of its own for this process and its children, of which 24 kB are free; root may mount one, or a user in a name space of
    // their own.
    let script = "mkdir disk && mount -t tmpfs -o size=64k tmpfs disk || exit 99\n\
                  head -c 36864 /dev/zero > disk/ballast && cd disk && echo mine > new.latch && \"$@\"; echo $? >&2; ls -A >&2; cat new.latch >&2";
    let on_full_disk = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--map-root-user", "sh", "-c", script, "sh", LATCH])
            .args(args)
            .current_dir(place.path());
        let answer = answer(&mut command);
        let _ = fs::remove_dir(place.file("disk"));
        answer
    };
    let train =
        on_full_disk(&["train", "--data", "../data", "--model", SMALL, "--epochs", "2", "--out", "run", "--json"]);
    if train.code == Some(99) || train.stderr.contains("unshare: ") {
        // Said aloud, and covered by the limit of file sizes above, which needs no permission.
        println!("NOT TESTED HERE: this system lets nobody mount a disk: {}", train.stderr);
        return;
    }
    let after = "2\nballast\nnew.latch\nmine\n";
    let full = "there is no space left to write it; free some space on that disk";
    assert!(train.stderr.contains("; nothing is kept to go on with, so begin again\n"), "{train:?}");
    assert!(
        train.stderr.contains("run/best.network: ") && train.stderr.contains(full) && train.stderr.ends_with(after),
        "{train:?}"
    );
    let data = on_full_disk(&["data", "built-in", "--examples", "4000", "--out", "new", "--json"]);
    assert!(
        data.stderr.contains("new/train.tsv.gz: ") && data.stderr.contains(full) && data.stderr.ends_with(after),
        "{data:?}"
    );
    place.train("large", &["--model", "text 80 > embedding 16 > lstm 64 > attention"]);
    let export = on_full_disk(&["export", "--run", "../large", "--precision", "f32", "--out", "new.latch", "--json"]);
    assert!(
        export.stderr.contains("new.latch: ") && export.stderr.contains(full) && export.stderr.ends_with(after),
        "{export:?}"
    );
    assert_eq!((train.stdout, data.stdout, export.stdout), (String::new(), String::new(), String::new()));
}

#[test]
fn a_full_standard_output_is_refused_by_every_verb_that_answers_there() {
    let place = Place::with_images();
    for args in [
        &["eval", "--image", "int8.latch", "--data", "data"][..],
        &["eval", "--image", "int8.latch", "--data", "data", "--json"],
        &["inspect", "int8.latch"],
        &["inspect", "int8.latch", "--json"],
        &["predict", "--image", "int8.latch", "a fine film"],
        &["predict", "--image", "int8.latch", "--json", "a fine film"],
        &["export", "--run", "run", "--out", "again.latch"],
        &["data", "built-in", "--out", "again"],
        &["train", "--resume", "--out", "run"],
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let answer = answer(place.latch(args).stdout(full));
        assert_eq!(answer.code, Some(2), "{args:?}: {answer:?}");
        assert!(answer.stderr.contains("latch: standard output: there is no space left"), "{args:?}: {answer:?}");
    }
}

#[test]
fn a_full_standard_error_leaves_the_exit_code() {
    let place = Place::with_data(20);
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(answer(place.latch(["inspect", "missing.latch"]).stderr(full())).code, Some(2));
    assert_eq!(answer(place.training("run", &["--json"]).stderr(full())).code, Some(0));
}

// --- images

#[test]
fn an_image_of_a_newer_version_is_refused_by_name() {
    let place = Place::with_images();
    let mut bytes = place.read("int8.latch");
    bytes[4] = 9;
    refuse_image(&place, "newer.latch", bytes, &["version 9", "update Latch"]);
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let place = Place::with_images();
    let png = place.read("run/curves.png");
    let checkpoint = place.read("run/checkpoint");
    for (name, content) in [
        ("curves.png", png.as_slice()),
        ("checkpoint.latch", &checkpoint),
        ("model.onnx", b"\x08\x07\x12\x07pytorch"),
        ("text.latch", b"LATCH is what this says, and nothing more"),
        ("empty.latch", b""),
        ("short.latch", b"LT"),
    ] {
        refuse_image(&place, name, content, &["not a Latch image", "`latch export`"]);
    }
}

#[test]
fn a_device_without_an_end_a_folder_and_a_missing_file_are_no_images() {
    let place = Place::with_images();
    for (path, words) in [
        ("/dev/zero", "/dev/zero: it is not an ordinary file"),
        ("data", "data: it is a folder where a file is wanted; name a file"),
        ("missing.latch", "missing.latch: there is no such file or folder; check the path"),
    ] {
        place.refuse(&mut place.latch(["inspect", path, "--json"]), &[words]);
        place.refuse(&mut place.latch(["eval", "--image", path, "--data", "data", "--json"]), &[words]);
        place.refuse(&mut place.latch(["predict", "--image", path, "--json", "a fine film"]), &[words]);
    }
}

#[test]
fn a_cut_image_is_refused() {
    let place = Place::with_images();
    let bytes = place.read("int8.latch");
    for length in [5, 6, 40, bytes.len() / 2, bytes.len() - 1] {
        refuse_image(&place, "cut.latch", &bytes[..length], &["; "]);
    }
    refuse_image(&place, "cut.latch", &bytes[..bytes.len() / 2], &["the image is cut off", "copy it again"]);
}

#[test]
fn an_image_with_a_flipped_bit_is_refused() {
    let place = Place::with_images();
    let bytes = place.read("int8.latch");
    for index in (0..bytes.len()).step_by(bytes.len() / 16) {
        let mut flipped = bytes.clone();
        flipped[index] ^= 1 << (index % 8);
        place.write("flipped.latch", &flipped);
        place.refuse(&mut place.latch(["inspect", "flipped.latch", "--json"]), &["flipped.latch: "]);
    }
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    refuse_image(&place, "flipped.latch", flipped, &["the image is damaged", "copy it again"]);
}

// --- standard input

#[test]
fn a_line_that_is_no_utf8_is_refused_with_its_number() {
    let place = Place::with_images();
    let mut predict = place.latch(["predict", "--image", "int8.latch", "--json"]);
    assert_refused(&answer_to(&mut predict, b"a \xff film\n"), &["standard input:1: invalid UTF-8 at byte 2; convert"]);
    // What came before it has its answer.
    let answer = answer_to(&mut predict, b"a fine film\na \xff film\n");
    assert_eq!((answer.code, answer.stdout.lines().count()), (Some(2), 1), "{answer:?}");
    assert!(answer.stderr.contains("standard input:2: "), "{answer:?}");
}

#[test]
fn a_line_of_ten_megabytes_on_standard_input_is_refused_with_its_number() {
    let place = Place::with_images();
    let mut predict = place.latch(["predict", "--image", "int8.latch", "--json"]);
    assert_refused(&answer_to(&mut predict, &[b'x'; 10_000_000]), &["standard input:1: the line has more than"]);
}

#[test]
fn a_folder_as_standard_input_is_refused() {
    let place = Place::with_images();
    let folder = fs::File::open(place.path()).unwrap();
    let mut predict = place.latch(["predict", "--image", "int8.latch", "--json"]);
    place.refuse(predict.stdin(folder), &["standard input: it is a folder where a file is wanted"]);
}

// --- runs

#[test]
fn a_folder_without_a_run_is_neither_resumed_nor_exported() {
    let place = Place::with_data(20);
    for folder in ["data", "missing"] {
        let words = [folder, ": there is no run in this folder", "name the folder that `latch train --out` made"];
        place.refuse(&mut place.latch(["train", "--resume", "--out", folder, "--json"]), &words);
        place.refuse(&mut place.latch(["export", "--run", folder, "--out", "new.latch", "--json"]), &words);
    }
}

/// Both verbs that go on from a run must refuse it.
fn refuse_run(place: &Place, words: &[&str]) {
    place.refuse(&mut place.latch(["train", "--resume", "--out", "run", "--json"]), words);
    place.refuse(&mut place.latch(["export", "--run", "run", "--out", "new.latch", "--json"]), words);
}

#[test]
fn a_run_whose_data_has_moved_is_refused() {
    let place = Place::with_run();
    fs::rename(place.file("data"), place.file("elsewhere")).unwrap();
    refuse_run(&place, &["data/train.tsv.gz: there is no such file or folder", "where it has moved, put it back"]);
    fs::rename(place.file("elsewhere"), place.file("data")).unwrap();
    support::succeed(&mut place.latch(["train", "--resume", "--out", "run"]));
}

#[test]
fn a_run_whose_data_has_changed_is_refused() {
    for part in ["train", "valid"] {
        let place = Place::with_run();
        fs::copy(place.file("data/test.tsv.gz"), place.file(&format!("data/{part}.tsv.gz"))).unwrap();
        let file = format!("data/{part}.tsv.gz: the data is not what the run began with");
        refuse_run(&place, &[&file, "put the old data back"]);
    }
}

#[test]
fn a_damaged_configuration_is_refused() {
    let place = Place::with_run();
    let whole = String::from_utf8(place.read("run/config.json")).unwrap();
    let number = |key: &str, value: &str| {
        let start = whole.find(&format!("\"{key}\": ")).unwrap() + key.len() + 4;
        let end = start + whole[start..].find([',', '\n']).unwrap();
        format!("{}{value}{}", &whole[..start], &whole[end..])
    };
    for (damaged, words) in [
        (Vec::new(), "this is no run's configuration"),
        (whole.as_bytes()[..whole.len() / 2].to_vec(), "this is no run's configuration"),
        (b"\xff\xfe".to_vec(), "it is no UTF-8"),
        (number("batch", "0").into_bytes(), "--batch: must be"),
        (number("epochs", "18446744073709551615").into_bytes(), "--epochs: must be"),
        (number("max_tokens", "0").into_bytes(), "--max-tokens: must be"),
        (whole.replace("word_dropout=0.3", "word_dropout=1.5").into_bytes(), "takes a number from 0 to below 1"),
        (number("learning_rate", "-1").into_bytes(), "--lr: must be"),
        (whole.replace("lstm 8", "lstm 9").into_bytes(), "its network is not the one of config.json"),
    ] {
        place.write("run/config.json", damaged);
        refuse_run(&place, &["config.json", words]);
    }
}

#[test]
fn a_damaged_vocabulary_is_refused() {
    let place = Place::with_run();
    let whole = place.read("run/vocabulary.txt");
    let mut other = whole.clone();
    let last = other.len() - 2;
    other[last] ^= 1;
    for damaged in [&whole[..whole.len() / 2], b"", b"\xff\xfe", &other] {
        place.write("run/vocabulary.txt", damaged);
        refuse_run(&place, &["run/vocabulary.txt: ", "take the file from a copy"]);
    }
    fs::remove_file(place.file("run/vocabulary.txt")).unwrap();
    refuse_run(&place, &["run/vocabulary.txt: there is no such file"]);
}

#[test]
fn a_damaged_report_of_the_data_is_refused_before_an_image_is_written() {
    let place = Place::with_run();
    place.write("run/data.json", "{");
    let words = ["run/data.json: the file is damaged", "remove it: nothing but a report of these numbers needs it"];
    place.refuse(&mut place.latch(["export", "--run", "run", "--out", "new.latch", "--json"]), &words);
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let place = Place::with_run();
    let whole = place.read("run/checkpoint");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    for (damaged, words) in [
        (&flipped[..], "its checksum is wrong"),
        (&whole[..whole.len() / 2], "its checksum is wrong"),
        (&whole[..3], "the file is cut off"),
        (b"", "the file is cut off"),
    ] {
        place.write("run/checkpoint", damaged);
        let mut resume = place.latch(["train", "--resume", "--out", "run", "--json"]);
        place.refuse(&mut resume, &["run/checkpoint: ", words, "take the file from a copy, or train again"]);
    }
}

#[test]
fn a_damaged_best_network_is_refused() {
    let place = Place::with_run();
    let whole = place.read("run/best.network");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    for (damaged, words) in [
        (&flipped[..], "its checksum is wrong"),
        (&whole[..whole.len() / 2], "its checksum is wrong"),
        (b"", "the file is cut off"),
    ] {
        place.write("run/best.network", damaged);
        refuse_run(&place, &["run/best.network: ", words, "take the file from a copy, or train again"]);
    }
    fs::remove_file(place.file("run/best.network")).unwrap();
    refuse_run(&place, &["run/best.network: the file is missing"]);
}

#[test]
fn files_of_another_run_are_refused() {
    let place = Place::with_run();
    place.train("other", &["--model", "text 80 > embedding 4 > lstm 9 > attention"]);
    let own = place.read("run/checkpoint");
    fs::copy(place.file("other/checkpoint"), place.file("run/checkpoint")).unwrap();
    let mut resume = place.latch(["train", "--resume", "--out", "run", "--json"]);
    place.refuse(&mut resume, &["run/checkpoint: its network is not the one of config.json"]);
    place.write("run/checkpoint", own);
    fs::copy(place.file("other/best.network"), place.file("run/best.network")).unwrap();
    refuse_run(&place, &["run/best.network: its network is not the one of config.json"]);
}

#[test]
fn a_run_without_a_finished_epoch_is_not_exported() {
    let place = Place::with_run();
    for name in ["best.network", "checkpoint", "metrics.jsonl", "curves.svg", "curves.png"] {
        fs::remove_file(place.file(&format!("run/{name}"))).unwrap();
    }
    let mut export = place.latch(["export", "--run", "run", "--out", "new.latch", "--json"]);
    place.refuse(&mut export, &["run: the run has no finished epoch", "--resume"]);
}

#[test]
fn a_refusal_halfway_through_many_files_leaves_the_older_ones() {
    // The third file of three cannot be written: the first two keep their old content.
    let place = Place::with_data(200);
    fs::remove_file(place.file("data/test.tsv.gz")).unwrap();
    fs::create_dir(place.file("data/test.tsv.gz")).unwrap();
    let before = tree(place.path());
    let mut data = place.latch(["data", "built-in", "--out", "data", "--examples", "100", "--seed", "9", "--json"]);
    place.refuse(&mut data, &["data/test.tsv.gz: it is a folder where a file is wanted"]);
    assert!(tree(place.path()) == before);
}

#[test]
fn data_that_takes_more_memory_than_permitted_is_refused_with_its_line() {
    let place = Place::with_data(200);
    let rows: String = (0..4000).map(|row| format!("{}\ttext {row}\n", row % 2)).collect();
    place.write("many.tsv", rows);
    let mut train =
        place.latch(["train", "--data", "many.tsv", "--model", TINY, "--out", "new", "--max-memory", "64KiB"]);
    place.refuse(&mut train, &["many.tsv:821", "texts take more than 64 KiB of memory", "--max-memory"]);
    place
        .refuse_usage(&mut place.latch(["train", "--max-memory", "much", "--data", "data", "--out", "new"]), &["much"]);
}

#[test]
fn a_pipe_a_device_and_a_loop_of_links_in_place_of_data_are_refused_at_once() {
    let place = Place::with_data(200);
    assert!(Command::new("mkfifo").arg(place.file("pipe.tsv")).status().unwrap().success());
    for (from, to) in [("there.tsv", "back.tsv"), ("back.tsv", "there.tsv")] {
        std::os::unix::fs::symlink(place.file(from), place.file(to)).unwrap();
    }
    std::os::unix::fs::symlink("/dev/zero", place.file("zero.csv")).unwrap();
    for (name, words) in
        [("pipe.tsv", "not an ordinary file"), ("there.tsv", "leads nowhere"), ("zero.csv", "not an ordinary file")]
    {
        refuse(&mut place.latch(["train", "--data", name, "--out", "new", "--json"]), &[name, words]);
        refuse(&mut place.latch(["tokens", "--data", "data", "--vocabulary", name, "--out", "new"]), &[name, words]);
    }
}

#[test]
fn a_pipe_or_a_device_in_place_of_a_runs_file_is_refused_at_once() {
    let place = Place::with_run();
    for name in ["config.json", "vocabulary.txt", "best.network"] {
        let file = place.file(&format!("run/{name}"));
        let kept = fs::read(&file).unwrap();
        for kind in ["pipe", "device"] {
            fs::remove_file(&file).unwrap();
            if kind == "pipe" {
                assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
            } else {
                std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
            }
            refuse(&mut place.latch(["export", "--run", "run", "--out", "new.latch"]), &[name, "not an ordinary file"]);
        }
        fs::remove_file(&file).unwrap();
        fs::write(&file, kept).unwrap();
    }
    succeed(&mut place.latch(["export", "--run", "run", "--out", "new.latch"]));
}

#[test]
fn what_an_image_says_of_itself_is_shown_without_commands_for_the_terminal() {
    let place = Place::with_images();
    let mut image = place.read("int8.latch");
    let producer = format!("latch {}", env!("CARGO_PKG_VERSION"));
    let at = image.windows(producer.len()).position(|bytes| bytes == producer.as_bytes()).expect("the producer");
    image[at..at + 6].copy_from_slice(b"\x1b[2J\n\x07");
    let checksum = image.len() - 4;
    let mut crc = flate2::Crc::new();
    crc.update(&image[..checksum]);
    image[checksum..].copy_from_slice(&crc.sum().to_le_bytes());
    place.write("odd.latch", image);
    let shown = answer(&mut place.latch(["inspect", "odd.latch"]));
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.stdout.contains("\\u{1b}[2J\\n\\u{7}"), "{}", shown.stdout);
    assert!(!shown.stdout.contains(['\u{1b}', '\u{7}']), "{}", shown.stdout);
    // The same of a path.
    let answer = answer(&mut place.latch(["inspect", "odd\u{1b}]0;x\u{7}"]));
    assert!(answer.stderr.contains("odd\\u{1b}]0;x\\u{7}") && !answer.stderr.contains('\u{1b}'), "{}", answer.stderr);
}

#[test]
fn a_text_for_an_image_of_samples_is_refused_with_the_verb_that_reads_series() {
    let place = Place::with_data(20);
    let row = |number: usize| format!("{}:{}\n", ["1,2,3,2", "5,1,0,4"][number % 2], ["up", "down"][number % 2]);
    let rows: String = (0..40).map(|number| row(number).replace("1,2", &format!("1.{number},2"))).collect();

    place.write("few.ts", format!("@univariate true\n@classLabel true up down\n@data\n{rows}"));
    let model = "samples > gru 2 > last > dense";
    let train = ["train", "--data", "few.ts", "--model", model, "--epochs", "1", "--valid", "0.5", "--out", "few"];
    assert!(place.latch(train).status().expect("it runs").success());
    let export = ["export", "--run", "few", "--precision", "int8", "--out", "few.latch"];
    assert!(place.latch(export).status().expect("it runs").success());
    place.refuse(
        &mut place.latch(["predict", "--image", "few.latch", "hello"]),
        &["few.latch: this image reads samples", "latch run"],
    );
}
