//! `latch run`: every output of an image as a number.

use std::path::{Path, PathBuf};

use anyhow::Result;
use latch_data::series::{Missing, Signal, SignalFormat, write_signal};
use latch_engine::Model;
use latch_engine::image::header::AnswerKind;
use latch_engine::kernels::AnyBackend;
use serde::Serialize;

use super::args::keep_inputs;
use super::kinds::MissingArg;
use super::output::{answer, print_json, warn};
use crate::counted::counted;
use crate::dataset::list;
use crate::error::{Fault, fault};
use crate::evaluate::{classes_of, open_image, read_image, state_for};
use crate::outputs::{Outputs, outputs_of};
use crate::predict::Answered;

/// Run one series through an image: print its answer, and write every output as a number, the values, or the logits of the classes, as
/// the engine gives them. The answer of an image that tags or forecasts is [steps, outputs], that of any other
/// [outputs]. The answer after the last step is printed in words.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch run --image gestures.latch --data recording.csv\n  \
    latch run --image pedal.latch --data guitar.wav --out played.wav\n  \
    latch run --image gestures.latch --data recording.csv --channels ax,ay,az --out logits.npy\n  \
    latch run --image gestures.latch --data recording.npy --backend scalar --out logits.csv")]
pub struct Args {
    /// File of the image
    #[arg(long)]
    image: PathBuf,
    /// The series: .npy with an array [steps, channels], .csv with a row a step, or .wav
    #[arg(long)]
    data: PathBuf,
    /// Where the numbers go: .npy, .csv, or .wav for one value a step of a sound [default: nowhere]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Kernels that compute: one of those that this processor has [default: the widest]
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// Columns that are read as channels, by name or number from 1, in this order [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    channels: Vec<String>,
    /// What becomes of a missing value
    #[arg(long, value_enum, default_value = "refuse")]
    missing: MissingArg,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// The line for machines.
#[derive(Serialize)]
struct Line<'a> {
    steps: usize,
    channels: usize,
    shape: &'a [usize],
    backend: &'a str,
    /// Missing values that were filled.
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
    let format = SignalFormat::of(&args.data)?;
    if let Some(out) = &args.out {
        keep_inputs(out, &[&args.image, &args.data])?;
    }
    let out = args.out.as_deref().map(|out| Ok::<_, Fault>((out, SignalFormat::of(out)?))).transpose()?;
    let bytes = read_image(&args.image)?;
    let image = open_image(&bytes, &args.image)?;
    let model = Model::new(&image).with_backend(backend(args.backend.as_deref())?);
    check(&model, &args.image, format, out)?;
    let missing = Missing::from(args.missing);
    let signal = Signal::read(&args.data, &args.channels, missing)?;
    check_channels(&signal, &model, &args.data)?;
    let mut state = state_for(&model);
    let Outputs { values, shape } = outputs_of(&mut model.session_in(&mut state)?, &signal.values)?;
    let cut = match &args.out {
        Some(out) => write_signal(out, &values, &shape, signal.sound)?,
        None => 0,
    };
    let last = values.len().saturating_sub(usize::from(model.outputs()));
    let said = Answered::of(model.answer().kind, &classes_of(&image), &values[last..]);
    let (steps, channels) = (signal.steps(), signal.channels.len());
    let (filled, backend) = (signal.filled, model.backend().name());
    if filled > 0 {
        let how = if missing == Missing::Hold { "the one before them" } else { "zero" };
        answer(args.json, format_args!("{} filled with {how}", counted(filled, "missing value")))?;
    }
    if cut > 0 {
        let all = counted(values.len(), "value");
        warn(format_args!("{cut} of {all} lay beyond the range of a sound, from -1 to 1, and were cut to it"));
    }
    let read = format!("read {} of {}", counted(steps, "step"), counted(channels, "channel"));
    let what = if model.answer().kind == AnswerKind::Values { "values" } else { "logits" };
    let wrote = args.out.as_ref().map(|out| format!("; wrote {what} {shape:?} to {}", out.display()));
    answer(args.json, format_args!("{read}{} ({backend})", wrote.unwrap_or_default()))?;
    let when = if model.answer().each_step { "after the last step" } else { "answer" };
    answer(args.json, format_args!("{when}: {}", said.words()))?;
    if args.json {
        print_json(&Line {
            steps,
            channels,
            shape: &shape,
            backend,
            filled,
            cut,
            out: args.out.as_deref(),
            answer: said,
        })?;
    }
    Ok(())
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

/// Refuses an image that reads no samples, and a sound of what is none.
fn check(model: &Model<'_>, image: &Path, data: SignalFormat, out: Option<(&Path, SignalFormat)>) -> Result<(), Fault> {
    let place = image.display();
    if model.vocabulary().is_some() {
        let problem = "this image reads texts, and no samples";
        return Err(fault(place, problem, "ask it with latch predict --image FILE TEXT"));
    }
    if model.channels() == 0 {
        return Err(fault(place, "this image reads ids, and no samples", "push them with the engine"));
    }
    let Some((out, SignalFormat::Wav)) = out else { return Ok(()) };
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
    if data != SignalFormat::Wav {
        return refuse("a sound has a rate, and the series has none", "write .npy or .csv, or give the series as .wav");
    }
    Ok(())
}

/// Refuses a series of other channels than the image's.
fn check_channels(signal: &Signal, model: &Model<'_>, place: &Path) -> Result<(), Fault> {
    let (found, needed) = (signal.channels.len(), usize::from(model.channels()));
    if found == needed {
        return Ok(());
    }
    let problem =
        format!("it has {} ({}), and the image reads {needed}", counted(found, "channel"), list(&signal.channels));
    let remedy = if signal.steps() == needed {
        "give it the shape [steps, channels]: it may be the other way round".to_owned()
    } else if found > needed {
        "choose those of the training with --channels, in its order".to_owned()
    } else {
        format!("give it {}, those of the training in its order", counted(needed, "column"))
    };
    Err(fault(place.display(), problem, remedy))
}
