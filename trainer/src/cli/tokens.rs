//! `latch tokens`: from labelled texts to ids, so that no other framework needs a tokenizer.

use std::path::PathBuf;

use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;

use super::args::positive;
use super::columns::ColumnArgs;
use super::kinds::TokenKind;
use super::output::{answer, print_json};
use crate::counted::counted;
use crate::dataset::{Dataset, Part, Reading, list};
use crate::error::fault;
use crate::exchange::UnknownRule;
use crate::files::stage;
use crate::runs::folder::{RunFolder, read_list, stage_words};
use crate::vocabulary::Vocabulary;

/// Write labelled texts as ids, one line of JSON per text: {"ids":[7,1,42],"label":1}. A label is the number of its class.
///
/// A word's id is its line in the vocabulary file, from 0; an unknown word gets the id after the last, or is left out.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch tokens --data imdb/train.tsv.gz --words 5000 --vocabulary vocabulary.txt --out train.jsonl\n  \
    latch tokens --data imdb/valid.tsv.gz --vocabulary vocabulary.txt --out valid.jsonl\n  \
    latch tokens --data imdb/valid.tsv.gz --run runs/imdb --out valid.jsonl")]
#[command(group = clap::ArgGroup::new("words_of").required(true).args(["run", "vocabulary"]))]
pub struct Args {
    /// Labelled texts, as `latch train` takes them
    #[arg(long)]
    data: PathBuf,
    #[command(flatten)]
    columns: ColumnArgs,
    /// Run whose vocabulary is used
    #[arg(long, conflicts_with_all = ["words", "tokens", "unknown"])]
    run: Option<PathBuf>,
    /// File of the words, one per line
    #[arg(long)]
    vocabulary: Option<PathBuf>,
    /// Choose the COUNT most frequent words of the data, and write them to --vocabulary
    #[arg(long, value_name = "COUNT", value_parser = positive)]
    words: Option<usize>,
    /// What a token is; the same for all files of one vocabulary
    #[arg(long, value_enum, default_value = "words")]
    tokens: TokenKind,
    /// How a word outside --vocabulary is treated
    #[arg(long, value_enum, default_value = "row")]
    unknown: UnknownRule,
    /// File of the ids
    #[arg(long)]
    out: PathBuf,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Text {
    ids: Vec<u32>,
    label: u32,
}

#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    texts: usize,
    tokens: usize,
    words: usize,
    /// Rows that an embedding needs: the words, and one more where unknown words have a row.
    rows: usize,
    /// The names of the classes, in the order of the labels' numbers.
    classes: &'a [String],
}

/// Runs the verb.
///
/// # Errors
/// A fault when the data, the vocabulary or the output cannot be used. Then no file is written.
pub fn run(args: Args) -> Result<()> {
    let (mut reading, mut words) = (Reading::default().within(args.columns.columns()?), None);
    if let Some(run) = &args.run {
        let folder = RunFolder::new(run);
        let config = folder.config()?;
        words = Some(folder.vocabulary(&config.train)?);
        let columns = reading.columns.clone().over(config.columns);
        reading = reading.within(columns).among(&config.classes);
    }
    let data = Dataset::<u32>::load_for(&args.data, Part::Train, &reading)?;
    let (tokens, unknown) = (args.tokens.tokens(), args.unknown.into());
    let vocabulary = match (words, &args.vocabulary, args.words) {
        (Some(words), _, _) => words,
        (None, _, Some(count)) => {
            let texts = data.examples.iter().map(|example| example.text.as_str());
            // From the words alone, as whoever reads them from the file makes it.
            let chosen = Vocabulary::build_of(tokens, texts, count, unknown);
            Vocabulary::from_words_of(tokens, chosen.words().to_vec(), unknown)
        }
        (None, Some(path), None) => {
            let words = read_list(path)?;
            if let Some(pair) = words.windows(2).find(|pair| pair[0] >= pair[1]) {
                let problem =
                    format!("{:?} stands before {:?}, but words have ids in their byte order", pair[0], pair[1]);
                return Err(fault(path.display(), problem, "name a file that `latch tokens --words` wrote").into());
            }
            Vocabulary::from_words_of(tokens, words, unknown)
        }
        (None, None, None) => anyhow::bail!("neither --run nor --vocabulary is given"),
    };
    vocabulary.check(&args.data, "--words")?;
    let texts: Vec<Text> = data
        .examples
        .par_iter()
        .map(|example| Text { ids: vocabulary.ids(&example.text), label: example.label })
        .collect();
    let ids = stage(&args.out, |out| {
        texts.iter().try_for_each(|text| {
            serde_json::to_writer(&mut *out, text)?;
            Ok(out.write_all(b"\n")?)
        })
    })?;
    if let (Some(_), Some(path)) = (args.words, &args.vocabulary) {
        stage_words(path, &vocabulary)?.keep()?;
    }
    ids.keep()?;
    let tokens = texts.iter().map(|text| text.ids.len()).sum();
    let line = Line {
        path: &args.out.display().to_string(),
        texts: texts.len(),
        tokens,
        words: vocabulary.words().len(),
        rows: vocabulary.rows(),
        classes: &data.classes,
    };
    answer(
        args.json,
        format_args!(
            "{}, {tokens} tokens of {}, for an embedding of {} rows; labels 0 to {} are {}; wrote {}",
            counted(line.texts, "text"),
            counted(line.words, "word"),
            line.rows,
            data.classes.len().saturating_sub(1),
            list(&data.classes),
            line.path
        ),
    )?;
    if args.json {
        print_json(&line)?;
    }
    Ok(())
}
