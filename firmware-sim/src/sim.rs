//! The host board: a named part's memory under the part's rules, this machine's processor and clock.
//!
//! ```text
//! image file -> budget (does it fit?) -> slot of simulated flash -> app::run over a source of texts -> outcome
//! ```
//!
//! A [`Simulator`] is a part with an image in its flash; [`Simulator::run`] puts [`crate::app::run`] over it. The image is read where
//! it lies in the simulated flash, as on the chip.

pub mod budget;
pub mod latency;
pub mod nor;
pub mod source;

use std::time::Instant;

use anyhow::{Result, anyhow};
use latch_data::error::{Fault, fault};
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::{Model, SelfTest, View};

use crate::app::{self, Stop};
use crate::board::{Board, Input, Meaning, Ready, Report, Summary, TokenReport, Verdict};
use crate::flash::{Programmed, Slot};
use budget::Budget;
use latch_parts::parts::{self, Part};
use latency::Latency;
use nor::NorFlash;
use source::Source;

/// Bytes at the start of the flash that belong to the firmware: its code, its constants and its vector table. The program of
/// [`crate::app`] with the engine and a small board takes less; the image's slot starts at the first page behind it.
pub const FIRMWARE_RESERVE: usize = latch_parts::boards::FIRMWARE_RESERVE as usize;

/// The part that `--board` names; case and `-` do not matter.
///
/// # Errors
/// A [`Fault`] that lists the names when there is none.
pub fn part(name: &str) -> Result<Part, Fault> {
    parts::find(name).map_err(|error| fault("--board", error.to_string(), error.remedy().to_string()))
}

/// A part with an image in its flash.
#[derive(Debug)]
pub struct Simulator {
    part: Part,
    flash: NorFlash,
    slot: Slot,
    programmed: Programmed,
    image_bytes: usize,
    budget: Budget,
    backend: &'static str,
    meaning: Meaning,
    /// The probability of the answer to a text without a token.
    of_nothing: Option<f64>,
    answers_early: bool,
}

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Texts, tokens and the digest.
    pub summary: Summary,
    /// How long tokens took on this host.
    pub latency: Latency,
    /// What stopping at the first certain verdict would have done, where the image has thresholds for that.
    pub early: Option<EarlyAnswers>,
    /// The tokens of the last text with the answer after each, where the model has one for every token.
    pub steps: Vec<(String, Verdict)>,
}

/// What an application saves that stops reading a text at the first certain verdict, and what that costs. The texts were read to their ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EarlyAnswers {
    /// Texts that stop before their end.
    pub stopped: u64,
    /// Tokens that are read.
    pub read: u64,
    /// Texts with a label.
    pub labelled: u64,
    /// Of these, right where they stop.
    pub correct: u64,
}

impl Simulator {
    /// Checks an image, holds it to the part's flash and RAM, programs it into the slot behind [`FIRMWARE_RESERVE`] and verifies it
    /// there. `place` names the image in messages. The flash is a used one: everything must be erased before it is programmed.
    ///
    /// # Errors
    /// A [`Fault`] when the bytes are no image, when the image reads ids, or when it does not fit the part: that one
    /// has all the numbers. Any other error is one of this program.
    pub fn load(part: Part, image: &[u8], place: &str) -> Result<Self> {
        let aligned = AlignedBytes::new(image);
        let opened = Image::open(&aligned).map_err(|error| image_fault(place, &error))?;
        let model = Model::new(&opened);
        if model.vocabulary().is_none() && model.channels() == 0 {
            return Err(no_input(place).into());
        }
        let mut flash = NorFlash::used(&part);
        let slot = Slot::behind(&flash, FIRMWARE_RESERVE);
        let budget = Budget::new(&part, slot.map(|slot| slot.start()), opened.len(), model.state_bytes());
        budget.check(&part)?;
        let slot = slot.ok_or_else(|| anyhow!("{}: the flash has no page behind the firmware", part.name))?;
        let image = image.get(..opened.len()).unwrap_or(image);
        let programmed = slot
            .program(&mut flash, image)
            .map_err(|error| anyhow!(error).context(format!("programming the flash of {}", part.name)))?;
        let mut state = AlignedBytes::zeroed(model.state_bytes());
        let mut session = model.session_in(&mut state)?;
        let of_nothing = probability(&mut session, Meaning::of(&model));
        Ok(Simulator {
            part,
            slot,
            programmed,
            image_bytes: image.len(),
            budget,
            backend: model.backend().name(),
            meaning: Meaning::of(&model),
            of_nothing,
            answers_early: model.early().count() > 0,
            flash,
        })
    }

    /// The part.
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// What of the part's flash and RAM is used, and for what.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The simulated flash, with its counts of erases and programs.
    pub fn flash(&self) -> &NorFlash {
        &self.flash
    }

    /// Where in the flash the image lies.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Bytes of the image itself.
    pub fn image_bytes(&self) -> usize {
        self.image_bytes
    }

    /// What programming took.
    pub fn programmed(&self) -> Programmed {
        self.programmed
    }

    /// What the model's outputs mean.
    pub fn meaning(&self) -> Meaning {
        self.meaning
    }

