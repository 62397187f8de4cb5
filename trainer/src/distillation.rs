//! Distillation: learning from teachers, which are runs of the same command, besides learning from the labels (Hinton, Vinyals and Dean,
//! "Distilling the Knowledge in a Neural Network", 2015).
//!
//! ```text
//! p = mean of the teachers' calibrated probabilities          q_k ∝ p_k^(1/T)
//! L = (1 − a)·CE(y, z) + a·T²·CE(q, z/T)                      y the label, z the logits, a the share, T the temperature
//! ```
//!
//! Of a text that a teacher has learned from it is too sure. So a text is taught by those teachers that have not learned from it, and by all of them only
//! where there is no such teacher. Teachers that each leave out a [`Fold`] of the texts teach all of them so (cross-fitting). N-grams beside
//! the network have the labels `(1 − a)·y + a·p` in their regression.
//!
//! The probabilities are computed once, when a run begins, and kept in its folder: to resume it no teacher is needed.

use std::collections::HashSet;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::calibration::{probabilities, temperature};
use crate::cli::train::Beginning;
use crate::dataset::{Example, Label, Task, hex};
use crate::error::{fault, reading};
use crate::ngrams::hashes;
use crate::run::RunFolder;
use crate::training::{Sequences, TrainConfig, fused};

/// Who teaches, and how much of it counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistillConfig {
    /// The teachers.
    pub teachers: Vec<Teacher>,
    /// The share `a` of the loss that is about the teachers' probabilities, from 0 to 1.
    pub share: f64,
    /// The temperature `T`, above 0.
    pub temperature: f64,
}

impl DistillConfig {
    /// What of it a loss depends on.
    pub fn in_a_loss(&self) -> Distill {
        Distill { share: self.share, temperature: self.temperature }
    }
}

/// A run that teaches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teacher {
    /// Its folder.
    pub run: PathBuf,
    /// SHA-256 of its `best.network`.
    pub sha256: String,
}

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
        let bytes = std::fs::read(&path).map_err(|error| reading(&path, error))?;
        Ok(Teacher { run, sha256: hex(&Sha256::digest(bytes)) })
    }
}

/// One of some equal parts of the training texts, which a run leaves out: `--leave-out 2/5`. Equal texts are in the same part whatever their
/// order and the run's seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// Its number, from 1.
    pub number: u32,
    /// How many parts there are.
    pub of: u32,
}

impl FromStr for Fold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || "must be a part and their number, as 2/5".to_owned();
        let (number, of) = text.split_once('/').ok_or_else(problem)?;
        let fold = Fold { number: number.parse().map_err(|_| problem())?, of: of.parse().map_err(|_| problem())? };
        if fold.of < 2 || !(1..=fold.of).contains(&fold.number) { Err(problem()) } else { Ok(fold) }
    }
}

impl Fold {
    /// Whether a text belongs to the part.
    pub fn holds(self, text: &str) -> bool {
        let digest = Sha256::digest(text);
        let number = digest.iter().take(8).fold(0, |number: u64, &byte| number << 8 | u64::from(byte));
        number % u64::from(self.of) == u64::from(self.number) - 1
    }
}

/// What teachers say of one text: the probability of class 1 where the network has one output, else one a class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Targets {
    /// Probabilities of a text.
    pub width: usize,
    /// Those of all texts, in order.
    pub values: Vec<f32>,
}

