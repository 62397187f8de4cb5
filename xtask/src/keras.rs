//! Compares the speed of training with Keras: `cargo xtask keras`.
//!
//! Both sides train the network of `latch_benches::keras::task` from the same weights on the same batches: ours by `training run`
//! (`benches/src/bin/training.rs`), Keras's by `benches/keras/keras_training.py`. First each mode of Keras is tried shortly. The rounds then take
//! the fastest of those that follow our optimizer's rule, whose loss curve must be ours, the fastest of the others where it is faster still, and
//! the mode that leaves every choice to Keras, as most people write it. Round follows round, A B A B, and a drift of the machine hits all alike.
//! `--threads` is held on both sides by `taskset`, too.
//!
//! What it installs lies under `target/keras/`: an environment of Python with the packages that `benches/keras/requirements.txt` pins.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use latch_emulator::command::{Command, root, target_folder};

use crate::peers::{pinned_packages, python, show, text};

/// The modes of Keras's side, as its script knows them.
const MODES: [&str; 4] = ["unrolled-lazy", "loop-lazy", "unrolled", "xla"];

/// The mode that leaves every choice to Keras, as most people do; each round has it.
const STOCK: &str = "stock";

/// What the name of a mode ends with that follows our rule.
const OUR_RULE: &str = "lazy";

/// Lots of steps with which a mode is tried; the first of them is not timed.
const TRIED_LOTS: &str = "3";

/// What is measured, and what becomes of it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Prints one line of JSON a row in place of tables
    #[arg(long)]
    json: bool,
    /// How often both sides train
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Numbers of threads, each for both sides
    #[arg(long, value_delimiter = ',', default_value = "1,2", value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: Vec<u32>,
    /// Texts of a batch
    #[arg(long, value_delimiter = ',', default_value = "32,128", value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: Vec<u32>,
    /// Writes a page in Markdown into this file
    #[arg(long, value_name = "FILE")]
    out: Option<std::path::PathBuf>,
}

/// Installs, measures, prints the tables, and fails where the loss curves part.
///
/// # Errors
/// Names what does not install, build or run, or the steps at which the curves part.
pub(crate) fn run(options: &Options) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    for &threads in &options.threads {
        ensure!(
            threads as usize <= cores,
            "--threads {threads}: this machine has {cores} cores; ask for at most as many"
        );
    }
    if Command::new("taskset --version").capture().is_err() {
        bail!("taskset is not installed, which keeps a program on some cores: apt-get install util-linux");
    }
    let folder = target_folder().join("keras");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let requirements = root().join("benches/keras/requirements.txt");
    let python = python(&folder, &requirements)?;
    let own = Command::new("cargo run --quiet --release -p latch-benches --bin training --");
    let task = folder.join("task");
    let batches: Vec<String> = options.batch.iter().map(u32::to_string).collect();
    show(&own.clone().arg("prepare").arg(text(&task)).arg("--batch").arg(batches.join(",")))?;
    let keras = |file: &Path, batch: u32, threads: u32, mode: &str| {
        let script = Command::new(&text(&python)).arg("benches/keras/keras_training.py").arg(text(&task));
        script.arg(text(file)).args(&format!("--batch {batch} --threads {threads} --mode {mode}"))
    };

    let load = load();
    let settings: Vec<(u32, u32)> =
        options.threads.iter().flat_map(|&threads| options.batch.iter().map(move |&batch| (threads, batch))).collect();
    let mut chosen = Vec::new();
    for &(threads, batch) in &settings {
        eprintln!("trying the modes of Keras: batch {batch}, threads {threads}");
        let tried = fresh(&folder.join("tried.jsonl"))?;
        for mode in MODES {
            show(&pinned(keras(&tried, batch, threads, mode), threads).args(&format!("--lots {TRIED_LOTS}")))?;
        }
        chosen.push(fastest(&speeds(&tried)?));
    }
    let runs = fresh(&folder.join("runs.jsonl"))?;
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for (&(threads, batch), modes) in settings.iter().zip(&chosen) {
            let ours = own.clone().arg("run").arg(text(&runs)).args(&format!("--batch {batch} --threads {threads}"));
            show(&pinned(ours, threads).env("RAYON_NUM_THREADS", &threads.to_string()))?;
            for mode in modes.iter().map(String::as_str).chain([STOCK]) {
                show(&pinned(keras(&runs, batch, threads, mode), threads))?;
            }
        }
    }
    show(&table(own, options, &runs, &requirements, load)?)
}

