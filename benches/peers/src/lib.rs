//! What an engine has to offer to be measured. The engines are in `benches/peers/`, because only benches have them as dependencies.

use anyhow::{Context, Result};
use latch_benches::peers::cell::{CHECKED_STEPS, Cell, ROWS};
use latch_benches::peers::clock::nanoseconds;
use latch_benches::peers::rounds::{Key, Row};

/// An engine with one cell loaded and a state that begins as zeros.
pub trait Peer {
    /// Moves the state on by one step with that input, a number below [`ROWS`].
    ///
    /// # Errors
    /// The engine's own.
    fn step(&mut self, row: usize) -> Result<()>;

    /// The hidden state.
    ///
    /// # Errors
    /// The engine's own.
    fn hidden(&self) -> Result<Vec<f32>>;
}

/// Checks a new peer's answer, then times its steps.
///
/// # Errors
/// Names the peer and the size when it fails or disagrees.
pub fn measure(name: &str, precision: &str, cell: &Cell, peer: Result<impl Peer>) -> Result<Row> {
    let work = || -> Result<Row> {
        let mut peer = peer?;
        for step in 0..CHECKED_STEPS {
            peer.step(step % ROWS)?;
        }
        let difference = cell.difference(&peer.hidden()?);
        let key =
            Key { peer: name.to_owned(), cell: Some(cell.kind), precision: precision.to_owned(), shape: cell.shape };
        let row = Row { key, ns: f64::NAN, difference: Some(difference) };
        row.check()?;
        let ns = nanoseconds(|call| peer.step(call % ROWS))?;
        Ok(Row { ns, ..row })
    };
    work().with_context(|| format!("{name} on {} {}", cell.kind.name(), cell.shape))
}
