//! The parts of a file of Keras: its weights, and what it says of the model.

use std::rc::Rc;

use serde_json::Value;

use super::archive::Archive;
use super::h5::H5;
use super::weights::Weights;
use super::{config, text};
use crate::Error;
use crate::budget::Budget;
use crate::described::Format;

/// What HDF5 begins with.
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Whether a file is HDF5.
pub fn is_h5(bytes: &[u8]) -> bool {
    bytes.starts_with(HDF5)
}

/// What a file holds.
pub(super) struct Opened {
    pub(super) weights: Weights,
    pub(super) config: Option<Value>,
    pub(super) version: Option<String>,
    pub(super) format: Format,
    /// The words of a vocabulary beside the weights.
    pub(super) words: Option<Vec<String>>,
}

impl Opened {
    /// Opens a file of either form; `place` is the file.
    ///
    /// # Errors
    /// Names the place, where the file is damaged or a part of it is missing.
    pub(super) fn of(bytes: &[u8], place: &str, budget: &Rc<Budget>) -> Result<Self, Error> {
        if is_h5(bytes) { of_h5(bytes, place, budget) } else { of_archive(bytes, place, budget) }
    }
}

fn of_h5(bytes: &[u8], place: &str, budget: &Rc<Budget>) -> Result<Opened, Error> {
    budget.take(place, bytes.len())?;
    let h5 = H5::open(bytes.to_vec(), place, Rc::clone(budget))?;
    let config = match h5.text("", "model_config")? {
        Some(text) => Some(config::parse(text.as_bytes(), &h5.at("model_config"), budget)?),
        None => None,
    };
    let mut version = h5.text("", "keras_version")?;
    if version.is_none() {
        version = h5.text("model_weights", "keras_version")?;
    }
    // Variables without names are Keras 3's, or the last of Keras 2, and no file of weights says which.
    let weights = Weights::of(h5)?;
    if version.is_none() && !weights.is_listed() {
        version = Some("3".to_owned());
    }
    Ok(Opened { weights, config, version, format: Format::KerasH5, words: None })
}

fn of_archive(bytes: &[u8], place: &str, budget: &Rc<Budget>) -> Result<Opened, Error> {
    let mut archive = Archive::open(bytes, place, budget)?;
    let missing = |name: &str, remedy: &str| Error::new(format!("{place}: {name}"), "it is missing", remedy);
    let text =
        archive.member("config.json")?.ok_or_else(|| missing("config.json", "save the model with model.save"))?;
    let config = config::parse(&text, &format!("{place}: config.json"), budget)?;
    let version = match archive.member("metadata.json")? {
        Some(text) => {
            let metadata = config::parse(&text, &format!("{place}: metadata.json"), budget)?;
            metadata.get("keras_version").and_then(Value::as_str).map(str::to_owned)
        }
        None => None,
    };
    // Only Keras from 2.12 on writes archives.
    let version = version.or_else(|| Some("3".to_owned()));
    let words = match archive.find(|name| name.ends_with("vocabulary.txt")) {
        Some(name) => Some(text::lines(&archive.member(&name)?.unwrap_or_default(), &format!("{place}: {name}"))?),
        None => None,
    };
    let remedy = "save the model in one file, without shards";
    let weights = archive.member("model.weights.h5")?.ok_or_else(|| missing("model.weights.h5", remedy))?;
    drop(archive);
    let weights = Weights::of(H5::open(weights, place, Rc::clone(budget))?)?;
    Ok(Opened { weights, config: Some(config), version, format: Format::Keras, words })
}
