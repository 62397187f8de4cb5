//! JSON lines: one object a line with a label and a text, or with tokens and a label for each of them, whatever else it holds.

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::lines::Lines;
use super::{Example, Label, Source, Task};
use crate::error::fault;

/// Reads examples from the lines of a file.
pub(super) struct Objects {
    lines: Lines,
    task: Task,
}

#[derive(Deserialize)]
struct Object {
    #[serde(alias = "sentiment")]
    label: Option<Value>,
    #[serde(alias = "review")]
    text: Option<String>,
    labels: Option<Vec<Value>>,
    tokens: Option<Vec<String>>,
}

impl Objects {
    pub(super) fn new(lines: Lines, task: Task) -> Self {
        Self { lines, task }
    }

    fn read(&mut self) -> Result<Option<Example<Label>>> {
        if !self.lines.advance_to_text()? {
            return Ok(None);
        }
        let parsed: Result<Object, _> = serde_json::from_str(self.lines.line()?);
        let wrong = |problem: String| {
            let remedy = if self.task.each_step() {
                "write {\"tokens\": [\"…\"], \"labels\": [0]} on one line"
            } else {
                "write {\"label\": 0, \"text\": \"…\"} on one line"
            };
            Err(fault(self.lines.place(), problem, remedy).into())
        };
        let object = match parsed {
            Ok(object) => object,
            Err(error) if error.is_data() => return wrong(format!("this is not a labelled text ({})", reason(&error))),
            Err(error) => return wrong(format!("this is not JSON ({} in column {})", reason(&error), error.column())),
        };
        let word = |label: Value| match label {
            Value::String(word) => word,
            // Tables with gaps are often written with 1.0 for 1.
            Value::Number(number) => match number.as_f64() {
                Some(whole) if whole.fract() == 0.0 && whole.abs() < 1e9 => format!("{whole:.0}"),
                _ => number.to_string(),
            },
            other => other.to_string(),
        };
        let label = match (self.task.each_step(), object.label, object.labels) {
            (true, _, Some(labels)) => labels.into_iter().map(word).collect::<Vec<_>>().join(" "),
            (true, _, None) => return wrong("the object has no labels".to_owned()),
            (false, Some(Value::Null) | None, Some(_)) => {
                return wrong(
                    "the object has no label but labels, one a token, which are learned with --task tags or tag-values"
                        .to_owned(),
                );
            }
            (false, Some(Value::Null) | None, None) => return wrong("the object has no label".to_owned()),
            (false, Some(label), _) => word(label),
        };
        let text = match (object.text, object.tokens) {
            (Some(text), _) => text,
            (None, Some(tokens)) => {
                let divided = |token: &String| token.split_whitespace().ne([token.as_str()]);
                if let Some(number) = tokens.iter().position(divided) {
                    return wrong(format!("token {} is empty or has white space in it", number + 1));
                }
                tokens.join(" ")
            }
            (None, None) => return wrong("the object has no text".to_owned()),
        };
        let label = self.task.label(&label, &text, || self.lines.place())?;
        Ok(Some(Example { label, text }))
    }
}

impl Iterator for Objects {
    type Item = Result<Example<Label>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl Source for Objects {
    fn place(&self) -> String {
        self.lines.place()
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
