//! burn: its module `Lstm`, on its backend of ndarray and on the one that follows it, flex.

use anyhow::{Context, Result, anyhow};
use burn::module::Param;
use burn::nn::{GateController, Linear, Lstm, LstmConfig, LstmState};
use burn::tensor::{Device, Tensor, TensorData};
use latch_benches::peers::cell::Cell;
use latch_peers::Peer;

pub(crate) struct Burn {
    lstm: Lstm,
    rows: Vec<Tensor<3>>,
    state: Option<LstmState<2>>,
}

impl Burn {
    /// On ndarray, which burn itself replaces by flex.
    #[allow(deprecated)]
    pub(crate) fn on_ndarray(cell: &Cell) -> Result<Self> {
        Self::new(cell, &Device::ndarray())
    }

    pub(crate) fn on_flex(cell: &Cell) -> Result<Self> {
        Self::new(cell, &Device::flex())
    }

    fn new(cell: &Cell, device: &Device) -> Result<Self> {
        let (inputs, units) = (cell.shape.inputs, cell.shape.units);
        // A gate's matrix has a row an input there, and a row a unit here.
        let transposed = |matrix: &[f32], gate: usize, columns: usize| {
            let own = &matrix[gate * units * columns..][..units * columns];
            let values: Vec<f32> =
                (0..columns).flat_map(|column| (0..units).map(move |unit| own[unit * columns + column])).collect();
            Param::from_tensor(Tensor::<2>::from_data(TensorData::new(values, [columns, units]), device))
        };
        let gate = |number: usize| {
            let bias = TensorData::new(cell.bias[number * units..][..units].to_vec(), [units]);
            GateController {
                input_transform: Linear {
                    weight: transposed(&cell.kernel, number, inputs),
                    bias: Some(Param::from_tensor(Tensor::<1>::from_data(bias, device))),
                },
                hidden_transform: Linear { weight: transposed(&cell.recurrent_kernel, number, units), bias: None },
            }
        };
        let mut lstm = LstmConfig::new(inputs, units, true).init(device);
        lstm.input_gate = gate(0);
        lstm.forget_gate = Some(gate(1));
        lstm.cell_gate = gate(2);
        lstm.output_gate = gate(3);
        let row = |row: &[f32]| Tensor::from_data(TensorData::new(row.to_vec(), [1, 1, inputs]), device);
        Ok(Burn { lstm, rows: cell.rows.chunks(inputs).map(row).collect(), state: None })
    }
}

impl Peer for Burn {
    fn step(&mut self, row: usize) -> Result<()> {
        let (_, state) = self.lstm.forward(self.rows[row].clone(), self.state.take());
        self.state = Some(state);
        Ok(())
    }

    fn hidden(&self) -> Result<Vec<f32>> {
        let state = self.state.as_ref().context("no step has been done")?;
        state.hidden.to_data().try_to_vec().map_err(|error| anyhow!("{error:?}"))
    }
}
