//! `latch-sim verify`: the certificate that boards compute what this host computes.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use latch_data::counted::counted;
use latch_data::dataset::built_in;
use latch_engine::kernels::AnyBackend;
use latch_firmware_sim::link::host::batch::{Batch, Transcript};
use latch_firmware_sim::link::host::difference::{self, Difference};
use latch_firmware_sim::link::host::{LinkError, reference};
use latch_firmware_sim::link::message::Refusal;
use latch_firmware_sim::sim::source::Text;
use latch_parts::boards::{BOARDS, Board};
use serde::Serialize;

use crate::emulated;
use crate::series::made_up;
use crate::texts::{ColumnArguments, FLOAT_TOLERANCE, Loaded, labelled};

/// Compare emulated boards with this host: the same texts or series, the same bits after every token or step.
///
/// Every board runs twice, with plain kernels and with its own. Most images share one firmware, so that a second image needs no
/// new build. On this host every backend must agree. Floats must be close.
/// Integers must be equal; if they are not, the report names the text, the token and the first part of the model that differs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch-sim verify --image model.latch --board all\n  \
    latch-sim verify --image vowels.latch --board all --data vowels_TEST.ts\n  \
    latch-sim verify --image model.latch --board microbit --data imdb/test.tsv.gz --limit 100")]
pub(crate) struct Args {
    /// Image that `latch export` wrote
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    /// The board, or `all`
    #[arg(long, value_name = "NAME")]
    board: String,
    /// Texts or series, in any format that `latch train` reads [default: made-up reviews, or noise]
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// How many texts or series
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[command(flatten)]
    columns: ColumnArguments,
    /// Print one line of JSON per firmware
    #[arg(long)]
    json: bool,
}

/// Seed of the made-up reviews.
const SEED: u64 = 1;

/// One firmware's result.
#[derive(Serialize)]
struct Line {
    board: &'static str,
    kernels: &'static str,
    precision: &'static str,
    texts: u32,
    tokens: u32,
    /// `None` where the board refused.
    digest: Option<String>,
    host_digest: String,
    equal: bool,
    /// Of float logits, relative to 1 + the logit.
    #[serde(skip_serializing_if = "Option::is_none")]
    largest_difference: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<String>,
}

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<()> {
    let boards: Vec<&Board> =
        if args.board == "all" { BOARDS.iter().collect() } else { vec![emulated::board(&args.board)?] };
    let image = Loaded::read(&args.image)?;
    let texts: Vec<Text> = match &args.data {
        Some(path) => {
            labelled(path, Some(args.limit), (&image.answers, Some(&image)), &args.columns)?.collect::<Result<_>>()?
        }
        None if image.answers.channels > 0 => made_up(image.answers.channels, SEED as u32, args.limit as usize),
        None => {
            let reviews = built_in::generate(SEED, args.limit as usize).into_iter();
            reviews.map(|review| Text { bytes: review.text.into(), label: Some(review.label) }).collect()
        }
    };
    // The first backend is the one that every processor has: the plain one defines the bits.
    let plain = AnyBackend::all().next().unwrap_or_else(AnyBackend::detect);
    let batch = Batch::new(texts.iter().map(|text| &text.bytes), false);
    let expected = reference::transcript(&image.bytes, plain, &batch)?;
    let certificate = Certificate { image: &image, texts: &texts, batch, plain, expected, json: args.json };

    let mut failures = 0;
    for backend in AnyBackend::all().skip(1) {
        let session = |batch: &Batch| Ok(reference::transcript(&image.bytes, backend, batch)?);
        failures += usize::from(!certificate.check("host", backend.name(), session)?);
    }
    for board in boards {
        for (scalar, kernels) in [(true, "plain"), (false, "own")] {
            let elf = emulated::build_usual(board, &image, scalar)?;
            let session = |batch: &Batch| Ok(emulated::session(board, &elf, &image, batch, None)?.0);
            failures += usize::from(!certificate.check(board.name, kernels, session)?);
        }
    }
    match failures {
        0 => Ok(()),
        count => bail!("{count} of the above computed something else than this host's plain kernels"),
    }
}

/// What every board is held to.
struct Certificate<'t> {
    image: &'t Loaded,
    texts: &'t [Text],
    batch: Batch,
    plain: AnyBackend,
    expected: Transcript,
    json: bool,
}

