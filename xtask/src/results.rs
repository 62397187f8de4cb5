//! Writes `docs/results/latest.md` from the records in `benches/results/`, so that no figure on it is typed by hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};
use latch_emulator::command::root;
use latch_parts::boards::BOARDS;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::chips::{self, CMSIS_NN};
use crate::default_model::{self, PRECISIONS};
use crate::series;
use crate::size;
use crate::whole::write_whole;

/// The page, from the repository's root.
const PAGE: &str = "docs/results/latest.md";

/// The toolchain whose figures are shown: rustup's, which most users have.
const TOOLCHAIN: &str = "rustup";

/// Inputs x units of the steps that are shown.
const SHAPES: [&str; 4] = ["64x64", "32x32", "16x16", "1x1"];

/// Units of the steps that are shown of a workstation.
const UNITS: [u32; 3] = [16, 64, 256];

/// What the page is made of.
struct Records {
    model: default_model::Record,
    series: series::Record,
    steps: BTreeMap<String, chips::Step>,
    rustc: String,
    sizes: BTreeMap<String, size::Size>,
    counts: BTreeMap<String, u64>,
}

/// The part of `instructions.json` that is shown.
#[derive(Deserialize)]
struct Counted {
    instructions: BTreeMap<String, u64>,
}

/// Writes the page.
///
/// # Errors
/// When a record is missing or damaged, or when the page cannot be written.
pub(crate) fn run() -> Result<()> {
    let page = page(&Records::read()?)?;
    write_whole(&root().join(PAGE), &page)?;
    println!("written to {PAGE}");
    Ok(())
}

fn read<T: DeserializeOwned>(path: &str) -> Result<T> {
    let text = fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"))?;
    serde_json::from_str(&text).with_context(|| format!("{path} is not the record that it should be"))
}

impl Records {
    fn read() -> Result<Self> {
        let missing = |path: &str| format!("{path} has no figures of the toolchain {TOOLCHAIN}");
        let mut steps: chips::Record = read(chips::RECORD)?;
        let mut sizes: size::Record = read(size::RECORD)?;
        let sizes = sizes.remove(TOOLCHAIN).with_context(|| missing(size::RECORD))?;
        Ok(Records {
            model: read(default_model::RECORD)?,
            series: read(series::RECORD)?,
            steps: steps.remove(TOOLCHAIN).with_context(|| missing(chips::RECORD))?,
            rustc: sizes.rustc,
            sizes: sizes.programs,
            counts: read::<Counted>("benches/results/instructions.json")?.instructions,
        })
    }

    /// Instructions of one step on a board: `int8/64x64`, `cell-gru/16x16`.
    fn step(&self, board: &str, step: &str) -> Result<u64> {
        let name = format!("{board}/{step}");
        Ok(self.steps.get(&name).with_context(|| format!("{} has no {name}", chips::RECORD))?.instructions)
    }

    fn size(&self, board: &str, program: &str) -> Result<&size::Size> {
        let name = format!("{board}/{program}");
        self.sizes.get(&name).with_context(|| format!("{} has no {name}", size::RECORD))
    }

    fn count(&self, name: &str) -> Result<u64> {
        self.counts.get(name).copied().with_context(|| format!("instructions.json has no {name}"))
    }
}

/// The whole page.
fn page(records: &Records) -> Result<String> {
    let mut page = String::from(
        "# Latest results\n\n\
         This page is written by `cargo xtask results` from the records in [`benches/results/`](../../benches/results/README.md). Do not edit it: a test compares the two.\n\
         [The other pages](README.md) say how the figures came about.\n",
    );
    page += &default_model_section(&records.model)?;
    page += &series_section(&records.series)?;
    page += &code_section(records)?;
    page += &steps_section(records)?;
    page += &workstation_section(records)?;
    Ok(page)
}

fn default_model_section(record: &default_model::Record) -> Result<String> {
    let mut head = String::from("| precision |");
    for seed in record.seeds.keys() {
        write!(head, " seed {seed} |")?;
    }
    head += " mean accuracy | image bytes | RAM bytes a stream |";
    let mut rows = Vec::new();
    for precision in PRECISIONS {
        let figures: Vec<_> = record.seeds.values().filter_map(|images| images.get(precision)).collect();
        let last = figures.last().with_context(|| format!("{} has no {precision}", default_model::RECORD))?;
        let mut row = format!("| {precision} |");
        for figures in &figures {
            write!(row, " {} |", percent(figures.accuracy))?;
        }
        let mean = figures.iter().map(|figures| figures.accuracy).sum::<f64>() / figures.len() as f64;
        let image_bytes = figures.iter().map(|figures| figures.image_bytes);
        let (least, most) = (image_bytes.clone().min().unwrap_or(0), image_bytes.max().unwrap_or(0));
        let bytes = if least == most { number(least) } else { format!("{} to {}", number(least), number(most)) };
        write!(row, " {} | {bytes} | {} |", percent(mean), number(last.state_bytes))?;
        rows.push(row);
    }
    Ok(format!(
        "\n## The default model\n\n`{}`, trained on IMDb's official training split with the defaults of `latch train`. Accuracy is the engine's, on the {} reviews of the\n\
         official test split, which chose nothing. `cargo xtask default-model --train imdb_train.tsv.gz --test imdb_test.tsv.gz` makes the record.\n\n{}",
        record.model,
        number(record.texts),
        table(&head, &rows)
    ))
}

