//! One recording, and what an image says of it step by step.

use anyhow::Result;
use latch_engine::Model;

use super::Section;
use crate::config::{RunConfig, TrainConfig};
use crate::dataset::{Example, Label, Labels, Recording, Task};
use crate::evaluate::state_for;
use crate::metrics::{class_of, probabilities};
use crate::report::signal::{self, Below};

/// The recording that is shown: the first that was answered right, else the first.
pub(super) fn chosen<'e>(recordings: &'e [Example<Label>], right: &[bool]) -> Option<&'e Example<Label>> {
    let answered = recordings.iter().zip(right).find(|(_, right)| **right).map(|(example, _)| example);
    answered.or(recordings.first())
}

/// The outputs of an image after each frame of a recording.
fn after_each_frame(model: &Model<'_>, recording: &Recording) -> Result<Vec<Vec<f32>>> {
    let mut state = state_for(model);
    let mut session = model.session_in(&mut state)?;
    let outputs = usize::from(model.outputs());
    let mut seen = Vec::with_capacity(recording.frames.steps());
    session.push_samples_f32_each(&recording.frames, |view| {
        seen.push((0..outputs).map(|output| view.logit(output).to_f32()).collect());
    })?;
    Ok(seen)
}

/// The signal of a recording over what the image says of it.
///
/// # Errors
/// An error when the image does not read such recordings.
pub(super) fn section(
    model: &Model<'_>,
    example: &Example<Label>,
    config: &RunConfig,
    names: &[String],
) -> Result<Option<Section>> {
    let Some(recording) = example.recording.as_deref() else { return Ok(None) };
    let seen = after_each_frame(model, recording)?;
    let TrainConfig { task, .. } = config.train;
    let frames = &recording.frames;
    let said = config.series.as_ref().map(|series| series.columns.channels.as_slice()).unwrap_or_default();
    let channels: Vec<(String, Vec<f64>)> = (0..frames.channels())
        .map(|channel| {
            let name = said.get(channel).cloned().unwrap_or_else(|| format!("channel {channel}"));
            (name, frames.iter().skip(channel).step_by(frames.channels()).map(|&value| f64::from(value)).collect())
        })
        .collect();
    let labels = example.label.numbers();
    let first = recording.first;
    let counted = || seen.iter().skip(first);
    let (below, what) = match task {
        Task::RegressEach => {
            let values = Below::Values {
                first,
                labels: labels.iter().map(|&label| f64::from(label)).collect(),
                answers: counted().map(|logits| f64::from(logits[0])).collect(),
            };
            (values, "Below, what the answer to each step should be, and the answer".to_owned())
        }
        Task::Tag(_) => {
            let tags = Below::Tags {
                first,
                labels: labels.iter().map(|&label| label as usize).collect(),
                answers: counted().map(|logits| class_of(logits)).collect(),
                names,
            };
            (tags, "Below, the label of each step, and the answer".to_owned())
        }
        Task::Regress => {
            let label = labels.first().map_or(f64::NAN, |&label| f64::from(label));
            let values = Below::Values {
                first: 0,
                labels: vec![label; seen.len()],
                answers: seen.iter().map(|logits| f64::from(logits[0])).collect(),
            };
            (values, "Below, the label, and the answer after each step; the last one counts".to_owned())
        }
        Task::Classify(_) => {
            // Of two classes the second one, as everywhere; of several the one that is answered in the end.
            let class = if names.len() == 2 { 1 } else { seen.last().map_or(0, |logits| class_of(logits)) };
            let name = names.get(class).map_or("", String::as_str);
            let of_class = seen.iter().map(|logits| probabilities(logits)[class]).collect();
            (
                Below::Probability(name, of_class),
                "Below, the probability after each step; the last one counts".to_owned(),
            )
        }
    };
    let label = match task {
        Task::Classify(_) => {
            let class = labels.first().map_or(0, |&label| label as usize);
            format!(", labelled {}", names.get(class).map_or("", String::as_str))
        }
        _ => String::new(),
    };
    let id = if example.text.is_empty() { String::new() } else { format!("“{}”", example.text) };
    Ok(Some(Section {
        name: "signal",
        heading: "One recording, step by step".into(),
        note: format!("{id}{label}. {what}.").trim_start_matches([',', '.', ' ']).to_owned(),
        picture: Some(signal::picture(&channels, &below)),
        rows: Vec::new(),
    }))
}
