//! What is inside a file that cannot be read as a model: its format, and its layers, sizes and tensors in words, as far as they can be told. No value of a tensor is kept, and
//! nothing is checked: it is what a person looks at who wants to know why a file is refused.

use crate::json::{Json, Object};
use crate::{file, foreign, guitarml, json, keras, nam, onnx, rtneural, tflite};

/// Most lines of what is found.
const MOST_LINES: usize = 200;

/// Most values of an array that are written out.
const MOST_VALUES: usize = 8;

/// Objects in one another whose entries are named.
const DEEPEST: usize = 3;

/// What is inside a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glimpse {
    /// Its format, in words.
    pub format: &'static str,
    /// What is found, as `(where, what)`.
    pub found: Vec<(String, String)>,
}

impl Glimpse {
    fn of(format: &'static str, mut found: Vec<(String, String)>) -> Self {
        let more = found.len().saturating_sub(MOST_LINES);
        if more > 0 {
            found.truncate(MOST_LINES);
            found.push(("…".to_owned(), format!("and {more} more")));
        }
        Self { format, found }
    }
}

/// What is inside the bytes of a file, whose name is `place`; `None` where they are damaged or of no known kind.
pub fn glimpse(bytes: &[u8], place: &str) -> Option<Glimpse> {
    if keras::is_h5(bytes) || keras::is_archive(bytes) {
        return keras::glimpse(bytes, place).map(|(format, found)| Glimpse::of(format, found));
    }
    if onnx::is(bytes) {
        return onnx::glimpse(bytes, place).map(|found| Glimpse::of("ONNX", found));
    }
    if tflite::is(bytes) {
        return tflite::glimpse(bytes).map(|found| Glimpse::of("TensorFlow Lite", found));
    }
    if let Some((what, _)) = foreign::foreign(bytes) {
        return (!foreign::is_damaged(what)).then(|| Glimpse::of(what, Vec::new()));
    }
    if let Some(tensors) = file::shapes(bytes) {
        let found = tensors.into_iter().map(|(name, shape)| (format!("tensor {name}"), format!("{shape:?}")));
        return Some(Glimpse::of("safetensors", found.collect()));
    }
    let object = json::parse(bytes, place).ok()?;
    let format = if nam::is(&object) {
        "Neural Amp Modeler"
    } else if guitarml::is(&object) {
        "GuitarML"
    } else if rtneural::is(&object) {
        "RTNeural"
    } else {
        "JSON"
    };
    let mut found = Vec::new();
    entries(&object, "", DEEPEST, &mut found);
    Some(Glimpse::of(format, found))
}

/// The entries of an object, those of objects in it among them; `within` stands before each name.
fn entries(object: &Object, within: &str, depth: usize, found: &mut Vec<(String, String)>) {
    for (key, value) in &object.0 {
        let name = format!("{within}{key}");
        match value {
            Json::Object(inner) if depth > 1 => entries(inner, &format!("{name}."), depth - 1, found),
            Json::Array(items) if items.iter().any(|item| matches!(item, Json::Object(_))) => {
                let item = |(number, item): (usize, &Json)| (format!("{name}[{number}]"), brief(item));
                found.extend(items.iter().enumerate().map(item));
            }
            other => found.push((name, brief(other))),
        }
        if found.len() > MOST_LINES {
            return;
        }
    }
}

/// A value in a few words: numbers and names as they are, a tensor by its shape.
fn brief(json: &Json) -> String {
    match json {
        Json::Tensor(tensor) if tensor.shape.len() == 1 && tensor.values.len() <= MOST_VALUES => {
            format!("{:?}", tensor.values)
        }
        Json::Array(items) if items.len() <= MOST_VALUES => {
            format!("[{}]", items.iter().map(brief).collect::<Vec<_>>().join(", "))
        }
        Json::Object(object) => {
            let field = |(key, value): &(String, Json)| match value {
                Json::Object(_) => format!("{key} {}", value.shown()),
                _ => format!("{key} {}", brief(value)),
            };
            object.0.iter().take(MOST_LINES).map(field).collect::<Vec<_>>().join(", ")
        }
        other => other.shown(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside_a_file_that_is_refused_is_told_by_its_names_and_shapes() {
        let wave = r#"{"architecture":"WaveNet","config":{"head_scale":0.02,"layers":[{"channels":16,"gated":false}]},
            "weights":[1,2,3,4,5,6,7,8,9,10]}"#;
        let found = glimpse(wave.as_bytes(), "wave.nam").expect("it is a model");
        assert_eq!(found.format, "Neural Amp Modeler");
        let said = |name: &str, what: &str| (name.to_owned(), what.to_owned());
        let expected = [
            said("architecture", "\"WaveNet\""),
            said("config.head_scale", "0.02"),
            said("config.layers[0]", "channels 16, gated false"),
            said("weights", "numbers in the shape [10]"),
        ];
        assert_eq!(found.found, expected);
        let layers = r#"{"in_shape":[null,1],"layers":[{"type":"prelu","shape":[null,4],"weights":[[[1,2]],[3]]}]}"#;
        let found = glimpse(layers.as_bytes(), "net").expect("it is a model");
        assert_eq!(found.format, "RTNeural");
        assert!(found.found[1].1.starts_with("type \"prelu\", shape [null, 4], weights ["), "{found:?}");
        let foreign = glimpse(b"GGUF\x03\0\0\0", "net").expect("it is known");
        assert_eq!((foreign.format, foreign.found.len()), ("a GGUF file of a language model", 0));
    }

    #[test]
    fn nothing_is_told_of_noise_and_of_damaged_files_and_no_more_than_a_page_of_others() {
        for bytes in [&b""[..], b"{\"a\":", b"\x01\x02\x03", b"[1]", b"PK\x03\x04\x14"] {
            assert_eq!(glimpse(bytes, "net"), None, "{bytes:?}");
        }
        let many: Vec<String> = (0..1_000).map(|number| format!("\"k{number}\":{number}")).collect();
        let found = glimpse(format!("{{{}}}", many.join(",")).as_bytes(), "net").expect("it is JSON").found;
        assert_eq!(found.len(), MOST_LINES + 1);
        assert_eq!(found.last().expect("a line").0, "…");
    }
}
