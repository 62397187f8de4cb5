//! Ours: every backend that this processor has, at every precision, through a session.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use latch_benches::peers::cell::{Cell, Shape, hidden_state, image_file};
use latch_benches::peers::rounds::Row;
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::image::manifest::Precision;
use latch_engine::kernels::AnyBackend;
use latch_engine::model::{Model, Session};
use latch_peers::{Peer, measure};

struct Latch<'s, 'm, 'a> {
    session: Session<'s, 'm, 'a>,
    precision: Precision,
    shape: Shape,
}

impl Peer for Latch<'_, '_, '_> {
    #[inline]
    fn step(&mut self, row: usize) -> Result<()> {
        ensure!(self.session.push_token(row as u32), "the embedding has no row {row}");
        Ok(())
    }

    fn hidden(&self) -> Result<Vec<f32>> {
        Ok(hidden_state(&self.session, self.precision, self.shape))
    }
}

/// The rows of all backends and precisions at the cell's size.
pub(crate) fn rows(folder: &Path, cell: &Cell) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for precision in [Precision::F32, Precision::F16, Precision::Int8] {
        let path = folder.join(image_file(cell.shape, precision.name()));
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let bytes = AlignedBytes::new(&bytes);
        let image = Image::open(&bytes).with_context(|| path.display().to_string())?;
        for backend in AnyBackend::all() {
            let model = Model::new(&image).with_backend(backend);
            let mut state = AlignedBytes::zeroed(model.state_bytes());
            let peer = Latch { session: model.session_in(&mut state)?, precision, shape: cell.shape };
            rows.push(measure(&format!("latch-{}", backend.name()), precision.name(), cell, Ok(peer))?);
        }
    }
    Ok(rows)
}
