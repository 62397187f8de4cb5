//! Distillation: learning from teachers, which are runs of the same command, besides learning from the labels (Hinton, Vinyals and Dean,
//! "Distilling the Knowledge in a Neural Network", 2015).
//!
//! ```text
//! p = mean of the teachers' calibrated probabilities          q_k ∝ p_k^(1/T)
//! L = (1 − a)·CE(y, z) + a·T²·CE(q, z/T)                      y the label, z the logits, a the share, T the temperature
//! ```
//!
//! Of a text that a teacher has learned from it is too sure. So a text is taught by those teachers that have not learned from it, and by all of them only
//! where there is no such teacher. Teachers that each leave out a [`Fold`](crate::config::Fold) of the texts teach all of them so (cross-fitting). N-grams beside
//! the network have the labels `(1 − a)·y + a·p` in their regression.
//!
//! The probabilities are computed once, when a run begins, and kept in its folder: to resume it no teacher is needed.

use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::Result;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::calibration::temperature;
use crate::config::{RunConfig, Teacher};
use crate::dataset::{Example, Label, hex, list};
use crate::error::{LARGEST_FILE, fault, read_file};
use crate::learning::sequences::{Sequences, Targets};
use crate::learning::training::fused;
use crate::metrics::probabilities;
use crate::ngrams::hashes;
use crate::runs::folder::RunFolder;
use crate::runs::opened::Opened;

impl Teacher {
    /// The run in a folder, as it is now.
    ///
    /// # Errors
    /// A fault naming the folder when it holds no run, or the file that cannot be read.
    pub fn read(run: PathBuf) -> Result<Self> {
        let folder = RunFolder::new(&run);
        folder.config()?;
        folder.best()?;
        let path = folder.file("best.network");
        let bytes = read_file(&path, LARGEST_FILE)?;
        Ok(Teacher { run, sha256: hex(&Sha256::digest(bytes)) })
    }
}

/// What the teachers of a configuration say of its training texts; nothing where it has none.
///
/// # Errors
/// A fault naming the teacher that is no run, has changed since `config` was made, has another task, cannot be read with its data, or has learned from a text of
/// `validation`.
pub fn teach(
    config: &RunConfig,
    training: &[Example<Label>],
    validation: &[Example<Label>],
) -> Result<Option<Targets>> {
    let Some(distill) = &config.train.distill else { return Ok(None) };
    let width = config.train.task.outputs();
    // Of each text the sum of the probabilities, and how many there are: by teachers that have not learned from it, and by all others.
    let mut sums = vec![[(vec![0.0_f64; width], 0.0), (vec![0.0_f64; width], 0.0)]; training.len()];
    for teacher in &distill.teachers {
        let refuse = |problem: String, remedy: &str| Err(fault(teacher.run.display(), problem, remedy));
        if Teacher::read(teacher.run.clone())? != *teacher {
            let remedy = "put the teacher's folder back as it was, or begin a new run";
            refuse("this teacher is not the one that the run began with".into(), remedy)?;
        }
        let folder = RunFolder::new(&teacher.run);
        let began = Opened::read(&folder)?;
        if began.training.is_empty() || began.validation.is_empty() {
            let problem = "this teacher was imported without data, so that it is not known what it has learned from";
            refuse(problem.into(), "name runs of `latch train`")?;
        }
        let (found, wanted) = (began.config.train.task.name(), config.train.task.name());
        if found != wanted {
            let problem = format!("this teacher's task is {found}, and the student's is {wanted}");
            refuse(problem, "name teachers of the same task")?;
        }
        if began.config.classes != config.classes {
            let (found, wanted) = (list(&began.config.classes), list(&config.classes));
            let problem = format!("this teacher's classes are {found}, and the student's are {wanted}");
            refuse(problem, "name teachers of the same classes")?;
        }
        let learned: HashSet<&str> = began.training.iter().map(|example| example.text.as_str()).collect();
        let leaked = validation.iter().filter(|example| learned.contains(example.text.as_str())).count();
        if leaked > 0 {
            let problem =
                format!("this teacher has learned from {leaked} of the {} validation texts", validation.len());
            let remedy =
                "train teachers and student with the same --valid, and with the same --seed where that is a share";
            refuse(problem, remedy)?;
        }
        let best = folder.best()?;
        began.check_network(&folder, "best.network", &best.network)?;
        let (vocabulary, table) = (&began.vocabulary, began.ngrams.as_ref().map(|ngrams| &ngrams.table));
        let read = |examples: &[Example<Label>]| {
            let sequences = Sequences::read(examples, vocabulary, usize::MAX);
            match table {
                Some(table) => sequences.beside(examples, &vocabulary.tokenization, table),
                None => sequences,
            }
        };
        let judged = read(&began.validation);
        let (mut logits, fusion) = fused(&best.network, &judged, config.train.objective())?;
        if let Some(fusion) = fusion {
            fusion.apply(&mut logits, &judged.offsets);
        }
        let labels: Vec<f32> = judged.labels.concat();
        let sure = temperature(&logits, &labels, width) as f32;
        let ids: Vec<Vec<u32>> = training.par_iter().map(|example| vocabulary.ids(&example.text)).collect();
        let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
        let mut logits = best.network.forward(&ids)?.as_slice().to_vec();
        if let (Some(table), Some(fusion)) = (table, fusion) {
            logits.par_chunks_exact_mut(width).zip(training).for_each(|(logits, example)| {
                fusion.apply(logits, &table.logits(&hashes(&vocabulary.tokenization, &example.text)));
            });
        }
        for ((logits, example), sums) in logits.chunks_exact(width).zip(training).zip(&mut sums) {
            let calibrated: Vec<f32> = logits.iter().map(|logit| logit / sure).collect();
            let p = probabilities(&calibrated);
            let (sum, count) = &mut sums[usize::from(learned.contains(example.text.as_str()))];
            sum.iter_mut().rev().zip(p.iter().rev()).for_each(|(sum, p)| *sum += p);
            *count += 1.0;
        }
    }
    let mut values = Vec::with_capacity(width * training.len());
    for [unseen, seen] in sums {
        let (sum, count) = if unseen.1 > 0.0 { unseen } else { seen };
        values.extend(sum.iter().map(|sum| (sum / count) as f32));
    }
    Ok(Some(Targets { width, values }))
}
