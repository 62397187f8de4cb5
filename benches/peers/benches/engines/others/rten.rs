//! rten, from the ONNX model, its weights packed beforehand.

use anyhow::{Context, Result};
use latch_benches::peers::cell::Cell;
use latch_benches::peers::onnx;
use latch_peers::Peer;
use rten::{Model, ModelOptions, NodeId, Value};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

pub(crate) struct Rten {
    model: Model,
    inputs: [NodeId; 3],
    outputs: [NodeId; 2],
    rows: Vec<Value>,
    h: Value,
    c: Value,
}

impl Rten {
    pub(crate) fn new(cell: &Cell) -> Result<Self> {
        let model = ModelOptions::with_all_ops().prepack_weights(true).load(onnx::model(cell))?;
        let node = |name: &str| model.find_node(name).with_context(|| format!("the model has no {name}"));
        let [x, h, c] = onnx::INPUTS;
        let [h_next, c_next] = onnx::OUTPUTS;
        let (inputs, units) = (cell.shape.inputs, cell.shape.units);
        let zeros = || Value::from(NdTensor::<f32, 3>::zeros([1, 1, units]));
        Ok(Rten {
            inputs: [node(x)?, node(h)?, node(c)?],
            outputs: [node(h_next)?, node(c_next)?],
            rows: cell
                .rows
                .chunks(inputs)
                .map(|row| Value::from(NdTensor::from_data([1, 1, inputs], row.to_vec())))
                .collect(),
            h: zeros(),
            c: zeros(),
            model,
        })
    }
}

impl Peer for Rten {
    fn step(&mut self, row: usize) -> Result<()> {
        let [x, h, c] = self.inputs;
        let inputs = vec![(x, (&self.rows[row]).into()), (h, (&self.h).into()), (c, (&self.c).into())];
        [self.h, self.c] = self.model.run_n(inputs, self.outputs, None)?;
        Ok(())
    }

    fn hidden(&self) -> Result<Vec<f32>> {
        let h: NdTensor<f32, 3> = self.h.clone().try_into()?;
        Ok(h.to_vec())
    }
}
