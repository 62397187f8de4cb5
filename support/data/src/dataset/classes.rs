//! The classes of a data set: from the words that stand in a file to numbers, and back to names.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;

use super::label::{Label, Task};
use super::{MAX_CLASSES, Place, quoted};
use crate::composed::composed;
use crate::error::{Fault, fault};
use crate::shown::for_shell;

/// The most characters of a class's name: what is longer is no label.
pub const MAX_NAME: usize = 64;

/// How the labels and texts of a file are found and read, where the file does not say it: `--label-column`, `--text-column`, `--label-pattern`,
/// `--label-map` and `--encoding`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Columns {
    /// The column of the labels: its name, or its number from 1. In JSON lines the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The column of the texts, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A regular expression whose first group is the label of a line; what it matches is taken off the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Labels that are read as others.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub map: BTreeMap<String, String>,
    /// The encoding of files without a byte-order mark; UTF-8 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
}

impl Columns {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// These over others: what is said here counts, and what is left open is as the others have it. A pattern stands in place of columns, and the other way
    /// around; of both maps each label is read as this one says, where this one names it.
    #[must_use]
    pub fn over(self, others: Self) -> Self {
        let (label, text, pattern) = if self.pattern.is_some() {
            (None, None, self.pattern)
        } else if self.label.is_some() || self.text.is_some() {
            (self.label.or(others.label), self.text.or(others.text), None)
        } else {
            (others.label, others.text, others.pattern)
        };
        let map = others.map.into_iter().chain(self.map).collect();
        Self { label, text, pattern, map, encoding: self.encoding.or(others.encoding) }
    }

    /// One map of several that were given.
    ///
    /// # Errors
    /// A [`Fault`] where two of them name a label.
    pub fn joined(maps: impl IntoIterator<Item = BTreeMap<String, String>>) -> Result<BTreeMap<String, String>, Fault> {
        let mut all = BTreeMap::new();
        for (label, class) in maps.into_iter().flatten() {
            if let Some(other) = all.insert(label.clone(), class.clone()) {
                let problem =
                    format!("the label {} is to be both {} and {}", quoted(&label), quoted(&other), quoted(&class));
                return Err(fault("--label-map", problem, "name it once"));
            }
        }
        Ok(all)
    }

    /// Reads the value of `--label-map`: `ham=no,spam=yes`. A single pair may have commas in its label and its class.
    ///
    /// # Errors
    /// A sentence that says how it is written.
    pub fn parse_map(text: &str) -> Result<BTreeMap<String, String>, String> {
        let mut map = BTreeMap::new();
        let is_one = text.matches('=').count() == 1;
        let pairs: Vec<&str> = if is_one { vec![text] } else { text.split(',').collect() };
        for pair in pairs {
            let wrong = || format!("{pair:?} is not LABEL=CLASS; write for example ham=no,spam=yes");
            let (from, to) = pair.split_once('=').ok_or_else(wrong)?;
            let (from, to) = (composed(plain(from)).into_owned(), composed(plain(to)).into_owned());
            if from.is_empty() || to.is_empty() {
                return Err(wrong());
            }
            if map.insert(from.clone(), to).is_some() {
                return Err(format!("the label {from:?} is named twice"));
            }
        }
        Ok(map)
    }
}

/// What to read from a source, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// What the labels mean.
    pub task: Task,
    /// Where labels and texts are.
    pub columns: Columns,
    /// The names of the classes in their order, where they are known: any other label is a fault. Empty where they are collected from the labels.
    pub classes: Vec<String>,
}

impl Reading {
    /// The labels of a task, where the file says where they are; classes are collected.
    #[must_use]
    pub fn of(task: Task) -> Self {
        Self { task, ..Self::default() }
    }

    /// With labels and texts in these columns.
    #[must_use]
    pub fn within(self, columns: Columns) -> Self {
        Self { columns, ..self }
    }

    /// With these classes and no others. A task of numbers has none.
    #[must_use]
    pub fn among(self, classes: &[String]) -> Self {
        Self { classes: if self.task.has_values() { Vec::new() } else { classes.to_vec() }, ..self }
    }
}

/// The names of `count` classes that nobody has named: their numbers.
#[must_use]
pub fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|class| class.to_string()).collect()
}

