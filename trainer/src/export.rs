//! From a run to its image: the one pipeline, whoever asks for an image. The same run gives the same bytes at a precision, by `latch export`, by a search
//! and by the demo.
//!
//! ```text
//! best network -> fused with its n-grams -> temperature or unit of its values -> image at a precision
//! image        -> behind its prefix                                                                      (where streams begin warm)
//! best image   -> thresholds of an early answer -> folded embedding                                      (only where asked for)
//! ```

pub mod beyond;
pub mod calibrated;
pub mod judged;
pub mod layers;
pub mod warm;

use anyhow::Result;
use latch_engine::Error;
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::image::header::Answer;
use latch_engine::with_answer;
use serde::Serialize;

use crate::calibration::justified_temperature;
use crate::config::chain::LayerConfig;
use crate::config::warm_up::WarmUp;
use crate::config::{RunConfig, Storage, Threshold, Valid};
use crate::dataset::{Example, Label, Labels, Task};
use crate::error::{Fault, fault};
use crate::evaluate::image_fault;
use crate::learning::sequences::{HeldOut, Scale, Sequences, class_weights};
use crate::learning::training::{Answered, fused, fusion, peaks};
use crate::learning::verdict::{Chosen, rarer_of};
use crate::metrics::scores::{Scores, confusion};
use crate::metrics::{determination_of, mean_loss, reliability};
use crate::network::Network;
use crate::network::tiers::Tiers;
use crate::ngrams::Fitted;
use crate::quantizer::aware::{Aware, Scales};
use crate::quantizer::describe::answer_of;
use crate::quantizer::{Origin, Weights, to_image};
use crate::runs::checkpoint::{Best, BestQuantized};
use crate::runs::folder::RunFolder;
use crate::runs::folds::has_folds;
use crate::runs::opened::Opened;
use crate::samples::Scaling;
use crate::vocabulary::Vocabulary;

/// A run with its best networks, read from its folder.
pub struct Trained {
    /// What the run began with.
    pub opened: Opened,
    /// The network of the best epoch.
    pub best: Best,
    /// That of the best epoch that learned with integers, where there is one.
    pub quantized: Option<BestQuantized>,
    /// How often each id occurs in the training texts.
    pub occurrences: Vec<u32>,
    /// The answers that stand in for a validation part, of a run after a cross-validation.
    pub held_out: Option<HeldOut>,
}

impl Trained {
    /// Reads the run in a folder.
    ///
    /// # Errors
    /// A fault when the run has no finished epoch, and those of [`Opened::read`].
    pub fn read(folder: &RunFolder) -> Result<Self> {
        let opened = Opened::read(folder)?;
        let best = folder.best()?;
        opened.check_network(folder, "best.network", &best.network)?;
        let quantized = folder.quantized()?;
        if let Some(quantized) = &quantized {
            opened.check_network(folder, "quantized.network", &quantized.best.network)?;
        }
        let held_out = folder.held_out()?;
        if matches!(opened.config.valid, Valid::All { .. }) && held_out.is_none() {
            let problem = "its cross-validation has not come to its end";
            let remedy = if has_folds(folder.path()) {
                "go on with it: `latch train --resume --out` this folder"
            } else {
                "take folds.json from a copy and go on with it, or train again into another folder"
            };
            return Err(fault(folder.path().display(), problem, remedy).into());
        }
        if held_out.as_ref().is_some_and(|held_out| !held_out.is_of(opened.config.train.task)) {
            let problem = "the answers in it are none of this run's task";
            let remedy = "take the file from a copy, or train again into another folder";
            return Err(fault(folder.file("held-out").display(), problem, remedy).into());
        }
        let occurrences = opened.occurrences.clone().unwrap_or_else(|| opened.vocabulary.occurrences(&opened.training));
        Ok(Trained { opened, best, quantized, occurrences, held_out })
    }

