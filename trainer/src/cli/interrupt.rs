//! What Ctrl-C says: what is kept, and how to go on.

use std::io::Write;
use std::path::Path;

use crate::error::EXIT_INTERRUPTED;

/// From here on Ctrl-C ends the program with a sentence: how the work of `verb` in the folder goes on, where `is_kept` finds something to go on with.
pub(super) fn explain(verb: &'static str, out: &Path, is_kept: fn(&Path) -> bool) {
    let out = out.to_owned();
    // Where no handler can be had, Ctrl-C ends the program as ever.
    let _ = ctrlc::set_handler(move || {
        let folder = out.display();
        let text = if is_kept(&out) {
            format!(
                "stopped; {folder} keeps what it had at its last checkpoint\nto go on: latch {verb} --resume --out {folder}"
            )
        } else {
            format!("stopped before anything was learned; {folder} keeps nothing to go on with")
        };
        // A bar of progress may stand on this line.
        let _ = writeln!(std::io::stderr().lock(), "\nlatch: {text}");
        std::process::exit(i32::from(EXIT_INTERRUPTED));
    });
}
