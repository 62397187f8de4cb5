//! Promise: every command in README.md and docs/tutorial.md works when it is typed in order, in the root of a fresh clone, and prints what the page shows.
//!
//! A fence `sh` holds commands. A fence `text` behind it shows what they print, shortened: every word of it must be in their output, numbers may differ,
//! and a line that begins with `> ` is typed. Programs that are built already take the place of those that cargo would build:
//!
//! | as it stands on the page | as it is run |
//! | --- | --- |
//! | `cargo run --release -- ARGUMENTS`, `latch ARGUMENTS` | `latch ARGUMENTS` |
//! | `… demo` | `latch demo --built-in`: without a network |
//! | `cargo xtask device ARGUMENTS`, `latch-sim ARGUMENTS` | `latch-sim ARGUMENTS`; emulated boards only where QEMU and a compiler for the chips are installed |
//! | `cargo qemu`, in a copy of examples/board | the program is built and runs in QEMU, where these are installed |
//! | `cargo xtask setup`, `cargo xtask test`, `cargo install`, `rustup`, a board programmed by `cargo run --release` | not run; what they name must exist |

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use latch_emulator::boot::boot_serial;
use latch_emulator::command::{self, root};
use latch_emulator::toolchain::{TARGETS, Toolchain, absent_qemu};
use latch_parts::boards;

/// A fence of a page.
#[derive(Debug)]
struct Fence {
    language: String,
    /// Lines that end in a backslash are joined with the next.
    lines: Vec<String>,
}

/// The fences of a page in order.
fn fences(page: &str) -> Vec<Fence> {
    let (mut fences, mut open) = (Vec::new(), None::<Fence>);
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some(Fence { language: language.to_owned(), lines: Vec::new() }),
            (Some(_), Some(_)) => fences.extend(open.take()),
            (Some(fence), None) => match fence.lines.last_mut().filter(|last| last.ends_with('\\')) {
                Some(last) => {
                    last.pop();
                    last.push_str(line.trim_start());
                }
                None => fence.lines.push(line.to_owned()),
            },
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    fences
}

/// The commands of a fence: its lines but for empty ones and comments.
fn commands(fence: &Fence) -> impl Iterator<Item = &str> {
    fence.lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The commands of a page in order.
fn all_commands(page: &str) -> Vec<String> {
    fences(page).iter().filter(|fence| fence.language == "sh").flat_map(commands).map(str::to_owned).collect()
}

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// What takes the place of a command.
#[derive(Debug, PartialEq)]
enum Run {
    /// A line for the shell.
    Shell(String),
    /// One that needs an emulated board.
    Board(String),
    /// The example's program in QEMU.
    Example,
    /// Another folder.
    Folder(String),
    /// What the command names exists: that is all that is looked at.
    Named,
}

fn run_of(line: &str) -> Result<Run> {
    // A comment belongs to the reader.
    let line = line.split(" #").next().unwrap_or_default().trim();
    let words: Vec<&str> = line.split_whitespace().collect();
    let exists = |what: &str, found: bool| -> Result<Run> {
        ensure!(found, "{line}: there is no {what}");
        Ok(Run::Named)
    };
    match words[..] {
        ["cd", folder] => return Ok(Run::Folder(folder.to_owned())),
        ["cargo", "qemu"] => return Ok(Run::Example),
        ["cargo", "xtask", verb @ ("setup" | "test"), ..] => {
            let variant = format!("    {}{}", verb[..1].to_uppercase(), &verb[1..]);
            let source = page("xtask/src/main.rs");
            return exists("such verb of xtask", source.lines().any(|line| line.starts_with(&variant)));
        }
        ["cargo", "install", "--locked", "--path", folder] => {
            return exists("such folder of a crate", root().join(folder).join("Cargo.toml").is_file());
        }
        ["rustup", "target", "add", target] => return exists("such target", TARGETS.contains(&target)),
        // In the example's folder: programs a board over its plug.
        ["cargo", "run", "--release"] => return Ok(Run::Named),
        _ => {}
    }
    let line =
        line.replacen("cargo run --release -- ", "latch ", 1).replacen("cargo xtask device ", "latch-sim device ", 1);
    let line = line.replacen("latch demo", "latch demo --built-in", 1);
    let first = line.split_whitespace().next().unwrap_or_default();
    ensure!(["latch", "latch-sim", "cp", "cat", "head", "python3"].contains(&first), "{line}: no test runs this");
    let is_board = line.starts_with("latch-sim device ") || line.starts_with("latch-sim verify ");
    Ok(if is_board { Run::Board(line) } else { Run::Shell(line) })
}

/// The compiler for the chips, or `None` where it or QEMU is missing and that is allowed.
fn toolchain() -> Option<Toolchain> {
    let missing = match (Toolchain::find(), absent_qemu().contains(&"qemu-system-arm")) {
        (Ok(toolchain), false) => return Some(toolchain),
        (Err(error), _) => format!("{error:#}"),
        (_, true) => "qemu-system-arm is not installed".to_owned(),
    };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped, which CI=true does not allow: {missing}");
    eprintln!("commands for boards are skipped: {missing}");
    None
}

/// The folder with the programs `latch` and `latch-sim`, beside this one. Where one is missing or older than the library that this test was
/// compiled with, they are built.
fn programs() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.ancestors().nth(2).context("a test lies in deps/")?.to_owned();
    let written = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
    let mut library = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder.join("deps"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_library = ["liblatch_trainer-", "liblatch_emulator-"].iter().any(|start| name.starts_with(start));
        if is_library && name.ends_with(".rlib") {
            library = library.max(written(&path)?);
        }
    }
    let is_new = |name: &str| written(&folder.join(name)).is_ok_and(|program| program >= library);
    if !(is_new("latch") && is_new("latch-sim")) {
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") => "dev",
            Some(name) => name,
            None => "checked",
        };
        let build = command::Command::new(
            "cargo build --quiet -p latch-trainer -p latch-firmware-sim --bin latch --bin latch-sim",
        );
        ensure!(build.args("--profile").arg(profile).run(|_| ())?, "latch and latch-sim do not build");
    }
    Ok(folder)
}