    /// What an export needs of it.
    pub fn source(&self) -> Source<'_> {
        let Opened { config, vocabulary, ngrams, training, validation, .. } = &self.opened;
        Source {
            config,
            vocabulary,
            occurrences: &self.occurrences,
            ngrams: ngrams.as_ref(),
            best: &self.best,
            quantized: self.quantized.as_ref(),
            training,
            validation,
            calibration: &[],
            held_out: self.held_out.as_ref(),
            warm_up: config.train.warm_up.as_ref().and_then(WarmUp::prefix),
        }
    }
}

/// What an image is made of.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The run's configuration.
    pub config: &'a RunConfig,
    /// The words.
    pub vocabulary: &'a Vocabulary,
    /// How often each id occurs in the training texts.
    pub occurrences: &'a [u32],
    /// The n-grams beside the network.
    pub ngrams: Option<&'a Fitted>,
    /// The network of the best epoch.
    pub best: &'a Best,
    /// That of the best epoch that learned with integers.
    pub quantized: Option<&'a BestQuantized>,
    /// The training texts.
    pub training: &'a [Example<Label>],
    /// The validation texts; none where a network was imported without data.
    pub validation: &'a [Example<Label>],
    /// The examples that integers are calibrated on in place of the training texts; none where nobody gave some.
    pub calibration: &'a [Example<Label>],
    /// The answers that stand in for those to validation texts, after a cross-validation.
    pub held_out: Option<&'a HeldOut>,
    /// What every stream has read before its first step.
    pub warm_up: Option<&'a WarmUp>,
}

/// The weights of an image, and where they come from.
struct Learned {
    weights: Weights,
    origin: Origin,
    /// The temperature that its logits were divided by, where they were.
    calibration: Option<Calibration>,
}

/// A network with its n-grams, and what it answers on the validation part.
struct Fused {
    weights: Weights,
    logits: Vec<f32>,
    labels: Vec<f32>,
}

/// A run's weights, ready to be packed at any precision.
pub struct Export<'a> {
    vocabulary: &'a Vocabulary,
    task: Task,
    float: Learned,
    aware: Option<(Storage, Learned)>,
    warm_up: Option<&'a WarmUp>,
}

/// An image.
pub struct Made {
    /// How its weights are stored.
    pub storage: Storage,
    /// The network learned with the integers of this storage.
    pub aware: bool,
    /// The image.
    pub bytes: AlignedBytes,
}

