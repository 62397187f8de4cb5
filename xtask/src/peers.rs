//! Compares one LSTM step with other engines, and one GRU step with RTNeural: `cargo xtask peers`.
//!
//! A round runs each program once: the engines in Rust and ours (`benches/peers/benches/`), those in Python (`benches/peers/peers.py`), and
//! RTNeural (`benches/peers/rtneural.cpp`). So round follows round, A B A B, and a drift of the machine hits all of them alike. Everything
//! runs on one core with one thread.
//!
//! What it installs lies under `target/peers/`: the other engines' crates, an environment of Python, and the sources of RTNeural, which comes
//! inside a package of Debian.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use latch_emulator::command::{Command, root, target_folder};

use crate::whole::write_whole;

/// The sizes that are measured, as `latch_benches::peers::cell::SHAPES`.
const SIZES: [&str; 6] = ["16x16", "32x32", "64x64", "128x128", "256x256", "1x40"];

/// What holds every engine to one thread, each by the name that it reads.
const ONE_THREAD: [&str; 5] =
    ["RAYON_NUM_THREADS", "RTEN_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"];

/// The source package of Debian that has RTNeural in it, its release, its file and that file's SHA-256.
const RTNEURAL: (&str, &str, &str, &str) = (
    "guitarix=0.46.0+dfsg-1",
    "trixie",
    "guitarix_0.46.0+dfsg.orig.tar.xz",
    "08081fac0a731b105c4acf7279ccab66ca0de54d132d1309c48b9c4ea4fba4aa",
);

/// What is measured, and what becomes of it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Prints one line of JSON a row in place of tables
    #[arg(long)]
    json: bool,
    /// How often every engine is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Sizes, as `64` or `1x40`; without it all: 16, 32, 64, 128, 256 and 1x40
    #[arg(long, value_delimiter = ',', value_parser = size)]
    size: Vec<String>,
    /// The core on which everything runs; without it the last one
    #[arg(long)]
    core: Option<usize>,
    /// Measures ours with one backend alone, as `avx2`; the processor's bounds and RTNeural then use no wider instructions
    #[arg(long, value_name = "NAME", value_parser = ["avx2", "avxvnni", "avx512", "avx512vnni"])]
    backend: Option<String>,
    /// Leaves out tract, candle, rten and burn, whose building takes a quarter of an hour
    #[arg(long)]
    no_crates: bool,
    /// Leaves out ONNX Runtime, PyTorch and LiteRT, whose packages take 5.6 GB
    #[arg(long)]
    no_python: bool,
    /// Leaves out RTNeural, which needs apt-get and g++
    #[arg(long)]
    no_rtneural: bool,
    /// Writes a dated page in Markdown, a plot and the figures as CSV into this folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl Options {
    /// The processor that RTNeural is compiled for, as g++ names it.
    fn processor(&self) -> &'static str {
        match self.backend.as_deref() {
            // AVX2 with FMA and F16C, and nothing wider.
            Some("avx2" | "avxvnni") => "x86-64-v3",
            _ => "native",
        }
    }
}

/// `64` is `64x64`.
fn size(text: &str) -> Result<String> {
    let size = if text.contains('x') { text.to_owned() } else { format!("{text}x{text}") };
    ensure!(SIZES.contains(&size.as_str()), "the sizes are {}", SIZES.join(", "));
    Ok(size)
}

