//! `latch-sim link`: texts or series to a board at the end of a serial line, tokens and verdicts back as they come.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use latch_data::counted::counted;
use latch_data::error::fault;
use latch_data::shown::shown;
use latch_emulator::boot;
use latch_emulator::firmware::Port;
use latch_engine::{Logit, Precision};
use latch_firmware_sim::board::{Input, Meaning, Verdict};
use latch_firmware_sim::link::host::wire::{self, Wire};
use latch_firmware_sim::link::host::{Client, Info, Patience, Summary, Token};
use serde::Serialize;

use crate::emulated;
use crate::texts::{Answers, Arguments, FLOAT_TOLERANCE, Loaded, Tally, no_text};

/// Talk to a board that runs Latch's firmware for a serial line: a real one, or an emulated one.
///
/// Without --text and --data every line of standard input is a text. With --image every token's logit is compared with this host's:
/// integers must be equal.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch-sim link --port /dev/ttyACM0 --image model.latch --text \"a wonderful film\"\n  \
    latch-sim link --board mps2-an386 --image model.latch")]
#[command(group = clap::ArgGroup::new("line").required(true).args(["port", "board"]))]
pub(crate) struct Args {
    /// The serial device, or a socket of the local machine
    #[arg(long, value_name = "PATH")]
    port: Option<PathBuf>,
    /// An emulated board, which is built and booted with --image in its flash
    #[arg(long, value_name = "NAME", requires = "image")]
    board: Option<String>,
    /// Image in the board's flash, to compare every logit with this machine's and to name the classes
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    #[command(flatten)]
    input: Arguments,
    /// Baud rate of the serial device
    #[arg(long, default_value_t = 115_200)]
    baud: u32,
    /// Seconds to wait for an answer
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    patience: u64,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// The line for machines.
#[derive(Serialize)]
struct Line<'a> {
    board: &'a str,
    image: String,
    precision: &'a str,
    texts: u32,
    tokens: u32,
    digest: String,
    /// True when every logit was held to this host's.
    compared: bool,
    /// Requests that were sent again.
    repeats: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logit: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
}

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<()> {
    let image = args.image.as_deref().map(Loaded::read).transpose()?;
    let patience = Patience { answer: Duration::from_secs(args.patience), ..Patience::default() };
    match (&args.port, &args.board, &image) {
        (Some(path), _, _) => converse(wire::open(path, args.baud)?, patience, args, image.as_ref()),
        (None, Some(name), Some(image)) => {
            let board = emulated::board(name)?;
            let elf = emulated::build(board, image, false, Port::Uart)?;
            converse(boot::boot_serial(board, &elf, Some(&image.path), patience.answer)?, patience, args, Some(image))
        }
        _ => Err(fault("link", "there is no board to talk to", "give --port, or --board and --image").into()),
    }
}

/// Greets a board, sends it all texts, and shows what comes back.
fn converse(wire: impl Wire, patience: Patience, args: &Args, image: Option<&Loaded>) -> Result<()> {
    let mut client = Client::greet(wire, patience, false)?;
    let info = client.info().cloned().context("a greeted board has said what it is")?;
    if let Some(image) = image.filter(|image| image.crc != info.image) {
        let problem = format!(
            "its checksum is {:08x}, and the board {} runs the image {:08x}",
            image.crc, info.board, info.image
        );
        return Err(fault(
            image.path.display(),
            problem,
            "program it into the board's flash, or name the one that is there",
        )
        .into());
    }
    if !args.json && io::stderr().is_terminal() {
        eprintln!("latch-sim: {} runs the {} image {:08x}", info.board, info.precision.name(), info.image);
    }
    // A board does not tell the names of classes: its image does.
    let answers = image.map_or_else(|| Answers::numbered(info.meaning, info.channels), |image| image.answers.clone());
    let mut source = args.input.source(&answers, image)?;
    let mut tally = Tally::default();
    let mut text = Vec::new();
    let mut buffer = [0; 64];
    let mut show = Show { tokens: Vec::new(), image, expected: Vec::new(), quiet: args.json, answers: &answers };
    loop {
        let input = source.read(&mut buffer)?;
        match input {
            Input::Bytes(count) => {
                let bytes = buffer.get(..count).unwrap_or(&buffer);
                text.extend_from_slice(bytes);
                if answers.channels == 0 {
                    show.expect(&text)?;
                }
                client.push(bytes, &mut |token| show.take(token))?;
            }
            Input::End if text.is_empty() => break,
            Input::EndOfText | Input::End => {
                if answers.channels > 0 {
                    show.expect(&text)?;
                }
                let verdict = client.finish(&mut |token| show.take(token))?;
                let probability = match image {
                    Some(image) => image.probability(&text, &verdict)?,
                    None => None,
                };
                show.end(&verdict, probability, &info)?;
                tally.add(verdict, probability, source.label());
                text.clear();
                if input == Input::End {
                    break;
                }
            }
            Input::Restart => text.clear(),
        }
    }
    let repeats = client.repeats();
    let summary = client.end()?;
    if summary.texts == 0 {
        return Err(no_text().into());
    }
    let output = if args.json {
        json(&info, &answers, &summary, &tally, repeats, args)?
    } else {
        table(&info, &summary, &tally, (repeats, answers.things()), args)?
    };
    io::stdout().lock().write_all(output.as_bytes()).context("writing to standard output")
}