fn series_section(record: &series::Record) -> Result<String> {
    let mut rows = Vec::new();
    for (set, seeds) in record {
        // Shown per seed is int8, the last precision; of the others the mean.
        let shown = |figures: &series::Figures| figures.rmse.map_or_else(|| percent(figures.accuracy), decimals);
        let mut row = format!("| {set} |");
        for precision in series::PRECISIONS {
            let missing = || format!("{} has no {precision} of {set}", series::RECORD);
            let figures = seeds.values().map(|trained| trained.images.get(precision).with_context(missing));
            let figures: Vec<&series::Figures> = figures.collect::<Result<_>>()?;
            if precision == "int8" {
                let each: Vec<String> = figures.iter().map(|figures| shown(figures)).collect();
                write!(row, " {} |", each.join(" · "))?;
            }
            let mean = |of: fn(&series::Figures) -> f64| {
                figures.iter().map(|figures| of(figures)).sum::<f64>() / figures.len().max(1) as f64
            };
            let is_forecast = figures.iter().all(|figures| figures.rmse.is_some());
            let mean = if is_forecast {
                decimals(mean(|figures| figures.rmse.unwrap_or_default()))
            } else {
                percent(mean(|figures| figures.accuracy))
            };
            write!(row, " {mean} |")?;
            if precision == "int8" {
                let bytes = || figures.iter().map(|figures| figures.image_bytes);
                let (least, most) = (bytes().min().unwrap_or(0), bytes().max().unwrap_or(0));
                let bytes =
                    if least == most { number(least) } else { format!("{} to {}", number(least), number(most)) };
                write!(row, " {bytes} |")?;
            }
        }
        let naive = seeds.values().find_map(|trained| trained.naive_rmse).map(decimals).unwrap_or_default();
        let seconds = seeds.values().map(|trained| trained.seconds).fold(0.0, f64::max);
        write!(row, " {naive} | {seconds:.0} |")?;
        rows.push(row);
    }
    Ok(format!(
        "\n## Time series\n\nThe defaults of `latch train` on published sets with their published splits. Accuracy on the test part, which chose nothing; of the airline's passengers the root of the mean\n\
         square error of next month's forecast, beside that of the value a year ago. `cargo xtask series` makes the record.\n\n{}",
        table(
            "| set | mean f32 | mean int16 | int8, each seed | mean int8 | int8 image bytes | seasonal naive | longest training, seconds |",
            &rows
        )
    ))
}

fn decimals(value: f64) -> String {
    format!("{value:.2}")
}

fn code_section(records: &Records) -> Result<String> {
    let mut rows = Vec::new();
    for board in BOARDS {
        let (engine, firmware) = (records.size(board.name, "engine")?, records.size(board.name, "firmware, uart")?);
        rows.push(format!(
            "| {} ({}) | {} | {} | {} |",
            board.core,
            board.name,
            number(engine.code()),
            number(firmware.flash()),
            number(firmware.ram())
        ));
    }
    Ok(format!(
        "\n## Code on chips\n\nBuilds that run the default model's int8 image, by {}. The engine is code and constants alone; the firmware adds start-up, serial port and link. Neither holds the\n\
         image. RAM is that beside the stream's state and the stack. `cargo xtask size` weighs them.\n\n{}",
        records.rustc,
        table("| processor (board) | engine, bytes | firmware, bytes of flash | firmware, bytes of RAM |", &rows)
    ))
}

