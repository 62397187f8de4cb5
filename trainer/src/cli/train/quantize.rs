//! The options of `latch train` about training with integers.

use crate::cli::args::rate;
use crate::cli::kinds::QuantizeArg;
use crate::config::{MAX_EPOCHS, QuantizeConfig};

/// Training on with integers.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct QuantizeArgs {
    /// Quantization-aware training: continue from the best network with the integer arithmetic of the engine in the forward pass
    #[arg(long, value_enum)]
    quantize: Option<QuantizeArg>,
    /// Epochs of quantization-aware training
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=MAX_EPOCHS), requires = "quantize")]
    quantize_epochs: u64,
    /// Peak learning rate of quantization-aware training
    #[arg(long, default_value_t = 1e-3, value_parser = rate, requires = "quantize")]
    quantize_lr: f64,
}

impl QuantizeArgs {
    /// What is asked for; `None` where nothing is.
    pub(super) fn config(&self) -> Option<QuantizeConfig> {
        let (epochs, learning_rate) = (self.quantize_epochs, self.quantize_lr);
        self.quantize.map(|storage| QuantizeConfig { storage: storage.into(), epochs, learning_rate })
    }
}