    /// The engine's backend on this host.
    pub fn backend(&self) -> &'static str {
        self.backend
    }

    /// Runs the program over the texts of a source, handing it at most `chunk` bytes at a time (at least 1, and never more than
    /// the program's buffer holds). `judged` is called after every text with its answer.
    ///
    /// # Errors
    /// Those of the source and of `judged`.
    pub fn run(&self, source: &mut dyn Source, chunk: usize, judged: &mut Judged<'_>) -> Result<Outcome> {
        let mut board = HostBoard {
            image: self.slot.contents(&self.flash),
            source,
            chunk: chunk.max(1),
            start: Instant::now(),
            ticks: Vec::new(),
            judged,
            meaning: self.meaning,
            early: EarlyAnswers::default(),
            probability: self.of_nothing,
            of_nothing: self.of_nothing,
            stop: None,
            steps: Vec::new(),
            ended: true,
        };
        let mut state = AlignedBytes::zeroed(self.budget.state_bytes());
        let summary = match app::run(&mut board, &mut state) {
            Ok(summary) => summary,
            Err(Stop::Board(error)) => return Err(error),
            Err(Stop::Image(error)) => return Err(anyhow!(error).context("opening the image in the simulated flash")),
            Err(Stop::NoInput) => return Err(no_input("the image").into()),
        };
        let early = self.answers_early.then_some(board.early);
        Ok(Outcome { summary, latency: Latency::of(board.ticks), early, steps: board.steps })
    }
}

/// What is called after every text.
pub type Judged<'a> = dyn FnMut(Answered) -> Result<()> + 'a;

/// The answer to a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answered {
    /// The program's own words.
    pub verdict: Verdict,
    /// The probability of the verdict's class among three or more; the program's logit alone does not give it.
    pub probability: Option<f64>,
    /// The text's label, where it has one.
    pub label: Option<u32>,
}

/// The probability of the answer after the tokens so far, by the softmax of all logits; `None` of values, and of two classes, whose one logit
/// gives it.
pub fn probability(stream: &mut View<'_, '_, '_>, meaning: Meaning) -> Option<f64> {
    if meaning.values || meaning.outputs < 2 {
        return None;
    }
    let logits: Vec<f64> =
        (0..usize::from(meaning.outputs)).map(|output| f64::from(stream.logit(output).to_f32())).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(1.0 / logits.iter().map(|logit| (logit - largest).exp()).sum::<f64>())
}

/// The board that the program sees on the host. Its ticks are nanoseconds.
struct HostBoard<'flash, 'run> {
    image: &'flash [u8],
    source: &'run mut dyn Source,
    chunk: usize,
    start: Instant,
    /// Nanoseconds of each token.
    ticks: Vec<u32>,
    judged: &'run mut Judged<'run>,
    meaning: Meaning,
    early: EarlyAnswers,
    /// That of the answer after the tokens so far.
    probability: Option<f64>,
    of_nothing: Option<f64>,
    /// After how many tokens of the text the verdict was first certain, and which it was.
    stop: Option<(u32, bool)>,
    steps: Vec<(String, Verdict)>,
    /// The text of `steps` has ended.
    ended: bool,
}

impl<'flash> Board<'flash> for HostBoard<'flash, '_> {
    type Error = anyhow::Error;

    fn image(&self) -> &'flash [u8] {
        self.image
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Input> {
        let room = self.chunk.min(buffer.len());
        self.source.read(buffer.get_mut(..room).unwrap_or_default())
    }

    fn start(&mut self) {
        self.start = Instant::now();
    }

    fn stop(&mut self) -> u32 {
        // Wraps every 4.3 seconds, as a chip's counter does.
        self.start.elapsed().as_nanos() as u32
    }

    fn token(&mut self, token: TokenReport<'_>, stream: &mut View<'_, '_, '_>) -> Result<()> {
        self.ticks.push(token.ticks);
        self.probability = probability(stream, self.meaning);
        if self.stop.is_none() {
            self.stop = stream.early().map(|verdict| (stream.tokens(), verdict));
        }
        if self.meaning.each_step {
            if std::mem::take(&mut self.ended) {
                self.steps.clear();
            }
            let word = String::from_utf8_lossy(token.text).into_owned();
            self.steps.push((word, app::verdict(stream, self.meaning)));
        }
        Ok(())
    }

    fn report(&mut self, report: Report) -> Result<()> {
        match report {
            Report::Verdict(verdict) => {
                let label = self.source.label();
                let (read, positive) = self.stop.take().unwrap_or((verdict.tokens, verdict.class == 1));
                self.early.stopped += u64::from(read < verdict.tokens);
                self.early.read += u64::from(read);
                self.early.labelled += u64::from(label.is_some());
                self.early.correct += u64::from(label == Some(u32::from(positive)));
                self.ended = true;
                let probability = std::mem::replace(&mut self.probability, self.of_nothing);
                (self.judged)(Answered { verdict, probability, label })
            }
            Report::Ready(Ready { self_test: SelfTest::Failed { expected, found }, .. }) => Err(anyhow!(
                "the self-test gives {found:016x} and the image says {expected:016x}: this machine, or the one that wrote the image, computes wrongly"
            )),
            Report::Ready(_) | Report::Summary(_) => Ok(()),
        }
    }
}

/// The fault in an image named `place`: the engine's sentence, cut into the problem and the remedy.
pub fn image_fault(place: &str, error: &latch_engine::Error) -> Fault {
    let sentence = error.to_string();
    match sentence.split_once("; ").or_else(|| sentence.rsplit_once(": ")) {
        Some((problem, remedy)) => fault(place, problem, remedy),
        None => fault(place, sentence, "export the model again"),
    }
}

/// The fault in an image named `place` that reads ids.
pub fn no_input(place: &str) -> Fault {
    fault(place, "the image reads ids, and neither texts nor samples", "export a model of one of these")
}
