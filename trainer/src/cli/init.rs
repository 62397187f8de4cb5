//! `latch init`: the options of a training as a file to begin with.

use std::iter;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::args::absolute;
use super::output::print;
use super::train::{HEADING, OF_A_CALL, command};
use crate::error::{fault, reading};
use crate::files::write_atomically;
use crate::settings::{Given, Settings};

/// Write latch.toml: every option of `latch train` with its default or an example, to be edited.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  latch init --data messages.csv\n  latch train --config latch.toml")]
pub struct Args {
    /// Labelled texts or series, as `latch train` takes them
    #[arg(long)]
    data: Option<PathBuf>,
    /// File to write
    #[arg(long, default_value = "latch.toml")]
    out: PathBuf,
    /// Overwrite the file if it exists
    #[arg(long)]
    force: bool,
}

/// Runs the verb.
///
/// # Errors
/// A fault when the data is missing, or when the file is there already or cannot be written.
pub fn run(args: Args) -> Result<()> {
    if !args.force && args.out.symlink_metadata().is_ok() {
        let remedy = "add --force to replace it, or name another file by --out";
        return Err(fault(args.out.display(), "this file already exists", remedy).into());
    }
    if let Some(data) = &args.data {
        std::fs::metadata(data).map_err(|error| reading(data, error))?;
    }
    let given = given(args.data.as_deref(), &args.out);
    let text = Settings::new(&command(), &OF_A_CALL).template(HEADING, &given);
    write_atomically(&args.out, |out| Ok(out.write_all(text.as_bytes())?))?;
    let out = args.out.display();
    let first = if args.data.is_some() { "look it over" } else { "say in it where the data is" };
    print(format_args!("wrote {out}; {first}, then: latch train --config {out}"))
}

/// What the file says of options that have no default.
fn given(data: Option<&Path>, out: &Path) -> [Given<'static>; 2] {
    let beside = out.parent().is_none_or(|folder| folder.as_os_str().is_empty());
    // A path is read from the file's folder, and was given from this one.
    let path = |path: &Path| if beside { path.to_owned() } else { absolute(path) };
    let name = data.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.split('.').find(|part| !part.is_empty()).unwrap_or("first");
    let note = if data.is_some() { "" } else { "an example: name your data" };
    let data = data.map_or_else(|| PathBuf::from("data.csv"), path);
    [
        Given { name: "data", value: data.to_string_lossy().into_owned(), note },
        Given { name: "out", value: free(out, name), note: "an example: any folder that holds no run yet" },
    ]
}

/// A folder for a run, as the file names it, that is not there yet.
fn free(out: &Path, name: &str) -> String {
    let beside = out.parent().unwrap_or(Path::new(""));
    let is_free = |folder: &String| beside.join(folder).symlink_metadata().is_err();
    let numbered = (2..).map(|number| format!("runs/{name}-{number}"));
    iter::once(format!("runs/{name}")).chain(numbered).find(is_free).unwrap_or_default()
}
