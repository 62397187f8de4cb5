//! `latch predict`: judge texts, and show the answers as they move.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use latch_engine::Model;
use latch_engine::Session;
use latch_engine::image::header::AnswerKind;

use super::output::{printing, say, warn};
use crate::dataset::MAX_LINE;
use crate::error::{fault, reading};
use crate::evaluate::{classes_of, open_image, read_image, state_for};
use crate::predict::{judge, respond, sentence, trail};

/// Print the answer to each text, the most probable classes or a number, and how it changes token by token. A tagging model answers every token.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch predict --image imdb.latch \"not a good film, but a great one\"\n  \
    latch predict --image imdb.latch \"a fine film\" \"a dull one\"\n  \
    latch predict --image imdb.latch --json - < reviews.txt")]
pub struct Args {
    /// File of the image
    #[arg(long)]
    image: PathBuf,
    /// The text, or - to read standard input, one text per line
    #[arg(default_value = "-", allow_hyphen_values = true)]
    text: String,
    /// More texts; one that begins with a dash stands behind --
    more: Vec<String>,
    /// Print one line of JSON per text
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// A fault when the image cannot be used, or when a line is too long or no UTF-8.
pub fn run(args: Args) -> Result<()> {
    let bytes = read_image(&args.image)?;
    let image = open_image(&bytes, &args.image)?;
    let (model, classes) = (Model::new(&image), classes_of(&image));
    if model.channels() > 0 {
        let problem = "this image reads samples of sensors, and no text";
        let remedy = "give it a series: latch run --image FILE --data SERIES";
        return Err(fault(args.image.display(), problem, remedy).into());
    }
    let mut state = state_for(&model);
    let mut session = model.session_in(&mut state)?;
    for text in [&args.text].into_iter().chain(&args.more) {
        match text.as_str() {
            "-" => answer_lines(&mut session, &classes, args.json)?,
            text => {
                if Path::new(text).is_file() {
                    warn(format_args!(
                        "{text} is a file too: it was taken as the text; its lines are answered by - < {text}"
                    ));
                }
                answer(&mut session, &classes, text, args.json)?;
            }
        }
    }
    Ok(())
}

/// Answers the lines of standard input.
fn answer_lines(session: &mut Session<'_, '_, '_>, classes: &[String], json: bool) -> Result<()> {
    if std::io::stdin().is_terminal() {
        say(true, format_args!("type a text and press Enter; Ctrl-D (Ctrl-Z on Windows) ends"));
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
        answer(session, classes, text, json)?;
    }
    Ok(())
}

fn answer(session: &mut Session<'_, '_, '_>, classes: &[String], text: &str, json: bool) -> Result<()> {
    let model = session.model();
    let text = if model.answer().kind == AnswerKind::Classes && model.outputs() == 1 && !model.answer().each_step {
        let verdict = judge(session, classes, text);
        if json { serde_json::to_string(&verdict)? } else { format!("{}\n{}", sentence(&verdict), trail(&verdict)) }
    } else {
        let response = respond(session, classes, text);
        if json { serde_json::to_string(&response)? } else { response.words() }
    };
    let mut out = std::io::stdout().lock();
    // A reader at the other end of a pipe gets each answer at once.
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(printing)
}
