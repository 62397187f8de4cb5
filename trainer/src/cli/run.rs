//! `latch run`: the answers of an image to series, and every output as a number.

mod recordings;

use std::path::{Path, PathBuf};

use anyhow::Result;
use latch_data::series::{NumbersFormat, Series, sound_of, write_numbers};
use latch_engine::Model;
use latch_engine::image::header::AnswerKind;
use latch_engine::kernels::AnyBackend;
use serde::Serialize;

use self::recordings::{RecordingArgs, Recordings};
use super::args::keep_inputs;
use super::output::{answer, print_json, warn};
use crate::counted::counted;
use crate::dataset::list;
use crate::error::{Fault, fault};
use crate::evaluate::{classes_of, open_image, read_image, state_for};
use crate::outputs::{Outputs, outputs_of};
use crate::predict::Answered;
use crate::runs::recordings::unanswered;

/// Ask an image about series: print its answer to each, and write every output as a number, the values, or the logits of the classes, as
/// the engine gives them. The outputs of an image that tags or forecasts are [steps, outputs], those of any other
/// [outputs], or [series, outputs] of several series. The answer after the last step is printed in words.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch run --image gestures.latch --run runs/gestures --data new.csv\n  \
    latch run --image gestures.latch --data recordings.ts --series 3\n  \
    latch run --image pedal.latch --data guitar.wav --out played.wav\n  \
    latch run --image gestures.latch --data recording.csv --channels ax,ay,az --out logits.npy\n  \
    latch run --image gestures.latch --data recording.npy --backend scalar --out logits.csv")]
pub struct Args {
    /// File of the image
    #[arg(long)]
    image: PathBuf,
    #[command(flatten)]
    recordings: RecordingArgs,
    /// Where the numbers go: .npy, .csv, or .wav for one value a step of a sound [default: nowhere]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Kernels that compute: one of those that this processor has [default: the widest]
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// Print one line of JSON for each series
    #[arg(long)]
    json: bool,
}

/// The line for machines, of one series.
#[derive(Serialize)]
struct Line<'a> {
    series: &'a str,
    steps: usize,
    channels: usize,
    /// Of the outputs of this series.
    shape: &'a [usize],
    backend: &'a str,
    /// Missing values that were filled, of all series.
    filled: usize,
    /// Values that were cut to the range of a sound.
    cut: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<&'a Path>,
    /// After the last step.
    #[serde(flatten)]
    answer: Answered,
}

