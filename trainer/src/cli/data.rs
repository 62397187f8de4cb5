//! `latch data`: puts a data set into a folder, divided into parts.

mod series;
mod source;

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use serde_json::json;

use crate::dataset::fetch::{self, Fetched};
use crate::dataset::{Dataset, Part, built_in, messages, stage_tsv_gz};
use crate::error::fault;
use crate::files::{OutputFolder, Staged};
pub use source::Source;

/// How many reviews the built-in set has if `--examples` does not say so.
const BUILT_IN_EXAMPLES: usize = 10_000;

/// How many messages the set of them has if `--examples` does not say so.
const MESSAGES: usize = 5_000;

/// The shares of the parts for training, validation and test.
const FRACTIONS: [f64; 3] = [0.8, 0.1, 0.1];

/// Write a ready-made data set into a folder, divided into parts.
///
/// Of texts: train.tsv.gz, valid.tsv.gz and test.tsv.gz (80, 10 and 10 percent). Each line is
/// label<TAB>text. No text is in two parts. The same seed gives the same files.
///
/// Of series: train.ts.gz and test.ts.gz, with the published split; of airline the last third is
/// the test part. Without a network, generated series of the same shape stand in their place.
#[derive(Debug, Clone, Parser)]
#[command(after_help = "Examples:
  latch data imdb --out data/imdb
  latch data built-in --out data/built-in --examples 20000 --seed 7 --json
  latch data japanese-vowels --out data/vowels")]
pub struct Args {
    /// Which data set
    #[arg(value_enum)]
    pub source: Source,

    /// Folder to write to; created if it does not exist
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// Random seed for choosing or making the examples and for dividing them
    #[arg(long, default_value_t = 0)]
    pub seed: u64,

    /// Number of texts in all three parts together [default: 25000 for imdb, 10000 for built-in, 5000 for messages]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(20..=10_000_000))]
    pub examples: Option<u32>,

    /// Print the result as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs `latch data`: writes the three files, then prints how many examples each has.
///
/// # Errors
/// A [`Fault`](crate::error::Fault) if the reviews cannot be fetched, if there are fewer than were asked for, or if the folder cannot be
/// written to.
pub fn run(args: Args) -> Result<()> {
    run_to(&args, &mut io::stdout().lock())
}

/// [`run`] with its output named.
fn run_to(args: &Args, out: &mut dyn Write) -> Result<()> {
    // Before any work: a folder that cannot be written to should not cost a download.
    let folder = OutputFolder::create(&args.out)?;
    let count = args.examples.map(|count| count as usize);
    match args.source {
        Source::Series(set) => series::write(set, args, out)?,
        Source::Imdb => write_texts(imdb(args)?, args, out)?,
        Source::BuiltIn => {
            let examples = built_in::generate(args.seed, count.unwrap_or(BUILT_IN_EXAMPLES));
            write_texts(Dataset::new("built-in", examples).named(built_in::CLASSES), args, out)?;
        }
        Source::Messages => {
            let examples = messages::generate(args.seed, count.unwrap_or(MESSAGES));
            write_texts(Dataset::new("messages", examples).named(messages::CLASSES), args, out)?;
        }
    }
    folder.keep();
    Ok(())
}

/// Writes the three parts of a set of texts, and says how many each has.
fn write_texts(set: Dataset, args: &Args, out: &mut dyn Write) -> Result<()> {
    let (name, sha256) = (set.name.clone(), set.sha256.clone());
    let parts = set.split(args.seed, FRACTIONS)?;
    let counts = parts.each_ref().map(|part| part.examples.len());
    // Three files of one split, or none: parts of two splits side by side would share texts.
    let staged: Vec<Staged> = parts
        .iter()
        .zip([Part::Train, Part::Valid, Part::Test])
        .map(|(part, kind)| stage_tsv_gz(&args.out.join(format!("{kind}.tsv.gz")), &part.classes, &part.examples))
        .collect::<Result<_>>()?;
    for file in staged {
        file.keep()?;
    }

    let path = args.out.display().to_string();
    let [train, valid, test] = counts;
    if args.json {
        let line = json!({
            "path": path, "name": name, "seed": args.seed,
            "train": train, "valid": valid, "test": test, "sha256": sha256,
        });
        writeln!(out, "{line}").map_err(super::output::printing)?;
    } else {
        writeln!(out, "{name}: {train} examples to train, {valid} to validate, {test} to test, in {path}")
            .map_err(super::output::printing)?;
    }
    Ok(())
}

/// The film reviews, or as many of them as are asked for.
fn imdb(args: &Args) -> Result<Dataset> {
    let path = match fetch::imdb()? {
        Fetched::Ready(path) => path,
        Fetched::Offline(reason) => {
            return Err(fault(
                "imdb",
                format!("the reviews cannot be fetched: {reason}"),
                "connect this machine and try again, or take `latch data built-in`",
            )
            .into());
        }
    };
    let set = fetch::load(&path)?;
    match args.examples {
        Some(count) => set.sample(args.seed, count as usize),
        None => Ok(set),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::exit_code;
    use clap::CommandFactory;
    use std::collections::HashSet;
    use std::path::Path;

    fn args(out: &Path, more: &[&str]) -> Args {
        let fixed = ["data", "built-in", "--json", "--out", out.to_str().unwrap()];
        Args::try_parse_from(fixed.iter().chain(more)).unwrap()
    }

    #[test]
    fn three_parts_are_written_that_share_no_text_and_twice_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let out = folder.path().join("deep").join(name);
            let mut printed = Vec::new();
            run_to(&args(&out, &["--examples", "400", "--seed", "3"]), &mut printed).unwrap();
            let line: serde_json::Value = serde_json::from_slice(&printed).unwrap();
            assert_eq!((line["train"].as_u64(), line["name"].as_str()), (Some(320), Some("built-in")));
            [Part::Train, Part::Valid, Part::Test].map(|part| {
                let bytes = std::fs::read(out.join(format!("{part}.tsv.gz"))).unwrap();
                (bytes, Dataset::load_part(&out, part).unwrap().examples)
            })
        };
        let parts = write("a");
        assert_eq!(parts, write("b"));
        assert_eq!(parts.each_ref().map(|(_, examples)| examples.len()), [320, 40, 40]);
        let texts: HashSet<_> =
            parts.iter().flat_map(|(_, examples)| examples).map(|example| (example.label, &example.text)).collect();
        assert_eq!(texts.len(), 400);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        for out in [file.clone(), file.join("below")] {
            assert_eq!(exit_code(&run_to(&args(&out, &[]), &mut io::sink()).unwrap_err()), 2);
        }
    }

    #[test]
    fn the_command_line_is_consistent_and_its_help_has_an_example() {
        let mut command = Args::command();
        command.clone().debug_assert();
        assert!(command.render_help().to_string().contains("latch data imdb --out"));
        assert!(Args::try_parse_from(["data", "imdb"]).is_err());
        assert!(Args::try_parse_from(["data", "built-in", "--out", "x", "--examples", "0"]).is_err());
    }
}
