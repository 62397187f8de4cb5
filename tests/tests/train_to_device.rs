//! Promise: what was trained is what the device says. The program that runs on the chip, over the simulated flash of a part, gives the
//! logits of the engine on the host after every token, and the accuracy that the trainer's evaluation reports.

use latch_engine::image::Image;
use latch_engine::{Digest, Logit, Model, Precision, State, View};
use latch_firmware_sim::app;
use latch_firmware_sim::board::{Board, Input, Report, TokenReport, Verdict};
use latch_firmware_sim::sim::Simulator;
use latch_firmware_sim::sim::source::{Source, Text, Texts};
use latch_parts::parts;
use latch_tests::models::{PRECISIONS, ROOM};
use latch_tests::training::{Silent, Task, config};
use latch_trainer::dataset::Example;
use latch_trainer::evaluate::evaluate;
use latch_trainer::learning::training::train;
use latch_trainer::quantizer::{Origin, Weights, to_image};
use latch_trainer::runs::folder::RunFolder;

/// A network trained on the built-in set, as an image of each precision.
fn trained() -> (Vec<Example>, Vec<(Precision, Vec<u8>)>) {
    let task = Task::new(config(8, 16, 5), 6000, 200);
    let folder = tempfile::tempdir().expect("a folder for the run");
    let run = RunFolder::new(folder.path()).hold().expect("the folder is free");
    train(&task.job(&run), None, &mut Silent).expect("the training ends");
    let best = Weights::of(&run.best().expect("the run has finished epochs").network);
    let image = |precision| {
        let image =
            to_image(&best, &task.vocabulary, precision, &Origin::default()).expect("the network fits an image");
        (precision, image.to_vec())
    };
    (task.held_out, PRECISIONS.map(image).to_vec())
}

fn source(examples: &[Example]) -> Texts<impl Iterator<Item = anyhow::Result<Text>>> {
    let text = |example: &Example| Ok(Text { bytes: example.text.as_bytes().to_vec(), label: Some(example.label) });
    Texts::new(examples.iter().map(text).collect::<Vec<_>>().into_iter())
}

/// What a program says about texts: every token with its logit, and every verdict.
#[derive(Debug, Default, PartialEq)]
struct Answers {
    tokens: Vec<(Vec<u8>, Logit)>,
    verdicts: Vec<(u16, Logit, u32)>,
}

/// A board with an image in a part's flash that writes down what it is told.
struct Recorder<'flash, S> {
    slot: &'flash [u8],
    source: S,
    chunk: usize,
    answers: Answers,
}

impl<'flash, S: Source> Board<'flash> for Recorder<'flash, S> {
    type Error = anyhow::Error;

    fn image(&self) -> &'flash [u8] {
        self.slot
    }

    fn read(&mut self, buffer: &mut [u8]) -> anyhow::Result<Input> {
        let room = self.chunk.min(buffer.len());
        self.source.read(&mut buffer[..room])
    }

    fn start(&mut self) {}

    fn stop(&mut self) -> u32 {
        0
    }

    fn report(&mut self, report: Report) -> anyhow::Result<()> {
        match report {
            Report::Verdict(Verdict { class, logit, tokens }) => self.answers.verdicts.push((class, logit, tokens)),
            Report::Ready(_) | Report::Summary(_) => {}
        }
        Ok(())
    }

    fn token(&mut self, token: TokenReport<'_>, _: &mut View<'_, '_, '_>) -> anyhow::Result<()> {
        self.answers.tokens.push((token.text.to_vec(), token.logit));
        Ok(())
    }
}

/// The engine on the host, straight from the file's bytes, each text as a whole; with the digest of its logits.
fn on_host(image: &Image<'_>, examples: &[Example]) -> (Answers, Digest) {
    let model = Model::new(image);
    let (mut answers, mut digest) = (Answers::default(), Digest::default());
    let mut state = State::<ROOM>::new();
    let mut session = model.session(&mut state).expect("there is room");
    for example in examples {
        session.reset();
        let mut each = |session: &mut View<'_, '_, '_>, text: &[u8]| {
            digest.push(session.output());
            answers.tokens.push((text.to_vec(), session.output()));
        };
        session.push_bytes_each(example.text.as_bytes(), &mut each);
        session.finish_each(&mut each);
        let logit = session.output();
        answers.verdicts.push((u16::from(logit.is_positive()), logit, session.tokens()));
    }
    (answers, digest)
}

#[test]
fn the_device_gives_the_logits_of_the_host_after_every_token_and_the_reported_accuracy() {
    let (examples, images) = trained();
    for (precision, bytes) in images {
        let aligned = latch_engine::image::encode::AlignedBytes::new(&bytes);
        let image = Image::open(&aligned).expect("the image was just made");
        let (expected, digest) = on_host(&image, &examples);
        assert!(expected.tokens.len() > 10 * examples.len(), "the texts have words that the network reads");
        let evaluation = evaluate(&Model::new(&image), &examples).expect("there is room");
        for name in ["nrf52840", "rp2040", "stm32f446"] {
            let part = parts::find(name).expect("a part of the table");
            let simulator = Simulator::load(part, &bytes, "the image").expect("the image fits the part");
            for chunk in [1, 7, 64] {
                let slot = simulator.slot().contents(simulator.flash());
                let mut board = Recorder { slot, source: source(&examples), chunk, answers: Answers::default() };
                let summary = app::run(&mut board, State::<ROOM>::new().as_bytes_mut())
                    .expect("the program runs to the end of its input");
                let what = format!("{} on {name} in chunks of {chunk}", precision.name());
                assert!(board.answers == expected, "{what}: the answers differ");
                assert_eq!(summary.digest, digest, "{what}");
                assert_eq!(
                    (summary.texts, summary.tokens),
                    (examples.len() as u32, expected.tokens.len() as u32),
                    "{what}"
                );
            }
            // The same through the simulator's own board, as `latch-sim` runs it, with a state of exactly the stream's size or the next one.
            let mut right = 0;
            let outcome = simulator.run(&mut source(&examples), 16, &mut |answered| {
                right += usize::from(answered.label == Some(u32::from(answered.verdict.class)));
                Ok(())
            });
            assert_eq!(outcome.expect("the program runs to the end of its input").summary.digest, digest);
            assert_eq!(right as f64 / examples.len() as f64, evaluation.accuracy, "{} on {name}", precision.name());
        }
        println!("{}: accuracy {:.3}, digest {digest}", precision.name(), evaluation.accuracy);
        assert!(evaluation.accuracy > 0.9, "{}: {}", precision.name(), evaluation.accuracy);
    }
}
