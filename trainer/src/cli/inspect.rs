//! `latch inspect`: what an image holds, byte by byte.

use std::path::PathBuf;

use anyhow::Result;
use latch_engine::model::Model;

use super::output::{print, print_json};
use crate::evaluate::{open_image, read_image};
use crate::report::image::{Line, text};

/// Show every section of an image with offset and bytes, its shapes, scales, vocabulary, checksum, RAM and provenance.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  latch inspect imdb.latch")]
pub struct Args {
    /// File of the image
    image: PathBuf,
    /// Print all words of the vocabulary
    #[arg(long)]
    words: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// A fault when the image cannot be used.
pub fn run(args: Args) -> Result<()> {
    let bytes = read_image(&args.image)?;
    let image = open_image(&bytes, &args.image)?;
    let model = Model::new(&image);
    if args.json {
        return print_json(&Line::of(&model, &image));
    }
    print(format_args!("{}", text(&model, &image, args.words)?.trim_end()))
}
