//! What Latch's own files say of their answers: the task and the names of the classes, in the metadata.

use serde::de::DeserializeOwned;
use serde_json::{Value, from_str, from_value};

use super::proto;
use crate::Error;
use crate::described::{Answer, Task};

/// The program whose metadata this is.
pub(crate) const PRODUCER: &str = "latch";
/// The entry of the task, by its name.
pub(crate) const TASK: &str = "task";
/// The entry of the classes, a list in JSON.
pub(crate) const CLASSES: &str = "classes";

/// The metadata of a model; `None` of one that Latch did not write, whose entries may mean anything.
pub(super) fn answer(model: &proto::Model, place: &str) -> Result<Option<Answer>, Error> {
    if model.producer_name != PRODUCER {
        return Ok(None);
    }
    let task: Option<Task> = entry(model, place, TASK, "a task", |text| from_value(Value::String(text.into())).ok())?;
    let classes = entry(model, place, CLASSES, "a list of names", parsed)?;
    Ok(task.map(|task| Answer { task: Some(task), classes }))
}

fn parsed<T: DeserializeOwned>(text: &str) -> Option<T> {
    from_str(text).ok()
}

/// An entry, where there is one.
fn entry<T>(
    model: &proto::Model,
    place: &str,
    key: &str,
    what: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Error> {
    let Some(entry) = model.metadata_props.iter().find(|entry| entry.key == key) else { return Ok(None) };
    let fault = || {
        let problem = format!("it is {:?}, and not {what}", entry.value.chars().take(80).collect::<String>());
        Error::new(format!("{place}: metadata {key}"), problem, "export the file again, or leave the entry out")
    };
    read(&entry.value).ok_or_else(fault).map(Some)
}
