//! JSON: objects with a label and a text, or with tokens and a label for each of them, whatever else they hold; one a line, or all in one list.

use anyhow::Result;
use serde_json::{Map, Value};

use super::classes::{Columns, list};
use super::lines::{Lines, MAX_LINE, not_utf8, too_long};
use super::table::{LABEL_NAMES, TEXT_NAMES};
use super::{Place, Row, Source, Task, quoted};
use crate::error::{Fault, fault};
use crate::shown::for_shell;

/// Reads examples from the lines of a file, or from the elements of the list that it is.
pub(super) struct Objects {
    lines: Lines,
    /// The file is a list.
    list: Option<Elements>,
    task: Task,
    columns: Columns,
    /// The keys of the first object's label and text, where they are not the usual ones, in words.
    words: Option<String>,
}

impl Objects {
    pub(super) fn new(lines: Lines, is_list: bool, task: Task, columns: Columns) -> Self {
        Self { lines, list: is_list.then(Elements::default), task, columns, words: None }
    }

    fn read(&mut self) -> Result<Option<Row>> {
        let place = match &mut self.list {
            Some(list) => match list.advance(&mut self.lines)? {
                Some(line) => self.lines.place_of(line),
                None => return Ok(None),
            },
            None if self.lines.advance_to_text()? => self.lines.place(),
            None => return Ok(None),
        };
        let json = match &self.list {
            Some(list) => list.element(&place)?,
            None => self.lines.line()?,
        };
        let task = self.task;
        let remedy = match (task.each_step(), self.list.is_some()) {
            (true, false) => "write {\"tokens\": [\"…\"], \"labels\": [\"…\"]} on one line",
            (false, false) => "write {\"label\": \"…\", \"text\": \"…\"} on one line",
            (true, true) => "write a list of {\"tokens\": [\"…\"], \"labels\": [\"…\"]}",
            (false, true) => "write a list of {\"label\": \"…\", \"text\": \"…\"}",
        };
        let wrong = |problem: String| fault(&place, problem, remedy);
        let object = match serde_json::from_str::<Map<String, Value>>(json) {
            Ok(object) => object,
            Err(error) if error.is_data() => {
                return Err(wrong(format!("this is not a labelled text ({})", reason(&error))).into());
            }
            Err(_) if matches!(json.trim(), "{" | "[") => {
                let problem = "an object begins in this line and ends in another one";
                return Err(fault(&place, problem, "write one object on each line, or one list of objects").into());
            }
            Err(error) => {
                return Err(wrong(format!("this is not JSON ({} in column {})", reason(&error), error.column())).into());
            }
        };
        if let Some(refusal) = whole_set(&object, &place).filter(|_| self.words.is_none()) {
            return Err(refusal.into());
        }
        let key = |option: &str, asked: &Option<String>, names: &[&str], winners: &[&str]| {
            key_of(&object, option, asked.as_deref(), (names, winners), &place)
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
                return Err(fault(&place, problem, remedy).into());
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
        if self.words.is_none() {
            let (label, text) = (label_key.unwrap_or(""), text_key.unwrap_or(""));
            let is_usual = matches!((label, text), ("label", "text") | ("labels", "tokens"));
            self.words = Some(if is_usual { String::new() } else { format!("label key {label}, text key {text}") });
        }
        Ok(Some(Row { label, text, place }))
    }
}

/// The fault of an object that is a whole set: with a list of examples, or with columns in place of rows.
fn whole_set(object: &Map<String, Value>, place: &Place) -> Option<Fault> {
    let file = place.path.display().to_string();
    let is_columns = |value: &Value| value.as_object().is_some_and(|rows| !rows.is_empty());
    let columns = |names: &[&str]| names.iter().any(|name| object.get(*name).is_some_and(is_columns));
    if columns(&LABEL_NAMES) && columns(&TEXT_NAMES) {
        let program = format!(
            "import pandas; pandas.read_json({file:?}).to_json({:?}, orient=\"records\", lines=True)",
            format!("{file}.jsonl")
        );
        let remedy = format!("convert it (pip install pandas): python3 -c {}", for_shell(&program));
        return Some(fault(place, "the object holds columns, and not the label and the text of one row", remedy));
    }
    let is_list = |value: &Value| value.as_array().and_then(|list| list.first()).is_some_and(Value::is_object);
    let (key, _) = object.iter().find(|(_, value)| is_list(value))?;
    if LABEL_NAMES.iter().chain(&TEXT_NAMES).any(|name| object.contains_key(*name)) {
        return None;
    }
    let program = format!(
        "import json; json.dump(json.load(open({file:?}))[{key:?}], open({:?}, \"w\"))",
        format!("{file}.list.json")
    );
    let problem = format!("the object holds a list of examples under {}", quoted(key));
    Some(fault(place, problem, format!("write the list alone: python3 -c {}", for_shell(&program))))
}

/// The key of the label or the text: the one that was asked for, else one of the winning names, else the only other known name.
fn key_of<'o>(
    object: &'o Map<String, Value>,
    option: &str,
    asked: Option<&str>,
    (names, winners): (&[&str], &[&str]),
    place: &Place,
) -> Result<Option<&'o str>, Fault> {
    let there =
        |name: &str| object.get_key_value(name).filter(|(_, value)| !value.is_null()).map(|(key, _)| key.as_str());
    if let Some(asked) = asked {
        if object.contains_key(asked) {
            return Ok(there(asked));
        }
        let keys: Vec<&str> = object.keys().map(String::as_str).collect();
        let problem = format!("{place} has no key {}; its keys are {}", quoted(asked), list(&keys));
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
            Err(fault(place, problem, format!("say it with {option}")))
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
    fn layout(&self) -> Vec<String> {
        let list = self.list.as_ref().map(|_| "a list of JSON".to_owned());
        let words = self.words.clone().filter(|words| !words.is_empty());
        list.into_iter().chain(words).chain(self.lines.encoding()).collect()
    }

    fn progress(&self) -> (u64, u64) {
        self.lines.progress()
    }
}

