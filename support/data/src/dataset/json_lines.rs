//! JSON lines: one object a line with a label and a text, or with tokens and a label for each of them, whatever else it holds.

use anyhow::Result;
use serde_json::{Map, Value};

use super::classes::{Columns, list};
use super::lines::Lines;
use super::quoted;
use super::table::{LABEL_NAMES, TEXT_NAMES};
use super::{Row, Source, Task};
use crate::error::{Fault, fault};

/// Reads examples from the lines of a file.
pub(super) struct Objects {
    lines: Lines,
    task: Task,
    columns: Columns,
    /// The keys of the first object's label and text, in words.
    words: String,
}

impl Objects {
    pub(super) fn new(lines: Lines, task: Task, columns: Columns) -> Self {
        Self { lines, task, columns, words: String::new() }
    }

    fn read(&mut self) -> Result<Option<Row>> {
        if !self.lines.advance_to_text()? {
            return Ok(None);
        }
        let task = self.task;
        let remedy = if task.each_step() {
            "write {\"tokens\": [\"…\"], \"labels\": [\"…\"]} on one line"
        } else {
            "write {\"label\": \"…\", \"text\": \"…\"} on one line"
        };
        let wrong = |problem: String| fault(self.lines.place(), problem, remedy);
        let object = match serde_json::from_str::<Map<String, Value>>(self.lines.line()?) {
            Ok(object) => object,
            Err(error) if error.is_data() => {
                return Err(wrong(format!("this is not a labelled text ({})", reason(&error))).into());
            }
            Err(error) => {
                return Err(wrong(format!("this is not JSON ({} in column {})", reason(&error), error.column())).into());
            }
        };
        let key = |option: &str, asked: &Option<String>, names: &[&str], winners: &[&str]| {
            key_of(&object, option, asked.as_deref(), (names, winners), &self.lines)
        };
        // A list has a label for each token, and anything else is the label of the text.
        let winners: &[&str] = if task.each_step() { &["labels", "tags"] } else { &["label"] };
        let label_key = key("--label-column", &self.columns.label, &LABEL_NAMES, winners)?;
        let label = match label_key.map(|key| (key, &object[key])) {
            None => {
                let labels = if task.each_step() { "labels" } else { "label" };
                let keys: Vec<&str> = object.keys().map(String::as_str).collect();
                let problem = format!("the object has no {labels}; its keys are {}", list(&keys));
                let remedy = format!("name the key with --label-column, or {remedy}");
                return Err(fault(self.lines.place(), problem, remedy).into());
            }
            Some((_, Value::Array(labels))) if task.each_step() => tokens(labels, "label").map_err(wrong)?,
            Some((_, Value::Array(_))) => {
                let problem = "the label is a list: one for each token is learned with --task tag or regress-each, and a text has one word or number";
                return Err(wrong(problem.to_owned()).into());
            }
            Some((_, label)) => {
                word(label).ok_or_else(|| wrong(format!("the label {label} is no word and no number")))?
            }
        };
        let text_key = key("--text-column", &self.columns.text, &TEXT_NAMES, &["text", "review", "tokens"])?;
        let text = match text_key.map(|key| &object[key]) {
            None => return Err(wrong("the object has no text".to_owned()).into()),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => tokens(parts, "token").map_err(wrong)?,
            Some(_) => return Err(wrong("this is not a labelled text (the text is no string)".to_owned()).into()),
        };
        if self.words.is_empty() {
            self.words = format!("label key {}, text key {}", label_key.unwrap_or(""), text_key.unwrap_or(""));
        }
        Ok(Some(Row { label, text }))
    }
}