/// A label as it counts: without white space around it, and whole numbers without `.0`, which tables with gaps are often written with.
pub(crate) fn plain(word: &str) -> &str {
    let word = word.trim();
    match word.split_once('.') {
        None if word == "-0" => "0",
        Some(("-0", zeros)) if !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0') => "0",
        Some((whole, zeros))
            if !zeros.is_empty()
                && zeros.bytes().all(|digit| digit == b'0')
                && whole.strip_prefix('-').unwrap_or(whole).bytes().all(|digit| digit.is_ascii_digit())
                && whole.bytes().any(|digit| digit.is_ascii_digit()) =>
        {
            whole
        }
        _ => word,
    }
}

/// The finite number that a word writes.
pub(crate) fn number(word: &str) -> Option<f64> {
    word.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// From words to labels.
pub(crate) struct Coder {
    task: Task,
    map: BTreeMap<String, String>,
    /// Of each label of the map, whether it occurred.
    used: BTreeMap<String, bool>,
    /// The classes, in the order of their numbers.
    pub(crate) names: Vec<String>,
    numbers: HashMap<String, u32>,
    /// The classes were given, and no other is taken.
    are_known: bool,
    /// Labels so far.
    taken: u64,
}

impl Coder {
    pub(crate) fn new(reading: &Reading) -> Self {
        let names = if reading.task.has_values() { Vec::new() } else { reading.classes.clone() };
        let map = reading.columns.map.clone();
        Self {
            task: reading.task,
            used: map.keys().map(|key| (key.clone(), false)).collect(),
            map,
            numbers: names.iter().cloned().zip(0..).collect(),
            are_known: !names.is_empty(),
            taken: 0,
            names,
        }
    }

    /// The task.
    pub(crate) fn task(&self) -> Task {
        self.task
    }

    /// Reads the label of `text` as it stands in a file; labels of tokens are separated by white space.
    ///
    /// # Errors
    /// A fault at `place` that shows the label.
    pub(super) fn label(&mut self, words: &str, text: &str, place: &Place) -> Result<Label> {
        if !self.task.each_step() {
            let number = self.number(words, place).map_err(|error| self.with_task(error, words, text))?;
            return Ok(if self.task.has_values() { Label::Value(number) } else { Label::Class(number as u32) });
        }
        let labels: Vec<f32> =
            words.split_whitespace().map(|word| self.number(word, place)).collect::<Result<_, Fault>>()?;
        let tokens = text.split_whitespace().count();
        if labels.len() != tokens {
            return Err(fault(
                place,
                format!("the number of labels is {} and that of tokens {tokens}", labels.len()),
                "give each token one label; white space separates tokens",
            )
            .into());
        }
        Ok(Label::Each(labels))
    }

    /// The refusal of a label, with the task that it may be meant for: where it has as many words as its text, and nothing has been learned yet.
    fn with_task(&self, refused: Fault, words: &str, text: &str) -> Fault {
        let count = words.split_whitespace().count();
        if self.are_known || count < 2 || count != text.split_whitespace().count() {
            return refused;
        }
        let task = if self.task.has_values() { "regress-each" } else { "tag" };
        let remedy = format!("learn a label for each token with --task {task}; else {}", refused.remedy);
        Fault { remedy, ..refused }
    }

    /// One label.
    ///
    /// # Errors
    /// A fault at `place` that shows the label.
    pub(crate) fn number(&mut self, word: &str, place: &Place) -> Result<f32, Fault> {
        let word = composed(plain(word));
        let mut word = word.as_ref();
        if word.is_empty() {
            return Err(fault(place, "the label is empty", "write a label, or remove the row"));
        }
        if let Some((from, to)) = self.map.get_key_value(word) {
            if let Some(used) = self.used.get_mut(from) {
                *used = true;
            }
            word = to;
        }
        if self.task.has_values() {
            let value = word.parse::<f32>().ok().filter(|value| value.is_finite());
            return value.ok_or_else(|| {
                fault(
                    place,
                    format!("the label {} is not a number", quoted(word)),
                    "write a finite number such as 3.5, or learn classes with --task classify",
                )
            });
        }
        self.taken += 1;
        if let Some(&class) = self.numbers.get(word) {
            return Ok(class as f32);
        }
        if self.are_known {
            return Err(self.unknown(word, place));
        }
        if word.chars().count() > MAX_NAME {
            return Err(fault(
                place,
                format!("the label {} has more than {MAX_NAME} characters", quoted(word)),
                "name the column of the labels with --label-column",
            ));
        }
        if self.names.len() == MAX_CLASSES as usize {
            return Err(self.too_many(word, place));
        }
        let class = self.names.len() as u32;
        self.names.push(word.to_owned());
        self.numbers.insert(word.to_owned(), class);
        Ok(class as f32)
    }

    fn unknown(&self, word: &str, place: &Place) -> Fault {
        let problem = format!("the label {} is none of the known classes ({})", quoted(word), list(&self.names));
        let lower = word.to_lowercase();
        let alike = self.names.iter().find(|name| name.to_lowercase() == lower);
        let map = |name: &str| for_shell(&format!("{word}={name}"));
        let remedy = match alike {
            Some(name) => format!("did you mean {}? --label-map {} reads it so", quoted(name), map(name)),
            None => format!("correct it, or say by --label-map {} as which of these it is to be read", map("CLASS")),
        };
        fault(place, problem, remedy)
    }

    fn too_many(&self, word: &str, place: &Place) -> Fault {
        let numbers = self.names.iter().all(|name| number(name).is_some()) && number(word).is_some();
        // Each of them came but once or twice.
        let rare = self.taken < 2 * u64::from(MAX_CLASSES);
        let (looks, remedy) = match (numbers, rare) {
            (true, false) => (
                "they are all numbers",
                "learn numbers with --task regress, or name another column with --label-column",
            ),
            (true, true) => (
                "they are all numbers and hardly one comes again, as in a column of measurements or of row numbers",
                "learn measurements with --task regress, or name the column of the labels with --label-column",
            ),
            (false, _) => (
                "they look like identifiers or texts, not like classes",
                "name the column of the labels with --label-column",
            ),
        };
        let problem = format!(
            "there are more than {MAX_CLASSES} different labels up to here, and a model has at most {MAX_CLASSES} classes; {looks}"
        );
        fault(place, problem, remedy)
    }

    /// A label of the map that no example has.
    pub(crate) fn unused(&self) -> Option<&str> {
        self.used.iter().find(|(_, used)| !**used).map(|(label, _)| label.as_str())
    }

    /// Puts the classes in order, by their numbers where all are numbers, else by their characters; gives the new number of each old one.
    pub(crate) fn sort(&mut self) -> Vec<u32> {
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        if !self.are_known {
            let values: Option<Vec<f64>> = self.names.iter().map(|name| number(name)).collect();
            order.sort_by(|&a, &b| {
                let by_value = values.as_ref().map(|values| values[a].total_cmp(&values[b]));
                by_value.unwrap_or(std::cmp::Ordering::Equal).then_with(|| self.names[a].cmp(&self.names[b]))
            });
        }
        let mut places = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, &class)| places[class] = place as u32);
        self.names = order.iter().map(|&class| self.names[class].clone()).collect();
        self.numbers = self.names.iter().cloned().zip(0..).collect();
        places
    }
}

