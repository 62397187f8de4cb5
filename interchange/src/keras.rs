//! Models of Keras 1, 2 and 3 from `.h5` and `.keras` files, without Python.
//!
//! ```text
//! .keras ──archive──> config.json, model.weights.h5 ──┐
//! .h5 ────────────────────────────────────────────────┴─h5─> JSON ──config──> layers in order ──layers──> Described
//!                                                            tensors ─weights─> those of each layer ──┘
//! ```
//!
//! A model is read where it is one chain of layers: a `Sequential`, or a `Functional` without branches. Weights alone are read with a chain that says the
//! layers. No code of the file is run, whatever it holds.

mod archive;
mod chain;
mod config;
mod entry;
mod glimpse;
mod h5;
mod layers;
mod opened;
mod text;
mod weights;

use std::rc::Rc;

use archive::Archive;
use entry::Era;
pub(crate) use glimpse::glimpse;
use opened::Opened;
pub use opened::is_h5;
pub(crate) use weights::snake_case;

use crate::Error;
use crate::budget::Budget;
use crate::described::{Described, Limits, Source};

/// What a caller may say beside the file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The layers of a file that holds weights alone, as `embedding > lstm 32 > last > dense`.
    pub chain: Option<&'a str>,
    /// The name of the last layer that is read, of a model whose upper part is none that can be.
    pub until: Option<&'a str>,
    /// The JSON of a Keras `Tokenizer` or of its `word_index`, and the name of its file.
    pub tokenizer: Option<(&'a [u8], &'a str)>,
}

/// Bytes that every file may take, however small it is: those of tables and names.
const FREE: usize = 1 << 18;

/// What a file may take: three times its size. The file itself, and one tensor while it is turned, come to that.
fn budget_of(bytes: &[u8]) -> Budget {
    Budget::of(bytes.len(), (3, FREE), "save the model again, without compression")
}

/// Whether the members of an archive are those of a `.keras` file.
pub fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
        && Archive::open(bytes, "", &budget_of(bytes))
            .is_ok_and(|archive| archive.find(|name| matches!(name, "config.json" | "model.weights.h5")).is_some())
}

/// Reads a model of Keras; `place` is the file.
///
/// # Errors
/// Names the place and the layer or the tensor: where the file is damaged; where it is no chain of layers that a description has; where a tensor has another
/// shape than its layer declares, or a value is not finite; where the model is beyond the limits.
pub fn read(bytes: &[u8], place: &str, options: &Options<'_>, limits: &Limits) -> Result<Described, Error> {
    let budget = Rc::new(budget_of(bytes));
    let Opened { weights, config, version, format, words } = Opened::of(bytes, place, &budget)?;
    let era = Era::of(version.as_deref());
    let declared = match (config, options.chain) {
        (Some(_), Some(_)) => {
            let remedy = "leave the chain out";
            return Err(Error::new(place, "it says its layers itself, and a chain is given beside it", remedy));
        }
        (Some(config), None) => config::declared(&config, place, era, options.until)?,
        (None, Some(chain)) => chain::declared(chain, &weights, place, era)?,
        (None, None) => {
            let problem = "it holds weights alone, without the layers that they belong to";
            let remedy = "say the layers, as --chain \"embedding > lstm 32 > last > dense\", or save the whole model";
            return Err(Error::new(place, problem, remedy));
        }
    };
    let mut source = Source::of(format);
    source.version = version;
    let (mut model, vectorization) = layers::described(&declared, &weights, source, place)?;
    // The file is not needed any more, and may be as large as the model.
    drop(weights);
    model.check(place, limits)?;
    text::complete(&mut model, vectorization.as_ref(), words.as_deref(), options.tokenizer)?;
    model.check(place, limits)?;
    Ok(model)
}