impl Targets {
    /// The probabilities of a text; none where there are no teachers.
    pub fn of(&self, text: usize) -> &[f32] {
        self.values.get(text * self.width..(text + 1) * self.width).unwrap_or_default()
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// True without texts.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// What the teachers of a configuration say of its training texts; nothing where it has none.
///
/// # Errors
/// A fault naming the teacher that is no run, has changed since `config` was made, has another task, cannot be read with its data, or has learned from a text of
/// `validation`.
pub(crate) fn teach(
    config: &TrainConfig,
    training: &[Example<Label>],
    validation: &[Example<Label>],
) -> Result<Option<Targets>> {
    let Some(distill) = &config.distill else { return Ok(None) };
    let width = config.task.outputs();
    // Of each text the sum of the probabilities, and how many there are: by teachers that have not learned from it, and by all others.
    let mut sums = vec![[(vec![0.0_f64; width], 0.0), (vec![0.0_f64; width], 0.0)]; training.len()];
    for teacher in &distill.teachers {
        let refuse = |problem: String, remedy: &str| Err(fault(teacher.run.display(), problem, remedy));
        if Teacher::read(teacher.run.clone())? != *teacher {
            let remedy = "put the teacher's folder back as it was, or begin a new run";
            refuse("this teacher is not the one that the run began with".into(), remedy)?;
        }
        let folder = RunFolder::new(&teacher.run);
        let began = Beginning::read(&folder)?;
        if began.training.is_empty() || began.validation.is_empty() {
            let problem = "this teacher was imported without data, so that it is not known what it has learned from";
            refuse(problem.into(), "name runs of `latch train`")?;
        }
        if began.config.train.task != config.task {
            let (found, wanted) = (named(began.config.train.task), named(config.task));
            refuse(
                format!("this teacher's task is {found}, and the student's is {wanted}"),
                "name teachers of the same task",
            )?;
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
                Some(table) => sequences.beside(examples, vocabulary.units, table),
                None => sequences,
            }
        };
        let judged = read(&began.validation);
        let (mut logits, fusion) = fused(&best.network, &judged)?;
        if let Some(fusion) = fusion {
            logits.iter_mut().zip(&judged.offsets).for_each(|(logit, &offset)| *logit = fusion.logit(*logit, offset));
        }
        let labels: Vec<f32> = judged.labels.concat();
        let sure = temperature(&logits, &labels, width) as f32;
        let ids: Vec<Vec<u32>> = training.par_iter().map(|example| vocabulary.ids(&example.text)).collect();
        let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
        let mut logits = best.network.forward(&ids)?.as_slice().to_vec();
        if let (Some(table), Some(fusion)) = (table, fusion) {
            logits.par_iter_mut().zip(training).for_each(|(logit, example)| {
                *logit = fusion.logit(*logit, table.logit(&hashes(vocabulary.units, &example.text)));
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

/// A task as `--task` has it.
fn named(task: Task) -> String {
    match task {
        Task::Verdict => "verdict".into(),
        Task::Classes(classes) => format!("classes with {classes} of them"),
        Task::Values => "values".into(),
        Task::Tags(classes) => format!("tags with {classes} classes"),
        Task::TagValues => "tag-values".into(),
    }
}

/// How much the teachers' probabilities count in a loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distill {
    /// The share `a` of the loss.
    pub share: f64,
    /// The temperature `T`.
    pub temperature: f64,
}

impl Distill {
    /// `T²·CE(q, z/T)` of the logits `z(k)`, from the probabilities `p` of [`Targets::of`]; calls `each` with its derivative by each of them.
    ///
    /// ```text
    /// dL/dz_k = T·(softmax(z/T)_k − q_k)
    /// ```
    pub(crate) fn loss(&self, z: impl Fn(usize) -> f64, p: &[f32], mut each: impl FnMut(usize, f64)) -> f64 {
        let t = self.temperature;
        if let &[p] = p {
            // q = σ(ln(p/(1 − p))/T); certainty has a logit without bounds, so that it is held a hair below.
            let p = f64::from(p).clamp(1e-6, 1.0 - 1e-6);
            let q = 1.0 / (1.0 + (-(p / (1.0 - p)).ln() / t).exp());
            let z = z(0) / t;
            each(0, t * (1.0 / (1.0 + (-z).exp()) - q));
            return t * t * (z.max(0.0) - z * q + (-z.abs()).exp().ln_1p());
        }
        let largest = (0..p.len()).map(&z).fold(f64::NEG_INFINITY, f64::max) / t;
        let total: f64 = (0..p.len()).map(|k| (z(k) / t - largest).exp()).sum();
        let power = |p: f32| f64::from(p).max(1e-9).powf(1.0 / t);
        let powers: f64 = p.iter().map(|&p| power(p)).sum();
        let mut loss = 0.0;
        for (k, &p) in p.iter().enumerate() {
            let (z, q) = (z(k) / t, power(p) / powers);
            each(k, t * ((z - largest).exp() / total - q));
            loss += q * (largest + total.ln() - z);
        }
        t * t * loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_in_one_fold() {
        for text in ["a fine film", "", "boring", "not only good"] {
            let folds = (1..=5).filter(|&number| Fold { number, of: 5 }.holds(text)).count();
            assert_eq!(folds, 1);
        }
        let held = (0..10_000).filter(|number| Fold { number: 2, of: 5 }.holds(&number.to_string())).count();
        assert!((1_800..2_200).contains(&held), "{held}");
    }

    #[test]
    fn a_fold_is_read_as_it_is_written() {
        assert_eq!("2/5".parse(), Ok(Fold { number: 2, of: 5 }));
        for wrong in ["", "2", "0/5", "6/5", "1/1", "a/b", "-1/5"] {
            assert!(wrong.parse::<Fold>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_logit_has_the_loss_of_two_classes() {
        let distill = Distill { share: 1.0, temperature: 3.0 };
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let single = distill.loss(|_| 1.5, &[0.2], |_, derivative| one.push(derivative));
        let double = distill.loss(|k| [0.0, 1.5][k], &[0.8, 0.2], |_, derivative| two.push(derivative));
        assert!((single - double).abs() < 1e-6 && (one[0] - two[1]).abs() < 1e-6);
        // Sure as the teachers are, there is nothing left to learn.
        distill.loss(|_| (0.2_f64 / 0.8).ln(), &[0.2], |_, derivative| assert!(derivative.abs() < 1e-6));
    }
}
