//! `latch report`: a run as one page with pictures.

use std::path::{Path, PathBuf};

use anyhow::Result;
use latch_data::series::Missing;
use serde::Serialize;

use super::args::keep_inputs;
use super::columns::ColumnArgs;
use super::kinds::MissingArg;
use super::output::{answer, print_json};
use crate::files::{create_folder, write_atomically};
use crate::run_report::page::html;
use crate::run_report::{Options, report};
use crate::runs::folder::RunFolder;

/// Write a report of a run as one HTML file: curves, confusion, calibration, worst answers, bytes by layer, time by chip.
///
/// The file needs no network and no script. It reports on the run's int8 image, or on the one of --image, and on the run's validation part, or on
/// the labelled texts or series of --data.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  latch report runs/imdb\n  \
                  latch report runs/imdb --data imdb/test.tsv.gz --text \"not a good film\" --out imdb.html")]
pub struct Args {
    /// Folder of the run
    run: PathBuf,
    /// File to write [default: report.html in the run's folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Image to report on [default: the run's, int8 or of the integers that it was trained with]
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Labelled texts or series to report on [default: the run's validation part]
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    /// What becomes of a missing value of a series [default: as the run does]
    #[arg(long, value_enum, requires = "data")]
    missing: Option<MissingArg>,
    /// Text to show token by token [default: one of the labelled texts]
    #[arg(long)]
    text: Option<String>,
    /// Also write each picture as an SVG file into this folder
    #[arg(long, value_name = "FOLDER")]
    svg: Option<PathBuf>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line {
    report: String,
    pictures: Vec<&'static str>,
    image_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
}

/// Runs the verb.
///
/// # Errors
/// A fault when the run, the image or the data cannot be used, or when a file cannot be written.
pub fn run(args: Args) -> Result<()> {
    let folder = RunFolder::new(&args.run);
    let columns = args.columns.columns()?;
    let missing = args.missing.map(Missing::from);
    let out = args.out.unwrap_or_else(|| folder.file("report.html"));
    let inputs: Vec<&Path> = [&args.image, &args.data].into_iter().flatten().map(PathBuf::as_path).collect();
    keep_inputs(&out, &inputs)?;
    let options = Options { image: args.image, data: args.data, columns, missing, text: args.text };
    let report = report(&folder, &options)?;
    let page = html(&report);
    write_atomically(&out, |file| Ok(file.write_all(page.as_bytes())?))?;
    let pictures = || report.sections.iter().filter_map(|section| Some((section.name, section.picture.as_ref()?)));
    if let Some(folder) = &args.svg {
        create_folder(folder)?;
        for (name, picture) in pictures() {
            let svg = picture.file();
            write_atomically(&folder.join(format!("{name}.svg")), |file| Ok(file.write_all(svg.as_bytes())?))?;
        }
    }
    answer(args.json, format_args!("wrote {} ({} bytes): open it in a browser", out.display(), page.len()))?;
    if args.json {
        print_json(&Line {
            report: out.display().to_string(),
            pictures: pictures().map(|(name, _)| name).collect(),
            image_bytes: report.image_bytes,
            accuracy: report.accuracy,
        })?;
    }
    Ok(())
}