/// The elements of a list, one at a time in the same buffer, wherever their lines end.
#[derive(Default)]
struct Elements {
    buffer: Vec<u8>,
    next: Next,
}

/// What may stand next in a list, outside of its elements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Next {
    /// The bracket that opens it.
    #[default]
    Opening,
    /// The first element, or the end of the list.
    First,
    /// An element.
    Element,
    /// A comma, or the end of the list.
    Comma,
    /// Nothing: the list is closed.
    Nothing,
}

impl Elements {
    /// Goes to the next element, and gives the line that it begins in; `None` at the end.
    fn advance(&mut self, lines: &mut Lines) -> Result<Option<u64>> {
        self.buffer.clear();
        let (mut depth, mut in_string, mut escaped, mut begin) = (0_usize, false, false, None);
        while let Some(byte) = lines.next_byte()? {
            let line = lines.number();
            if begin.is_none() {
                let wrong = |problem: &str| fault(lines.place(), problem, ONE_LIST);
                self.next = match (self.next, byte) {
                    _ if byte.is_ascii_whitespace() => continue,
                    // What a byte-order mark has.
                    (Next::Opening, 0xef | 0xbb | 0xbf) => continue,
                    (Next::Nothing, _) => return Err(wrong("there is more behind the end of the list").into()),
                    (Next::Opening, _) => Next::First,
                    (Next::First | Next::Comma, b']') => Next::Nothing,
                    (Next::Comma, b',') => Next::Element,
                    (Next::Comma, _) => return Err(wrong("no comma stands between two elements of the list").into()),
                    (_, b',' | b']') => return Err(wrong("a comma stands in the list without an element").into()),
                    _ => {
                        begin = Some(line);
                        Next::Comma
                    }
                };
                if begin.is_none() {
                    continue;
                }
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                b'{' | b'[' if !in_string => depth += 1,
                b',' | b']' if !in_string && depth == 0 => {
                    self.next = if byte == b']' { Next::Nothing } else { Next::Element };
                    return Ok(begin);
                }
                b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.buffer.push(byte);
            if self.buffer.len() > MAX_LINE {
                return Err(too_long(lines.place_of(begin.unwrap_or(line))));
            }
            if depth == 0 && byte == b'}' {
                return Ok(begin);
            }
        }
        if self.next == Next::Nothing && begin.is_none() {
            return Ok(None);
        }
        Err(fault(lines.place(), "the file ends before its list does", "copy or download it again").into())
    }

    /// The current element.
    fn element(&self, place: &Place) -> Result<&str> {
        str::from_utf8(&self.buffer).map_err(|error| not_utf8(place, error, 0, &self.buffer))
    }
}

/// What to do about a file that is more than a list.
const ONE_LIST: &str = "write one list of objects, or one object a line";

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
    #[test]
    fn a_list_is_read_wherever_its_lines_end_and_whatever_the_file_is_called() {
        let objects =
            ["{\"label\": 1, \"text\": \"a [b] {c}, \\\"d\\\\\"}", "{\"label\":0,\"text\":\"x\",\"more\":[{}]}"];
        for (name, text) in [
            ("a.json", format!("[{}]", objects.join(","))),
            ("a.json", format!("\u{feff}[\r\n{}\r\n]\r\n", objects.join(",\r\n"))),
            ("a.jsonl", format!("[\n  {}\n]", objects.join(",\n  ").replace(", \"", ",\n    \""))),
            ("a", format!(" [ {} ] ", objects.join(" , "))),
            ("a.json", objects.join("\n")),
        ] {
            let set = load_bytes(name, text.as_bytes()).unwrap();
            assert_eq!(set.examples, [example(1, "a [b] {c}, \"d\\"), example(0, "x")], "{name} {text}");
        }
        assert_eq!(
            load_bytes("a.json", format!("[{}]", objects.join(",")).as_bytes()).unwrap().layout,
            "a list of JSON"
        );
    }

