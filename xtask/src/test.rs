//! Checks everything, in one order, with one summary. What fails does not keep the rest from running.

use std::fmt;
use std::time::{Duration, Instant};

use latch_emulator::command::{Command, root};
use latch_emulator::toolchain::{TARGETS, Toolchain, absent_qemu};

use crate::chips;
use crate::foreign::{self, FOREIGN, Foreign};
use crate::instructions;
use crate::setup;
use crate::size;
use crate::wasm;
use crate::wrapper;

/// What a step came to.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
    /// Skipped for the want of what the setup has tried to fetch and could not: allowed everywhere.
    Unavailable(String),
}

/// Tests of a step that runs tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// A finished step.
struct Report {
    name: String,
    duration: Duration,
    outcome: Outcome,
    /// `None` for a step that is one check.
    tests: Option<Counts>,
}

impl Report {
    /// What the step adds to the last line. A test command that failed without a failed test, as by a compiler's error, is one failure.
    fn counts(&self) -> Counts {
        let mut counts = self.tests.unwrap_or_default();
        match (&self.outcome, self.tests) {
            (Outcome::Passed, None) => counts.passed += 1,
            (Outcome::Failed(_), _) if counts.failed == 0 => counts.failed += 1,
            (Outcome::Skipped(_) | Outcome::Unavailable(_), _) => counts.ignored += 1,
            _ => {}
        }
        counts
    }
}

/// The run as it goes.
struct Run {
    reports: Vec<Report>,
    quick: bool,
    /// A missing tool is a failure.
    ci: bool,
}

/// Runs all steps, prints the summary, and says whether nothing failed. `quick` leaves out the slow ones.
pub(crate) fn run(quick: bool) -> bool {
    let mut run = Run { reports: Vec::new(), quick, ci: std::env::var("CI").is_ok_and(|value| value == "true") };
    if !quick {
        let mut missing = setup::missing(setup::Wanted::TESTS);
        missing.extend(foreign::absent_targets().into_iter().chain(wasm::absent_targets()).map(str::to_owned));
        if !missing.is_empty() {
            run.step("setup", &format!("cargo xtask setup --tests --yes    # missing: {}", missing.join(", ")), || {
                match setup::run(setup::Wanted::TESTS) {
                    Ok(missing) if missing.is_empty() => (Outcome::Passed, None),
                    Ok(missing) => (Outcome::Skipped(format!("could not install {}", missing.join(", "))), None),
                    Err(error) => (Outcome::Failed(format!("{error:#}")), None),
                }
            });
        }
    }
    run.check("format", &Command::new("cargo fmt --all --check"));
    run.check("lints", &Command::new("cargo clippy --workspace --all-targets --profile checked -- -D warnings"));
    // The example is a crate of its own, as it is for who copies it.
    run.check("format of the example", &Command::new("cargo fmt --check").in_folder(root().join("examples/board")));
    // Library, program and integration tests here, documentation below: together they are what plain `cargo test` runs.
    run.tests("tests", &Command::new("cargo test --workspace --profile checked --no-fail-fast --lib --bins --tests"));
    run.tests("documentation", &Command::new("cargo test --workspace --profile checked --no-fail-fast --doc"));
    run.slow("scalar backend", |run, name| run.tests(name, &scalar_tests()));
    for foreign in &FOREIGN {
        run.slow(foreign.name, |run, name| run.foreign(name, foreign));
    }
    for (name, features) in NO_STD {
        run.slow(name, |run, name| run.no_std(name, features));
    }
    // What would be published: built from the files that the package holds, outside the workspace.
    let package = Command::new("cargo package -p latch-engine --allow-dirty");
    run.slow("engine as a package", |run, name| run.check(name, &package));
    for (name, command) in wasm::checks() {
        run.slow(name, |run, name| run.wasm(name, &command, Run::check));
    }
    run.slow("wasm, tests", |run, name| run.wasm(name, &wasm::tests(), Run::tests));
    run.slow("instructions", Run::instructions);
    run.slow("chips, a step", |run, name| run.chips(name, "cargo xtask chips", || chips::run(false)));
    run.slow("chips, bytes", |run, name| run.chips(name, "cargo xtask size", || size::run(false)));
    run.finish()
}

/// Sets of the engine's features that are built for every chip and for a host without the standard library: the smallest useful ones, and everything.
const NO_STD: [(&str, &str); 3] = [
    ("engine without std, text and lstm", "text,lstm"),
    ("engine without std, gru on ids", "gru"),
    ("engine without std, everything", "default,float,defmt"),
];

/// The engine's tests, and those of parity between backends, with the scalar backend forced.
///
/// What this costs is to compile the workspace's own crates again: the wrapper leaves the dependencies as the tests have built them.
fn scalar_tests() -> Command {
    let selection = "-p latch-engine -p latch-tests --lib --test backend_parity";
    wrapper::with_backend(Command::new(&format!("cargo test --profile checked --no-fail-fast {selection}")), "scalar")
}

