//! Runs a program in the repository's root and shows what it ran.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use anyhow::{Context, Result, bail};

/// The repository's root.
pub fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own)
}

/// The folder into which cargo builds.
pub fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// A program with its arguments and what changes in its environment. Shows itself as one would type it into a shell.
#[derive(Clone, Debug)]
pub struct Command {
    program: String,
    arguments: Vec<String>,
    set: Vec<(String, String)>,
    removed: Vec<String>,
    /// The environment has nothing but what is set.
    empty: bool,
    folder: PathBuf,
}

impl Command {
    /// `line` is the program and its arguments, divided by white space.
    pub fn new(line: &str) -> Self {
        let mut words = line.split_whitespace().map(str::to_owned);
        let program = words.next().unwrap_or_default();
        Command {
            program,
            arguments: words.collect(),
            set: Vec::new(),
            removed: Vec::new(),
            empty: false,
            folder: root().to_owned(),
        }
    }

    /// A program by its path, without arguments.
    pub fn of(program: &Path) -> Self {
        Command { program: program.display().to_string(), ..Command::new("") }
    }

    /// More arguments, divided by white space.
    #[must_use]
    pub fn args(mut self, line: &str) -> Self {
        self.arguments.extend(line.split_whitespace().map(str::to_owned));
        self
    }

    /// One more argument, which may have white space in it.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Runs it by another program, which comes before it: `time`, or `taskset --cpu-list 1`.
    #[must_use]
    pub fn run_by(mut self, line: &str) -> Self {
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if !words.is_empty() {
            let program = words.remove(0);
            words.push(std::mem::replace(&mut self.program, program));
            self.arguments.splice(..0, words);
        }
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.set.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Removes a variable of the environment.
    #[must_use]
    pub fn env_remove(mut self, name: &str) -> Self {
        self.removed.push(name.to_owned());
        self
    }

    /// Begins with an empty environment.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.empty = true;
        self
    }

    /// Runs in that folder in place of the root.
    #[must_use]
    pub fn in_folder(mut self, folder: PathBuf) -> Self {
        self.folder = folder;
        self
    }

    fn process(&self) -> Process {
        let mut process = Process::new(&self.program);
        process.args(&self.arguments).stdin(Stdio::null());
        // A program that was installed may outlive the repository that it was built from.
        if self.folder.is_dir() {
            process.current_dir(&self.folder);
        }
        if self.empty {
            process.env_clear();
        }
        for name in &self.removed {
            process.env_remove(name);
        }
        process.envs(self.set.iter().map(|(name, value)| (name, value)));
        process
    }

    /// Runs it with its standard output in place of its own, and gives its exit code; 1 when a signal ended it.
    ///
    /// # Errors
    /// Names the program when it cannot be started.
    pub fn run_in_place(&self) -> Result<u8> {
        let status = self.process().stdin(Stdio::inherit()).status();
        let status = status.with_context(|| format!("cannot start {}", self.program))?;
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
    }

    /// Runs it with its output shown, and gives each line of its standard output to `each` as well. True when it succeeded.
    ///
    /// # Errors
    /// Names the program when it cannot be started.
    pub fn run(&self, mut each: impl FnMut(&str)) -> Result<bool> {
        let mut child =
            self.process().stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {}", self.program))?;
        if let Some(output) = child.stdout.take() {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line)? > 0 {
                let text = String::from_utf8_lossy(&line);
                print!("{text}");
                each(text.trim_end());
                line.clear();
            }
        }
        Ok(child.wait()?.success())
    }

    /// Runs it without showing its output, and gives each line of it, of standard output and of standard error as they come, to `each`. True when it
    /// succeeded.
    ///
    /// # Errors
    /// Names the program when it cannot be started.
    pub fn overhear(&self, mut each: impl FnMut(&str)) -> Result<bool> {
        let (output, input) = std::io::pipe().context("cannot make a pipe")?;
        let mut process = self.process();
        process.stdout(input.try_clone().context("cannot make a pipe")?).stderr(input);
        let mut child = process.spawn().with_context(|| format!("cannot start {}", self.program))?;
        // It holds the pipe's other end, which ends the output only when nobody has it any more.
        drop(process);
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line)? > 0 {
            each(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
        Ok(child.wait()?.success())
    }

    /// Runs it without showing its output, and gives standard output and standard error.
    ///
    /// # Errors
    /// Names the program when it cannot be started or fails, with what it said.
    pub fn capture(&self) -> Result<(String, String)> {
        let output = self.process().output().with_context(|| format!("cannot start {}", self.program))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (out, err) = (text(output.stdout), text(output.stderr));
        if !output.status.success() {
            bail!("`{self}` failed:\n{out}{err}");
        }
        Ok((out, err))
    }
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@".contains(c);
            if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{text}'") }
        };
        for (name, value) in &self.set {
            write!(formatter, "{name}={} ", quoted(value))?;
        }
        write!(formatter, "{}", self.program)?;
        for argument in &self.arguments {
            write!(formatter, " {}", quoted(argument))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_shows_itself_as_one_would_type_it() {
        let command = Command::new("cargo test -p latch-engine")
            .env("RUSTFLAGS", "--cfg engine_backend=\"scalar\"")
            .arg("two words");
        assert_eq!(
            command.to_string(),
            "RUSTFLAGS='--cfg engine_backend=\"scalar\"' cargo test -p latch-engine 'two words'"
        );
    }

    #[test]
    fn all_lines_of_a_program_are_overheard_in_order_with_how_it_ended() {
        let mut lines = Vec::new();
        let script = Command::new("sh -c").arg("echo one; echo two >&2; echo three; exit 3");
        assert!(!script.overhear(|line| lines.push(line.to_owned())).expect("sh starts"));
        assert_eq!(lines, ["one", "two", "three"]);
        assert!(Command::of(Path::new("/bin/true")).overhear(|_| ()).expect("it starts"));
    }

    #[test]
    fn another_program_comes_before_it() {
        let command = Command::new("steps review").run_by("taskset --cpu-list 1");
        assert_eq!(command.to_string(), "taskset --cpu-list 1 steps review");
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let error = Command::new("no-such-program --version").capture().expect_err("there is no such program");
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }
}