impl<'a> Export<'a> {
    /// Fuses a run's networks with its n-grams, and divides the logits of each by the temperature that fits it on the validation part, where `calibrate` says so
    /// and the labels are classes. Values are brought back to the unit of the labels.
    ///
    /// # Errors
    /// Those of [`Network::forward`], and a fault when weights that learned with integers do not fit them.
    pub fn of(source: Source<'a>, calibrate: bool) -> Result<Self> {
        let Source { config, vocabulary, best, .. } = source;
        let task = config.train.task;
        let is_judged = !source.validation.is_empty() || source.held_out.is_some();
        let calibrate = calibrate && !task.has_values() && is_judged;
        let needed = calibrate || source.ngrams.is_some() || config.train.threshold != Threshold::Half;
        let validation = if needed { source.validation()? } else { Sequences::default() };
        let shape = config.train.model.tiers;
        let training = source.training.iter().flat_map(|example| example.label.numbers().into_owned());
        let rarer = if config.train.threshold == Threshold::Half { 0 } else { rarer_of(training) };
        let learned = |Fused { weights, logits, labels }: Fused, mut origin: Origin| {
            let threshold = Chosen::of(&config.train, rarer, &logits, &labels);
            let calibration = calibrate.then(|| Calibration::of(&logits, &labels, task.outputs()));
            let weights = Weights { tiers: shape, ..weights };
            let weights = match &calibration {
                Some(calibration) => weights.at_temperature(calibration.temperature),
                None if task.has_values() => weights.in_the_unit_of(Scale::of_run(config, source.training)),
                None => weights,
            };
            let temperature = calibration.as_ref().map_or(1.0, |calibration| calibration.temperature);
            let logit = threshold.map(|threshold| f64::from(threshold.logit) / temperature);
            if source.held_out.is_some() {
                origin.valid_accuracy = accuracy_of(&logits, &labels, task) as f32;
            }
            // As the network gives it, and as training has said it: before its probabilities are fitted.
            origin.threshold = threshold.as_ref().map(Chosen::probability);
            Learned { weights: weights.shifted_by(-logit.unwrap_or_default()), origin, calibration }
        };
        let mut fused = source.fused(&best.network, &best.network, &validation)?;
        fused.weights = fused.weights.ranged(&source.peaks(&best.network)?);
        let float = learned(fused, source.origin(best)?);
        let aware = match source.quantized {
            Some(BestQuantized { best, storage, embedding_scales, ranges }) => {
                let tiers = shape.map(|shape| Tiers::new(shape, source.occurrences, best.network.config().vocabulary));
                let scales = Scales { embedding: embedding_scales.clone(), ranges: ranges.clone() };
                let judged = Aware::new(&best.network, *storage, scales, tiers.as_ref())?.integers.real;
                let mut fused = source.fused(&best.network, &judged, &validation)?;
                fused.weights.embedding_scales.clone_from(embedding_scales);
                fused.weights = fused.weights.ranged(ranges);
                Some((*storage, learned(fused, source.origin(best)?)))
            }
            None => None,
        };
        Ok(Export { vocabulary, task, float, aware, warm_up: source.warm_up })
    }

    /// The image at a precision: of the network that learned with its integers where there is one, else of the one that learned in floats.
    ///
    /// # Errors
    /// A fault when the image cannot hold the weights.
    pub fn image(&self, storage: Storage) -> Result<Made> {
        self.aware_image(storage).unwrap_or_else(|| self.float_image(storage))
    }

    /// The image of the network that learned in floats.
    ///
    /// # Errors
    /// As [`Export::image`].
    pub fn float_image(&self, storage: Storage) -> Result<Made> {
        self.pack(&self.float, storage, false)
    }

    /// The image of the network that learned with the integers of a precision; `None` where none has.
    pub fn aware_image(&self, storage: Storage) -> Option<Result<Made>> {
        let (_, learned) = self.aware.as_ref().filter(|(learned, _)| *learned == storage)?;
        Some(self.pack(learned, storage, true))
    }

    /// The image in f32 of the network that [`Export::image`] is made of: what its integers are to be close to.
    ///
    /// # Errors
    /// As [`Export::image`].
    pub fn twin(&self, storage: Storage) -> Result<Made> {
        self.pack(self.learned(storage), Storage::F32, false)
    }

    /// The precision that the run's network learned with the integers of.
    pub fn learned_integers(&self) -> Option<Storage> {
        self.aware.as_ref().map(|(storage, _)| *storage)
    }

    /// The weights of [`Export::image`].
    pub fn weights(&self, storage: Storage) -> &Weights {
        &self.learned(storage).weights
    }

    /// The temperature that the logits of [`Export::image`] were divided by, where they were.
    pub fn calibration(&self, storage: Storage) -> Option<Calibration> {
        self.learned(storage).calibration
    }

    /// What the image says of its accuracy, of values R²: on the validation part, or in a cross-validation.
    pub fn valid_accuracy(&self, storage: Storage) -> f64 {
        f64::from(self.learned(storage).origin.valid_accuracy)
    }

    fn learned(&self, storage: Storage) -> &Learned {
        match &self.aware {
            Some((learned, aware)) if *learned == storage => aware,
            _ => &self.float,
        }
    }

