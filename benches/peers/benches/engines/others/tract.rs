//! tract, from the ONNX model, optimized for its shapes. The plan's memory is kept between steps.

use anyhow::{Result, ensure};
use latch_benches::peers::cell::Cell;
use latch_benches::peers::onnx;
use latch_peers::Peer;
use tract_onnx::prelude::*;

pub(crate) struct Tract {
    plan: TypedSimpleState,
    rows: Vec<TValue>,
    h: TValue,
    c: TValue,
}

impl Tract {
    pub(crate) fn new(cell: &Cell) -> Result<Self> {
        let model = tract_onnx::onnx().model_for_read(&mut onnx::model(cell).as_slice())?.into_optimized()?;
        let (inputs, units) = (cell.shape.inputs, cell.shape.units);
        let row = |values: &[f32]| Ok(Tensor::from_shape(&[1, 1, inputs], values)?.into_tvalue());
        let zeros = || -> Result<TValue> { Ok(Tensor::zero::<f32>(&[1, 1, units])?.into_tvalue()) };
        Ok(Tract {
            plan: model.into_runnable()?.spawn()?,
            rows: cell.rows.chunks(inputs).map(row).collect::<Result<_>>()?,
            h: zeros()?,
            c: zeros()?,
        })
    }
}

impl Peer for Tract {
    fn step(&mut self, row: usize) -> Result<()> {
        let mut outputs = self.plan.run(tvec!(self.rows[row].clone(), self.h.clone(), self.c.clone()))?;
        ensure!(outputs.len() == 2, "the model has {} outputs", outputs.len());
        self.c = outputs.remove(1);
        self.h = outputs.remove(0);
        Ok(())
    }

    fn hidden(&self) -> Result<Vec<f32>> {
        Ok(self.h.to_plain_array_view::<f32>()?.iter().copied().collect())
    }
}