impl Run {
    /// Prints heading, result and duration around a step, and keeps its report.
    fn step(&mut self, name: &str, command: &str, body: impl FnOnce() -> (Outcome, Option<Counts>)) {
        println!("\n=== {name}\n$ {command}");
        let start = Instant::now();
        let (outcome, tests) = body();
        let outcome = match outcome {
            Outcome::Skipped(why) if self.ci => {
                Outcome::Failed(format!("skipped, which CI=true does not allow: {why}"))
            }
            outcome => outcome,
        };
        let report = Report { name: name.to_owned(), duration: start.elapsed(), outcome, tests };
        println!("--- {report}");
        self.reports.push(report);
    }

    /// A step that is one check: the command succeeds or fails.
    fn check(&mut self, name: &str, command: &Command) {
        self.step(name, &command.to_string(), || (outcome(command, |_| ()), None));
    }

    /// A step that runs Rust tests, which are counted one by one.
    fn tests(&mut self, name: &str, command: &Command) {
        // A property that fails panics hundreds of times while it shrinks: where, is enough.
        let command = command.clone().env("RUST_BACKTRACE", "0");
        self.step(name, &command.to_string(), || {
            let mut counts = Counts::default();
            let outcome = outcome(&command, |line| counts.add(line));
            (outcome, Some(counts))
        });
    }

    /// A step that `--quick` leaves out.
    fn slow(&mut self, name: &str, step: impl FnOnce(&mut Self, &str)) {
        if self.quick {
            let outcome = Outcome::Skipped("left out by --quick".to_owned());
            self.reports.push(Report { name: name.to_owned(), duration: Duration::ZERO, outcome, tests: None });
        } else {
            step(self, name);
        }
    }

    /// Builds the engine for the chips, without the standard library.
    fn no_std(&mut self, name: &str, features: &str) {
        let targets = TARGETS.map(|target| format!(" --target {target}")).concat();
        let engine = format!("-p latch-engine --no-default-features --features {features}");
        self.check(&format!("{name}, host"), &Command::new(&format!("cargo build --release {engine}")));
        let build = format!("build --release {engine}{targets}");
        match Toolchain::find() {
            Ok(toolchain) => self.check(name, &toolchain.cargo(&build)),
            Err(error) => {
                self.step(name, &format!("cargo {build}"), || (Outcome::Skipped(format!("{error:#}")), None));
            }
        }
    }

    /// The engine's tests on another processor. The library for it comes from rustup or from nowhere.
    fn foreign(&mut self, name: &str, foreign: &Foreign) {
        let command = foreign.tests();
        let missing = if !foreign.has_target() {
            Outcome::Unavailable("no standard library for it".to_owned())
        } else if let Some(emulator) = foreign.absent_emulator() {
            Outcome::Skipped(format!("no {emulator}"))
        } else {
            return self.tests(name, &command);
        };
        self.step(name, &command.to_string(), || (missing, None));
    }

    /// A step that needs a compiler for WebAssembly, and Node.
    fn wasm(&mut self, name: &str, command: &Command, body: fn(&mut Self, &str, &Command)) {
        let missing = match &wasm::absent_targets()[..] {
            [] if wasm::has_node() => return body(self, name, command),
            [] => Outcome::Skipped(format!("no {}", wasm::NODE)),
            targets => Outcome::Unavailable(format!("no standard library for {}", targets.join(" and "))),
        };
        self.step(name, &command.to_string(), || (missing, None));
    }

    fn instructions(&mut self, name: &str) {
        self.step(name, "cargo xtask instructions", || {
            let outcome = match instructions::run(false) {
                _ if setup::valgrind().is_none() => Outcome::Skipped("no valgrind".to_owned()),
                Ok(true) => Outcome::Passed,
                Ok(false) => Outcome::Failed("more instructions than the record".to_owned()),
                Err(error) => Outcome::Failed(format!("{error:#}")),
            };
            (outcome, None)
        });
    }

    /// A step that needs QEMU and a compiler for the chips.
    fn chips(&mut self, name: &str, command: &str, body: impl FnOnce() -> anyhow::Result<bool>) {
        self.step(name, command, || {
            let outcome = match (Toolchain::find(), absent_qemu()) {
                (Err(error), _) => Outcome::Skipped(format!("{error:#}")),
                (_, absent) if !absent.is_empty() => Outcome::Skipped(format!("no {}", absent.join(", no "))),
                _ => match body() {
                    Ok(true) => Outcome::Passed,
                    Ok(false) => Outcome::Failed("above a limit or the record".to_owned()),
                    Err(error) => Outcome::Failed(format!("{error:#}")),
                },
            };
            (outcome, None)
        });
    }

