//! What is said where work was stopped, by Ctrl-C, by a full disk or by a limit of file sizes: what is kept, and how to go on.

use std::io::Write;
use std::path::Path;

use anyhow::Error;

use crate::error::{EXIT_INTERRUPTED, fault, find_fault};
use crate::shown::for_shell;

/// From here on a file that grows beyond the system's limit is an error, as on a full disk: the signal that comes with it would end the program in the middle of a write.
pub(super) fn outlive_large_files() {
    // Where no handler can be had, the signal ends the program as ever.
    #[cfg(unix)]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, std::sync::Arc::default());
}

/// From here on Ctrl-C ends the program with a sentence: how the work of `verb` in the folder goes on, where `is_kept` finds something to go on with.
pub(super) fn explain(verb: &'static str, out: &Path, is_kept: fn(&Path) -> bool) {
    let out = out.to_owned();
    // Where no handler can be had, Ctrl-C ends the program as ever.
    let _ = ctrlc::set_handler(move || {
        let folder = for_shell(&out.to_string_lossy());
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

/// The error of `verb` at its work in the folder; one of a disk without space says how to go on, where `is_kept` finds something to go on with.
pub(super) fn explain_full(error: Error, verb: &str, out: &Path, is_kept: impl Fn(&Path) -> bool) -> Error {
    match find_fault(&error) {
        Some(full) if full.lacks_space() && Path::new(&full.place).starts_with(out) => {
            let next = if is_kept(out) {
                let folder = for_shell(&out.to_string_lossy());
                format!(
                    "the work so far is kept: free some space, then go on with: latch {verb} --resume --out {folder}"
                )
            } else {
                format!("{}; nothing is kept to go on with, so begin again", full.remedy)
            };
            fault(&full.place, &full.problem, next).into()
        }
        _ => error,
    }
}
