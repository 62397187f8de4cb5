//! The options of `latch train` whose defaults the data decides.

use std::path::PathBuf;

use crate::cli::args::absolute;
use crate::config::{MAX_EPOCHS, ModelConfig, RunConfig, StartConfig, TrainConfig, default_config};
use crate::defaults::Open;

/// What the data decides where nobody says it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct AdaptedArgs {
    /// The model, as its chain of layers [default: text 5000 > embedding 8 word_dropout=0.3 > lstm 32 > attention > dense]. Without this option, fewer than 20,000 texts
    /// try a few models first, and the smallest of the best is taken.
    /// A number behind a layer is its size: lstm N, gru N, rnn N, conv1d N, dense N; then one pooling: last, mean, max or attention. Options stand behind
    /// their layer, as in lstm 32 dropout=0.2. `latch layers` lists every layer with its options, and docs/models.md says more
    #[arg(long)]
    pub(super) model: Option<ModelConfig>,
    /// Begin with the network of this run, trained or imported, with its words, its classes and its model, and with a fresh optimizer. With --quantize it learns with integers
    /// alone, unless --epochs says how many epochs in floats come first
    #[arg(long, value_name = "RUN", conflicts_with_all = ["model", "fast", "folds", "teacher", "leave_out"])]
    pub(super) resume_from: Option<PathBuf>,
    /// Take one of these models without trying any, and hold out a tenth of the data however little it is
    #[arg(long)]
    pub(super) fast: bool,
    /// Maximum number of epochs [default: 60; fewer where these would be more than 16,000 batches, but at least 10]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=MAX_EPOCHS))]
    epochs: Option<u64>,
    /// Stop after this many epochs without a better one, by --select (early stopping) [default: a quarter of --epochs, at least 3]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    patience: Option<u64>,
}

/// The options that a run's own file has as they were decided, by their names.
pub(super) fn decided(train: &TrainConfig, folds: Option<u32>) -> Vec<(&'static str, String)> {
    let TrainConfig { model, epochs, patience, class_weights, start, .. } = train;
    let decided = [
        ("model", model.to_string()),
        ("epochs", epochs.to_string()),
        ("patience", patience.to_string()),
        ("class-weights", class_weights.to_string()),
    ];
    // A network that is there has its model, and epochs in floats where somebody says so.
    let is_open = |(name, _): &(&str, String)| match *name {
        "model" => start.is_none(),
        "epochs" => *epochs > 0,
        _ => true,
    };
    decided.into_iter().filter(is_open).chain(folds.map(|folds| ("folds", folds.to_string()))).collect()
}

impl AdaptedArgs {
    /// The number of epochs; the default of a large set where nobody says it.
    pub(super) fn epochs(&self) -> u64 {
        self.epochs.unwrap_or(default_config().epochs)
    }

    /// The patience, likewise.
    pub(super) fn patience(&self) -> u64 {
        self.patience.unwrap_or(default_config().patience)
    }

    /// The run with the network that it begins with, where one is named.
    pub(super) fn onward(&self, mut config: RunConfig) -> RunConfig {
        if let Some(run) = &self.resume_from {
            config.train.start = Some(StartConfig { run: absolute(run), sha256: String::new() });
            if config.train.quantize.is_some() {
                config.train.epochs = self.epochs.unwrap_or(0);
            }
        }
        config
    }

    /// What nobody says; of the validation part somebody else knows it.
    pub(super) fn open(&self) -> Open {
        let AdaptedArgs { model, epochs, patience, .. } = self;
        Open { model: model.is_none(), epochs: epochs.is_none(), patience: patience.is_none(), valid: false }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command};

    use crate::cli::train::options::Args;
    use crate::config::default_model;

    #[test]
    fn the_help_has_the_default_model() {
        let help = Args::augment_args(Command::new("train")).render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(&format!("[default: {}]", default_model())), "{help}");
    }
}
