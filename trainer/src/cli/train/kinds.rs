//! The kinds of task and of integers that `latch train` knows.

use clap::ValueEnum;
use latch_engine::image::manifest::MAX_OUTPUTS;

use crate::config::Storage;
use crate::dataset::{MAX_CLASSES, Task};
use crate::error::{Fault, fault};

/// `--task`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TaskArg {
    /// One of two classes a text
    Verdict,
    /// One of several classes a text
    Classes,
    /// A value a text
    Values,
    /// A class for each token
    #[value(alias = "each-step")]
    Tags,
    /// A value for each token
    TagValues,
}

const _: () = assert!(MAX_CLASSES as usize == MAX_OUTPUTS);

impl TaskArg {
    /// The task of `--task` and `--classes`.
    ///
    /// # Errors
    /// A fault when the task has no number of classes.
    pub(super) fn task(self, classes: Option<u32>) -> Result<Task, Fault> {
        let task = match self {
            TaskArg::Verdict => Task::Verdict,
            TaskArg::Classes => Task::Classes(0),
            TaskArg::Values => Task::Values,
            TaskArg::Tags => Task::Tags(0),
            TaskArg::TagValues => Task::TagValues,
        };
        let Some(classes) = classes else { return Ok(task) };
        if task.with_classes(classes) == task {
            return Err(fault(
                "--classes",
                "this task has no number of classes",
                "leave it out, or give --task classes or tags",
            ));
        }
        Ok(task.with_classes(classes))
    }
}

/// `--quantize`: the storages of integers.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum QuantizeArg {
    /// 8-bit integers
    Int8,
    /// The same with 4 bits a weight in the embedding
    Mixed,
    /// 4-bit integers in the embedding and in the gates
    Int4,
}

impl From<QuantizeArg> for Storage {
    fn from(storage: QuantizeArg) -> Self {
        match storage {
            QuantizeArg::Int8 => Storage::Int8,
            QuantizeArg::Mixed => Storage::Mixed,
            QuantizeArg::Int4 => Storage::Int4,
        }
    }
}
