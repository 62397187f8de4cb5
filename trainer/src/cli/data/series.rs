//! `latch data` for a published set of series.

use std::io::Write;

use anyhow::Result;
use serde_json::json;

use super::Args;
use crate::counted::counted;
use crate::error::fault;
use crate::series::Published;
use crate::series::fetch::{Brought, bring, write_parts};

/// Writes the parts of a published set of series, and says what they are.
///
/// # Errors
/// A [`Fault`](crate::error::Fault) if a number of examples was asked for, or as [`bring`] and [`write_parts`].
pub(super) fn write(set: Published, args: &Args, out: &mut dyn Write) -> Result<()> {
    if args.examples.is_some() {
        let problem = format!("{} has its own number of series", set.name());
        return Err(fault("--examples", problem, "leave it out").into());
    }
    let Brought { parts, offline } = bring(set, args.seed)?;
    write_parts(&args.out, &parts)?;
    let [train, test] = parts.each_ref().map(|part| part.series.len());
    let (path, channels) = (args.out.display().to_string(), parts[0].channels.len());
    let digests = parts.each_ref().map(|part| part.sha256.as_str());
    if args.json {
        let line = json!({
            "path": path, "name": set.name(), "train": train, "test": test, "channels": channels,
            "classes": parts[0].classes, "generated": offline, "sha256": digests,
        });
        return writeln!(out, "{line}").map_err(crate::cli::output::printing);
    }
    let (name, channels) = (set.name(), counted(channels, "channel"));
    let (train, test) = (counted(train, "series"), counted(test, "series"));
    writeln!(out, "{name}: {channels}, {train} to train, {test} to test, in {path}")
        .map_err(crate::cli::output::printing)?;
    match offline {
        Some(reason) => {
            writeln!(out, "these series are generated in the same shape, for {name} cannot be fetched: {reason}")
                .map_err(crate::cli::output::printing)
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::data::Source;
    use clap::{Parser, ValueEnum};

    #[test]
    fn every_published_set_can_be_named_and_has_its_own_number_of_series() {
        let of_series =
            |source: &Source| matches!(source, Source::Series(_)).then(|| source.to_possible_value().unwrap());
        let names: Vec<_> = Source::value_variants().iter().filter_map(of_series).collect();
        assert_eq!(names.iter().map(|name| name.get_name()).collect::<Vec<_>>(), Published::ALL.map(Published::name));
        let args = Args::try_parse_from(["data", "japanese-vowels", "--out", "x", "--examples", "100"]).unwrap();
        let error = write(Published::JapaneseVowels, &args, &mut std::io::sink()).unwrap_err();
        assert!(error.to_string().contains("japanese-vowels has its own number of series"), "{error}");
    }
}
