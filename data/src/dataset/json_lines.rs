//! JSON lines: one object a line with a label and a text, whatever else it holds.

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::formats::Lines;
use super::{Example, label_at};
use crate::error::fault;

/// Reads examples from the lines of a file.
pub(super) struct Objects {
    lines: Lines,
}

#[derive(Deserialize)]
struct Object {
    #[serde(alias = "sentiment")]
    label: Option<Value>,
    #[serde(alias = "review")]
    text: Option<String>,
}

impl Objects {
    pub(super) fn new(lines: Lines) -> Self {
        Self { lines }
    }

    fn read(&mut self) -> Result<Option<Example>> {
        if !self.lines.advance_to_text()? {
            return Ok(None);
        }
        let parsed: Result<Object, _> = serde_json::from_str(self.lines.line()?);
        let wrong = |problem: String| {
            let remedy = "write {\"label\": 0, \"text\": \"…\"} on one line";
            Err(fault(self.lines.place(), problem, remedy).into())
        };
        let object = match parsed {
            Ok(object) => object,
            Err(error) if error.is_data() => return wrong(format!("this is not a labelled text ({})", reason(&error))),
            Err(error) => return wrong(format!("this is not JSON ({} in column {})", reason(&error), error.column())),
        };
        let label = match object.label {
            Some(Value::String(word)) => word,
            Some(Value::Null) | None => return wrong("the object has no label".to_owned()),
            // Tables with gaps are often written with 1.0 for 1.
            Some(Value::Number(number)) if number.as_f64() == Some(0.0) => "0".to_owned(),
            Some(Value::Number(number)) if number.as_f64() == Some(1.0) => "1".to_owned(),
            Some(other) => other.to_string(),
        };
        let Some(text) = object.text else {
            return wrong("the object has no text".to_owned());
        };
        let label = label_at(&label, || self.lines.place())?;
        Ok(Some(Example { label, text }))
    }
}

impl Iterator for Objects {
    type Item = Result<Example>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// What the parser says, without its count of lines, which starts anew in each line.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{example, fault_of, load_bytes};

    #[test]
    fn objects_are_read_whatever_else_they_hold() {
        let text = "{\"label\": 1, \"text\": \"good\\n\\u00e9\", \"id\": [1, {}]}\n\n{\"review\": \"bad\", \"sentiment\": \"negative\"}\n{\"label\":\"1\",\"text\":\"\"}";
        let set = load_bytes("a.jsonl", text.as_bytes()).unwrap();
        assert_eq!(set.examples, [example(1, "good\né"), example(0, "bad"), example(1, "")]);
    }

    #[test]
    fn what_is_wrong_with_an_object_is_a_fault_with_its_line() {
        for (line, words) in [
            ("{\"label\": 1, \"text\": \"good\"", "this is not JSON"),
            ("hello", "this is not JSON"),
            ("[1, \"good\"", "not"),
            ("{\"text\": \"good\"}", "no label"),
            ("{\"label\": null, \"text\": \"good\"}", "no label"),
            ("{\"label\": 1}", "no text"),
            ("{\"label\": 1, \"text\": 5}", "not a labelled text"),
            ("{\"label\": 3, \"text\": \"good\"}", "the label \"3\" is unknown"),
            ("{\"label\": {}, \"text\": \"good\"}", "the label \"{}\" is unknown"),
        ] {
            let text = format!("{{\"label\":0,\"text\":\"bad\"}}\n{line}\n");
            let message = fault_of("a.jsonl", text.as_bytes());
            assert!(message.contains("a.jsonl:2: ") && message.contains(words), "{message}");
            assert!(!message.contains("at line"), "{message}");
        }
    }
}