fn steps_section(records: &Records) -> Result<String> {
    let mut head = String::from("| int8 LSTM, inputs x units |");
    for shape in SHAPES {
        write!(head, " {} |", shape.replace('x', " x "))?;
    }
    let mut rows = Vec::new();
    for board in BOARDS {
        let mut row = format!("| {} ({}) |", board.core, board.name);
        for shape in SHAPES {
            write!(row, " {} |", number(records.step(board.name, &format!("int8/{shape}"))?))?;
        }
        rows.push(row);
        if CMSIS_NN.iter().any(|(name, _)| name.starts_with(board.name)) {
            let mut row = format!("| {}, CMSIS-NN on the same emulator |", board.core);
            for shape in SHAPES {
                let other = CMSIS_NN.iter().find(|(name, _)| *name == format!("{}/int8/{shape}", board.name));
                write!(row, " {} |", other.map_or_else(String::new, |(_, count)| number(*count)))?;
            }
            rows.push(row);
        }
    }
    let cells = [("LSTM", "cell-lstm"), ("GRU", "cell-gru"), ("simple RNN", "cell-rnn")];
    let mut others = Vec::new();
    for board in BOARDS {
        let mut row = format!("| {} ({}) |", board.core, board.name);
        for (_, cell) in cells {
            write!(row, " {} |", number(records.step(board.name, &format!("{cell}/64x64"))?))?;
        }
        others.push(row);
    }
    let mut floats = Vec::new();
    for board in BOARDS.iter().filter(|board| board.target.ends_with("eabihf")) {
        let mut row = format!("| {} ({}) |", board.core, board.name);
        for (_, cell) in cells {
            for shape in ["64x64", "16x16"] {
                write!(row, " {} |", number(records.step(board.name, &format!("{cell}-f32/{shape}"))?))?;
            }
        }
        floats.push(row);
    }
    let mut wide = Vec::new();
    for board in BOARDS {
        let step = |shape: &str| Ok::<_, anyhow::Error>(number(records.step(board.name, &format!("int16/{shape}"))?));
        wide.push(format!("| {} ({}) | {} | {} |", board.core, board.name, step("64x64")?, step("16x16")?));
    }
    Ok(format!(
        "\n## One step on emulated chips\n\nInstructions of one token: embedding row, one int8 LSTM step, pooling. QEMU repeats them exactly and models no time; no real chip was measured.\n\
         `cargo xtask chips` counts them.\n\n{}\n\
         The same step in int16:\n\n{}\n\
         The layer alone, int8, 64 inputs and 64 units:\n\n{}\n\
         The layer alone, f32, where there is an FPU, inputs x units:\n\n{}",
        table(&head, &rows),
        table("| processor (board) | 64 x 64 | 16 x 16 |", &wide),
        table("| processor (board) | LSTM | GRU | simple RNN |", &others),
        table(
            "| processor (board) | LSTM, 64 x 64 | 16 x 16 | GRU, 64 x 64 | 16 x 16 | simple RNN, 64 x 64 | 16 x 16 |",
            &floats
        )
    ))
}

fn workstation_section(records: &Records) -> Result<String> {
    let mut rows = Vec::new();
    for precision in ["int8", "f32", "f16"] {
        for backend in ["scalar", "avx2"] {
            let mut row = format!("| {precision}, {backend} |");
            for units in UNITS {
                write!(row, " {} |", number(records.count(&format!("step/{precision}/{backend}/{units:03}"))?))?;
            }
            write!(row, " {} |", number(records.count(&format!("review/{precision}/{backend}"))?))?;
            rows.push(row);
        }
    }
    Ok(format!(
        "\n## On x86-64\n\nInstructions of one LSTM step with as many inputs as units, and of a whole review of 239 words, counted by Valgrind. `cargo xtask instructions` counts them.\n\n{}",
        table("| precision, backend | 16 units | 64 units | 256 units | a review |", &rows)
    ))
}

fn table(head: &str, rows: &[String]) -> String {
    let columns = head.matches('|').count() - 1;
    format!("{head}\n|{}\n{}\n", " --- |".repeat(columns), rows.join("\n"))
}

/// With a comma at every thousand.
fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(path: &str) -> String {
        fs::read_to_string(root().join(path)).expect(path)
    }

    /// The numbers of a text: digits with commas and points between them.
    fn figures(text: &str) -> Vec<&str> {
        let is_part = |c: char| c.is_ascii_digit() || c == ',' || c == '.';
        let words = text.split(|c: char| !is_part(c)).map(|word| word.trim_matches([',', '.']));
        words.filter(|word| word.contains(|c: char| c.is_ascii_digit())).collect()
    }

    /// The first table behind the heading.
    fn table_behind<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
        let (_, behind) = page.split_once(heading).expect(heading);
        let rows = behind.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        rows.skip(2).collect()
    }

    #[test]
    fn the_committed_page_is_what_the_command_writes() {
        let page = page(&Records::read().expect("the records are there")).expect("they have all figures");
        assert!(page == committed(PAGE), "{PAGE} is old: run `cargo xtask results`");
    }

    #[test]
    fn every_figure_in_the_table_of_results_in_the_readme_is_on_the_latest_page() {
        let (page, readme) = (committed(PAGE), committed("README.md"));
        let (known, rows) = (figures(&page), table_behind(&readme, "\n## Results\n"));
        assert_eq!(rows.len(), 6, "{rows:?}");
        for row in rows {
            let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
            let shown: Vec<&str> = cells[1..].iter().flat_map(|cell| figures(cell)).collect();
            assert!(!shown.is_empty(), "{row}");
            for figure in shown {
                assert!(known.contains(&figure), "{figure} in README.md is not in {PAGE}: {row}");
            }
        }
    }

    #[test]
    fn numbers_have_a_comma_at_every_thousand() {
        assert_eq!([0, 999, 1000, 59_208, 1_234_567].map(number), ["0", "999", "1,000", "59,208", "1,234,567"]);
    }

    #[test]
    fn figures_are_read_with_their_commas_and_points() {
        assert_eq!(figures("59,208 bytes, 90.02 %; M4."), ["59,208", "90.02", "4"]);
    }
}