/// What a clone has that the pages name: `examples`, and the engine for the example.
fn clone() -> Result<tempfile::TempDir> {
    fn copy(from: &Path, to: &Path) -> Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            if entry.file_name() == "target" || entry.file_name() == "model.latch" {
                continue;
            }
            if from.is_dir() {
                copy(&from, &to)?;
            } else {
                fs::copy(&from, &to)?;
            }
        }
        Ok(())
    }
    let folder = tempfile::tempdir()?;
    copy(&root().join("examples"), &folder.path().join("examples"))?;
    Ok(folder)
}

/// Runs a line, and gives what it printed.
fn shell(line: &str, folder: &Path, programs: &Path) -> Result<String> {
    let path = format!("{}:{}", programs.display(), std::env::var("PATH")?);
    let mut process = Command::new("sh");
    process.args(["-c", line]).current_dir(folder).env("PATH", path).stdin(Stdio::null());
    let output = process.output().context("sh")?;
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    ensure!(output.status.success(), "`{line}` ends with {}:\n{printed}", output.status);
    Ok(printed)
}

/// Builds the copy of the example and says lines to it over the emulated serial port; gives what it answers.
fn example(toolchain: Toolchain, folder: &Path, typed: &[&str]) -> Result<String> {
    let manifest = fs::read_to_string(folder.join("Cargo.toml"))?;
    ensure!(manifest.contains("path = \"../../engine\""), "the copy names another engine");
    let engine = format!("path = {:?}", root().join("engine"));
    fs::write(folder.join("Cargo.toml"), manifest.replace("path = \"../../engine\"", &engine))?;
    let flags = serde_json::to_string(&toolchain.link_flags())?;
    let build = toolchain
        .cargo("build --quiet --release --message-format json-render-diagnostics")
        .arg("--config")
        .arg(format!("target.thumbv6m-none-eabi.rustflags={flags}"))
        .in_folder(folder.to_owned());
    let (messages, _) = build.capture()?;
    let program = messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message.get("executable")?.as_str().map(PathBuf::from)
    });
    let kept = folder.join("program.elf");
    fs::copy(program.context("cargo has named no program")?, &kept)?;
    let mut serial = BufReader::new(boot_serial(boards::find("microbit")?, &kept, None, Duration::from_secs(60))?);
    let mut said = String::new();
    serial.read_line(&mut said).context("the board is silent")?;
    for line in typed {
        writeln!(serial.get_mut(), "{line}")?;
        serial.get_mut().flush()?;
        serial.read_line(&mut said).context("the board does not answer")?;
    }
    Ok(said)
}

/// The words of a line: what stands between digits, marks and spaces.
fn words(line: &str) -> BTreeSet<&str> {
    line.split(|c: char| !c.is_alphabetic()).filter(|word| word.chars().count() > 1).collect()
}