/// Builds, measures, and prints the table.
///
/// # Errors
/// Names what does not build or run, the engine that gives a wrong answer, or what has to be installed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = target_folder().join("peers");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let missing = missing(options, |command| Command::new(command).capture().is_ok());
    ensure!(missing.is_empty(), "before anything is built: {}", missing.join("; "));
    let own = Command::new("cargo run --quiet --profile checked -p latch-benches --bin peers --");
    let cells = folder.join("cells");
    show(&with_sizes(own.clone().arg("prepare").arg(text(&cells)), options))?;
    let engines = Command::new("cargo bench --quiet --bench peers")
        .args("--manifest-path benches/peers/Cargo.toml --target-dir")
        .arg(text(&folder.join("cargo")));
    let engines = if options.no_crates { engines.arg("--no-default-features") } else { engines };
    show(&engines.clone().arg("--no-run"))
        .context("the other engines' crates do not build; the first time takes a quarter of an hour")?;
    let mut programs = vec![("rust", engines.arg("--"))];
    if !options.no_python {
        let requirements = root().join("benches/peers/requirements.txt");
        let python =
            python(&folder, &requirements).context("without the Python packages: cargo xtask peers --no-python")?;
        programs.push(("python", Command::new(&text(&python)).arg("benches/peers/peers.py")));
    }
    if !options.no_rtneural {
        let program =
            rtneural(&folder, options.processor()).context("without RTNeural: cargo xtask peers --no-rtneural")?;
        programs.push(("rtneural", Command::new(&text(&program))));
    }
    let rounds = folder.join("rounds");
    if rounds.exists() {
        fs::remove_dir_all(&rounds).with_context(|| format!("cannot empty {}", rounds.display()))?;
    }
    fs::create_dir_all(&rounds).with_context(|| format!("cannot make the folder {}", rounds.display()))?;
    let core = options.core.unwrap_or_else(|| std::thread::available_parallelism().map_or(0, |cores| cores.get() - 1));
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for (name, program) in &programs {
            let file = rounds.join(format!("round-{round}-{name}.csv"));
            let mut program = program.clone().arg(text(&cells)).arg(text(&file));
            if let (Some(backend), "rust") = (&options.backend, *name) {
                program = program.arg("--backend").arg(backend);
            }
            show(&on_one_core(&with_sizes(program, options), core))?;
            // A wrong answer shall not wait for the last round.
            if round == 1 {
                show(&own.clone().arg("check").arg(text(&file)))?;
            }
        }
    }
    show(&table(own, options, &rounds)?)
}

/// What is not installed and will be needed, each with what installs it; `runs` says whether a command ends well.
fn missing(options: &Options, runs: impl Fn(&str) -> bool) -> Vec<String> {
    let mut needed =
        vec![("taskset --version", "taskset, which keeps a program on one core", "apt-get install util-linux")];
    if !options.no_python {
        needed.push((
            "python3 -m venv --help",
            "python3 with venv",
            "apt-get install python3-venv, or give --no-python",
        ));
    }
    if !options.no_rtneural {
        needed.extend([
            ("g++ --version", "g++", "apt-get install g++, or give --no-rtneural"),
            (EIGEN, "Eigen's headers", "apt-get install libeigen3-dev, or give --no-rtneural"),
            ("apt-get --version", "apt-get, which fetches RTNeural's sources", "give --no-rtneural"),
            ("tar --version", "tar", "apt-get install tar, or give --no-rtneural"),
            ("xz --version", "xz", "apt-get install xz-utils, or give --no-rtneural"),
        ]);
    }
    let absent = needed.into_iter().filter(|(command, ..)| !runs(command));
    absent.map(|(_, what, remedy)| format!("{what}: missing; {remedy}")).collect()
}

/// The command that merges the rounds.
fn table(own: Command, options: &Options, rounds: &Path) -> Result<Command> {
    let typed: Vec<String> = std::env::args().skip(2).collect();
    let mut table = own.arg("table").arg(text(rounds));
    if options.json {
        table = table.arg("--json");
    }
    if let Some(out) = &options.out {
        // A path means the caller's folder.
        let out = std::path::absolute(out).with_context(|| format!("{} is no path", out.display()))?;
        table = table.arg("--out").arg(text(&out));
    }
    if let Some(backend) = &options.backend {
        table = table.arg("--suffix").arg(backend);
    }
    table = table
        .arg("--command")
        .arg(["cargo xtask peers"].into_iter().chain(typed.iter().map(String::as_str)).collect::<Vec<_>>().join(" "));
    Ok(notes(options)?.into_iter().fold(table, |table, note| table.arg(format!("--note={note}"))))
}

