//! Distillation: learning from teachers, which are runs of the same command, besides learning from the labels (Hinton, Vinyals and Dean,
//! "Distilling the Knowledge in a Neural Network", 2015).
//!
//! ```text
//! p = mean of the teachers' calibrated probabilities          q_k ∝ p_k^(1/T)
//! L = (1 − a)·CE(y, z) + a·T²·CE(q, z/T)                      y the label, z the logits, a the share, T the temperature
//! ```
//!
//! Values have `L = (1 − a)·(z − y)² + a·(z − q)²` with q the mean of the teachers' values. Where each token has an answer, each token's is taught.
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
use crate::dataset::{Example, Label, Labels, hex, list};
use crate::error::{LARGEST_FILE, fault, read_file};
use crate::learning::sequences::{Scale, Sequences, Targets};
use crate::learning::training::{Answered, fused};
use crate::metrics::probabilities;
use crate::network::Network;
use crate::ngrams::fusion::Fusion;
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
    let answers = |example: &Example<Label>| if example.label.each_step() { example.label.numbers().len() } else { 1 };
    let mut ends = Vec::with_capacity(training.len());
    for example in training {
        ends.push(ends.last().copied().unwrap_or(0) + answers(example));
    }
    let all = ends.last().copied().unwrap_or(0) * width;
    // Sums over teachers that have not learned from the text, and over all others; of each text how many these are.
    let mut sums = [vec![0.0_f64; all], vec![0.0_f64; all]];
    let mut counts = vec![[0.0_f64; 2]; training.len()];
    for teacher in &distill.teachers {
        let school = School::open(teacher, config, validation)?;
        let said = school.says(training)?;
        for (text, example) in training.iter().enumerate() {
            let seen = usize::from(school.learned.contains(&example.text));
            let place = text.checked_sub(1).map_or(0, |before| ends[before]) * width..ends[text] * width;
            counts[text][seen] += 1.0;
            sums[seen][place.clone()].iter_mut().zip(&said[place]).for_each(|(sum, &said)| *sum += f64::from(said));
        }
    }
    let mut values = Vec::with_capacity(all);
    for (text, count) in counts.iter().enumerate() {
        let seen = usize::from(count[0] == 0.0);
        let place = text.checked_sub(1).map_or(0, |before| ends[before]) * width..ends[text] * width;
        values.extend(sums[seen][place].iter().map(|sum| (sum / count[seen]) as f32));
    }
    if !config.train.task.each_step() {
        ends.clear();
    }
    Ok(Some(Targets { width, values, ends }))
}

/// A teacher with all that its answers need.
struct School {
    began: Opened,
    network: Network<f32>,
    /// How its logits are joined with those of its n-grams, where it has some.
    fusion: Option<Fusion>,
    /// The temperature of its logits.
    sure: f32,
    /// The texts that it has learned from.
    learned: HashSet<String>,
}

