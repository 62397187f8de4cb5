//! Writes README's picture into the repository.

use std::path::Path;

use latch_benches::picture::{FILE, svg};

fn main() -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FILE);
    std::fs::write(path, svg())?;
    println!("wrote {FILE}");
    Ok(())
}