/// Runs the verb.
///
/// # Errors
/// A fault when the image, the series or the file to write cannot be used.
pub fn run(args: Args) -> Result<()> {
    let data = &args.recordings.data;
    if let Some(out) = &args.out {
        keep_inputs(out, &[&args.image, data])?;
    }
    let out = args.out.as_deref().map(|out| Ok::<_, Fault>((out, NumbersFormat::of(out)?))).transpose()?;
    let bytes = read_image(&args.image)?;
    let image = open_image(&bytes, &args.image)?;
    let model = Model::new(&image).with_backend(backend(args.backend.as_deref())?);
    check(&model, &args.image)?;
    args.recordings.check_run(&image)?;
    let sound = sound_of(data)?;
    if let Some((out, NumbersFormat::Wav)) = out {
        check_sound(&model, sound.is_some(), out)?;
    }
    let Recordings { set, layout, filled } = args.recordings.read(usize::from(model.channels()))?;
    let mut state = state_for(&model);
    let mut session = model.session_in(&mut state)?;
    let all = set.series.iter().map(|series| outputs_of(&mut session, &series.frames));
    let all = all.collect::<Result<Vec<Outputs>, Fault>>()?;
    let (numbers, cut) = match &args.out {
        None => (None, 0),
        Some(out) => {
            let Some(Outputs { values, shape }) = together(&model, &all) else {
                let count = counted(all.len(), "series");
                let problem = format!("{} has {count}, each with outputs at every step", data.display());
                return Err(fault("--out", problem, "name one of them with --series").into());
            };
            let cut = write_numbers(out, &values, &shape, sound)?;
            (Some((out, shape)), cut)
        }
    };
    if let Some(warning) = unanswered(&model, set.series.iter().map(Series::steps)) {
        warn(format_args!("{warning}"));
    }
    for said in [filled, layout.map(|layout| format!("read with {layout}"))].into_iter().flatten() {
        answer(args.json, format_args!("{said}"))?;
    }
    if cut > 0 {
        let all = counted(all[0].values.len(), "value");
        warn(format_args!("{cut} of {all} lay beyond the range of a sound, from -1 to 1, and were cut to it"));
    }
    let read = match &set.series[..] {
        [one] => counted(one.steps(), "step"),
        several => counted(several.len(), "series"),
    };
    let channels = set.channels.len();
    let what = if model.answer().kind == AnswerKind::Values { "values" } else { "logits" };
    let wrote = numbers.map(|(out, shape)| format!("; wrote {what} {shape:?} to {}", out.display()));
    let (of, backend) = (counted(channels, "channel"), model.backend().name());
    answer(args.json, format_args!("read {read} of {of}{} ({backend})", wrote.unwrap_or_default()))?;
    let when = if model.answer().each_step { "after the last step" } else { "answer" };
    let classes = classes_of(&image);
    for (series, Outputs { values, shape }) in set.series.iter().zip(&all) {
        let last = values.len().saturating_sub(usize::from(model.outputs()));
        let said = Answered::of(model.answer().kind, &classes, &values[last..]);
        let name = if all.len() == 1 && !args.recordings.is_one() { when } else { &series.id };
        answer(args.json, format_args!("{name}: {}", said.words()))?;
        if args.json {
            let (series, steps, filled) = (&series.id, series.steps(), set.filled.values);
            let out = args.out.as_deref();
            print_json(&Line { series, steps, channels, shape, backend, filled, cut, out, answer: said })?;
        }
    }
    Ok(())
}

/// The outputs of all series as one array; `None` where each has outputs of its own at every step.
fn together(model: &Model<'_>, all: &[Outputs]) -> Option<Outputs> {
    match all {
        [one] => Some(one.clone()),
        _ if model.answer().each_step => None,
        all => {
            let values = all.iter().flat_map(|outputs| outputs.values.iter().copied()).collect();
            Some(Outputs { values, shape: vec![all.len(), usize::from(model.outputs())] })
        }
    }
}

/// The backend of that name, or the widest.
fn backend(name: Option<&str>) -> Result<AnyBackend, Fault> {
    let Some(name) = name else { return Ok(AnyBackend::detect()) };
    AnyBackend::by_name(name).ok_or_else(|| {
        let names: Vec<&str> = AnyBackend::all().map(AnyBackend::name).collect();
        let problem = format!("this processor has no kernels called {name:?}; it has {}", list(&names));
        fault("--backend", problem, "name one of these, or leave it out")
    })
}

/// Refuses an image that reads no samples.
fn check(model: &Model<'_>, image: &Path) -> Result<(), Fault> {
    let place = image.display();
    if model.vocabulary().is_some() {
        let problem = "this image reads texts, and no samples";
        return Err(fault(place, problem, "ask it with latch predict --image FILE TEXT"));
    }
    if model.channels() == 0 {
        return Err(fault(place, "this image reads ids, and no samples", "push them with the engine"));
    }
    Ok(())
}

/// Refuses to write a sound of what is none.
fn check_sound(model: &Model<'_>, reads_sound: bool, out: &Path) -> Result<(), Fault> {
    let refuse = |problem: &str, remedy: &str| Err(fault(out.display(), problem, remedy));
    let answers = model.answer();
    if answers.kind == AnswerKind::Classes {
        return refuse(
            "a sound holds values, and this image answers with classes",
            "write their logits as .npy or .csv",
        );
    }
    if !answers.each_step || model.outputs() != 1 {
        return refuse(
            "a sound has one value a step, and the answer of this image has another shape",
            "write .npy or .csv",
        );
    }
    if !reads_sound {
        return refuse("a sound has a rate, and the series has none", "write .npy or .csv, or give the series as .wav");
    }
    Ok(())
}