impl School {
    /// Opens a teacher's run.
    fn open(teacher: &Teacher, config: &RunConfig, validation: &[Example<Label>]) -> Result<Self> {
        let refuse = |problem: String, remedy: &str| Err(fault(teacher.run.display(), problem, remedy));
        if Teacher::read(teacher.run.clone())? != *teacher {
            let remedy = "put the teacher's folder back as it was, or begin a new run";
            refuse("this teacher is not the one that the run began with".into(), remedy)?;
        }
        let folder = RunFolder::new(&teacher.run);
        let mut began = Opened::read(&folder)?;
        if began.training.is_empty() || began.validation.is_empty() {
            let problem = "this teacher has no validation part, so that it is not known how sure it may be";
            refuse(problem.into(), "train the teacher with --valid 0.1, which holds out a tenth")?;
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
        let learned: HashSet<String> = began.training.iter().map(|example| example.text.clone()).collect();
        let leaked = validation.iter().filter(|example| learned.contains(&example.text)).count();
        if leaked > 0 {
            let problem =
                format!("this teacher has learned from {leaked} of the {} validation texts", validation.len());
            let remedy =
                "train teachers and student with the same --valid, and with the same --seed where that is a share";
            refuse(problem, remedy)?;
        }
        let network = folder.best()?.network;
        began.check_network(&folder, "best.network", &network)?;
        let held_out = std::mem::take(&mut began.validation);
        let mut judged = Sequences::read(&held_out, &began.vocabulary, usize::MAX);
        if let Some(ngrams) = &began.ngrams {
            judged = judged.beside(&held_out, &began.vocabulary.tokenization, &ngrams.table);
        }
        if config.train.task.has_values() {
            judged = judged.normalised(Scale::of(&config.train, &began.training));
        }
        let Answered { mut logits, labels, fusion } = fused(&network, &judged, config.train.objective())?;
        if let Some(fusion) = fusion {
            fusion.apply(&mut logits, &judged.offsets);
        }
        let sure = if config.train.task.has_values() { 1.0 } else { sure(&logits, &labels, config) };
        Ok(School { began, network, fusion, sure, learned })
    }

    /// What the teacher says of texts: as many numbers for each answer as the network has outputs, text after text, and token after token where each has one.
    fn says(&self, texts: &[Example<Label>]) -> Result<Vec<f32>> {
        let task = self.began.config.train.task;
        let width = task.outputs();
        let logits = if task.each_step() { self.of_tokens(texts)? } else { self.of_texts(texts)? };
        if task.has_values() {
            let scale = Scale::of(&self.began.config.train, &self.began.training);
            return Ok(logits.into_iter().map(|value| scale.restored(value)).collect());
        }
        let each = |logits: &[f32]| {
            let calibrated: Vec<f32> = logits.iter().map(|logit| logit / self.sure).collect();
            let all = probabilities(&calibrated);
            // Of two classes the second alone.
            all[all.len() - width..].iter().map(|&p| p as f32).collect::<Vec<f32>>()
        };
        Ok(logits.chunks_exact(width).flat_map(each).collect())
    }

    /// The logits or values of whole texts.
    fn of_texts(&self, texts: &[Example<Label>]) -> Result<Vec<f32>> {
        let vocabulary = &self.began.vocabulary;
        let ids: Vec<Vec<u32>> = texts.par_iter().map(|example| vocabulary.ids(&example.text)).collect();
        let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
        let mut logits = self.network.forward(&ids)?.as_slice().to_vec();
        if let (Some(ngrams), Some(fusion)) = (&self.began.ngrams, self.fusion) {
            let width = self.began.config.train.task.outputs();
            logits.par_chunks_exact_mut(width).zip(texts).for_each(|(logits, example)| {
                fusion.apply(logits, &ngrams.table.answers(&vocabulary.tokenization, example));
            });
        }
        Ok(logits)
    }

    /// The logits or values after each token; of one that the network does not read, those before it.
    fn of_tokens(&self, texts: &[Example<Label>]) -> Result<Vec<f32>> {
        let vocabulary = &self.began.vocabulary;
        let read: Vec<(Vec<u32>, Vec<usize>)> =
            texts.par_iter().map(|example| vocabulary.labelled_ids(&example.text)).collect();
        let ids: Vec<&[u32]> = read.iter().map(|(ids, _)| ids.as_slice()).collect();
        let logits = self.network.forward(&ids)?;
        let first = self.network.before_the_first()?;
        let (mut said, mut begin) = (Vec::new(), 0);
        for ((ids, ends), example) in read.iter().zip(texts) {
            let own = said.len();
            for read in ends {
                match read.checked_sub(1) {
                    Some(last) => said.extend(logits.column(begin + last).iter()),
                    None => said.extend_from_slice(&first),
                }
            }
            if let (Some(ngrams), Some(fusion)) = (&self.began.ngrams, self.fusion) {
                fusion.apply(&mut said[own..], &ngrams.table.answers(&vocabulary.tokenization, example));
            }
            begin += ids.len();
        }
        Ok(said)
    }
}

/// The temperature that fits logits on labels; those that are NaN do not count.
fn sure(logits: &[f32], labels: &[f32], config: &RunConfig) -> f32 {
    let width = config.train.task.outputs();
    let labelled = || logits.chunks_exact(width).zip(labels).filter(|(_, label)| !label.is_nan());
    let logits: Vec<f32> = labelled().flat_map(|(logits, _)| logits).copied().collect();
    let labels: Vec<f32> = labelled().map(|(_, &label)| label).collect();
    temperature(&logits, &labels, width) as f32
}