/// The key of the label or the text: the one that was asked for, else one of the winning names, else the only other known name.
fn key_of<'o>(
    object: &'o Map<String, Value>,
    option: &str,
    asked: Option<&str>,
    (names, winners): (&[&str], &[&str]),
    lines: &Lines,
) -> Result<Option<&'o str>, Fault> {
    let there =
        |name: &str| object.get_key_value(name).filter(|(_, value)| !value.is_null()).map(|(key, _)| key.as_str());
    if let Some(asked) = asked {
        if object.contains_key(asked) {
            return Ok(there(asked));
        }
        let keys: Vec<&str> = object.keys().map(String::as_str).collect();
        let problem = format!("{} has no key {}; its keys are {}", lines.place(), quoted(asked), list(&keys));
        return Err(fault(option, problem, "name one of these"));
    }
    if let Some(winner) = winners.iter().find_map(|name| there(name)) {
        return Ok(Some(winner));
    }
    let others: Vec<&str> = names.iter().filter_map(|name| there(name)).collect();
    match others[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => {
            let problem = format!("the object has several keys that could be meant: {}", list(&others));
            Err(fault(lines.place(), problem, format!("say it with {option}")))
        }
    }
}

/// A label as a word.
fn word(label: &Value) -> Option<String> {
    match label {
        Value::String(word) => Some(word.clone()),
        Value::Number(number) => Some(match number.as_f64() {
            Some(whole) if whole.fract() == 0.0 && whole.abs() < 1e9 => format!("{whole:.0}"),
            _ => number.to_string(),
        }),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// Words of a list, joined by spaces.
fn tokens(parts: &[Value], what: &str) -> Result<String, String> {
    let words: Vec<String> = parts
        .iter()
        .enumerate()
        .map(|(number, part)| {
            let word = word(part).filter(|word| word.split_whitespace().eq([word.as_str()]));
            word.ok_or_else(|| format!("{what} {} is empty, has white space in it, or is no word", number + 1))
        })
        .collect::<Result<_, _>>()?;
    Ok(words.join(" "))
}

impl Iterator for Objects {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl Source for Objects {
    fn place(&self) -> String {
        self.lines.place()
    }

    fn layout(&self) -> &str {
        &self.words
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
    use crate::dataset::{Columns, Dataset, Part, Reading};

    #[test]
    fn objects_are_read_whatever_else_they_hold() {
        let text = "{\"label\": 1, \"text\": \"good\\n\\u00e9\", \"id\": [1, {}]}\n\n{\"review\": \"bad\", \"sentiment\": 0.0}\n{\"label\":\"1\",\"text\":\"\"}";
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
            ("{\"label\": \"\", \"text\": \"good\"}", "the label is empty"),
            ("{\"label\": {}, \"text\": \"good\"}", "the label {} is no word"),
            ("{\"label\": [1], \"text\": \"good\"}", "--task tag"),
            ("{\"class\": 1, \"target\": 0, \"text\": \"good\"}", "several keys that could be meant: class, target"),
        ] {
            let text = format!("{{\"label\":0,\"text\":\"bad\"}}\n{line}\n");
            let message = fault_of("a.jsonl", text.as_bytes());
            assert!(message.contains("a.jsonl:2: ") && message.contains(words), "{message}");
            assert!(!message.contains("at line"), "{message}");
        }
    }

    #[test]
    fn labels_are_words_numbers_or_truths_and_keys_may_be_named() {
        let set = load_bytes("a.jsonl", b"{\"label\": true, \"text\": \"a\"}\n{\"label\": false, \"text\": \"b\"}\n")
            .unwrap();
        assert_eq!((set.classes.join(" "), set.examples[0].label), ("false true".into(), 1));
        let text =
            "{\"id\": 1, \"kind\": \"ham\", \"body\": \"a\"}\n{\"id\": 2, \"kind\": \"spam\", \"body\": \"b\"}\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, text).unwrap();
        let load = |label: &str| {
            let columns = Columns { label: Some(label.into()), text: Some("body".into()), ..Columns::default() };
            Dataset::<u32>::load_for(&path, Part::Train, &Reading::default().within(columns))
        };
        let set = load("kind").unwrap();
        assert_eq!((set.classes.join(" "), set.layout.as_str()), ("ham spam".into(), "label key kind, text key body"));
        let message = load("sort").unwrap_err().to_string();
        assert!(message.contains("--label-column: ") && message.contains("body, id, kind"), "{message}");
    }
}