/// Names in a sentence: the first eight of many.
#[must_use]
pub fn list<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 8;
    let mut text = names.iter().take(SHOWN).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { path: std::path::Path::new("a.csv").into(), line: Some(9) }
    }

    fn sorted(words: &[&str]) -> Vec<String> {
        let mut coder = Coder::new(&Reading::default());
        for word in words {
            coder.label(word, "", &place()).unwrap();
        }
        coder.sort();
        coder.names
    }

    #[test]
    fn classes_are_sorted_as_numbers_where_all_are_numbers_and_else_by_their_characters() {
        assert_eq!(sorted(&["10", "9", "-1", "9", "1.5"]), ["-1", "1.5", "9", "10"]);
        assert_eq!(sorted(&["10", "9", "x"]), ["10", "9", "x"]);
        assert_eq!(sorted(&["spam", " ham ", "spam"]), ["ham", "spam"]);
        assert_eq!(sorted(&["True", "False"]), ["False", "True"]);
        assert_eq!(sorted(&["é", "z", "E"]), ["E", "z", "é"]);
    }

    #[test]
    fn a_whole_number_with_a_point_is_the_class_of_the_number() {
        assert_eq!(sorted(&["1.0", "1", "2.00", "0"]), ["0", "1", "2"]);
        for word in ["1.5", ".0", "a.0", "1.0a", "-.0", "1.", "3.0.0"] {
            assert_eq!(plain(word), word);
        }
        assert_eq!(plain(" -2.0 "), "-2");
    }

    #[test]
    fn a_map_reads_labels_as_others_and_says_what_it_does_not_understand() {
        let map = Columns::parse_map("ham=no, spam = yes,1.0=no").unwrap();
        assert_eq!(
            map.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect::<Vec<_>>(),
            [("1", "no"), ("ham", "no"), ("spam", "yes")]
        );
        for wrong in ["", "ham", "ham=", "=no", "a=b,,c=d", "a=b,a=c"] {
            assert!(Columns::parse_map(wrong).is_err(), "{wrong}");
        }
        let mut coder = Coder::new(&Reading::default().within(Columns { map, ..Columns::default() }));
        for word in ["ham", "spam", "ok"] {
            coder.label(word, "", &place()).unwrap();
        }
        assert_eq!((coder.names.join(" ").as_str(), coder.unused()), ("no yes ok", Some("1")));
    }

    #[test]
    fn a_label_that_two_maps_name_is_a_fault() {
        let map = |text: &str| Columns::parse_map(text).unwrap();
        let joined = Columns::joined([map("ham=no"), map("spam=yes")]).unwrap();
        assert_eq!(joined, map("ham=no,spam=yes"));
        let said = Columns::joined([map("ham=no"), map("ham=yes")]).unwrap_err().to_string();
        assert!(said.contains("--label-map: the label \"ham\" is to be both \"no\" and \"yes\""), "{said}");
    }

    #[test]
    fn options_override_single_ones_of_a_run_and_the_others_stay() {
        let text = |text: &str| Some(text.to_owned());
        let run = Columns {
            label: text("v1"),
            text: text("v2"),
            map: Columns::parse_map("ham=no,spam=yes").unwrap(),
            encoding: text("latin-1"),
            ..Columns::default()
        };
        assert_eq!(Columns::default().over(run.clone()), run);
        let encoding = Columns { encoding: text("utf-8"), ..Columns::default() };
        assert_eq!(encoding.over(run.clone()), Columns { encoding: text("utf-8"), ..run.clone() });
        let label = Columns { label: text("kind"), ..Columns::default() };
        assert_eq!(label.clone().over(run.clone()), Columns { label: text("kind"), ..run.clone() });
        let map = Columns { map: Columns::parse_map("Spam=yes,ham=maybe").unwrap(), ..Columns::default() };
        let both = Columns::parse_map("Spam=yes,ham=maybe,spam=yes").unwrap();
        assert_eq!(map.over(run.clone()), Columns { map: both, ..run.clone() });
        // A line has its label by a pattern or by a column.
        let pattern = Columns { pattern: text("^(.*):"), ..Columns::default() };
        let by_pattern = Columns { label: None, text: None, pattern: text("^(.*):"), ..run.clone() };
        assert_eq!(pattern.over(run.clone()), by_pattern);
        assert_eq!(label.over(by_pattern.clone()), Columns { label: text("kind"), text: None, ..run.clone() });
        assert_eq!(Columns::default().over(by_pattern.clone()), by_pattern);
    }

    #[test]
    fn labels_of_tokens_are_refused_with_the_task_that_learns_them() {
        let refusal = |task: Task, label: &str, text: &str| {
            Coder::new(&Reading::of(task)).label(label, text, &place()).unwrap_err().to_string()
        };
        let long = "O ".repeat(40);
        assert!(refusal(Task::Classify(0), &long, &"a ".repeat(40)).contains("--task tag"));
        assert!(!refusal(Task::Classify(0), &long, "a film").contains("--task tag"));
        assert!(refusal(Task::Regress, "0.5 0.1", "up down").contains("--task regress-each"));
        // A model that is evaluated has its task.
        let mut judge = Coder::new(&Reading::default().among(&["a".into(), "b".into()]));
        assert!(!judge.label("O O", "two words", &place()).unwrap_err().to_string().contains("--task"));
        let mut coder = Coder::new(&Reading::default());
        let labels = (0..300).map(|at| format!("{} {}", at % 20, at / 20));
        let found = labels.into_iter().find_map(|label| coder.label(&label, "two words", &place()).err());
        assert!(found.unwrap().to_string().contains("--task tag"));
    }

    #[test]
    fn more_than_256_labels_are_a_fault_that_says_what_they_look_like() {
        let refusal = |label: fn(u32) -> String| {
            let mut coder = Coder::new(&Reading::default());
            let found = (0..300).find_map(|at| coder.label(&label(at), "", &place()).err());
            assert_eq!(coder.names.len(), 256);
            found.unwrap().to_string()
        };
        let numbers = refusal(|at| format!("{at}.5"));
        assert!(numbers.contains("more than 256 different labels") && numbers.contains("--task regress"), "{numbers}");
        let names = refusal(|at| format!("user{at}"));
        assert!(names.contains("identifiers") && names.contains("--label-column"), "{names}");
        let long = Coder::new(&Reading::default()).label(&"x".repeat(65), "", &place()).unwrap_err().to_string();
        assert!(long.contains("more than 64 characters"), "{long}");
    }
}
