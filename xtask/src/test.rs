//! Checks everything, with one summary. What fails does not keep the rest from running.
//!
//! Two rows of steps run at the same time, because much of the work keeps one core busy only: a link, an emulator, the chips' programs, of which
//! each is compiled as a whole. What the first row says is shown as it comes; what a step of the second says is shown when it is over.

use std::fmt;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use latch_emulator::command::{Command, root};
use latch_emulator::toolchain::{TARGETS, Toolchain, absent_qemu};

use crate::foreign::{self, FOREIGN, Foreign};
use crate::images::BUILT;
use crate::setup;
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

impl Outcome {
    /// CI does not allow to skip what could be installed.
    fn under(self, ci: bool) -> Self {
        match self {
            Outcome::Skipped(why) if ci => Outcome::Failed(format!("skipped, which CI=true does not allow: {why}")),
            outcome => outcome,
        }
    }
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
    /// What the failed tests among them said.
    said: Vec<String>,
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

/// One thing to check.
struct Step {
    name: String,
    command: Command,
    /// How one types it, where that is not the command itself.
    typed: Option<String>,
    /// It runs Rust tests, which are counted one by one.
    is_tests: bool,
    /// What it needs and this machine does not have.
    missing: Option<Outcome>,
}

/// Runs all steps, prints the summary, and says whether nothing failed. `quick` leaves out the slow ones.
pub(crate) fn run(quick: bool) -> bool {
    // A missing tool is a failure.
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    let begin = Instant::now();
    let mut reports = Vec::new();
    if !quick {
        reports.extend(install(ci));
    }
    let mut second = others();
    second.extend(chips());
    let mut left_out = Vec::new();
    if quick {
        left_out.extend(SLOW.map(|(_, what)| what.to_owned()));
        left_out.extend(second.drain(..).map(|step| step.name));
    }
    reports.extend(run_rows(&quick_steps(quick), &second, ci));
    finish(&reports, &left_out, begin.elapsed())
}

/// Installs what is missing, if anything is.
fn install(ci: bool) -> Option<Report> {
    let mut missing = setup::missing(setup::Wanted::TESTS);
    missing.extend(foreign::absent_targets().into_iter().chain(wasm::absent_targets()).map(str::to_owned));
    if missing.is_empty() {
        return None;
    }
    println!("\n=== setup\n$ cargo xtask setup --tests --yes    # missing: {}", missing.join(", "));
    let begin = Instant::now();
    let outcome = match setup::run(setup::Wanted::TESTS) {
        Ok(missing) if missing.is_empty() => Outcome::Passed,
        Ok(missing) => Outcome::Skipped(format!("could not install {}", missing.join(", "))),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    };
    let outcome = outcome.under(ci);
    let report = Report { name: "setup".to_owned(), duration: begin.elapsed(), outcome, tests: None, said: Vec::new() };
    println!("--- {report}");
    Some(report)
}

/// Tests that `--quick` leaves out: how their names begin or end, and what they are.
const SLOW: [(&str, &str); 5] = [
    ("chips::", "firmware on emulated chips"),
    ("serial_line::", "links to emulated chips"),
    ("example_board::", "the example of a board"),
    ("docs_commands::", "the commands of README and tutorial"),
    ("over_every_float", "activations of every float"),
];

/// The first row of steps, which `--quick` runs but for the slow tests among them.
fn quick_steps(quick: bool) -> Vec<Step> {
    let tests = "cargo test --workspace --profile checked --no-fail-fast";
    let skipped = SLOW.iter().filter(|_| quick).map(|(name, _)| format!(" --skip {name}"));
    let skipped = skipped.fold(if quick { " --" } else { "" }.to_owned(), |all, skip| all + &skip);
    vec![
        Step::check("format", Command::new("cargo fmt --all --check")),
        Step::check("lints", Command::new("cargo clippy --workspace --all-targets --profile checked -- -D warnings")),
        // The examples are crates of their own, as they are for who copies them.
        Step::check(
            "format of the example",
            Command::new("cargo fmt --check").in_folder(root().join("examples/board")),
        ),
        Step::check(
            "format of the sensor's example",
            Command::new("cargo fmt --check").in_folder(root().join("examples/sensor")),
        ),
        Step::check(
            "format of the amplifier's example",
            Command::new("cargo fmt --check").in_folder(root().join("examples/amp")),
        ),
        // Library, program and integration tests here, documentation below: together they are what plain `cargo test` runs.
        Step::tests("tests", Command::new(tests).args(&format!("--lib --bins --tests{skipped}"))),
        Step::tests("documentation", Command::new(tests).args("--doc")),
    ]
}

/// What counts on the chips. It builds into the same folder as the tests of the firmware, one program at a time.
fn chips() -> Vec<Step> {
    let missing = match (Toolchain::find(), absent_qemu()) {
        (Err(error), _) => Some(Outcome::Skipped(format!("{error:#}"))),
        (_, absent) if !absent.is_empty() => Some(Outcome::Skipped(format!("no {}", absent.join(", no ")))),
        _ => None,
    };
    vec![
        Step::own("chips, a step", "chips").with(BUILT).missing(missing.clone()),
        Step::own("chips, bytes", "size").missing(missing),
    ]
}

/// What does not need the chips' boards.
fn others() -> Vec<Step> {
    let mut steps: Vec<Step> = NO_STD.into_iter().flat_map(|(name, features)| no_std(name, features)).collect();
    // What would be published: built from the files that the package holds, outside the workspace.
    steps.push(Step::check("engine as a package", Command::new("cargo package -p latch-engine --allow-dirty")));
    let missing = match &wasm::absent_targets()[..] {
        [] if wasm::has_node() => None,
        [] => Some(Outcome::Skipped(format!("no {}", wasm::NODE))),
        targets => Some(Outcome::Unavailable(format!("no standard library for {}", targets.join(" and ")))),
    };
    steps.extend(wasm::checks().map(|(name, command)| Step::check(name, command).missing(missing.clone())));
    steps.extend(wasm::tests().map(|(name, command)| Step::tests(name, command).missing(missing.clone())));
    steps.extend(FOREIGN.iter().map(|foreign| Step::tests(foreign.name, foreign.tests()).missing(absent_for(foreign))));
    steps.push(Step::tests("scalar backend", scalar_tests()));
    let no_valgrind = setup::valgrind().is_none().then(|| Outcome::Skipped("no valgrind".to_owned()));
    steps.push(Step::own("instructions", "instructions").with(BUILT).missing(no_valgrind));
    steps
}

/// Sets of the engine's features that are compiled for every chip and for a host without the standard library: the smallest useful ones, and everything.
const NO_STD: [(&str, &str); 3] = [
    ("engine without std, text and lstm", "text,lstm"),
    ("engine without std, gru on ids", "gru"),
    ("engine without std, everything", "default,float,defmt"),
];

/// The engine's tests with the scalar backend forced, as a chip without kernels of its own has it. Tests that compare backends
/// have nothing to compare there.
fn scalar_tests() -> Command {
    let tests = "cargo test --profile checked --no-fail-fast -p latch-engine --features std,float --lib";
    wrapper::with_backend(Command::new(tests), "scalar")
}

/// Builds the engine for a host and for the chips, without the standard library.
fn no_std(name: &str, features: &str) -> [Step; 2] {
    let targets = TARGETS.map(|target| format!(" --target {target}")).concat();
    let engine = format!("-p latch-engine --no-default-features --features {features}");
    let build = format!("build --release {engine}{targets}");
    let (command, missing) = match Toolchain::find() {
        Ok(toolchain) => (toolchain.cargo(&build), None),
        Err(error) => (Command::new("cargo").args(&build), Some(Outcome::Skipped(format!("{error:#}")))),
    };
    [
        Step::check(&format!("{name}, host"), Command::new(&format!("cargo build --release {engine}"))),
        Step::check(name, command).missing(missing),
    ]
}

/// What a foreign processor's tests lack here. The library for it comes from rustup or from nowhere.
fn absent_for(foreign: &Foreign) -> Option<Outcome> {
    if !foreign.has_target() {
        return Some(Outcome::Unavailable("no standard library for it".to_owned()));
    }
    foreign.absent_emulator().map(|emulator| Outcome::Skipped(format!("no {emulator}")))
}

impl Step {
    /// A command that succeeds or fails.
    fn check(name: &str, command: Command) -> Self {
        Step { name: name.to_owned(), command, typed: None, is_tests: false, missing: None }
    }

