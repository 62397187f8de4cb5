//! Every option of `latch train` counts under a budget, or is refused by its name.

use clap::{Args as _, Command, Parser};

use super::options::Args;
use super::{OF_A_CALL, command};
use crate::search::Plan;
use crate::settings::Settings;
use latch_engine::input::text::Tokens;

/// `latch train` by itself.
#[derive(Parser)]
struct Train {
    #[command(flatten)]
    args: Args,
}

/// What a command line of `latch train` asks a search for.
fn searched(line: &[&str]) -> anyhow::Result<(Plan, Option<Tokens>)> {
    let fixed = [["--data", "data.tsv"], ["--flash", "16KiB"], ["--out", "runs/x"]];
    let fixed = fixed.iter().filter(|[option, _]| !line.contains(option)).flatten();
    let Train { args } = Train::try_parse_from(["latch"].iter().chain(fixed).chain(line))?;
    let (base, units) = (args.searched()?, args.tokens.tokens());
    let (budget, trials, minutes) = args.budget.search().expect("a budget");
    let plan = Plan { latch: String::new(), budget, trials, minutes, base, valid_sha256: None };
    Ok((plan, units))
}

#[test]
fn every_option_counts_under_a_budget_or_is_refused_by_its_name() {
    let counts: [&[&str]; 29] = [
        &["--data", "other.tsv"],
        &["--task", "regress"],
        &["--label-column", "v1"],
        &["--text-column", "2"],
        &["--label-map", "ham=no,spam=yes"],
        &["--valid", "0.3"],
        &["--model", "embedding 4 word_dropout=0.1 > lstm 32 > attention > dense"],
        &["--tokens", "syllables"],
        &["--epochs", "3"],
        &["--batch", "7"],
        &["--lr", "0.1"],
        &["--seed", "9"],
        &["--max-tokens", "11"],
        &["--clip-norm", "0.5"],
        &["--weight-decay", "0.1"],
        &["--label-smoothing", "0.1"],
        &["--average", "0"],
        &["--patience", "1"],
        &["--class-weights", "balanced"],
        &["--select", "macro-f1"],
        &["--threshold", "f1"],
        &["--label-pattern", "^(.*):"],
        &["--encoding", "latin1"],
        &["--leave-out", "2/5"],
        &["--flash", "8KiB"],
        &["--ram", "1KiB"],
        &["--board", "nrf52840"],
        &["--trials", "5"],
        &["--minutes", "2.5"],
    ];
    // Each with the option that is named: the others are nothing without it.
    let refused: [(&str, &[&str]); 20] = [
        ("--warm-up", &["--warm-up", "some words"]),
        ("--fast", &["--fast"]),
        ("--folds", &["--folds", "5"]),
        ("--resume-from", &["--resume-from", "runs/one"]),
        ("--teacher", &["--teacher", "runs/teacher"]),
        ("--teacher", &["--distill", "0.3", "--teacher", "runs/teacher"]),
        ("--teacher", &["--distill-temperature", "2", "--teacher", "runs/teacher"]),
        ("--quantize", &["--quantize", "int8"]),
        ("--quantize", &["--quantize-epochs", "2", "--quantize", "int8"]),
        ("--quantize", &["--quantize-lr", "0.1", "--quantize", "int8"]),
        ("--checkpoint-every", &["--checkpoint-every", "1"]),
        ("--channels", &["--channels", "x,y"]),
        ("--series-column", &["--series-column", "id"]),
        ("--time-column", &["--time-column", "1"]),
        ("--missing", &["--missing", "hold"]),
        ("--window", &["--window", "9"]),
        ("--window", &["--stride", "3", "--window", "9"]),
        ("--horizon", &["--horizon", "2"]),
        ("--augment", &["--augment", "noise=0.1"]),
        ("--window", &["--carry", "--window", "9"]),
    ];
    // Where the run lies, what is printed, and going on with what has begun: no part of what is searched for.
    let others = ["out", "json", "resume", "config"];
    let plain = searched(&[]).expect("a search");
    for line in counts {
        let other = searched(line).unwrap_or_else(|error| panic!("{line:?}: {error:#}"));
        assert!(other != plain, "{line:?} changes nothing");
    }
    let board = searched(&["--board", "nrf52840"]).expect("a search");
    assert!(searched(&["--board", "nrf52840", "--latency", "1ms"]).expect("a search") != board);
    for (option, line) in &refused {
        let error = searched(line).expect_err("refused").to_string();
        assert!(error.starts_with(&format!("{option}: ")), "{line:?}: {error}");
    }

    let known: Vec<&str> = counts
        .iter()
        .map(|line| line[0])
        .chain(["--latency"])
        .chain(refused.iter().map(|(_, line)| line[0]))
        .filter_map(|option| option.strip_prefix("--"))
        .chain(others)
        .collect();
    let command = Args::augment_args(Command::new("train"));
    for option in command.get_arguments().filter_map(|argument| argument.get_long()) {
        assert!(known.contains(&option), "this test does not know --{option}");
    }
}

