//! The picture of an evaluation, into the file that was named.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::Result;

use crate::error::{Fault, fault};
use crate::evaluate::Evaluation;
use crate::files::write_atomically;
use crate::report::{png, reliability};

/// A file to draw into, by its ending.
pub(super) enum Plot<'p> {
    Svg(&'p Path),
    Png(&'p Path),
}

impl<'p> Plot<'p> {
    /// # Errors
    /// A fault when the ending is neither .svg nor .png.
    pub(super) fn of(path: &'p Path) -> Result<Self, Fault> {
        match path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase).as_deref() {
            Some("svg") => Ok(Plot::Svg(path)),
            Some("png") => Ok(Plot::Png(path)),
            _ => Err(fault(
                format!("--plot {}", path.display()),
                "the file's name does not say which kind of picture to write",
                "end it in .svg or .png",
            )),
        }
    }

    /// Draws confidence against accuracy.
    pub(super) fn write(self, result: &Evaluation) -> Result<()> {
        let picture = reliability::picture(&result.reliability);
        match self {
            Plot::Svg(path) => write_atomically(path, |out| Ok(out.write_all(picture.file().as_bytes())?)),
            Plot::Png(path) => {
                let png = png::png(&picture)?;
                write_atomically(path, |out| Ok(out.write_all(&png)?))
            }
        }
    }
}