    fn pack(&self, learned: &Learned, storage: Storage, aware: bool) -> Result<Made> {
        fits(&learned.weights, storage, self.task)?;
        if storage.precision().is_integer()
            && self.vocabulary.scaling.as_ref().is_some_and(Scaling::skips_beyond_integers)
        {
            let problem = "samples beyond 32767 go around the network, and an integer image has values up to that";
            let remedy = "divide samples and labels by a constant and train again, or export with --precision f32";
            return Err(fault(format!("the {} image", storage.name()), problem, remedy).into());
        }
        let image = to_image(&learned.weights, self.vocabulary, storage, &learned.origin);
        let mut bytes = image.map_err(|error| match error.downcast_ref::<Error>() {
            Some(&refused) => image_fault(format_args!("the {} image", storage.name()), refused).into(),
            None => error,
        })?;
        let answer = answer_of(self.task);
        if answer != Answer::default() {
            bytes = with_answer(&Image::open(&bytes)?, answer, &[])?;
        }
        if let Some(warm_up) = self.warm_up {
            bytes = warm::warm(&bytes, warm_up, self.vocabulary)?;
        }
        Ok(Made { storage, aware, bytes })
    }
}

impl Source<'_> {
    /// The validation part as the network reads it.
    fn validation(&self) -> Result<Sequences> {
        let weights = class_weights(self.config, self.training)?;
        if let Some(held_out) = self.held_out {
            return Ok(held_out.sequences(weights));
        }
        let mut sequences = Sequences::read(self.validation, self.vocabulary, usize::MAX).weighted(weights);
        if self.config.train.task.has_values() {
            sequences = sequences.normalised(Scale::of_run(self.config, self.training));
        }
        Ok(match self.ngrams {
            Some(ngrams) => sequences.beside(self.validation, &self.vocabulary.tokenization, &ngrams.table),
            None => sequences,
        })
    }

    /// The weights of a network, fused with the run's n-grams on the validation part by the logits of `judged`, which is the network itself or what it
    /// becomes; and these logits, fused, with their labels, those of tokens that the network does not read among them.
    fn fused(&self, network: &Network<f32>, judged: &Network<f32>, validation: &Sequences) -> Result<Fused> {
        let mut weights = Weights { occurrences: self.occurrences.to_vec(), ..Weights::of(network) };
        let (objective, outputs) = (self.config.train.objective(), self.config.train.task.outputs());
        let Answered { mut logits, labels, fusion } = match self.held_out {
            Some(HeldOut { logits, labels, .. }) => Answered {
                logits: logits.clone(),
                labels: labels.clone(),
                fusion: fusion((logits, labels), validation, outputs, objective),
            },
            None if validation.is_empty() => Answered { logits: Vec::new(), labels: Vec::new(), fusion: None },
            None => match self.warm_up {
                Some(warm_up) => fused(&warm::warmed(judged, warm_up, self.vocabulary)?, validation, objective)?,
                None => fused(judged, validation, objective)?,
            },
        };
        if let Some(Fitted { table, .. }) = self.ngrams {
            let mut table = table.clone();
            if let Some(fusion) = fusion {
                fusion.apply(&mut logits, &validation.offsets);
                weights.head.iter_mut().chain(&mut weights.head_bias).for_each(|weight| *weight *= fusion.network);
                weights.head_bias.iter_mut().for_each(|bias| *bias += fusion.bias);
                table.scale(fusion.ngrams);
            }
            weights.ngrams = Some(table);
        }
        Ok(Fused { weights, logits, labels })
    }

    /// The ranges of a network's convolutions over what is calibrated on, else the training part, of an imported network its probe; none without a convolution or without data.
    fn peaks(&self, network: &Network<f32>) -> Result<Vec<f32>> {
        let convolves = network.config().chain.layers.iter().any(|layer| matches!(layer, LayerConfig::Conv1d { .. }));
        let examples = [self.calibration, self.training].into_iter().find(|part| !part.is_empty());
        let examples = examples.unwrap_or(self.validation);
        if !convolves || examples.is_empty() {
            return Ok(Vec::new());
        }
        peaks(network, &Sequences::read(examples, self.vocabulary, self.config.train.kept_tokens()))
    }

    /// Where a network of the run comes from.
    fn origin(&self, best: &Best) -> Result<Origin> {
        let mut data_sha256 = [0; 32];
        for (byte, digits) in data_sha256.iter_mut().zip(self.config.data_sha256.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits)?;
            *byte = u8::from_str_radix(digits, 16)?;
        }
        Ok(Origin {
            seed: self.config.train.seed,
            data_sha256,
            examples: self.training.len() as u32,
            epochs: best.metrics.epoch as u32,
            // After a cross-validation the answers of the folds are judged. An imported network has no score.
            valid_accuracy: if best.metrics.valid_accuracy.is_finite() {
                best.metrics.valid_accuracy as f32
            } else {
                0.0
            },
            classes: self.config.classes.clone(),
            threshold: None,
        })
    }
}

