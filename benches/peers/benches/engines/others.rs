//! The engines of others, in the order of the tables.

use anyhow::Result;
use latch_benches::peers::cell::Cell;
use latch_benches::peers::rounds::Row;
use latch_peers::measure;

mod burn;
mod candle;
mod rten;
mod tract;

/// The rows of all of them at the size of an LSTM cell.
pub(crate) fn rows(cell: &Cell) -> Result<Vec<Row>> {
    Ok(vec![
        measure("tract", "f32", cell, tract::Tract::new(cell))?,
        measure("candle", "f32", cell, candle::Candle::new(cell))?,
        // In its own pool, so that no step is handed from one thread to another.
        ::rten::thread_pool().run(|| measure("rten", "f32", cell, rten::Rten::new(cell)))?,
        measure("burn-ndarray", "f32", cell, burn::Burn::on_ndarray(cell))?,
        measure("burn-flex", "f32", cell, burn::Burn::on_flex(cell))?,
    ])
}