    #[test]
    fn what_is_wrong_in_a_list_is_a_fault_with_the_line_of_its_element() {
        let good = "{\"label\":0,\"text\":\"bad\"}";
        for (text, line, words) in [
            (format!("[\n{good},\n{{\n\"text\": \"good\"}}]"), 3, "no label"),
            (format!("[{good},\n5]"), 2, "not a labelled text"),
            (format!("[{good},\n[1, \"good\"]]"), 2, "not a labelled text"),
            (format!("[{good},\n{good}"), 2, "the file ends before its list does"),
            (format!("[{good},\n{{\"label\": 1, \"text\": \"go"), 2, "the file ends before its list does"),
            (format!("[{good}]\n[{good}]"), 2, "more behind the end"),
            (format!("[\n,,{good},{good}]"), 2, "a comma stands in the list without an element"),
            (format!("[{good},\n,{good}]"), 2, "a comma stands in the list without an element"),
            (format!("[{good},{good},\n]"), 2, "a comma stands in the list without an element"),
            (format!("[5,\n,{good}]"), 1, "not a labelled text"),
            (format!("[{good}\n{good}]"), 2, "no comma stands between two elements"),
            (format!("[{good},\n{{\"label\": 1 \"text\": \"good\"}}]"), 2, "not JSON"),
        ] {
            let message = fault_of("a.json", text.as_bytes());
            assert!(message.contains(&format!("a.json:{line}: ")) && message.contains(words), "{text}: {message}");
        }
        let message = fault_of("a.json", b"[]");
        assert!(message.contains("no example"), "{message}");
        let long = format!("[{good},\n{{\"label\":1,\"text\":\"{}\"}}]", "x".repeat(5_000_000));
        assert!(fault_of("a.json", long.as_bytes()).contains("a.json:2: this text is longer"));
    }
    #[test]
    fn an_object_that_is_a_whole_set_is_refused_with_what_makes_a_list_of_it() {
        for (text, words, remedy) in [
            ("{\"data\": [{\"label\": 0, \"text\": \"a\"}]}", "holds a list of examples under \"data\"", "json.load("),
            ("{\"text\": {\"0\": \"a\"}, \"label\": {\"0\": 1}}", "holds columns", "pandas.read_json("),
            ("{\n  \"data\": []\n}", "ends in another one", "one list of objects"),
        ] {
            let message = fault_of("a.json", text.as_bytes());
            assert!(message.contains("a.json:1: ") && message.contains(words) && message.contains(remedy), "{message}");
        }
    }
}
