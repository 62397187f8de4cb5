//! Compares the verdicts of an imported network with those of the framework that trained it: `cargo xtask elsewhere`.
//!
//! `examples/keras/train.py` trains a network of texts, as `examples/README.md` says it. It is imported and exported as an int8 image. Then each text of the test set is judged twice, by
//! the image and by Keras with the weights of the file.
//!
//! What it installs lies under `target/elsewhere/`: an environment of Python with the packages that `examples/keras/requirements.txt` pins.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use latch_emulator::command::{Command, root, target_folder};
use serde::Deserialize;

use crate::latch::latch;
use crate::peers::{python, show, text};

/// Of so many texts of the training set one is for validation.
const VALIDATION: usize = 10;

/// The least part of the texts on which both agree.
const AGREE: f64 = 0.99;

/// What the network learns.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Labelled texts to train on: label and text with a tab between, gzip
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    /// Labelled texts to judge
    #[arg(long, value_name = "FILE")]
    test: PathBuf,
    /// Epochs of the training
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    epochs: u32,
    /// Texts of a batch
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
    /// Ids that a text is cut to for the training
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=4096))]
    tokens: u32,
}

/// The probability of the second class, in a line of `latch predict`.
#[derive(Deserialize)]
struct Predicted {
    probability: f64,
}

/// Trains in Keras, imports, judges, compares.
///
/// # Errors
/// Names what does not install or run; says on how many texts the verdicts differ where they are too many.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = target_folder().join("elsewhere");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let python = python(&folder, &root().join("examples/keras/requirements.txt"))?;
    let at = |name: &str| text(&folder.join(name));
    let (words, net, run, image) = (at("vocabulary.txt"), at("net.safetensors"), at("run"), at("int8.latch"));
    let tokens = |data: &Path, out: &str| {
        latch("tokens").arg("--data").arg(text(data)).arg("--vocabulary").arg(&words).arg("--out").arg(at(out))
    };
    show(&tokens(&options.train, "all.jsonl").args("--words 5000"))?;
    show(&tokens(&options.test, "test.jsonl"))?;
    divide(&folder)?;
    let script = Command::new(&text(&python)).arg("examples/keras/train.py");
    let files = script.arg("--train").arg(at("train.jsonl")).arg("--valid").arg(at("valid.jsonl"));
    let sizes =
        format!("--epochs {} --batch {} --tokens {} --embedding 8", options.epochs, options.batch, options.tokens);
    let began = Instant::now();
    show(&files.arg("--vocabulary").arg(&words).args(&sizes).arg("--out").arg(&net))?;
    let seconds = began.elapsed().as_secs_f64();

    if Path::new(&run).exists() {
        fs::remove_dir_all(&run).with_context(|| format!("cannot remove {run}"))?;
    }
    show(&latch("import").arg(&net).arg("--data").arg(text(&options.train)).arg("--out").arg(&run))?;
    show(&latch("export").arg("--run").arg(&run).args("--precision int8 --out").arg(&image))?;
    let judge = Command::new(&text(&python)).arg("benches/keras/verdicts.py").arg("--net").arg(&net);
    let judge = judge.arg("--ids").arg(at("test.jsonl")).arg("--data").arg(text(&options.test));
    show(&judge.arg("--texts").arg(at("texts.txt")).arg("--answers").arg(at("answers.txt")))?;
    compare(&folder, &image, seconds)
}

/// The lines of the training set in two files.
fn divide(folder: &Path) -> Result<()> {
    let all = fs::read_to_string(folder.join("all.jsonl")).context("cannot read the ids")?;
    let part = |is_valid: bool| {
        let lines = all.lines().enumerate().filter(|(place, _)| (place % VALIDATION == 0) == is_valid);
        lines.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    for (name, is_valid) in [("train.jsonl", false), ("valid.jsonl", true)] {
        fs::write(folder.join(name), part(is_valid)).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

/// Counts the texts on which both agree.
fn compare(folder: &Path, image: &str, seconds: f64) -> Result<()> {
    let file = folder.join("texts.txt");
    let predict = latch("predict").arg("--image").arg(image).args("--json -");
    let (said, _) = Command::new("sh -c").arg(format!("{predict} < '{}'", text(&file))).capture()?;
    let logits = fs::read_to_string(folder.join("answers.txt")).context("cannot read the answers of Keras")?;
    ensure!(said.lines().count() == logits.lines().count(), "Keras and the image judged other texts");
    let (mut agree, mut all) = (0_usize, 0_usize);
    for (line, logit) in said.lines().zip(logits.lines()) {
        let Predicted { probability } =
            serde_json::from_str(line).with_context(|| format!("`latch predict` printed something else: {line}"))?;
        let logit: f64 = logit.parse().with_context(|| format!("Keras wrote {logit}"))?;
        agree += usize::from((probability > 0.5) == (logit > 0.0));
        all += 1;
    }
    let part = agree as f64 / all as f64;
    let percent = 100.0 * part;
    println!(
        "trained in {seconds:.0} s; {agree} of {all} verdicts of the int8 image are those of Keras: {percent:.2} %"
    );
    ensure!(part >= AGREE, "at least {:.0} % were wanted", 100.0 * AGREE);
    Ok(())
}
