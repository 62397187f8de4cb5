//! Writes small models for other frameworks, with what they answer, into a folder: `cargo run -p latch-interchange --example exported -- FOLDER`.
//!
//! `cases.json` is a list of {name, file, kind, ids, x, y, python}: x are ids, or frames of three samples, y the answers in f64, and `python` the program that loads the
//! file. `interchange/tests/goldens/exports/make.py` runs them.

#[allow(dead_code)]
#[path = "../tests/support/exported.rs"]
mod exported;

use std::error::Error;
use std::fs;
use std::path::Path;

use exported::cases;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(folder) = std::env::args_os().nth(1) else { return Err("name a folder".into()) };
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    let mut list = Vec::new();
    for case in cases() {
        fs::write(folder.join(&case.file), &case.bytes)?;
        list.push(case.json());
    }
    fs::write(folder.join("cases.json"), serde_json::to_vec(&list)?)?;
    println!("wrote {} files", list.len());
    Ok(())
}