impl Certificate<'_> {
    /// Compares a firmware with this host, says what came of it, and whether it is well. `session` runs the firmware.
    fn check(
        &self,
        board: &'static str,
        kernels: &'static str,
        session: impl Fn(&Batch) -> Result<Transcript>,
    ) -> Result<bool> {
        let found = match session(&self.batch) {
            Ok(found) => found,
            Err(error) if is_failed_self_test(&error) => {
                let difference = format!("the image's self-test fails; {}", self.explain(None, session)?);
                return self.tell(&Line { difference: Some(difference), ..self.line(board, kernels) }).map(|()| false);
            }
            Err(error) => return Err(error),
        };
        let exact = self.image.precision.is_integer();
        let largest = (!exact).then(|| difference::largest(&self.expected, &found));
        let first = difference::first(&self.expected, &found);
        let well = largest.map_or(first.is_none(), |largest| largest <= FLOAT_TOLERANCE);
        let difference = match first {
            Some(first) if !well => Some(self.explain(Some(first), session)?),
            _ => None,
        };
        self.tell(&Line {
            texts: found.summary.texts,
            tokens: found.summary.tokens,
            digest: Some(format!("{:016x}", found.summary.digest)),
            equal: first.is_none(),
            largest_difference: largest,
            difference,
            ..self.line(board, kernels)
        })?;
        Ok(well)
    }

    /// The line of a board that has said nothing.
    fn line(&self, board: &'static str, kernels: &'static str) -> Line {
        Line {
            board,
            kernels,
            precision: self.image.precision_name,
            texts: 0,
            tokens: 0,
            digest: None,
            host_digest: format!("{:016x}", self.expected.summary.digest),
            equal: false,
            largest_difference: None,
            difference: None,
        }
    }

    fn tell(&self, line: &Line) -> Result<()> {
        let text = if self.json { serde_json::to_string(line)? } else { sentence(line, self.image.answers.things()) };
        writeln!(io::stdout().lock(), "{text}").context("writing to standard output")
    }

    /// Runs the text that differs once more, or all of them, with a digest of every layer after every token, and says where they part.
    fn explain(&self, first: Option<Difference>, session: impl Fn(&Batch) -> Result<Transcript>) -> Result<String> {
        let texts = match first {
            Some(first) => self.texts.get(first.text..=first.text).unwrap_or(&[]),
            None => self.texts,
        };
        let batch = Batch::new(texts.iter().map(|text| &text.bytes), true);
        let expected = reference::transcript(&self.image.bytes, self.plain, &batch)?;
        let Some(traced) = difference::first(&expected, &session(&batch)?) else {
            return Ok("what was tried once more, step by step, differs in nothing".into());
        };
        let number = first.map_or(0, |first| first.text) + traced.text + 1;
        let tokens = texts.get(traced.text).map(|text| self.image.tokens(&text.bytes)).transpose()?.unwrap_or_default();
        let [thing, step] = self.image.answers.things();
        let token = match tokens.get(traced.token) {
            Some((token, _)) if token.is_empty() => String::new(),
            Some((token, _)) => format!(" ({token:?})"),
            None => " (\"the end\")".to_owned(),
        };
        Ok(format!("{thing} {number}, {step} {}{token}: {}", traced.token + 1, traced.stage))
    }
}

/// True when a board does not even do what the image's writer did.
fn is_failed_self_test(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref::<LinkError>(), Some(LinkError::Refused(Refusal::SelfTest))))
}

/// A result for people.
fn sentence(line: &Line, [thing, step]: [&str; 2]) -> String {
    let result = match (&line.difference, line.largest_difference) {
        (Some(difference), _) => format!("DIFFERS from this host: {difference}"),
        (None, _) if line.equal => "as on this host".to_owned(),
        (None, largest) => format!("within {:.1e} of this host", largest.unwrap_or(0.0)),
    };
    let digest = line.digest.as_deref().unwrap_or("none");
    format!(
        "{:<12} {:<6} {}, {}, digest {digest}: {result}",
        line.board,
        line.kernels,
        counted(line.texts, thing),
        counted(line.tokens, step)
    )
}