    /// A command that runs Rust tests.
    fn tests(name: &str, command: Command) -> Self {
        // A property that fails panics hundreds of times while it shrinks: where, is enough.
        Step { is_tests: true, ..Self::check(name, command.env("RUST_BACKTRACE", "0")) }
    }

    /// A verb of this program, in a process of its own.
    fn own(name: &str, verb: &str) -> Self {
        let program = std::env::current_exe().unwrap_or_else(|_| "xtask".into());
        Step { typed: Some(format!("cargo xtask {verb}")), ..Self::check(name, Command::of(&program).arg(verb)) }
    }

    /// With one more argument, which nobody has to type.
    fn with(self, argument: &str) -> Self {
        Step { command: self.command.arg(argument), ..self }
    }

    fn missing(self, missing: Option<Outcome>) -> Self {
        Step { missing, ..self }
    }

    fn heading(&self) -> String {
        let typed = self.typed.clone().unwrap_or_else(|| self.command.to_string());
        format!("\n=== {}\n$ {typed}\n", self.name)
    }

    /// What comes of it when `run` runs its command and gives every line of its output to the function that it is given.
    fn take(&self, ci: bool, run: impl FnOnce(&Command, &mut dyn FnMut(&str)) -> anyhow::Result<bool>) -> Report {
        let begin = Instant::now();
        let (mut counts, mut failures) = (Counts::default(), Failures::default());
        let mut hear = |line: &str| {
            counts.add(line);
            failures.add(line);
        };
        let outcome = match &self.missing {
            Some(missing) => missing.clone(),
            None => match run(&self.command, &mut hear) {
                Ok(true) => Outcome::Passed,
                Ok(false) => Outcome::Failed("see above".to_owned()),
                Err(error) => Outcome::Failed(format!("{error:#}")),
            },
        };
        let tests = (self.is_tests && self.missing.is_none()).then_some(counts);
        let said = failures.said;
        Report { name: self.name.clone(), duration: begin.elapsed(), outcome: outcome.under(ci), tests, said }
    }

