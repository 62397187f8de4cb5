//! What is inside a file of Keras whose model is refused.

use std::rc::Rc;

use serde_json::Value;

use super::budget_of;
use super::opened::Opened;

/// What is said of a layer, where its configuration has it.
const SAID: [&str; 9] = [
    "units",
    "output_dim",
    "filters",
    "kernel_size",
    "strides",
    "padding",
    "activation",
    "return_sequences",
    "go_backwards",
];

/// The format and the layers that a file of Keras names, or of weights alone the tensors; `None` where it is damaged.
pub(crate) fn glimpse(bytes: &[u8], place: &str) -> Option<(&'static str, Vec<(String, String)>)> {
    let budget = Rc::new(budget_of(bytes));
    let Opened { weights, config, format, .. } = Opened::of(bytes, place, &budget).ok()?;
    let mut found = Vec::new();
    match &config {
        Some(config) => {
            let class = config.get("class_name").and_then(Value::as_str).unwrap_or("no class");
            found.push(("model".to_owned(), class.to_owned()));
            layers(config, &mut found);
        }
        None => {
            for (name, tensors) in weights.listing().unwrap_or_default() {
                found.push((format!("layer {name}"), tensors.join(", ")));
            }
        }
    }
    Some((format.name(), found))
}

/// The layers of a model, and behind a model within it those of that.
fn layers(config: &Value, found: &mut Vec<(String, String)>) {
    let inner = config.get("config");
    let listed = inner.and_then(Value::as_array).or_else(|| inner?.get("layers")?.as_array());
    for value in listed.into_iter().flatten() {
        found.push(layer(value));
        layers(value, found);
    }
}

/// A layer of a configuration: its name, its class, and what there is of its sizes.
fn layer(value: &Value) -> (String, String) {
    let class = |value: &Value| value.get("class_name").and_then(Value::as_str).unwrap_or("no class").to_owned();
    let config = value.get("config");
    let name = config.and_then(|config| config.get("name")).or_else(|| value.get("name"));
    let mut said = class(value);
    if let Some(within) = config.and_then(|config| config.get("layer")) {
        said += &format!(" of {}", layer(within).1);
    }
    for key in SAID {
        if let Some(value) = config.and_then(|config| config.get(key)).filter(|value| !value.is_object()) {
            said += &format!(", {key} {value}");
        }
    }
    (format!("layer {}", name.and_then(Value::as_str).unwrap_or_default()), said)
}
