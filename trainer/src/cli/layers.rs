//! `latch layers`: what a chain can be made of.

use anyhow::Result;

use super::output::{print, print_json};
use crate::report::layers::{detail, layer, layers, table};

/// List every layer of a chain: its options with their defaults, its bytes, state and multiply-adds.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  latch layers\n  latch layers gru")]
pub struct Args {
    /// One layer to explain [default: all of them in a table]
    layer: Option<String>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// A fault when there is no such layer.
pub fn run(args: Args) -> Result<()> {
    let Some(name) = args.layer else {
        let layers = layers()?;
        return if args.json { print_json(&layers) } else { print(format_args!("{}", table(&layers).trim_end())) };
    };
    let layer = layer(&name)?;
    if args.json { print_json(&layer) } else { print(format_args!("{}", detail(&layer).trim_end())) }
}