/// The share of answers that are right; of values R². Labels that are NaN do not count.
fn accuracy_of(logits: &[f32], labels: &[f32], task: Task) -> f64 {
    if task.has_values() {
        let labelled = logits.iter().zip(labels).filter(|(_, label)| !label.is_nan());
        let (values, labels): (Vec<f32>, Vec<f32>) = labelled.map(|(&value, &label)| (value, label)).unzip();
        return determination_of(&values, &labels);
    }
    Scores::of(&confusion(logits, labels, task.outputs())).accuracy
}

/// A temperature, and what it does on the validation part.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Calibration {
    /// By which the logits are divided.
    pub temperature: f64,
    /// Mean loss in nats as the network was learned.
    pub log_loss_before: f64,
    /// The same at the temperature.
    pub log_loss: f64,
    /// Expected calibration error as the network was learned.
    pub calibration_error_before: f64,
    /// The same at the temperature.
    pub calibration_error: f64,
}

impl Calibration {
    /// The temperature that fits answers of `outputs` logits each; labels that are NaN do not count.
    fn of(logits: &[f32], labels: &[f32], outputs: usize) -> Self {
        let labelled = || logits.chunks_exact(outputs).zip(labels).filter(|(_, label)| !label.is_nan());
        let logits: Vec<f32> = labelled().flat_map(|(logits, _)| logits).copied().collect();
        let labels: Vec<f32> = labelled().map(|(_, &label)| label).collect();
        let temperature = justified_temperature(&logits, &labels, outputs);
        let scaled: Vec<f32> = logits.iter().map(|&logit| (f64::from(logit) / temperature) as f32).collect();
        let error = |logits: &[f32]| reliability(logits, &labels, outputs).calibration_error;
        Calibration {
            temperature,
            log_loss_before: mean_loss(&logits, &labels, outputs, 1.0),
            log_loss: mean_loss(&logits, &labels, outputs, temperature),
            calibration_error_before: error(&logits),
            calibration_error: error(&scaled),
        }
    }
}

/// Checks that the values of a head lie in Q15.16, which integer images compute in.
fn fits(weights: &Weights, storage: Storage, task: Task) -> Result<(), Fault> {
    let units = weights.head.len() / weights.head_bias.len();
    let reach = |(row, bias): (&[f32], &f32)| row.iter().map(|weight| weight.abs()).sum::<f32>() + bias.abs();
    let largest = weights.head.chunks(units).zip(&weights.head_bias).map(reach).fold(0.0, f32::max);
    if !task.has_values() || !storage.precision().is_integer() || largest < 32_767.0 {
        return Ok(());
    }
    let problem = format!("values of this model reach {largest}, and an integer image has them up to 32767");
    // A weight beyond half a float's range would be refused there too.
    let precision = weights.narrowest_floats().name();
    let remedy = format!("divide the labels by a constant and train again, or export with --precision {precision}");
    Err(fault(format!("the {} image", storage.name()), problem, remedy))
}
