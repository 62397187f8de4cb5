//! Every output of an image as a number, for scripts that compare it with other programs.

use latch_engine::Session;
use latch_engine::View;

use crate::error::{Fault, fault};

/// The outputs of a model for one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// `steps × outputs` where the answer belongs to each step, else `outputs`: the value of each logit, or the number
    /// that is predicted.
    pub values: Vec<f32>,
    /// The shape of `values`.
    pub shape: Vec<usize>,
}

/// Runs one series through a session from its beginning. `frames` are `steps × channels` in the unit of the training
/// data.
///
/// # Errors
/// A fault when the model reads no samples, when `frames` are no whole frames, or when one of them is not finite.
pub fn outputs_of(session: &mut Session<'_, '_, '_>, frames: &[f32]) -> Result<Outputs, Fault> {
    let model = session.model();
    let (outputs, each_step) = (usize::from(model.outputs()), model.answer().each_step);
    let mut values = Vec::new();
    let mut answer = |view: &mut View<'_, '_, '_>| {
        values.extend((0..outputs).map(|output| view.logit(output).to_f32()));
    };
    session.reset();
    let refused = |error: latch_engine::Error| fault("the series", error.to_string(), "give finite numbers");
    if each_step {
        session.push_samples_f32_each(frames, answer).map_err(refused)?;
        let shape = vec![values.len() / outputs.max(1), outputs];
        return Ok(Outputs { values, shape });
    }
    session.push_samples_f32(frames).map_err(refused)?;
    answer(session);
    Ok(Outputs { values, shape: vec![outputs] })
}
