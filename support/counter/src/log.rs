//! The log: a text that a person can read and a program can parse, written whole or not at all.
//!
//! ```text
//! latch-counter 1
//! regions 2
//! instructions 2004
//! shortest 1002
//! longest 1002
//! misplaced 0
//! unfinished 0
//! stack_low 20003f80
//! stack_low_in_regions none
//! address opcode executions left loads flash_loads load_bytes stores store_bytes
//! 00000100 bf00 2000 0 0 0 0 0 0
//! ```
//!
//! Addresses and opcodes are hexadecimal, all else decimal. An opcode of four digits has two bytes; the first byte in memory is
//! the lowest of the number, so that a wide Thumb instruction shows its second halfword first.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use crate::tally::Totals;

/// The log's text.
pub fn render(totals: &Totals) -> String {
    let address = |low: Option<u64>| low.map_or("none".to_owned(), |low| format!("{low:08x}"));
    let mut text = String::from("latch-counter 1\n");
    for (name, value) in [
        ("regions", totals.regions),
        ("instructions", totals.instructions),
        ("shortest", totals.shortest),
        ("longest", totals.longest),
        ("misplaced", totals.misplaced),
        ("unfinished", u64::from(totals.unfinished)),
    ] {
        _ = writeln!(text, "{name} {value}");
    }
    _ = writeln!(text, "stack_low {}", address(totals.stack_low));
    _ = writeln!(text, "stack_low_in_regions {}", address(totals.stack_low_in_regions));
    text.push_str("address opcode executions left loads flash_loads load_bytes stores store_bytes\n");
    for line in &totals.lines {
        _ = writeln!(
            text,
            "{:08x} {:0digits$x} {} {} {} {} {} {} {}",
            line.address,
            line.opcode,
            line.executions,
            line.left,
            line.loads,
            line.flash_loads,
            line.load_bytes,
            line.stores,
            line.store_bytes,
            digits = 2 * usize::from(line.size),
        );
    }
    text
}

/// Writes the log to `file`, by way of a file beside it.
///
/// # Errors
/// What the file system says.
pub fn write(totals: &Totals, file: &Path) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".partial");
    fs::write(&beside, render(totals)).and_then(|()| fs::rename(&beside, file)).inspect_err(|_| {
        _ = fs::remove_file(&beside);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Line;

    #[test]
    fn the_log_has_every_number_under_its_name() {
        let line = Line {
            address: 0x100,
            opcode: 0xbf00,
            size: 2,
            executions: 7,
            left: 1,
            loads: 2,
            flash_loads: 3,
            load_bytes: 4,
            stores: 5,
            store_bytes: 6,
        };
        let totals = Totals {
            regions: 1,
            instructions: 14,
            shortest: 14,
            longest: 14,
            misplaced: 0,
            unfinished: false,
            stack_low: Some(0x2000_3f80),
            stack_low_in_regions: None,
            lines: vec![line, Line { address: 0x102, opcode: 0x0001_f8d0, size: 4, ..line }],
        };
        assert_eq!(
            render(&totals),
            "latch-counter 1\nregions 1\ninstructions 14\nshortest 14\nlongest 14\nmisplaced 0\nunfinished 0\n\
             stack_low 20003f80\nstack_low_in_regions none\n\
             address opcode executions left loads flash_loads load_bytes stores store_bytes\n\
             00000100 bf00 7 1 2 3 4 5 6\n00000102 0001f8d0 7 1 2 3 4 5 6\n"
        );
    }

    #[test]
    fn a_log_that_cannot_be_written_leaves_nothing_behind() {
        let folder = std::env::temp_dir().join(format!("latch-counter-{}", std::process::id()));
        fs::create_dir_all(folder.join("taken")).expect("a temporary folder");
        let tally = crate::tally::Tally::new((0, 0), (0, 0));
        write(&tally.totals(), &folder.join("taken")).expect_err("a folder has that name");
        let left: Vec<_> =
            fs::read_dir(&folder).expect("the folder").flatten().map(|entry| entry.file_name()).collect();
        fs::remove_dir_all(&folder).expect("removable");
        assert_eq!(left, ["taken"]);
    }
}
