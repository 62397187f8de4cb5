//! Ours: every backend that this processor has, at every precision, through a session; with packed weights where the backend packs; and
//! eight sessions that step together.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use latch_benches::peers::cell::{Cell, Shape, hidden_state, image_file};
use latch_benches::peers::rounds::{Row, STREAMS, TOGETHER};
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::kernels::AnyBackend;
use latch_engine::{Model, Precision, Session};
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

/// Eight streams that step together. A step of this peer is one of all eight, the hidden state the first one's.
struct Together<'s, 'm, 'a> {
    sessions: Vec<Session<'s, 'm, 'a>>,
    precision: Precision,
    shape: Shape,
}

impl Peer for Together<'_, '_, '_> {
    #[inline]
    fn step(&mut self, row: usize) -> Result<()> {
        let read = Session::step_many(&mut self.sessions, &[row as u32; STREAMS]);
        ensure!(read == STREAMS, "the embedding has no row {row}");
        Ok(())
    }

    fn hidden(&self) -> Result<Vec<f32>> {
        let first = self.sessions.first().context("there are no streams")?;
        Ok(hidden_state(first, self.precision, self.shape))
    }
}

/// The rows of backends and all precisions at the cell's size.
pub(crate) fn rows(folder: &Path, cell: &Cell, backends: &[AnyBackend]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for precision in [Precision::F32, Precision::F16, Precision::Int8] {
        let path = folder.join(image_file(cell.shape, precision.name()));
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let bytes = AlignedBytes::new(&bytes);
        let image = Image::open(&bytes).with_context(|| path.display().to_string())?;
        for &backend in backends {
            let model = Model::new(&image).with_backend(backend);
            let mut memory = vec![0; model.packed_bytes()];
            let packed = model.clone().pack(&mut memory)?;
            let mut models = vec![(format!("latch-{}", backend.name()), &model)];
            if model.packed_bytes() > 0 {
                models.push((format!("latch-{}-packed", backend.name()), &packed));
            }
            for (name, model) in models {
                let mut state = AlignedBytes::zeroed(model.state_bytes());
                let peer = Latch { session: model.session_in(&mut state)?, precision, shape: cell.shape };
                rows.push(measure(&name, precision.name(), cell, Ok(peer))?);
            }
            let mut states = vec![AlignedBytes::zeroed(packed.state_bytes()); STREAMS];
            let sessions = states.iter_mut().map(|state| packed.session_in(state)).collect::<Result<_, _>>()?;
            let peer = Together { sessions, precision, shape: cell.shape };
            rows.push(measure(&format!("{TOGETHER}{}", backend.name()), precision.name(), cell, Ok(peer))?);
        }
    }
    Ok(rows)
}