/// Types a page, and holds what is printed to what the page shows. Gives how many commands ran.
fn type_page(path: &str) -> Result<usize> {
    let (programs, clone, toolchain) = (programs()?, clone()?, toolchain());
    let (mut folder, mut ran) = (clone.path().to_owned(), 0);
    // What the last fence of commands printed; `None` where one was left out.
    let mut printed = None;
    let fences = fences(&page(path));
    for (place, fence) in fences.iter().enumerate() {
        if fence.language == "text" {
            let Some(printed): Option<String> = printed.take() else { continue };
            for line in fence.lines.iter().filter(|line| !line.starts_with("> ")) {
                for word in words(line) {
                    ensure!(
                        words(&printed).contains(word),
                        "{path} shows `{line}`, and {word:?} was not printed:\n{printed}"
                    );
                }
            }
        }
        if fence.language != "sh" {
            continue;
        }
        let mut output = Some(String::new());
        for line in commands(fence) {
            let said = match (run_of(line)?, toolchain) {
                (Run::Named, _) => continue,
                (Run::Folder(name), _) => {
                    folder = folder.join(name);
                    ensure!(folder.is_dir(), "`{line}`: there is no such folder");
                    continue;
                }
                (Run::Board(_) | Run::Example, None) => {
                    output = None;
                    continue;
                }
                (Run::Shell(line) | Run::Board(line), _) => shell(&line, &folder, &programs),
                (Run::Example, Some(toolchain)) => {
                    let shown = fences.get(place + 1).map_or(&[][..], |fence| &fence.lines);
                    let typed: Vec<&str> = shown.iter().filter_map(|line| line.strip_prefix("> ")).collect();
                    example(toolchain, &folder, &typed)
                }
            };
            let said = said.with_context(|| format!("{path}: `{line}`"))?;
            ran += 1;
            if let Some(output) = &mut output {
                output.push_str(&said);
            }
        }
        printed = output;
    }
    Ok(ran)
}

#[test]
fn every_command_of_the_readme_works_in_its_order_and_prints_what_is_shown() -> Result<()> {
    assert!(type_page("README.md")? >= 3);
    Ok(())
}

#[test]
fn every_command_of_the_tutorial_works_in_its_order_and_prints_what_is_shown() -> Result<()> {
    assert!(type_page("docs/tutorial.md")? >= 6);
    Ok(())
}

#[test]
fn the_readme_leads_to_a_verdict_on_a_board_in_three_commands_and_from_a_csv_in_three_more() {
    let commands = all_commands(&page("README.md"));
    let boards: Vec<usize> =
        (0..commands.len()).filter(|&at| commands[at].starts_with("cargo xtask device ")).collect();
    let [demo, own] = boards[..] else { panic!("{commands:?}") };
    assert!(demo < 3, "{commands:?}");
    assert!(own - demo <= 3, "{commands:?}");
}

#[test]
fn the_readme_has_at_most_90_lines_of_120_columns() {
    let page = page("README.md");
    assert!(page.lines().count() <= 90, "{} lines", page.lines().count());
    for line in page.lines() {
        assert!(line.chars().count() <= 120, "{} columns: {line}", line.chars().count());
    }
}

/// The pages of the project: those of the root, and all below `docs` and `examples`.
fn pages() -> Vec<PathBuf> {
    fn visit(folder: &Path, deep: bool, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && deep && !path.ends_with("target") {
                visit(&path, deep, found);
            } else if path.extension() == Some("md".as_ref()) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    visit(root(), false, &mut found);
    for folder in ["docs", "examples", "engine", "benches/results"] {
        visit(&root().join(folder), true, &mut found);
    }
    found
}

#[test]
fn every_link_between_the_pages_leads_to_a_file() {
    let mut count = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.contains(' ') {
                continue;
            }
            let folder = page.parent().expect("a page lies in a folder");
            assert!(folder.join(file).exists(), "{}: there is no {target}", page.display());
            count += 1;
        }
    }
    assert!(count > 100, "{count} links");
}

#[test]
fn a_command_that_nobody_can_run_is_told_from_one_that_is_run() {
    let shell = |line: &str| Run::Shell(line.to_owned());
    assert_eq!(run_of("cargo run --release -- demo   # minutes").expect("known"), shell("latch demo --built-in"));
    assert_eq!(run_of("latch inspect 'a.latch'").expect("known"), shell("latch inspect 'a.latch'"));
    let board = Run::Board("latch-sim device mps2-an386 --image a.latch".to_owned());
    assert_eq!(run_of("cargo xtask device mps2-an386 --image a.latch").expect("known"), board);
    assert_eq!(run_of("cargo install --locked --path trainer   # the command").expect("known"), Run::Named);
    assert!(run_of("cargo install --locked --path trainers").is_err());
    assert!(run_of("rustup target add thumbv9").is_err());
    assert!(run_of("lacth train").is_err());
}
