//! Small trainings on the built-in set.

use std::time::Duration;

use latch_trainer::dataset::{Example, built_in};
use latch_trainer::ngrams::NgramConfig;
use latch_trainer::vocabulary::Vocabulary;
use latch_trainer::{
    config::{
        ModelConfig, TrainConfig, Words,
        chain::{Chain, Pooling},
    },
    learning::{
        sequences::Sequences,
        training::{BatchProgress, Job, Progress},
    },
    metrics::EpochMetrics,
    runs::writer::RunWriter,
};

/// What a training reads: its examples are pairs of the same words in another order with opposite labels, and no pair is divided
/// between the two parts.
#[derive(Clone, Debug)]
pub struct Task {
    /// What decides the run besides its data.
    pub config: TrainConfig,
    /// The words.
    pub vocabulary: Vocabulary,
    /// What the network learns from.
    pub training: Sequences,
    /// What judges it.
    pub validation: Sequences,
    /// The texts of the validation part.
    pub held_out: Vec<Example>,
}

impl Task {
    /// What is trained into a folder.
    pub fn job<'a>(&'a self, folder: &'a RunWriter) -> Job<'a> {
        let Task { config, vocabulary, training, validation, .. } = self;
        Job { config, vocabulary, training, validation, folder: Some(folder) }
    }

    /// A task of `examples` reviews to learn from and `held_out` to judge by.
    pub fn new(config: TrainConfig, examples: usize, held_out: usize) -> Self {
        let mut learned = built_in::generate(1, examples + held_out);
        let held_out = learned.split_off(examples);
        let texts = learned.iter().map(|example| example.text.as_str());
        let vocabulary = Vocabulary::build(texts, config.model.vocab, config.unknown());
        Task {
            training: Sequences::read(&learned, &vocabulary, config.max_tokens),
            validation: Sequences::read(&held_out, &vocabulary, usize::MAX),
            vocabulary,
            config,
            held_out,
        }
    }
}

/// The configuration of a training without dropout, for `epochs` epochs.
pub fn config(embedding: usize, units: usize, epochs: u64) -> TrainConfig {
    TrainConfig {
        model: ModelConfig {
            tokens: Default::default(),
            tiers: None,
            vocab: 1000,
            chain: Chain::stacked(embedding, 1, units, Some(Pooling::Mean)),
            words: Words::Count,
            skip_unknown: false,
            hashed: None,
            ngrams: NgramConfig::NONE,
            samples: None,
        },
        task: Default::default(),
        epochs,
        batch: 32,
        learning_rate: 1e-2,
        warmup: 0.05,
        seed: 1,
        max_tokens: 400,
        clip_norm: 1.0,
        weight_decay: 0.0,
        label_smoothing: 0.0,
        average: 0.0,
        patience: epochs,
        class_weights: Default::default(),
        select: Default::default(),
        threshold: Default::default(),
        quantize: None,
        distill: None,
        leave_out: None,
        augment: None,
        carry: None,
        warm_up: None,
        start: None,
    }
}

/// Shows nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {
    fn batch(&mut self, _: &BatchProgress) {}

    fn epoch(&mut self, _: &EpochMetrics, _: Duration, _: bool) {}
}