    /// Runs it and shows its output as it comes.
    fn show(&self, ci: bool) -> Report {
        print!("{}", self.heading());
        let report = self.take(ci, |command, each| command.run(each));
        println!("--- {report}");
        report
    }

    /// Runs it, and gives its output in one piece.
    fn keep(&self, ci: bool) -> (String, Report) {
        let mut text = self.heading();
        let report = self.take(ci, |command, each| {
            command.overhear(|line| {
                text += line;
                text.push('\n');
                each(line);
            })
        });
        (format!("{text}--- {report}"), report)
    }
}

/// Runs two rows of steps at the same time, and gives the reports of the first and then those of the second.
fn run_rows(first: &[Step], second: &[Step], ci: bool) -> Vec<Report> {
    let (sender, finished) = channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            for step in second {
                // Nobody listens only when the first row has panicked, which ends the program.
                let _ = sender.send(step.keep(ci));
            }
        });
        let (mut reports, mut others) = (Vec::new(), Vec::new());
        for step in first {
            reports.push(step.show(ci));
            others.extend(show_finished(finished.try_iter()));
        }
        others.extend(show_finished(finished.iter()));
        reports.extend(others);
        reports
    })
}

/// Shows what steps of the second row have said.
fn show_finished(finished: impl Iterator<Item = (String, Report)>) -> Vec<Report> {
    finished
        .map(|(text, report)| {
            println!("{text}");
            report
        })
        .collect()
}

/// Prints the table, what was left out, and the counts, and says whether nothing failed.
fn finish(reports: &[Report], left_out: &[String], altogether: Duration) -> bool {
    println!("\n=== summary");
    let mut sum = Counts { ignored: left_out.len() as u64, ..Counts::default() };
    for report in reports {
        println!("{report}");
        let counts = report.counts();
        sum.passed += counts.passed;
        sum.failed += counts.failed;
        sum.ignored += counts.ignored;
    }
    for report in reports.iter().filter(|report| !report.said.is_empty()) {
        println!("\n{}, what failed:", report.name);
        report.said.iter().for_each(|line| println!("  {line}"));
        println!();
    }
    println!("{:34} {:>6.1} s  two rows of steps at the same time", "altogether", altogether.as_secs_f64());
    println!("{}", left_out_line(reports, left_out));
    println!("{} passed, {} failed, {} skipped", sum.passed, sum.failed, sum.ignored);
    sum.failed == 0
}

