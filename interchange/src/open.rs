//! A model from a file of any format that is known, by what stands in the file and whatever it is called.

use crate::described::{Described, Limits};
use crate::foreign::{OF_KERAS, foreign};
use crate::keras::{self, Options};
use crate::{Error, file, guitarml, json, nam, onnx, rtneural, tflite};

/// Whether a file is JSON by its first bytes: they are those of an object, and not the length of a safetensors file's header.
fn is_json(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let begins = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let length = bytes.first_chunk().map(|&length| u64::from_le_bytes(length));
    begins && length.is_none_or(|length| length > bytes.len() as u64)
}

/// What is wrong with a file that is text and no JSON of a model, and what to do; nothing of other bytes.
fn text(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Some(("this is text in UTF-16, and a JSON of a model is UTF-8", "save it as UTF-8"));
    }
    let is_text = |letter: char| !letter.is_control() || letter.is_whitespace();
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.chars().all(is_text))?;
    Some(if ['{', '[', '"', ':', ']', '}'].iter().any(|mark| text.contains(*mark)) {
        ("this is JSON that is damaged: the JSON of a model begins with {", "copy it again, or export it again")
    } else {
        ("this is text, and no file of a model", "docs/frameworks.md has the formats that are read")
    })
}

/// Reads a model of any format that is known, by what stands in it and whatever it is called; `place` is the file.
///
/// # Errors
/// Names the place and the tensor or the entry: where the file is none of these, where it is damaged, and where it holds what Latch does not have.
pub fn open(bytes: &[u8], place: &str, limits: &Limits) -> Result<Described, Error> {
    open_with(bytes, place, &Options::default(), limits)
}

/// Reads a model as [`open`] does, with what is said beside a file of Keras; of ONNX and TensorFlow Lite the name of the last value that is read.
///
/// # Errors
/// Those of [`open`], and where something is said beside a file of another format.
pub fn open_with(bytes: &[u8], place: &str, options: &Options<'_>, limits: &Limits) -> Result<Described, Error> {
    if keras::is_h5(bytes) || keras::is_archive(bytes) {
        return keras::read(bytes, place, options, limits);
    }
    let (is_onnx, is_tflite) = (onnx::is(bytes), tflite::is(bytes));
    let given = [
        ("a chain", options.chain.is_some() && (is_onnx || is_tflite || is_json(bytes))),
        ("a last layer", options.until.is_some() && !is_onnx && !is_tflite),
        ("a tokenizer", options.tokenizer.is_some()),
    ];
    if let Some((what, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
        return Err(Error::new(place, format!("{what} is given, and a file of this format has none"), "leave it out"));
    }
    if is_onnx {
        return onnx::read(bytes, place, options.until, limits);
    }
    if is_tflite {
        return tflite::read(bytes, place, options.until, limits);
    }
    if !is_json(bytes) {
        if bytes.is_empty() {
            return Err(Error::new(place, "the file is empty", "copy or export it again"));
        }
        return match text(bytes).filter(|_| foreign(bytes).is_none()) {
            Some((problem, remedy)) => Err(Error::new(place, problem, remedy)),
            None => file::read_with(bytes, place, options.chain, limits),
        };
    }
    let object = json::parse(bytes, place)?;
    if nam::is(&object) {
        return nam::read(object, place, limits);
    }
    if guitarml::is(&object) {
        return guitarml::read(object, place, limits);
    }
    if rtneural::is(&object) {
        return rtneural::read(object, place, limits);
    }
    let (problem, remedy) = if object.get("class_name").is_some() {
        ("this is the configuration of a Keras model, without its weights", OF_KERAS)
    } else if object.get("weight_map").is_some() {
        ("this is the index of safetensors files", "name the safetensors file")
    } else {
        let known = "this JSON is no model of RTNeural, AIDA-X, GuitarML or Neural Amp Modeler";
        (known, "docs/frameworks.md has the formats that are read")
    };
    Err(Error::new(place, problem, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { rows: 10, width: 12, layers: 2 };

    #[test]
    fn a_file_is_known_by_what_stands_in_it_and_others_are_called_by_their_names() {
        for (text, words) in [
            (r#"{"architecture":"WaveNet","config":{}}"#, "net: architecture: it is \"WaveNet\""),
            (r#"  {"model_data":{},"state_dict":{}}"#, "net: model_data.input_size: it is missing"),
            (r#"{"in_shape":[null,1],"layers":[]}"#, "net: it has no layer"),
            (r#"{"a.weight_ih_l0":7}"#, "net: tensor a.weight_ih_l0: it is 7"),
            (r#"{"class_name":"Sequential"}"#, "the configuration of a Keras model"),
            (r#"{"weight_map":{"a":"b"},"metadata":{}}"#, "the index of safetensors files"),
            (r#"{"name":"nobody"}"#, "this JSON is no model of RTNeural, AIDA-X, GuitarML or Neural Amp Modeler"),
            ("\u{feff}{}", "this JSON is no model"),
            ("\x02\0\0\0\0\0\0\0{}", "tensor"),
            ("[1]", "this is JSON that is damaged: the JSON of a model begins with {; copy it again"),
            ("\"in_shape\":[null,1],\"layers\":[]}", "this is JSON that is damaged"),
            ("{\"in_shape\":[null,1],\"lay", "this is no whole JSON of a model"),
            ("time, x\n1, 2\n", "this is text, and no file of a model"),
            ("", "net: the file is empty"),
            ("\x01\x02\x03", "this is no whole safetensors file"),
        ] {
            let error = open(text.as_bytes(), "net", &LIMITS).expect_err(words).to_string();
            assert!(error.starts_with("net: "), "{error}");
            assert!(error.contains(words) || (words == "tensor" && error.starts_with("net: ")), "{error}");
        }
    }

    #[test]
    fn a_safetensors_file_whose_length_looks_like_a_brace_is_none_of_json() {
        let mut bytes = vec![b'{', 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(vec![b' '; usize::from(b'{')]);
        assert!(!is_json(&bytes));
        assert!(is_json(b"{\"a\":1}") && is_json(b"{}") && is_json(b"\n{ "));
    }
}
