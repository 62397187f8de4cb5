//! The rate of the whole path, UTF-8 in, verdict out: bytes and texts a second, on one core and on all.
//!
//! ```text
//! text-rate IMAGE --data PATH [--rounds N] [--json]
//! ```
//!
//! The texts lie in memory before the first round. A round runs over all of them with one thread, then with as many as there are cores, so that
//! a drift of the machine hits both alike.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use latch_benches::peers::rounds::Figure;
use latch_engine::Model;
use latch_engine::kernels::AnyBackend;
use latch_trainer::dataset::{self, Part};
use latch_trainer::evaluate::{open_image, read_image, state_for};
use latch_trainer::report;
use serde::Serialize;

/// Texts that a thread takes at a time.
const TAKEN: usize = 16;

#[derive(Parser)]
#[command(about = "Bytes and texts a second, from UTF-8 to the verdict, on one core and on all")]
struct Arguments {
    /// File of the image
    image: PathBuf,
    /// Labelled texts, as `latch eval` takes them
    #[arg(long)]
    data: PathBuf,
    /// How often each is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// The backend; without it the widest that this processor has
    #[arg(long)]
    backend: Option<String>,
    /// Prints one line of JSON a number of threads
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    threads: usize,
    backend: &'a str,
    precision: &'a str,
    texts: usize,
    bytes: usize,
    megabytes_a_second: f64,
    megabytes_a_second_min: f64,
    megabytes_a_second_max: f64,
    texts_a_second: f64,
    n: usize,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments = Arguments::parse();
    let image = read_image(&arguments.image)?;
    let image = open_image(&image, &arguments.image)?;
    let mut model = Model::new(&image);
    if let Some(name) = &arguments.backend {
        let names = || AnyBackend::all().map(AnyBackend::name).collect::<Vec<_>>().join(", ");
        let backend = AnyBackend::by_name(name);
        model = model.with_backend(
            backend.with_context(|| format!("this processor has no backend {name}; it has {}", names()))?,
        );
    }
    // As `latch eval` does: a workstation has the memory.
    let mut memory = vec![0; model.packed_bytes()];
    let model = model.pack(&mut memory)?;
    let texts: Vec<String> =
        dataset::open(&arguments.data, Part::Test)?.map(|example| Ok(example?.text)).collect::<Result<_>>()?;
    ensure!(!texts.is_empty(), "{} has no texts", arguments.data.display());
    let bytes: usize = texts.iter().map(String::len).sum();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut threads = vec![1, cores];
    threads.dedup();
    let mut seconds = vec![Vec::new(); threads.len()];
    let verdicts = judge(&model, &texts, cores)?.1;
    for _ in 0..arguments.rounds {
        for (&threads, seconds) in threads.iter().zip(&mut seconds) {
            let (time, positive) = judge(&model, &texts, threads)?;
            ensure!(positive == verdicts, "{threads} threads give other verdicts: {positive} positive, not {verdicts}");
            seconds.push(time);
        }
    }
    let (backend, precision) = (model.backend().name(), image.description().precision.name());
    let mut rows = vec![["threads", "MB/s", "lowest", "highest", "texts/s", "runs"].map(str::to_owned).to_vec()];
    for (&threads, seconds) in threads.iter().zip(&seconds) {
        let rates = seconds.iter().map(|seconds| bytes as f64 / 1e6 / seconds).collect();
        let Some(rate) = Figure::of(rates) else { continue };
        let texts_a_second = rate.median * 1e6 / bytes as f64 * texts.len() as f64;
        if arguments.json {
            let line = Line {
                threads,
                backend,
                precision,
                texts: texts.len(),
                bytes,
                megabytes_a_second: rate.median,
                megabytes_a_second_min: rate.min,
                megabytes_a_second_max: rate.max,
                texts_a_second,
                n: rate.n,
            };
            println!("{}", serde_json::to_string(&line)?);
        }
        let numbers = [rate.median, rate.min, rate.max].map(|rate| format!("{rate:.1}"));
        let [median, min, max] = numbers;
        rows.push(vec![threads.to_string(), median, min, max, format!("{texts_a_second:.0}"), rate.n.to_string()]);
    }
    if !arguments.json {
        println!("{} texts, {bytes} bytes, {precision} on backend {backend}\n", texts.len());
        print!("{}", report::table(&rows));
    }
    Ok(())
}

/// Judges all texts with so many threads: seconds, and how many are positive.
fn judge(model: &Model<'_>, texts: &[String], threads: usize) -> Result<(f64, u64)> {
    let (next, positive) = (AtomicUsize::new(0), AtomicU64::new(0));
    let work = || -> Result<()> {
        let mut state = state_for(model);
        let mut session = model.session_in(&mut state)?;
        let mut own = 0;
        loop {
            let start = next.fetch_add(TAKEN, Ordering::Relaxed);
            let Some(rest) = texts.get(start..).filter(|rest| !rest.is_empty()) else { break };
            for text in &rest[..TAKEN.min(rest.len())] {
                session.reset();
                session.push_bytes(text.as_bytes());
                session.finish();
                own += u64::from(session.output().is_positive());
            }
        }
        positive.fetch_add(own, Ordering::Relaxed);
        Ok(())
    };
    let began = Instant::now();
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut outcome = work();
        for other in others {
            let result = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            outcome = outcome.and(result);
        }
        outcome
    })?;
    Ok((began.elapsed().as_secs_f64(), positive.into_inner()))
}
