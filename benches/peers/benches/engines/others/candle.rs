//! candle: `candle_nn::LSTM`, whose gates have our order.

use std::collections::HashMap;

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_nn::rnn::{LSTM, LSTMConfig, LSTMState, RNN, lstm};
use latch_benches::peers::cell::Cell;
use latch_peers::Peer;

pub(crate) struct Candle {
    lstm: LSTM,
    rows: Vec<Tensor>,
    state: LSTMState,
}

impl Candle {
    pub(crate) fn new(cell: &Cell) -> Result<Self> {
        let (inputs, units) = (cell.shape.inputs, cell.shape.units);
        let device = Device::Cpu;
        let tensors = HashMap::from([
            ("weight_ih_l0".to_owned(), Tensor::from_slice(&cell.kernel, (4 * units, inputs), &device)?),
            ("weight_hh_l0".to_owned(), Tensor::from_slice(&cell.recurrent_kernel, (4 * units, units), &device)?),
            ("bias_ih_l0".to_owned(), Tensor::from_slice(&cell.bias, 4 * units, &device)?),
        ]);
        // One bias is enough.
        let config = LSTMConfig { b_hh_init: None, ..LSTMConfig::default() };
        let lstm = lstm(inputs, units, config, VarBuilder::from_tensors(tensors, DType::F32, &device))?;
        let rows = cell.rows.chunks(inputs).map(|row| Ok(Tensor::from_slice(row, (1, inputs), &device)?));
        let (rows, state) = (rows.collect::<Result<_>>()?, lstm.zero_state(1)?);
        Ok(Candle { lstm, rows, state })
    }
}

impl Peer for Candle {
    fn step(&mut self, row: usize) -> Result<()> {
        self.state = self.lstm.step(&self.rows[row], &self.state)?;
        Ok(())
    }

    fn hidden(&self) -> Result<Vec<f32>> {
        Ok(self.state.h().flatten_all()?.to_vec1()?)
    }
}