/// The command that merges the runs.
fn table(own: Command, options: &Options, runs: &Path, requirements: &Path, before: f64) -> Result<Command> {
    let typed: Vec<String> = std::env::args().skip(2).collect();
    let mut table = own.arg("table").arg(text(runs));
    if options.json {
        table = table.arg("--json");
    }
    if let Some(out) = &options.out {
        // A path means the caller's folder.
        let out = std::path::absolute(out).with_context(|| format!("{} is no path", out.display()))?;
        table = table.arg("--out").arg(text(&out));
    }
    let pinned = fs::read_to_string(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let command =
        ["cargo xtask keras"].into_iter().chain(typed.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let notes = [
        "Embedding(20000, 128) > LSTM(128) > dense 1, sigmoid and binary cross-entropy, texts of 80 tokens, f32, Adam at 0.0005: the same first weights \
         and the same batches in the same order on both sides. The ids follow Zipf's law, as words do. Each round trains both sides one after the \
         other; the first 8 steps, in which Keras compiles, are not timed. Neither side has more cores than threads."
            .to_owned(),
        format!(
            "Versions: {}. The modes of Keras: {}. Those that end in `lazy` have an Adam by Latch's rule, which moves only those rows of \
             the embedding that a batch touches, and their loss curves must be Latch's; the others have Keras's own, which moves all rows at every step. \
             Every mode was tried, and the rounds have the fastest by Latch's rule, and the fastest of all where that is another one. `stock` is the network as most \
             people write it, `LSTM(128)`, `compile` and `fit`, with every other choice left to Keras.",
            pinned_packages(&pinned).join(", "),
            MODES.join(", ")
        ),
        format!(
            "The machine is shared: its load average was {before:.1} before the rounds and {:.1} after them. Load above the number of cores makes \
             the speeds low and uneven, and hides what a second core gives a side: then only the CPU-seconds say something.",
            load()
        ),
    ];
    table = table.arg("--command").arg(command);
    Ok(notes.into_iter().fold(table, |table, note| table.arg(format!("--note={note}"))))
}

/// Engine and tokens a second of each line of a file of runs.
fn speeds(file: &Path) -> Result<Vec<(String, f64)>> {
    let told = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let speed = |line: &str| {
        let run: serde_json::Value = serde_json::from_str(line)?;
        let mode = run["engine"].as_str().and_then(|engine| engine.strip_prefix("keras "));
        Ok((mode.context("a run has no engine")?.to_owned(), run["speed"].as_f64().context("a run has no speed")?))
    };
    told.lines().map(speed).collect()
}

/// The fastest mode by our rule, and after it the fastest of all where that is another one.
fn fastest(speeds: &[(String, f64)]) -> Vec<String> {
    let best = |modes: &mut dyn Iterator<Item = &(String, f64)>| {
        modes.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(mode, _)| mode.clone())
    };
    let same = best(&mut speeds.iter().filter(|(mode, _)| mode.ends_with(OUR_RULE)));
    let all = best(&mut speeds.iter()).filter(|mode| Some(mode) != same.as_ref());
    same.into_iter().chain(all).collect()
}

/// The command on so many cores as it has threads.
fn pinned(command: Command, threads: u32) -> Command {
    command.run_by(&format!("taskset --cpu-list 0-{}", threads - 1))
}

/// The path, with no file there.
fn fresh(path: &Path) -> Result<std::path::PathBuf> {
    if path.exists() {
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(path.to_owned())
}

/// The machine's load average over a minute; not a number where that is not told.
fn load() -> f64 {
    let told = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    told.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rounds_have_the_fastest_mode_by_our_rule_and_a_faster_one_beside_it() {
        let tried = |speeds: [f64; 4]| fastest(&MODES.map(str::to_owned).into_iter().zip(speeds).collect::<Vec<_>>());
        assert_eq!(tried([4.0, 3.0, 2.0, 1.0]), ["unrolled-lazy"]);
        assert_eq!(tried([2.0, 3.0, 1.0, 4.0]), ["loop-lazy", "xla"]);
    }
}
