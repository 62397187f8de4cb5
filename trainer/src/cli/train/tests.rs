//! Every option of `latch train` counts under a budget, or is refused by its name.

use clap::{Args as _, Command, Parser};

use super::options::Args;
use crate::cli::args::TRIALS;
use crate::config::default_model;
use crate::search::Plan;
use latch_engine::input::text::Tokens as Units;

/// `latch train` by itself.
#[derive(Parser)]
struct Train {
    #[command(flatten)]
    args: Args,
}

/// What a command line of `latch train` asks a search for.
fn searched(line: &[&str]) -> anyhow::Result<(Plan, Option<Units>)> {
    let fixed = [["--data", "data.tsv"], ["--flash", "16KiB"], ["--out", "runs/x"]];
    let fixed = fixed.iter().filter(|[option, _]| !line.contains(option)).flatten();
    let Train { args } = Train::try_parse_from(["latch"].iter().chain(fixed).chain(line))?;
    let (base, units) = (args.searched()?, args.units.units());
    let budget = args.budget.budget().expect("a budget");
    let plan = Plan { latch: String::new(), budget, trials: TRIALS, minutes: None, base, valid_sha256: None };
    Ok((plan, units))
}

#[test]
fn every_option_counts_under_a_budget_or_is_refused_by_its_name() {
    let counts: [&[&str]; 22] = [
        &["--data", "other.tsv"],
        &["--task", "regress"],
        &["--label-column", "v1"],
        &["--text-column", "2"],
        &["--label-map", "ham=no,spam=yes"],
        &["--valid", "0.3"],
        &["--model", "embedding 4 word_dropout=0.1 > lstm 32 > attention > dense"],
        &["--units", "syllables"],
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
        &["--leave-out", "2/5"],
        &["--flash", "8KiB"],
        &["--ram", "1KiB"],
        &["--board", "nrf52840"],
    ];
    // Each with the option that is named: the others are nothing without it.
    let refused: [(&str, &[&str]); 7] = [
        ("--teacher", &["--teacher", "runs/teacher"]),
        ("--teacher", &["--distill", "0.3", "--teacher", "runs/teacher"]),
        ("--teacher", &["--distill-temperature", "2", "--teacher", "runs/teacher"]),
        ("--quantize", &["--quantize", "int8"]),
        ("--quantize", &["--quantize-epochs", "2", "--quantize", "int8"]),
        ("--quantize", &["--quantize-lr", "0.1", "--quantize", "int8"]),
        ("--checkpoint-every", &["--checkpoint-every", "1"]),
    ];
    // Where the run lies, what is printed, and going on with what has begun: no part of what is searched for.
    let others = ["out", "json", "resume"];

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
fn the_help_has_the_default_model() {
    let help = Args::augment_args(Command::new("train")).render_long_help().to_string();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains(&format!("[default: {}]", default_model())), "{help}");
}
