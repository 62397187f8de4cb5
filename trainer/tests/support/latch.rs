//! The command `latch` as a user meets it: what goes in on its command line and standard input, and what comes out.

#![allow(dead_code)] // each test file takes what it needs

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub(crate) const LATCH: &str = env!("CARGO_BIN_EXE_latch");

/// A model that trains in a blink.
pub(crate) const TINY: &str = "text 80 > embedding 4 word_dropout=0.3 > lstm 8 > attention > dense";

/// How a command ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    /// Of a finished process. No user ever sees a panic, whatever else is tested.
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("latch writes UTF-8");
        let answer = Answer { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        assert!(!answer.stderr.contains("panicked"), "{answer:?}");
        answer
    }

    /// The one line of JSON that is all of standard output.
    pub(crate) fn json(&self) -> Value {
        assert_eq!((self.stdout.lines().count(), self.stdout.ends_with('\n')), (1, true), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// `latch` with these arguments, its standard input closed.
pub(crate) fn latch<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(LATCH);
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn answer(command: &mut Command) -> Answer {
    Answer::of(command.output().expect("the command starts"))
}

/// Runs a command to its end with `input` on its standard input.
pub(crate) fn answer_to(command: &mut Command, input: &[u8]) -> Answer {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        // A command that refuses its input stops reading it.
        scope.spawn(move || drop(pipe.write_all(input)));
        Answer::of(child.wait_with_output().expect("the command ends"))
    })
}

/// Runs a command that must succeed.
pub(crate) fn succeed(command: &mut Command) -> Answer {
    let answer = answer(command);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    answer
}

/// Runs a command that must be refused; see [`assert_refused`].
pub(crate) fn refuse(command: &mut Command, words: &[&str]) -> Answer {
    let answer = answer(command);
    assert_refused(&answer, words);
    answer
}

/// A refusal: exit code 2, nothing on standard output, and one line on standard error, `latch: place: problem; remedy`, with these
/// words in it. A training that has begun has said before what it read.
pub(crate) fn assert_refused(answer: &Answer, words: &[&str]) {
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(2), ""), "{answer:?}");
    let said = answer.stderr.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {answer:?}"));
    let is_news =
        |line: &&str| ["read ", "note: ", "unknown tokens: ", "warning: "].iter().any(|word| line.starts_with(word));
    let line = said.lines().skip_while(is_news).collect::<Vec<_>>().join("\n");
    assert!(line.starts_with("latch: ") && !line.contains('\n'), "no sentence: {answer:?}");
    let (problem, remedy) = line.rsplit_once("; ").unwrap_or_else(|| panic!("no remedy: {answer:?}"));
    assert!(problem.contains(": ") && remedy.contains(' '), "{answer:?}");
    for word in words {
        assert!(line.contains(word), "{word:?} is missing: {answer:?}");
    }
}

/// A refusal of the command line itself: exit code 2, nothing on standard output, and these words on standard error.
pub(crate) fn assert_usage_error(answer: &Answer, words: &[&str]) {
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(2), ""), "{answer:?}");
    assert!(answer.stderr.starts_with("error: ") && answer.stderr.contains("--help"), "{answer:?}");
    for word in words {
        assert!(answer.stderr.contains(word), "{word:?} is missing: {answer:?}");
    }
}

/// Every file below a folder, by its path within it; folders end in a slash.
pub(crate) fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn visit(folder: &Path, within: &str, tree: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = format!("{within}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                visit(&entry.path(), &format!("{name}/"), tree);
                tree.insert(format!("{name}/"), Vec::new());
            } else {
                tree.insert(name, fs::read(entry.path()).expect("a file"));
            }
        }
    }
    let mut tree_of = BTreeMap::new();
    visit(folder, "", &mut tree_of);
    tree_of
}

/// The names of the files and folders right inside a folder, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

/// The files of a finished run, in order.
pub(crate) const RUN_FILES: [&str; 11] = [
    "best.network",
    "characters",
    "checkpoint",
    "config.json",
    "curves.png",
    "curves.svg",
    "data.json",
    "latch.toml",
    "metrics.jsonl",
    "occurrences",
    "vocabulary.txt",
];

/// A folder of its own for one test, with built-in data in `data` and, after [`Place::train`], a run in `run`.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    /// A folder with a built-in set of so many examples in three parts.
    pub(crate) fn with_data(examples: usize) -> Self {
        let place = Place { folder: tempfile::tempdir().expect("a folder") };
        let count = examples.to_string();
        succeed(&mut place.latch(["data", "built-in", "--out", "data", "--examples", &count, "--seed", "3"]));
        place
    }

    /// A folder with a little data and a finished run.
    pub(crate) fn with_run() -> Self {
        let place = Self::with_data(200);
        place.train("run", &[]);
        place
    }

    /// A folder with a little data, a finished run, and its images `int8.latch` and `f32.latch`.
    pub(crate) fn with_images() -> Self {
        let place = Self::with_run();
        for precision in ["int8", "f32"] {
            place.export("run", precision);
        }
        place
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file in it.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.file(name), bytes).expect("writing");
    }

    /// Reads a file in it.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `latch` with these arguments, working in the folder.
    pub(crate) fn latch<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = latch(args);
        command.current_dir(self.path());
        command
    }

    /// `latch train` on the data's parts with a tiny model, two epochs, and more arguments.
    pub(crate) fn training<'a>(&self, out: &'a str, more: &[&'a str]) -> Command {
        let fixed = ["train", "--data", "data/train.tsv.gz", "--valid", "data/valid.tsv.gz", "--out", out];
        let tiny = [["--model", TINY], ["--epochs", "2"]];
        let tiny = tiny.iter().filter(|[option, _]| !more.contains(option)).flatten();
        self.latch(fixed.iter().chain(tiny).chain(more))
    }

    /// Runs [`Place::training`].
    pub(crate) fn train(&self, out: &str, more: &[&str]) -> Answer {
        succeed(&mut self.training(out, more))
    }

    /// Exports a run as `PRECISION.latch`.
    pub(crate) fn export(&self, run: &str, precision: &str) -> Answer {
        let out = format!("{precision}.latch");
        succeed(&mut self.latch(["export", "--run", run, "--precision", precision, "--out", &out, "--json"]))
    }

    /// A command that must be refused with these words, and must leave everything in the folder as it was.
    pub(crate) fn refuse(&self, command: &mut Command, words: &[&str]) -> Answer {
        let before = tree(self.path());
        let answer = refuse(command, words);
        assert!(
            tree(self.path()) == before,
            "the folder changed from {:?}: {:?}",
            before.keys(),
            tree(self.path()).keys()
        );
        answer
    }

    /// A command line that must be refused with these words, and must leave everything in the folder as it was.
    pub(crate) fn refuse_usage(&self, command: &mut Command, words: &[&str]) {
        let before = tree(self.path());
        assert_usage_error(&answer(command), words);
        assert!(tree(self.path()) == before, "the folder changed");
    }
}
