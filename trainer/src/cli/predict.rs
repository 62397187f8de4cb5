//! `latch predict`: judge a text, and show the probability as it moves.

use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use latch_engine::model::{Model, Session};
use serde::Serialize;

use super::printing;
use crate::dataset::MAX_LINE;
use crate::error::{fault, reading};
use crate::evaluate::{open_image, read_image, state_for};

/// Judge texts: verdict, probability, and the trail of probabilities token by token.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch predict --image imdb.latch \"not a good film, but a great one\"\n  \
    latch predict --image imdb.latch --json - < reviews.txt")]
pub struct Args {
    /// File of the image
    #[arg(long)]
    image: PathBuf,
    /// The text, or - for standard input, a text a line
    #[arg(default_value = "-", allow_hyphen_values = true)]
    text: String,
    /// Print one line of JSON a text
    #[arg(long)]
    json: bool,
}

/// A text's verdict, and how it came about.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) positive: bool,
    pub(crate) probability: f32,
    pub(crate) tokens: u32,
    /// Each token that the network read, and the probability after it.
    pub(crate) trail: Vec<(String, f32)>,
}

/// Runs the verb.
///
/// # Errors
/// A fault when the image cannot be used, or when a line is too long or no UTF-8.
pub fn run(args: Args) -> Result<()> {
    let bytes = read_image(&args.image)?;
    let image = open_image(&bytes, &args.image)?;
    let model = Model::new(&image);
    let mut state = state_for(&model);
    let mut session = model.session_in(&mut state)?;
    if args.text != "-" {
        return answer(&mut session, &args.text, args.json);
    }
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        // One CRLF more than a line may have: what is longer than that is not read any further.
        let outcome = input.by_ref().take(MAX_LINE as u64 + 2).read_until(b'\n', &mut line);
        if outcome.map_err(|error| reading(Path::new("standard input"), error))? == 0 {
            break;
        }
        let line = line.strip_suffix(b"\n").map_or(&line[..], |line| line.strip_suffix(b"\r").unwrap_or(line));
        let place = format!("standard input:{number}");
        if line.len() > MAX_LINE {
            return Err(
                fault(place, format!("the line has more than {MAX_LINE} bytes"), "put one text on a line").into()
            );
        }
        let text = std::str::from_utf8(line).map_err(|error| {
            fault(place, format!("invalid UTF-8 at byte {}", error.valid_up_to()), "convert the text to UTF-8")
        })?;
        answer(&mut session, text, args.json)?;
    }
    Ok(())
}

fn answer(session: &mut Session<'_, '_, '_>, text: &str, json: bool) -> Result<()> {
    let verdict = judge(session, text);
    let text =
        if json { serde_json::to_string(&verdict)? } else { format!("{}\n{}", sentence(&verdict), trail(&verdict)) };
    let mut out = std::io::stdout().lock();
    // A reader at the other end of a pipe gets each answer at once.
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(printing)
}

/// Runs one text through a session from its beginning.
pub(crate) fn judge(session: &mut Session<'_, '_, '_>, text: &str) -> Verdict {
    session.reset();
    let mut trail = Vec::new();
    let mut note = |session: &Session<'_, '_, '_>, token: &[u8]| {
        trail.push((String::from_utf8_lossy(token).into_owned(), session.probability()));
    };
    session.push_bytes_each(text.as_bytes(), &mut note);
    session.finish_each(&mut note);
    Verdict {
        positive: session.output().is_positive(),
        probability: session.probability(),
        tokens: session.tokens(),
        trail,
    }
}

/// The verdict in words.
pub(crate) fn sentence(verdict: &Verdict) -> String {
    let word = if verdict.positive { "positive" } else { "negative" };
    if verdict.tokens == 0 {
        return format!(
            "{word}, probability {:.3} of positive: no known word, this is the bias alone",
            verdict.probability
        );
    }
    format!("{word}, probability {:.3} of positive, {} tokens", verdict.probability, verdict.tokens)
}

/// The trail, several tokens a line, each with the percentage after it.
pub(crate) fn trail(verdict: &Verdict) -> String {
    if verdict.trail.is_empty() {
        return "  (no token)".into();
    }
    let mut text = String::from(" ");
    let mut column = 0;
    for (token, probability) in &verdict.trail {
        let step = format!(" {token} {:.0}%", 100.0 * probability);
        if column + step.chars().count() > 100 {
            text.push_str("\n ");
            column = 0;
        }
        column += step.chars().count();
        text.push_str(&step);
    }
    text
}