/// The tokens of the text that is under way.
struct Show<'a> {
    tokens: Vec<Token>,
    image: Option<&'a Loaded>,
    /// The words and logits of the text so far by this host, where there is an image.
    expected: Vec<(String, Logit)>,
    quiet: bool,
    answers: &'a Answers,
}

impl Show<'_> {
    /// Takes in the text so far, to compare with: what its tokens will have been, if it ends here.
    fn expect(&mut self, text: &[u8]) -> Result<()> {
        if let Some(image) = self.image {
            self.expected = image.tokens(text)?;
        }
        Ok(())
    }

    /// Shows the probability after a token at once. A closed output is noticed at the verdict.
    fn take(&mut self, token: Token) {
        if !self.quiet {
            let word = self.expected.get(self.tokens.len()).map_or("", |(word, _)| word);
            let word = shown(word);
            let mut out = io::stdout().lock();
            let answer = match self.answers.meaning {
                Meaning { values: true, .. } => format!(" {:.4}", token.logit.to_f32()),
                Meaning { outputs: 0 | 1, .. } => format!(" {:.0}%", 100.0 * token.logit.probability()),
                // The board tells the class with the verdict only.
                _ => String::new(),
            };
            let _ = write!(out, " {word}{answer}").and_then(|()| out.flush());
        }
        self.tokens.push(token);
    }

    /// Shows the verdict, and holds the text's tokens to this host's.
    fn end(&mut self, verdict: &Verdict, probability: Option<f64>, info: &Info) -> Result<()> {
        let tokens = std::mem::take(&mut self.tokens);
        let expected = std::mem::take(&mut self.expected);
        if !self.quiet {
            let line = if tokens.is_empty() { "" } else { "\n" };
            writeln!(io::stdout().lock(), "{line}{}", self.answers.sentence(verdict, probability))
                .context("writing to standard output")?;
        }
        if self.image.is_none() {
            return Ok(());
        }
        if expected.len() != tokens.len() {
            bail!(
                "{} read {} {}s where this host reads {}",
                info.board,
                tokens.len(),
                self.answers.things()[1],
                expected.len()
            );
        }
        for (at, ((word, expected), token)) in expected.iter().zip(&tokens).enumerate() {
            if !agree(*expected, token.logit) {
                let (here, there) = (expected.to_f32(), token.logit.to_f32());
                let board = &info.board;
                bail!(
                    "{} {} ({word:?}): {board} has the logit {there} and this host {here}; `latch-sim verify` says where they part",
                    self.answers.things()[1],
                    at + 1
                );
            }
        }
        Ok(())
    }
}

fn agree(here: Logit, there: Logit) -> bool {
    match (here, there) {
        (Logit::Float(here), Logit::Float(there)) => (here - there).abs() <= FLOAT_TOLERANCE * (1.0 + here.abs()),
        (here, there) => here == there,
    }
}

fn json(info: &Info, answers: &Answers, summary: &Summary, tally: &Tally, repeats: u64, args: &Args) -> Result<String> {
    let verdict = tally.last.filter(|_| args.input.text.is_some());
    let line = Line {
        board: &info.board,
        image: format!("{:08x}", info.image),
        precision: info.precision.name(),
        texts: summary.texts,
        tokens: summary.tokens,
        digest: format!("{:016x}", summary.digest),
        compared: args.image.is_some(),
        repeats,
        class: verdict.and_then(|verdict| answers.class_of(&verdict)),
        logit: verdict.map(|verdict| verdict.logit.to_f32()),
        probability: verdict.and_then(|verdict| answers.probability_of(&verdict, tally.probability)),
        accuracy: tally.accuracy(),
    };
    Ok(serde_json::to_string(&line)? + "\n")
}

fn table(
    info: &Info,
    summary: &Summary,
    tally: &Tally,
    (repeats, [thing, step]): (u64, [&str; 2]),
    args: &Args,
) -> Result<String> {
    let mut text = String::new();
    let t = &mut text;
    let compared = match (&args.image, info.precision) {
        (None, _) => "not compared with this host; --image does that",
        (Some(_), Precision::Int8 | Precision::Int16) => "every logit as on this host",
        (Some(_), _) => "every logit close to this host's",
    };
    writeln!(t, "board     {}, {} image {:08x}", info.board, info.precision.name(), info.image)?;
    writeln!(t, "{:<9} {} in {}, {compared}", format!("{step}s"), summary.tokens, counted(summary.texts, thing))?;
    if repeats > 0 {
        writeln!(t, "line      {} had to be sent again", counted(repeats, "request"))?;
    }
    if let Some(accuracy) = tally.accuracy() {
        writeln!(t, "accuracy  {:.2} % ({} of {})", 100.0 * accuracy, tally.correct, tally.labelled)?;
    }
    writeln!(t, "digest    {:016x}", summary.digest)?;
    Ok(text)
}
