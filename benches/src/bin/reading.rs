//! How long `latch train` takes over a large file before it learns, and how much memory.
//!
//! ```text
//! reading [--texts N] [--epoch] [--json]
//! ```
//!
//! Writes a file of made-up reviews into the system's folder for temporary files: 75,000 texts, 100 MB, the same bytes each time. Then it begins a run on that file
//! in a process of its own, with the options that `latch train` has by default, and says when what was seen:
//!
//! - the first progress, which a terminal shows as a bar,
//! - the line `read 75,000 texts, …`: all texts are read, divided and cut into tokens,
//! - the first batch that is learned, and with `--epoch` the end of the first epoch,
//! - the most memory that the process had by its first batch, as a multiple of the file.
//!
//! The file and the run are removed at the end. Seconds count from the start of the process.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use latch_trainer::config::{RunConfig, TrainConfig, Valid, default_config};
use latch_trainer::defaults::Open;
use latch_trainer::learning::training::{BatchProgress, Progress};
use latch_trainer::metrics::EpochMetrics;
use latch_trainer::runs::adapted::{Asked, begin};
use latch_trainer::runs::folder::RunFolder;
use latch_trainer::runs::folds::Observer;
use serde::{Deserialize, Serialize};

#[derive(Parser)]
#[command(about = "Seconds and memory of `latch train` on a large file, until it learns")]
struct Arguments {
    /// Texts of the file, about 1,340 bytes each
    #[arg(long, default_value_t = 75_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    texts: u64,
    /// Goes on to the end of the first epoch
    #[arg(long)]
    epoch: bool,
    /// Prints one line of JSON
    #[arg(long)]
    json: bool,
    /// The folder of the file and the run, in the process that is measured
    #[arg(long, hide = true)]
    measured: Option<PathBuf>,
}

/// What was seen when, in seconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Seen {
    first_progress: Option<f64>,
    read: Option<f64>,
    first_batch: Option<f64>,
    epoch: Option<f64>,
    /// Bytes.
    most_memory: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.measured {
        Some(folder) => measure(folder, arguments.epoch),
        None => run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the file, measures in another process, and says what that saw.
fn run(arguments: &Arguments) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder for temporary files")?;
    let file = folder.path().join("reviews.tsv");
    write_reviews(&file, arguments.texts).with_context(|| format!("cannot write {}", file.display()))?;
    let bytes = fs::metadata(&file)?.len();
    let mut child = Command::new(std::env::current_exe()?);
    child.arg("--measured").arg(folder.path());
    if arguments.epoch {
        child.arg("--epoch");
    }
    let output = child.stderr(Stdio::inherit()).output().context("cannot start the process that is measured")?;
    ensure!(output.status.success(), "the process that is measured has failed");
    let seen: Seen = serde_json::from_slice(&output.stdout).context("the process that is measured said nothing")?;
    if arguments.json {
        let line = serde_json::json!({ "texts": arguments.texts, "bytes": bytes, "seen": seen });
        println!("{line}");
        return Ok(());
    }
    println!("{} texts, {:.1} MB", arguments.texts, bytes as f64 / 1e6);
    for (what, seconds) in [
        ("first progress", seen.first_progress),
        ("line `read`", seen.read),
        ("first batch", seen.first_batch),
        ("end of the epoch", seen.epoch),
    ] {
        if let Some(seconds) = seconds {
            println!("{what:17} {seconds:6.2} s");
        }
    }
    match seen.most_memory {
        Some(most) => println!("most memory       {:6.2} times the file", most as f64 / bytes as f64),
        None => println!("most memory       not known on this system"),
    }
    Ok(())
}

/// Begins a run on the file in the folder, and prints what was seen when.
fn measure(folder: &Path, epoch: bool) -> Result<()> {
    let train = TrainConfig { epochs: 1, ..default_config() };
    let config = RunConfig {
        latch: env!("CARGO_PKG_VERSION").into(),
        train,
        data: folder.join("reviews.tsv"),
        data_sha256: String::new(),
        columns: Default::default(),
        classes: Vec::new(),
        valid: Valid::Fraction(0.1),
        series: None,
        imported: None,
    };
    let open = Open { model: true, epochs: false, patience: true, valid: true };
    let settings = |_: &TrainConfig, _: Option<u32>| String::new();
    let asked = Asked { tokens: None, folds: None, open, fast: false, settings: &settings };
    let mut watch = Watch { start: Instant::now(), seen: Seen::default(), epoch };
    begin(config, &asked, &RunFolder::new(folder.join("run")), &mut watch)?;
    watch.end()
}

