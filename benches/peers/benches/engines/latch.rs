//! Ours: every backend that this processor has, at every precision, through a session; with packed weights where the backend packs; and of
//! an LSTM eight sessions that step together.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use latch_benches::peers::cell::{Cell, Kind, Shape, hidden_state, image_file};
use latch_benches::peers::rounds::{OURS, PACKED, Row, STREAMS, TOGETHER};
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::kernels::AnyBackend;
use latch_engine::{Model, Precision, Session};
use latch_peers::{Peer, measure};

struct Latch<'s, 'm, 'a> {
    session: Session<'s, 'm, 'a>,
    precision: Precision,
    kind: Kind,
    shape: Shape,
}

impl Peer for Latch<'_, '_, '_> {
    #[inline]
    fn step(&mut self, row: usize) -> Result<()> {
        ensure!(self.session.push_token(row as u32), "the embedding has no row {row}");
        Ok(())
    }

    fn hidden(&self) -> Result<Vec<f32>> {
        Ok(hidden_state(&self.session, self.precision, self.kind, self.shape))
    }
}

/// Eight streams of an LSTM that step together. A step of this peer is one of all eight, the hidden state the first one's.
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
        Ok(hidden_state(first, self.precision, Kind::Lstm, self.shape))
    }
}

/// The rows of backends and all precisions that the cell is measured in.
pub(crate) fn rows(folder: &Path, cell: &Cell, backends: &[AnyBackend]) -> Result<Vec<Row>> {
    let (kind, shape) = (cell.kind, cell.shape);
    let mut rows = Vec::new();
    for &(name, precision) in kind.precisions() {
        let path = folder.join(image_file(kind, shape, name));
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let bytes = AlignedBytes::new(&bytes);
        let image = Image::open(&bytes).with_context(|| path.display().to_string())?;
        for &backend in backends {
            let model = Model::new(&image).with_backend(backend);
            let mut memory = vec![0; model.packed_bytes()];
            let packed = model.clone().pack(&mut memory)?;
            // Weights of four bits are packed as int8, which is measured.
            let four_bits = name != precision.name();
            let mut models = vec![(format!("{OURS}{}", backend.name()), &model)];
            if model.packed_bytes() > 0 && !four_bits {
                models.push((format!("{OURS}{}{PACKED}", backend.name()), &packed));
            }
            for (peer_name, model) in models {
                let mut state = AlignedBytes::zeroed(model.state_bytes());
                let peer = Latch { session: model.session_in(&mut state)?, precision, kind, shape };
                rows.push(measure(&peer_name, name, cell, Ok(peer))?);
            }
            if kind == Kind::Lstm && !four_bits {
                let mut states = vec![AlignedBytes::zeroed(packed.state_bytes()); STREAMS];
                let sessions = states.iter_mut().map(|state| packed.session_in(state)).collect::<Result<_, _>>()?;
                let peer = Together { sessions, precision, shape };
                rows.push(measure(&format!("{TOGETHER}{}", backend.name()), name, cell, Ok(peer))?);
            }
        }
    }
    Ok(rows)
}
