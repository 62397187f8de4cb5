//! Flatten and Reshape: what changes nothing is left out, and the rest is refused.

use super::{Builder, Steps};
use crate::Error;
use crate::described::{Kind, Pooling};
use crate::keras::entry::Entry;

impl Builder<'_> {
    pub(super) fn flatten(&mut self, entry: &Entry) -> Result<(), Error> {
        match self.steps {
            Steps::One => Ok(()),
            Steps::Each(Some(1)) => self.only_step(entry),
            Steps::Each(steps) => self.side_by_side(entry, steps),
        }
    }

    /// One step is one vector: the last of all steps, or each where the model is called step by step.
    fn only_step(&mut self, entry: &Entry) -> Result<(), Error> {
        if !self.declared.stepped {
            let features = self.sized(entry)?;
            self.push(&entry.name, Kind::Pooling(Pooling::Last), features);
        }
        self.steps = Steps::One;
        Ok(())
    }

    /// Steps side by side are the answers of each step where there is one of each and no layer behind.
    fn side_by_side(&mut self, entry: &Entry, steps: Option<usize>) -> Result<(), Error> {
        let is_last = self.declared.chain.last().is_some_and(|last| last.name == entry.name);
        if is_last && self.features == Some(1) && !self.layers.is_empty() {
            return Ok(());
        }
        let steps = steps.map_or_else(|| "all".to_owned(), |steps| steps.to_string());
        let problem = format!("it puts {steps} steps side by side into one vector, which a stream does not have");
        let remedy = "train with a pooling, or with return_sequences=False in the layer below";
        Err(entry.refuse("", problem, remedy))
    }

    pub(super) fn reshape(&mut self, entry: &Entry) -> Result<(), Error> {
        let shape = entry.numbers("target_shape")?.unwrap_or_default();
        let size = |size: f64| (size >= 1.0 && size <= u32::MAX.into() && size.fract() == 0.0).then_some(size as usize);
        let is_first = self.layers.is_empty() && self.pending.is_none() && self.normalization.is_empty();
        match (self.steps, shape.as_slice()) {
            // A vector stays one.
            (Steps::One, &[features]) if size(features) == self.features || features == -1.0 => Ok(()),
            // The input is read as steps of so many features.
            (steps, &[target, features]) if is_first && size(features).is_some() => {
                let features = size(features).unwrap_or(1);
                let all = match steps {
                    Steps::One => self.features,
                    Steps::Each(steps) => steps.zip(self.features).and_then(|(steps, each)| steps.checked_mul(each)),
                };
                let target = size(target).or_else(|| all.map(|all| all / features));
                if all.is_some() && target.and_then(|target| target.checked_mul(features)) != all {
                    let problem = format!("its shape is {shape:?}, and it reads {} values", all.unwrap_or(0));
                    return Err(entry.refuse("target_shape", problem, "save the model again"));
                }
                (self.steps, self.features, self.channels) = (Steps::Each(target), Some(features), Some(features));
                Ok(())
            }
            // Steps stay the same.
            (Steps::Each(steps), &[target, features])
                if size(features) == self.features && (target == -1.0 || size(target) == steps) =>
            {
                Ok(())
            }
            (Steps::Each(Some(1)), &[features]) if size(features) == self.features || features == -1.0 => {
                self.only_step(entry)
            }
            (Steps::Each(steps), &[_]) => self.side_by_side(entry, steps),
            _ => {
                let problem = format!("it makes {shape:?} of what is below, which changes steps or features");
                Err(entry.refuse("target_shape", problem, "train without it"))
            }
        }
    }
}