    /// Prints the table and the last line, and says whether nothing failed.
    fn finish(self) -> bool {
        println!("\n=== summary");
        let mut sum = Counts::default();
        for report in &self.reports {
            println!("{report}");
            let counts = report.counts();
            sum.passed += counts.passed;
            sum.failed += counts.failed;
            sum.ignored += counts.ignored;
        }
        let seconds: f64 = self.reports.iter().map(|report| report.duration.as_secs_f64()).sum();
        println!("{:34} {seconds:>6.1} s", "altogether");
        println!("{} passed, {} failed, {} skipped", sum.passed, sum.failed, sum.ignored);
        sum.failed == 0
    }
}

fn outcome(command: &Command, each: impl FnMut(&str)) -> Outcome {
    match command.run(each) {
        Ok(true) => Outcome::Passed,
        Ok(false) => Outcome::Failed("see above".to_owned()),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

impl Counts {
    /// Adds a line `test result: ok. 12 passed; 0 failed; 1 ignored; ...` of a test program's output; other lines add nothing.
    fn add(&mut self, line: &str) {
        let Some((_, result)) = line.trim().strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for part in result.split(';') {
            let mut words = part.split_whitespace();
            let (Some(count), Some(kind)) = (words.next().and_then(|count| count.parse::<u64>().ok()), words.next())
            else {
                continue;
            };
            match kind {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:34} {:>6.1} s  ", self.name, self.duration.as_secs_f64())?;
        match &self.outcome {
            Outcome::Passed => write!(formatter, "passed")?,
            Outcome::Failed(why) => write!(formatter, "FAILED: {why}")?,
            Outcome::Skipped(why) | Outcome::Unavailable(why) => write!(formatter, "skipped: {why}")?,
        }
        if let Some(Counts { passed, failed, ignored }) = self.tests {
            write!(formatter, "  (tests: {passed} passed, {failed} failed, {ignored} ignored)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(output: &str) -> Counts {
        let mut counts = Counts::default();
        output.lines().for_each(|line| counts.add(line));
        counts
    }

    #[test]
    fn the_tests_of_all_programs_are_added_up() {
        let output = "running 2 tests\n\
            test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s\n\
            test kernels::two ... FAILED\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n";
        assert_eq!(counts(output), Counts { passed: 13, failed: 2, ignored: 1 });
    }

    #[test]
    fn a_test_that_prints_something_alike_is_not_counted() {
        assert_eq!(counts("it says test result: ok. 5 passed; 0 failed\n12 passed; 3 failed"), Counts::default());
    }

    fn report(outcome: Outcome, tests: Option<Counts>) -> Counts {
        Report { name: String::new(), duration: Duration::ZERO, outcome, tests }.counts()
    }

    #[test]
    fn a_step_without_tests_counts_as_one() {
        assert_eq!(report(Outcome::Passed, None), Counts { passed: 1, failed: 0, ignored: 0 });
        assert_eq!(report(Outcome::Failed("why".into()), None), Counts { passed: 0, failed: 1, ignored: 0 });
        assert_eq!(report(Outcome::Skipped("why".into()), None), Counts { passed: 0, failed: 0, ignored: 1 });
    }

    #[test]
    fn a_test_step_counts_its_tests_and_a_compiler_error_as_one_failure() {
        let tests = Counts { passed: 7, failed: 0, ignored: 2 };
        assert_eq!(report(Outcome::Passed, Some(tests)), tests);
        assert_eq!(
            report(Outcome::Failed("why".into()), Some(Counts::default())),
            Counts { passed: 0, failed: 1, ignored: 0 }
        );
        let tests = Counts { passed: 7, failed: 3, ignored: 0 };
        assert_eq!(report(Outcome::Failed("why".into()), Some(tests)), tests);
    }

    #[test]
    fn a_skipped_step_is_a_failure_under_ci() {
        let mut run = Run { reports: Vec::new(), quick: false, ci: true };
        run.step("name", "command", || (Outcome::Skipped("no tool".to_owned()), None));
        assert!(matches!(run.reports[0].outcome, Outcome::Failed(_)));
        run.ci = false;
        run.step("name", "command", || (Outcome::Skipped("no tool".to_owned()), None));
        assert!(matches!(run.reports[1].outcome, Outcome::Skipped(_)));
    }

    #[test]
    fn what_no_setup_could_fetch_is_skipped_and_counted_even_under_ci() {
        let mut run = Run { reports: Vec::new(), quick: false, ci: true };
        run.step("name", "command", || (Outcome::Unavailable("no library".to_owned()), None));
        assert_eq!(run.reports[0].counts(), Counts { passed: 0, failed: 0, ignored: 1 });
    }
}