#[test]
fn every_option_in_a_file_is_the_same_as_on_the_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("latch.toml");
    let path = |name: &str| folder.path().join(name).display().to_string();
    // What an option needs that it is nothing without, and what it is given.
    let with = |needed: &[(&'static str, &str)], option: &'static str, value: &str| {
        let all = needed.iter().copied().chain([(option, value)]);
        all.map(|(option, value)| (option, value.to_owned())).collect::<Vec<_>>()
    };
    let mut calls = vec![
        with(&[], "data", &path("other.tsv")),
        with(&[], "task", "regress"),
        with(&[], "label-column", "v1"),
        with(&[], "text-column", "words"),
        with(&[], "label-map", "ham=no,spam=yes"),
        with(&[], "valid", &path("valid.tsv")),
        with(&[], "valid", "0.3"),
        with(&[], "model", "embedding 4 word_dropout=0.1 > lstm 32 > attention > dense"),
        with(&[], "tokens", "syllables"),
        with(&[("teacher", &path("runs/one"))], "distill", "0.3"),
        with(&[("teacher", &path("runs/one"))], "distill-temperature", "2"),
        with(&[], "leave-out", "2/5"),
        with(&[], "quantize", "int4"),
        with(&[("quantize", "int8")], "quantize-epochs", "2"),
        with(&[("quantize", "int8")], "quantize-lr", "0.1"),
        with(&[], "class-weights", "ham=1,spam=20"),
        with(&[], "warm-up", "some words"),
        with(&[], "select", "accuracy"),
        with(&[], "threshold", "f1"),
        with(&[], "folds", "5"),
        with(&[], "label-pattern", "^(.*):"),
        with(&[], "encoding", "latin1"),
        with(&[], "out", &path("runs/other")),
        with(&[], "flash", "8KiB"),
        with(&[], "flash", "8192"),
        with(&[("flash", "8KiB")], "ram", "1KiB"),
        with(&[("flash", "8KiB")], "board", "nrf52840"),
        with(&[("flash", "8KiB")], "trials", "5"),
        with(&[("flash", "8KiB")], "minutes", "2.5"),
        with(&[("flash", "8KiB"), ("board", "nrf52840")], "latency", "1ms"),
    ];
    calls.extend(["teacher", "resume-from"].map(|option| with(&[], option, &path("runs/one"))));
    calls.extend([
        with(&[], "channels", "x"),
        with(&[], "series-column", "id"),
        with(&[], "time-column", "month"),
        with(&[], "missing", "hold"),
        with(&[], "window", "9"),
        with(&[("window", "9")], "stride", "3"),
        with(&[], "horizon", "2"),
        with(&[], "augment", "noise=0.1,shift=2"),
        with(&[("window", "9")], "carry", "true"),
    ]);
    for option in ["epochs", "batch", "seed", "max-tokens", "patience"] {
        calls.push(with(&[], option, "7"));
    }
    for option in ["lr", "clip-norm", "weight-decay", "label-smoothing", "average"] {
        calls.push(with(&[], option, "0.125"));
    }
    let command = command();
    let settings = Settings::new(&command, &OF_A_CALL);
    let parse = |more: &[std::ffi::OsString]| {
        let fixed = [["--data", "data.tsv"], ["--out", "runs/x"]];
        let given = |option: &str| more.iter().any(|word| word.to_string_lossy().starts_with(&format!("{option}=")));
        let fixed = fixed.iter().filter(|[option, _]| !given(option)).flatten().map(std::ffi::OsString::from);
        let line = ["latch".into()].into_iter().chain(fixed).chain(more.iter().cloned());
        format!("{:?}", Train::try_parse_from(line).unwrap_or_else(|error| panic!("{error}")).args)
    };
    let nothing = command.clone().ignore_errors(true).get_matches_from(["train"]);
    for call in &calls {
        // A flag has no value.
        let word = |option: &str, value: &str| format!("--{option}={value}").replace("=true", "").into();
        let line: Vec<_> = call.iter().map(|(option, value)| word(option, value)).collect();
        let toml = call.iter().map(|(option, value)| match value == "true" || value.parse::<f64>().is_ok() {
            true => format!("{option} = {value}\n"),
            false => format!("{option} = {value:?}\n"),
        });
        std::fs::write(&file, toml.collect::<String>()).expect("a file");
        let of_file = settings.with_file(&file, &nothing).unwrap_or_else(|error| panic!("{error}"));
        assert!(!of_file.is_empty(), "{call:?}");
        assert_eq!(parse(&of_file), parse(&line), "{call:?}");
    }
    for option in command.get_arguments().filter_map(|argument| argument.get_long()) {
        let tried = calls.iter().any(|call| call.last().is_some_and(|(last, _)| *last == option));
        assert!(tried || OF_A_CALL.contains(&option), "this test does not know --{option}");
    }
}