/// What a reader of the figures must know besides: versions, and what was left out.
fn notes(options: &Options) -> Result<Vec<String>> {
    let read = |name: &str| {
        let path = root().join("benches/peers").join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let mut notes = Vec::new();
    let mut versions = if options.no_crates { Vec::new() } else { pinned_crates(&read("Cargo.toml")?) };
    if options.no_crates {
        notes.push("tract, candle, rten and burn were left out (`--no-crates`).".to_owned());
    }
    if let Some(backend) = &options.backend {
        notes.push(format!(
            "Ours, the bounds and RTNeural use the instructions of the backend `{backend}` alone (`--backend`); other engines choose their own."
        ));
    }
    if options.no_python {
        notes.push("ONNX Runtime, PyTorch and LiteRT were left out (`--no-python`).".to_owned());
    } else {
        versions.extend(pinned_packages(&read("requirements.txt")?));
        notes.push(
            "`-py`: called from Python, in the way that copies least; the cost of such a call is in the figure. `int8-dynamic`: weights in int8, \
             activations quantized at run time by the engine itself."
                .to_owned(),
        );
    }
    if options.no_rtneural {
        notes.push("RTNeural was left out (`--no-rtneural`).".to_owned());
    } else {
        versions.push("RTNeural 1.0.0 with Eigen 3.4".to_owned());
        notes.push(format!(
            "RTNeural's shape is fixed when it is compiled, here with `g++ -O3 -march={} -ffast-math`. The others get weights and shape at run time, \
             and the crates are compiled for any x86-64, as cargo does unless told otherwise, and choose their kernels at run time. RTNeural has a GRU and no simple recurrent layer: ours is alone there.",
            options.processor()
        ));
    }
    if !versions.is_empty() {
        notes.insert(0, format!("Versions: {}.", versions.join(", ")));
    }
    Ok(notes)
}

/// Names and versions of the lines `name = { version = "=1.2.3", … }` and `name = "=1.2.3"`.
fn pinned_crates(manifest: &str) -> Vec<String> {
    let pinned = |line: &str| {
        let (name, rest) = line.split_once(" = ")?;
        let (version, _) = rest.split_once("\"=")?.1.split_once('"')?;
        Some(format!("{name} {version}"))
    };
    manifest.lines().filter_map(pinned).collect()
}

/// Names and versions of the lines `name==1.2.3`.
pub(crate) fn pinned_packages(requirements: &str) -> Vec<String> {
    requirements
        .lines()
        .filter_map(|line| line.split_once("=="))
        .map(|(name, version)| format!("{name} {version}"))
        .collect()
}

/// Makes the environment of Python where it is missing or of other packages, and gives its interpreter.
pub(crate) fn python(folder: &Path, requirements: &Path) -> Result<PathBuf> {
    let environment = folder.join("python");
    let interpreter = environment.join("bin/python");
    let wanted = fs::read_to_string(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    // Written last: an environment without it is not finished.
    let stamp = environment.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(interpreter);
    }
    Command::new("python3 -m venv --clear")
        .arg(text(&environment))
        .capture()
        .context("python3 and its module venv make the environment: apt-get install python3 python3-venv")?;
    let install = Command::new(&text(&interpreter)).args("-m pip install --quiet --disable-pip-version-check -r");
    show(&install.arg(text(requirements))).context("pip could not install the pinned packages")?;
    write_whole(&stamp, &wanted)?;
    Ok(interpreter)
}

/// Ends well where the compiler finds Eigen.
const EIGEN: &str = "g++ -isystem /usr/include/eigen3 -include Eigen/Core -x c++ -fsyntax-only /dev/null";

/// Fetches RTNeural and compiles its program, where that has not been done, and gives the program.
fn rtneural(folder: &Path, processor: &str) -> Result<PathBuf> {
    let own = folder.join("rtneural");
    let (package, release, archive, digest) = RTNEURAL;
    let sources = own.join("sources");
    if !sources.join("done").exists() {
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(own.join(part)).with_context(|| format!("cannot make folders in {}", own.display()))?;
        }
        // This machine's own mirror, and a list of packages apart from the machine's.
        let (mirrors, _) = Command::new("apt-get indextargets --format")
            .arg("$(REPO_URI)")
            .capture()
            .context("apt-get fetches RTNeural's sources, which are in a package of Debian")?;
        let mirror = mirrors.lines().next().context("apt-get knows no mirror: run apt-get update")?;
        write_whole(&own.join("sources.list"), &format!("deb-src {mirror} {release} main\n"))?;
        write_whole(&own.join("status"), "")?;
        let mut apt = Command::new("apt-get -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root");
        for (name, place) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::State::lists", "lists"),
            ("Dir::Cache", "cache"),
            ("Dir::State::status", "status"),
        ] {
            apt = apt.arg("-o").arg(format!("{name}={}", text(&own.join(place))));
        }
        let apt = apt.in_folder(own.clone());
        apt.clone().arg("update").capture()?;
        // The file is what counts, and its digest: apt may miss another one of the package.
        let fetched = apt.args("source --download-only").arg(package).capture();
        let file = own.join(archive);
        let sum = Command::new("sha256sum").arg(text(&file)).capture();
        match (sum, fetched) {
            (Ok((said, _)), _) if said.starts_with(digest) => {}
            (Ok(_), _) => {
                bail!("{} is not the file that is expected: its SHA-256 differs from {digest}", file.display())
            }
            (Err(_), Err(error)) => return Err(error),
            (Err(error), Ok(_)) => return Err(error),
        }
        fs::create_dir_all(&sources).with_context(|| format!("cannot make the folder {}", sources.display()))?;
        Command::new("tar --extract --wildcards --strip-components=5 --file")
            .arg(text(&file))
            .arg("--directory")
            .arg(text(&sources))
            .arg("*/src/RTNeural/RTNeural/RTNeural/*")
            .capture()
            .context("tar and xz unpack it: apt-get install tar xz-utils")?;
        write_whole(&sources.join("done"), "")?;
    }
    let program = own.join(format!("rtneural-{processor}"));
    let source = root().join("benches/peers/rtneural.cpp");
    let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified());
    if changed(&program).is_ok_and(|built| changed(&source).is_ok_and(|written| written < built)) {
        return Ok(program);
    }
    let made = own.join("rtneural.new");
    Command::new("g++ -std=c++17 -O3 -ffast-math -DNDEBUG -DRTNEURAL_USE_EIGEN=1")
        .arg(format!("-march={processor}"))
        .args("-DRTNEURAL_DEFAULT_ALIGNMENT=64 -DEIGEN_STACK_ALLOCATION_LIMIT=0 -isystem /usr/include/eigen3 -I")
        .arg(text(&sources))
        .arg(text(&source))
        .arg("-o")
        .arg(text(&made))
        .capture()
        .context("g++ and Eigen compile it: apt-get install g++ libeigen3-dev")?;
    fs::rename(&made, &program).with_context(|| format!("cannot write {}", program.display()))?;
    Ok(program)
}

pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}

fn with_sizes(command: Command, options: &Options) -> Command {
    options.size.iter().fold(command, |command, size| command.arg(size))
}

/// The command on a core, with one thread.
fn on_one_core(command: &Command, core: usize) -> Command {
    let pinned = command.clone().run_by(&format!("taskset --cpu-list {core}"));
    ONE_THREAD.iter().fold(pinned, |command, name| command.env(name, "1"))
}

/// Says what it runs, and runs it. What it says goes to standard error, so that standard output has the table alone.
pub(crate) fn show(command: &Command) -> Result<()> {
    eprintln!("$ {command}");
    ensure!(command.run_in_place()? == 0, "`{command}` failed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_before_anything_is_built() {
        let options = |no_python, no_rtneural| Options {
            json: false,
            rounds: 1,
            size: Vec::new(),
            core: None,
            backend: None,
            no_crates: false,
            no_python,
            no_rtneural,
            out: None,
        };
        assert_eq!(missing(&options(false, false), |_| true), [""; 0]);
        let all = missing(&options(false, false), |_| false);
        assert_eq!(all.len(), 7);
        assert_eq!(all[3], "Eigen's headers: missing; apt-get install libeigen3-dev, or give --no-rtneural");
        assert_eq!(missing(&options(true, true), |_| false).len(), 1);
        assert_eq!(missing(&options(true, false), |command| command != EIGEN).len(), 1);
    }

    #[test]
    fn versions_are_read_from_the_files_that_pin_them() {
        let manifest =
            "[dependencies]\nanyhow = \"1\"\ntract = { version = \"=0.23.9\", x = [] }\nrten-tensor = \"=0.27.0\"\n";
        assert_eq!(pinned_crates(manifest), ["tract 0.23.9", "rten-tensor 0.27.0"]);
        assert_eq!(pinned_packages("# pinned\nnumpy==2.4.6\n"), ["numpy 2.4.6"]);
    }

    #[test]
    fn a_size_may_be_one_number() {
        assert!(size("64").is_ok_and(|size| size == "64x64"));
        assert!(size("1x40").is_ok_and(|size| size == "1x40"));
        assert!(size("17").is_err() && size("").is_err());
    }
}