/// Says what has not run, and why.
fn left_out_line(reports: &[Report], left_out: &[String]) -> String {
    let mut parts = Vec::new();
    if !left_out.is_empty() {
        parts.push(format!("{} (by --quick)", left_out.join(", ")));
    }
    parts.extend(reports.iter().filter_map(|report| match &report.outcome {
        Outcome::Skipped(why) | Outcome::Unavailable(why) => Some(format!("{} ({why})", report.name)),
        _ => None,
    }));
    let ignored: u64 = reports.iter().filter_map(|report| report.tests).map(|tests| tests.ignored).sum();
    if ignored > 0 {
        parts.push(format!("{ignored} tests that are marked `ignore`"));
    }
    if parts.is_empty() { "left out: nothing".to_owned() } else { format!("left out: {}", parts.join("; ")) }
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

/// Most lines of failed tests that the summary repeats of a step.
const MOST_LINES: usize = 60;

/// What failed tests said, as it stands between `---- name stdout ----` and the list of their names.
#[derive(Debug, Default)]
struct Failures {
    is_inside: bool,
    said: Vec<String>,
}

impl Failures {
    fn add(&mut self, line: &str) {
        let trimmed = line.trim();
        if trimmed.starts_with("---- ") && trimmed.ends_with(" ----") {
            self.is_inside = true;
        } else if trimmed == "failures:" {
            self.is_inside = false;
        }
        if self.is_inside && !trimmed.is_empty() && self.said.len() < MOST_LINES {
            self.said.push(line.to_owned());
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
    fn what_failed_tests_said_is_repeated_and_nothing_else() {
        let output = "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\n\nthread 'a' panicked at x.rs:1:1:\nleft 1\n\n\
            failures:\n    a\n\ntest result: FAILED. 1 passed; 1 failed\n";
        let mut failures = Failures::default();
        output.lines().for_each(|line| failures.add(line));
        assert_eq!(failures.said, ["---- a stdout ----", "thread 'a' panicked at x.rs:1:1:", "left 1"]);
    }

    #[test]
    fn a_test_that_prints_something_alike_is_not_counted() {
        assert_eq!(counts("it says test result: ok. 5 passed; 0 failed\n12 passed; 3 failed"), Counts::default());
    }

    fn report(outcome: Outcome, tests: Option<Counts>) -> Counts {
        Report { name: String::new(), duration: Duration::ZERO, outcome, tests, said: Vec::new() }.counts()
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

    fn without(missing: Outcome, ci: bool) -> Report {
        Step::check("name", Command::new("true")).missing(Some(missing)).keep(ci).1
    }

    #[test]
    fn a_skipped_step_is_a_failure_under_ci() {
        let missing = Outcome::Skipped("no tool".to_owned());
        assert!(matches!(without(missing.clone(), true).outcome, Outcome::Failed(_)));
        assert_eq!(without(missing.clone(), false).outcome, missing);
    }

    #[test]
    fn what_no_setup_could_fetch_is_skipped_and_counted_even_under_ci() {
        let report = without(Outcome::Unavailable("no library".to_owned()), true);
        assert_eq!(report.counts(), Counts { passed: 0, failed: 0, ignored: 1 });
    }

    #[test]
    fn both_rows_are_reported_whatever_fails_and_the_second_keeps_its_output_together() {
        let step = |name: &str, script: &str| Step::tests(name, Command::new("sh -c").arg(script));
        let result = "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out";
        let reports = run_rows(
            &[step("one", "exit 1"), step("two", &format!("echo '{result}'"))],
            &[step("three", &format!("echo '{result}' >&2")), step("four", "exit 1")],
            true,
        );
        let names: Vec<&str> = reports.iter().map(|report| report.name.as_str()).collect();
        assert_eq!(names, ["one", "two", "three", "four"]);
        let failed: Vec<bool> = reports.iter().map(|report| report.outcome != Outcome::Passed).collect();
        assert_eq!(failed, [true, false, false, true]);
        assert_eq!(reports[1].tests, Some(Counts { passed: 2, failed: 0, ignored: 1 }));
        let (text, _) = step("five", "echo a; echo b >&2").keep(true);
        assert!(text.contains("\na\nb\n--- five"), "{text}");
    }

    #[test]
    fn what_did_not_run_is_named_with_the_reason() {
        let passed = Step::check("one", Command::new("true")).keep(false).1;
        assert_eq!(left_out_line(&[passed], &[]), "left out: nothing");
        let skipped = without(Outcome::Skipped("no tool".to_owned()), false);
        let mut tests = without(Outcome::Passed, false);
        tests.tests = Some(Counts { passed: 1, failed: 0, ignored: 2 });
        assert_eq!(
            left_out_line(&[skipped, tests], &["slow".to_owned(), "slower".to_owned()]),
            "left out: slow, slower (by --quick); name (no tool); 2 tests that are marked `ignore`"
        );
    }
}