/// Notes what a run shows; ends the process where nothing more is to be seen.
struct Watch {
    start: Instant,
    seen: Seen,
    epoch: bool,
}

impl Watch {
    fn seconds(&self) -> Option<f64> {
        Some(self.start.elapsed().as_secs_f64())
    }

    fn end(&self) -> Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &self.seen)?;
        Ok(out.flush()?)
    }
}

impl Progress for Watch {
    fn batch(&mut self, _: &BatchProgress) {
        if self.seen.first_batch.is_some() {
            return;
        }
        self.seen.first_batch = self.seconds();
        self.seen.most_memory = most_memory();
        if !self.epoch {
            // A run has no way to be stopped but to end its process.
            std::process::exit(i32::from(self.end().is_err()));
        }
    }

    fn epoch(&mut self, _: &EpochMetrics, _: Duration, _: bool) {
        self.seen.epoch = self.seconds();
    }

    fn note(&mut self, text: &str) {
        if text.starts_with("read ") {
            self.seen.read = self.seconds();
        }
    }

    fn preparing(&mut self, _: &str, _: u64, _: u64) {
        if self.seen.first_progress.is_none() {
            self.seen.first_progress = self.seconds();
        }
    }
}

impl Observer for Watch {
    fn begins(&mut self, _: u32, _: u32) {}

    fn begins_all(&mut self, _: u64) {}
}

/// The most memory that this process had at a time, in bytes; where the system says so.
fn most_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// What share of all words the most frequent ones are, up to a rank: as in the 50,000 labelled reviews of IMDb.
const SHARES: [(f64, f64); 9] = [
    (0.0, 1.0),
    (0.261, 10.0),
    (0.575, 100.0),
    (0.802, 1e3),
    (0.917, 5e3),
    (0.976, 2e4),
    (0.993, 5e4),
    (0.998, 1e5),
    (1.0, 3e5),
];

/// Words of a review.
const LENGTH: std::ops::Range<u64> = 80..508;

/// Numbers that look random: SplitMix64, with a fixed seed.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// The rank of a word, from 0, by [`SHARES`]; between two of them as likely as by Zipf's law.
    fn rank(&mut self) -> u64 {
        let share = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let above = SHARES.partition_point(|(up_to, _)| *up_to <= share).clamp(1, SHARES.len() - 1);
        let ((low, first), (high, last)) = (SHARES[above - 1], SHARES[above]);
        (first.ln() + (share - low) / (high - low) * (last / first).ln()).exp() as u64 - 1
    }
}

/// The word of a rank: longer where it is rarer.
fn word(rank: u64) -> String {
    const ONSETS: [&str; 16] = ["b", "c", "d", "f", "g", "h", "l", "m", "n", "p", "r", "s", "t", "th", "w", "st"];
    const ENDS: [&str; 12] = ["a", "e", "i", "o", "u", "an", "er", "in", "ed", "es", "al", "ou"];
    let (mut rest, mut word) = (rank + 1, String::new());
    while rest > 0 {
        let syllable = (rest % 192) as usize;
        word += ONSETS[syllable % 16];
        word += ENDS[syllable / 16];
        rest /= 192;
    }
    word
}

/// Writes reviews, one on each line, with marks, tags and capitals as people write them; words of one in eight sentences tell the class.
fn write_reviews(file: &Path, texts: u64) -> io::Result<()> {
    let mut noise = Noise(24);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
    for text in 0..texts {
        let class = text % 2;
        write!(out, "{class}\t")?;
        let length = LENGTH.start + noise.below(LENGTH.end - LENGTH.start);
        // One in twelve has characters beyond ASCII.
        let is_ascii = noise.below(12) > 0;
        let mut starts = true;
        for _ in 0..length {
            let word =
                if starts && noise.below(8) == 0 { word(2 * noise.below(50) + class) } else { word(noise.rank()) };
            let (first, rest) = word.split_at(1);
            match starts {
                true => write!(out, "{}{rest}", first.to_ascii_uppercase())?,
                false => out.write_all(word.as_bytes())?,
            }
            starts = false;
            out.write_all(match noise.below(120) {
                0..6 => {
                    starts = true;
                    b". "
                }
                6 => {
                    starts = true;
                    b"!! "
                }
                7 => {
                    starts = true;
                    b".<br /><br />"
                }
                8..14 => b", ",
                14 => b"'s ",
                15 => b" (1999) ",
                16 if !is_ascii => " — ".as_bytes(),
                17 if !is_ascii => "é ".as_bytes(),
                _ => b" ",
            })?;
        }
        out.write_all(b"the end\n")?;
    }
    out.flush()
}
