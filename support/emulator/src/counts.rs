//! What the firmware executed between its markers: builds the plugin that counts, gives QEMU's arguments for it, and reads its log.
//!
//! The counts are exact, and the same run after run. They are instructions, not cycles: QEMU models no time. What time they may take on a
//! chip, [`crate::cycles`] estimates.
//!
//! An access is counted once an execution of its instruction, however many words it moves; the bytes say how much. A load
//! multiple of four words is one load of 16 bytes, and so is a Helium load of 16 bytes, which QEMU makes byte by byte.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::boot::Plugin;
use crate::command::Command;
use latch_parts::boards::Board;

/// Builds the plugin for this machine, with arguments that watch the addresses `stack` for the lowest store and tell loads from the
/// board's flash from others.
///
/// # Errors
/// When cargo cannot build it, with what cargo said.
pub fn plugin(board: &Board, stack: Range<u32>) -> Result<Plugin> {
    let flash = board.flash.base..board.flash.end();
    let arguments = [("stack", stack), ("flash", flash)].into_iter().filter(|(_, region)| !region.is_empty());
    let arguments = arguments.map(|(name, region)| format!("{name}={:x}:{:x}", region.start, region.end)).collect();
    Ok(Plugin { library: library()?, arguments })
}

/// The plugin's file, freshly built.
fn library() -> Result<PathBuf> {
    let (messages, _) = Command::new("cargo build --release --package latch-counter --message-format json")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .capture()
        .context("the plugin that counts instructions cannot be built")?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let artifact = messages.filter(|message| message["target"]["name"] == "latch_counter").find_map(|message| {
        let mut files = message["filenames"].as_array()?.iter().filter_map(|name| name.as_str());
        files.find(|name| name.ends_with(std::env::consts::DLL_SUFFIX)).map(PathBuf::from)
    });
    artifact.context("cargo built latch-counter and named no library that QEMU could load")
}

/// What was counted in all regions of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Regions that were entered and left.
    pub regions: u64,
    /// Instructions executed in all of them; the markers themselves are not in it.
    pub instructions: u64,
    /// The fewest instructions in one region; 0 without regions.
    pub shortest: u64,
    /// The most instructions in one region.
    pub longest: u64,
    /// Loads and stores in all regions.
    pub accesses: Accesses,
    /// The lowest address of the stack that was stored to, from reset to the end. What the core stores by itself when an
    /// exception begins is not in it.
    pub stack_low: Option<u32>,
    /// The same in regions.
    pub stack_low_in_regions: Option<u32>,
    /// Every instruction that was executed in a region, by address.
    pub histogram: Vec<Executed>,
}

/// Loads and stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accesses {
    /// Executions of instructions that loaded.
    pub loads: u64,
    /// Those of them that began in the board's flash.
    pub flash_loads: u64,
    /// Bytes that all of them loaded.
    pub load_bytes: u64,
    /// Executions of instructions that stored.
    pub stores: u64,
    /// Bytes that they stored.
    pub store_bytes: u64,
}

/// One instruction, and what came of it in all regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Its address.
    pub address: u32,
    /// Its bytes, the first one lowest: of a wide Thumb instruction the first halfword is the low one.
    pub opcode: u32,
    /// How many bytes it has: 2 or 4.
    pub size: u8,
    /// How often it was executed, with those executions in an IT block whose condition failed.
    pub executions: u64,
    /// How often control did not go on at the next address: branches that were taken.
    pub left: u64,
    /// Its loads and stores.
    pub accesses: Accesses,
}

impl Counts {
    /// Reads the plugin's log, which [`crate::boot::Outcome::plugin`] has.
    ///
    /// # Errors
    /// What is wrong with the log or with the run: a log that is empty or damaged, markers that do not alternate, or a run that ended
    /// between them.
    pub fn parse(log: &str) -> Result<Counts> {
        Self::fields(log).context("the log of the counting plugin")
    }

    fn fields(text: &str) -> Result<Counts> {
        let mut lines = text.lines();
        let title = lines.next();
        ensure!(title.is_some(), "there is none: QEMU ran without the plugin, or did not end by itself");
        ensure!(title == Some("latch-counter 1"), "of another version, or no log at all");
        let mut field = |name: &str| {
            let line = lines.next().unwrap_or_default();
            line.strip_prefix(name)
                .and_then(|rest| rest.strip_prefix(' '))
                .with_context(|| format!("`{name}` is missing"))
        };
        let number = |text: &str| text.parse::<u64>().with_context(|| format!("`{text}` is not a number"));
        let address = |text: &str| u32::from_str_radix(text, 16).with_context(|| format!("`{text}` is no address"));
        let low = |text: &str| (text != "none").then(|| address(text)).transpose();

        let regions = number(field("regions")?)?;
        let instructions = number(field("instructions")?)?;
        let shortest = number(field("shortest")?)?;
        let longest = number(field("longest")?)?;
        let misplaced = number(field("misplaced")?)?;
        let unfinished = number(field("unfinished")?)?;
        let stack_low = low(field("stack_low")?)?;
        let stack_low_in_regions = low(field("stack_low_in_regions")?)?;
        field("address")?;
        if misplaced != 0 {
            bail!("the firmware's markers do not alternate: {misplaced} came out of turn");
        }
        if unfinished != 0 {
            bail!("the run ended in a region that the firmware had begun and not closed");
        }

        let mut histogram = Vec::new();
        for line in lines {
            let damaged = || format!("`{line}` is not a line of the histogram");
            let [at, opcode, counts @ ..] = &line.split(' ').collect::<Vec<_>>()[..] else { bail!(damaged()) };
            let numbers = counts.iter().map(|text| number(text)).collect::<Result<Vec<_>>>().with_context(damaged)?;
            let [executions, left, loads, flash_loads, load_bytes, stores, store_bytes] = numbers[..] else {
                bail!(damaged())
            };
            histogram.push(Executed {
                address: address(at)?,
                opcode: address(opcode).with_context(damaged)?,
                size: if opcode.len() == 4 { 2 } else { 4 },
                executions,
                left,
                accesses: Accesses { loads, flash_loads, load_bytes, stores, store_bytes },
            });
        }
        let (executed, accesses) = sum(&histogram);
        ensure!(
            executed == instructions,
            "the log is damaged: its lines have {executed} instructions, not {instructions}"
        );
        Ok(Counts { regions, instructions, shortest, longest, accesses, stack_low, stack_low_in_regions, histogram })
    }

    /// Instructions, loads and stores of the code at the addresses `code`: of one function or section.
    pub fn within(&self, code: Range<u32>) -> (u64, Accesses) {
        sum(self.histogram.iter().filter(|executed| code.contains(&executed.address)))
    }
}

fn sum<'e>(histogram: impl IntoIterator<Item = &'e Executed>) -> (u64, Accesses) {
    histogram.into_iter().fold((0, Accesses::default()), |(executions, sum), executed| {
        let Accesses { loads, flash_loads, load_bytes, stores, store_bytes } = executed.accesses;
        let sum = Accesses {
            loads: sum.loads + loads,
            flash_loads: sum.flash_loads + flash_loads,
            load_bytes: sum.load_bytes + load_bytes,
            stores: sum.stores + stores,
            store_bytes: sum.store_bytes + store_bytes,
        };
        (executions + executed.executions, sum)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "latch-counter 1\nregions 2\ninstructions 12\nshortest 5\nlongest 7\nmisplaced 0\nunfinished 0\n\
        stack_low 20003f80\nstack_low_in_regions none\n\
        address opcode executions left loads flash_loads load_bytes stores store_bytes\n\
        00000100 bf00 7 0 0 0 0 0 0\n00000102 0001f8d0 5 1 5 3 20 2 8\n";

    #[test]
    fn a_log_is_read_to_the_last_number() {
        let counts = Counts::parse(LOG).expect("valid");
        let accesses = Accesses { loads: 5, flash_loads: 3, load_bytes: 20, stores: 2, store_bytes: 8 };
        assert_eq!(
            counts,
            Counts {
                regions: 2,
                instructions: 12,
                shortest: 5,
                longest: 7,
                accesses,
                stack_low: Some(0x2000_3f80),
                stack_low_in_regions: None,
                histogram: vec![
                    Executed {
                        address: 0x100,
                        opcode: 0xbf00,
                        size: 2,
                        executions: 7,
                        left: 0,
                        accesses: Accesses::default()
                    },
                    Executed { address: 0x102, opcode: 0x0001_f8d0, size: 4, executions: 5, left: 1, accesses },
                ],
            }
        );
        assert_eq!(counts.within(0x100..0x102), (7, Accesses::default()));
        assert_eq!(counts.within(0x102..0x200), (5, accesses));
    }

    #[test]
    fn a_damaged_log_is_refused_wherever_it_is_cut() {
        for end in 0..LOG.len() - 1 {
            assert!(Counts::parse(&LOG[..end]).is_err(), "{}", &LOG[..end]);
        }
    }

    #[test]
    fn a_run_that_cannot_be_counted_is_told() {
        for (good, bad, sentence) in [
            ("misplaced 0", "misplaced 3", "do not alternate: 3 came"),
            ("unfinished 0", "unfinished 1", "ended in a region"),
            ("latch-counter 1", "latch-counter 2", "of another version"),
            ("bf00 7", "bf00 8", "its lines have 13 instructions, not 12"),
            ("20003f80", "2000xf80", "`2000xf80` is no address"),
        ] {
            let error = Counts::parse(&LOG.replace(good, bad)).expect_err("refused");
            assert!(format!("{error:#}").contains(sentence), "{error:#}");
        }
        let error = Counts::parse("").expect_err("empty");
        assert!(format!("{error:#}").contains("QEMU ran without the plugin"), "{error:#}");
    }
}
