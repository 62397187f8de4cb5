//! What a text is labelled with, and how that is read: a class, a value, or one of them for each of its tokens.

use std::borrow::Cow;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::quoted;
use crate::error::fault;

/// The most classes of a task: an image has no more outputs.
pub const MAX_CLASSES: u32 = 256;

/// What the labels of a data set mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One of two classes a text: 0, `neg` or `negative`, else 1, `pos` or `positive`.
    #[default]
    Verdict,
    /// A class a text: a whole number below this many; 0 where the data is to say how many there are.
    Classes(u32),
    /// A value a text: any finite number.
    Values,
    /// A class for each token of a text. Tokens are what white space separates.
    Tags(u32),
    /// A value for each token of a text.
    TagValues,
}

impl Task {
    /// The task whose labels the answers of a model can be judged by: so many outputs, `values` or logits of classes, one answer a text
    /// or one at `each_step`.
    pub fn of_answers(outputs: usize, values: bool, each_step: bool) -> Self {
        let classes = u32::try_from(outputs).unwrap_or(u32::MAX).max(2);
        match (values, each_step) {
            (true, false) => Task::Values,
            (true, true) => Task::TagValues,
            (false, true) => Task::Tags(classes),
            (false, false) if classes == 2 => Task::Verdict,
            (false, false) => Task::Classes(classes),
        }
    }

    /// Whether each token has a label of its own.
    pub fn each_step(self) -> bool {
        matches!(self, Task::Tags(_) | Task::TagValues)
    }

    /// Whether the labels are values, not classes.
    pub fn has_values(self) -> bool {
        matches!(self, Task::Values | Task::TagValues)
    }

    /// The outputs of a head for this task: one for a value and for two classes, else one a class.
    pub fn outputs(self) -> usize {
        match self {
            Task::Classes(classes) | Task::Tags(classes) if classes > 2 => classes as usize,
            _ => 1,
        }
    }

    /// The same task with so many classes; one of values stays as it is.
    #[must_use]
    pub fn with_classes(self, classes: u32) -> Self {
        match self {
            Task::Classes(_) => Task::Classes(classes),
            Task::Tags(_) => Task::Tags(classes),
            _ => self,
        }
    }

    /// Reads the label of `text` as it stands in a file; labels of tokens are separated by white space.
    ///
    /// # Errors
    /// A [`Fault`](crate::error::Fault) at `place()` that shows the label.
    pub(super) fn label(self, words: &str, text: &str, place: impl Fn() -> String) -> Result<Label> {
        if !self.each_step() {
            let number = self.number(words.trim(), place)?;
            return Ok(if self.has_values() { Label::Value(number) } else { Label::Class(number as u32) });
        }
        let labels: Vec<f32> = words.split_whitespace().map(|word| self.number(word, &place)).collect::<Result<_>>()?;
        let tokens = text.split_whitespace().count();
        if labels.len() != tokens {
            return Err(fault(
                place(),
                format!("the number of labels is {} and that of tokens {tokens}", labels.len()),
                "give each token one label; white space separates tokens",
            )
            .into());
        }
        Ok(Label::Each(labels))
    }

    /// One label.
    fn number(self, word: &str, place: impl Fn() -> String) -> Result<f32> {
        let unknown = |problem: &str, remedy: &str| {
            Err(fault(place(), format!("the label {} {problem}", quoted(word)), remedy).into())
        };
        // Tables with gaps are often written with 1.0 for 1.
        let class = word.strip_suffix(".0").unwrap_or(word);
        match self {
            Task::Verdict => match class_named(class) {
                Some(class) => Ok(class as f32),
                None => unknown(
                    "is unknown",
                    "write 0, neg or negative, or else 1, pos or positive; classes 0, 1, 2 and so on are learned with --task classes",
                ),
            },
            Task::Classes(classes) | Task::Tags(classes) => match class.parse::<u32>() {
                Ok(class) if class < most(classes) => Ok(class as f32),
                _ => unknown(
                    "is no class",
                    &format!("number the classes from 0; a class is a whole number from 0 to {}", most(classes) - 1),
                ),
            },
            Task::Values | Task::TagValues => match word.parse::<f32>() {
                Ok(value) if value.is_finite() => Ok(value),
                _ => unknown("is no value", "write a finite number such as 3.5"),
            },
        }
    }

    /// Whether `word` could be a label: how a table without a header is told from one with.
    pub(super) fn takes(self, word: &str) -> bool {
        let fits = |word: &str| self.number(word, String::new).is_ok();
        if self.each_step() { word.split_whitespace().all(fits) } else { fits(word.trim()) }
    }
}

/// The most classes where a task says `classes`.
fn most(classes: u32) -> u32 {
    if classes == 0 { MAX_CLASSES } else { classes }
}

/// The class of two that `word` names, if it names one.
pub(super) fn class_named(word: &str) -> Option<u32> {
    let word = word.trim();
    let is = |name: &str| word.eq_ignore_ascii_case(name);
    if is("0") || is("neg") || is("negative") {
        Some(0)
    } else if is("1") || is("pos") || is("positive") {
        Some(1)
    } else {
        None
    }
}

/// A label of any [`Task`].
#[derive(Debug, Clone, PartialEq)]
pub enum Label {
    /// A class of the whole text.
    Class(u32),
    /// A value of the whole text.
    Value(f32),
    /// A class, as a number, or a value for each token of the text.
    Each(Vec<f32>),
}

impl From<Label> for u32 {
    /// The class; 0 for a label that is none.
    fn from(label: Label) -> Self {
        if let Label::Class(class) = label { class } else { 0 }
    }
}

/// What an [`Example`](super::Example) can be labelled with: a class as a `u32`, or any [`Label`].
pub trait Labels: From<Label> + Clone + Send + Sync {
    /// Its numbers: one, or one a token. A class is its own number.
    fn numbers(&self) -> Cow<'_, [f32]>;

    /// The class by which a data set is divided evenly; 0 for labels that are no classes of whole texts.
    fn stratum(&self) -> u32;

    /// Whether there is a number for each token, and not one for the text.
    fn each_step(&self) -> bool {
        false
    }

    /// Takes the label into the digest of a data set.
    fn digest(&self, digest: &mut Sha256);
}

impl Labels for u32 {
    fn numbers(&self) -> Cow<'_, [f32]> {
        Cow::Owned(vec![*self as f32])
    }

    fn stratum(&self) -> u32 {
        *self
    }

    fn digest(&self, digest: &mut Sha256) {
        digest.update(self.to_le_bytes());
    }
}

impl Labels for Label {
    fn numbers(&self) -> Cow<'_, [f32]> {
        match self {
            Label::Class(class) => class.numbers(),
            Label::Value(value) => Cow::Owned(vec![*value]),
            Label::Each(labels) => Cow::Borrowed(labels),
        }
    }

    fn each_step(&self) -> bool {
        matches!(self, Label::Each(_))
    }

    fn stratum(&self) -> u32 {
        if let Label::Class(class) = self { *class } else { 0 }
    }

    fn digest(&self, digest: &mut Sha256) {
        match self {
            Label::Class(class) => class.digest(digest),
            Label::Value(value) => digest.update(value.to_le_bytes()),
            Label::Each(labels) => labels.iter().for_each(|label| digest.update(label.to_le_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dataset, Part, open_for};
    use super::*;
    use crate::error::exit_code;

    fn load(name: &str, text: &str, task: Task) -> Result<Dataset<Label>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Dataset::load_for(&path, Part::Train, task)
    }

    fn labels(name: &str, text: &str, task: Task) -> Vec<Label> {
        load(name, text, task).unwrap().examples.into_iter().map(|example| example.label).collect()
    }

    fn refusal(name: &str, text: &str, task: Task) -> String {
        let error = load(name, text, task).unwrap_err();
        assert_eq!(exit_code(&error), 2, "{error}");
        error.to_string()
    }

    #[test]
    fn classes_and_values_are_read_from_every_format() {
        let classes = [Label::Class(2), Label::Class(0), Label::Class(1)];
        let values = [Label::Value(-1.5), Label::Value(3.0)];
        assert_eq!(labels("a.tsv", "2\ta\n0\tb\n1\tc\n", Task::Classes(3)), classes);
        assert_eq!(labels("a.csv", "text,label\na,2\nb,0\nc,1\n", Task::Classes(3)), classes);
        assert_eq!(labels("a.csv", "2,a\n0,b\n1,c\n", Task::Classes(3)), classes);
        let lines = "{\"label\":2,\"text\":\"a\"}\n{\"label\":\"0\",\"text\":\"b\"}\n{\"label\":1.0,\"text\":\"c\"}\n";
        assert_eq!(labels("a.jsonl", lines, Task::Classes(3)), classes);
        assert_eq!(labels("a.tsv", "-1.5\ta\n3\tb\n", Task::Values), values);
        assert_eq!(labels("a.csv", "label,text\n-1.5,a\n3,b\n", Task::Values), values);
        assert_eq!(
            labels("a.jsonl", "{\"label\":-1.5,\"text\":\"a\"}\n{\"label\":3,\"text\":\"b\"}\n", Task::Values),
            values
        );
    }

    #[test]
    fn labels_of_tokens_are_read_beside_tokens_or_a_text() {
        let lines = "{\"tokens\":[\"the\",\"U.S.\"],\"labels\":[0,2]}\n{\"text\":\"a  b c\",\"labels\":[1,0,0]}\n";
        let set = load("a.jsonl", lines, Task::Tags(3)).unwrap();
        assert_eq!(set.examples[0].text, "the U.S.");
        let expected = [Label::Each(vec![0.0, 2.0]), Label::Each(vec![1.0, 0.0, 0.0])];
        assert_eq!(set.examples.into_iter().map(|example| example.label).collect::<Vec<_>>(), expected);
        assert_eq!(labels("a.tsv", "0 2\tthe U.S.\n1 0 0\ta b c\n", Task::Tags(3)), expected);
        let values = labels("a.jsonl", "{\"tokens\":[\"up\",\"down\"],\"labels\":[0.5,-0.5]}\n", Task::TagValues);
        assert_eq!(values, [Label::Each(vec![0.5, -0.5])]);
    }

    #[test]
    fn a_wrong_label_of_any_task_is_a_fault_that_names_file_and_line() {
        for (name, text, task, words) in [
            ("a.tsv", "0\ta\n3\tb\n", Task::Classes(3), "the label \"3\" is no class"),
            ("a.tsv", "0\ta\n-1\tb\n", Task::Classes(3), "from 0 to 2"),
            ("a.tsv", "0\ta\n0.5\tb\n", Task::Classes(3), "is no class"),
            ("a.csv", "label,text\nx,b\n", Task::Classes(3), "the label \"x\" is no class"),
            ("a.tsv", "0\ta\ngood\tb\n", Task::Values, "the label \"good\" is no value"),
            ("a.tsv", "0\ta\nNaN\tb\n", Task::Values, "is no value"),
            ("a.jsonl", "{\"label\":0,\"text\":\"a\"}\n{\"label\":1e99,\"text\":\"a\"}\n", Task::Values, "is no value"),
            ("a.tsv", "0 1\ta b\n0\ta b\n", Task::Tags(2), "the number of labels is 1 and that of tokens 2"),
            ("a.tsv", "0 1\ta b\n0 2\ta b\n", Task::Tags(2), "the label \"2\" is no class"),
            (
                "a.jsonl",
                "{\"tokens\":[\"a\"],\"labels\":[0]}\n{\"tokens\":[\"a\"],\"labels\":[0,1]}\n",
                Task::Tags(2),
                "the number of labels is 2 and that of tokens 1",
            ),
            (
                "a.jsonl",
                "{\"tokens\":[\"a\"],\"labels\":[0]}\n{\"tokens\":[\"a b\"],\"labels\":[0]}\n",
                Task::Tags(2),
                "token 1 is empty or has white space in it",
            ),
            (
                "a.jsonl",
                "{\"tokens\":[\"a\"],\"labels\":[0]}\n{\"tokens\":[\"a\"],\"label\":0}\n",
                Task::Tags(2),
                "no labels",
            ),
            ("a.jsonl", "{\"label\":0,\"text\":\"a\"}\n{\"labels\":[0],\"text\":\"a\"}\n", Task::Values, "no label"),
        ] {
            let message = refusal(name, text, task);
            assert!(message.contains(&format!("{name}:2: ")) && message.contains(words), "{message}");
        }
    }

    #[test]
    fn labels_that_are_all_the_same_are_a_fault() {
        assert!(refusal("a.tsv", "2\ta\n2\tb\n", Task::Classes(3)).contains("all 2 labels are 2"));
        assert!(refusal("a.tsv", "0.5\ta\n0.5\tb\n", Task::Values).contains("all 2 labels are 0.5"));
        assert!(refusal("a.tsv", "1 1\ta b\n", Task::Tags(3)).contains("all 2 labels are 1"));
    }

    #[test]
    fn values_and_labels_of_tokens_belong_to_the_digest() {
        let digest = |text: &str, task| load("a.tsv", text, task).unwrap().sha256;
        assert_eq!(digest("0\ta\n1\tb\n", Task::Verdict), digest("0\ta\n1\tb\n", Task::Classes(2)));
        assert_ne!(digest("0\ta\n1\tb\n", Task::Values), digest("0\ta\n2\tb\n", Task::Values));
        assert_ne!(digest("0 1\ta b\n", Task::Tags(2)), digest("1 0\ta b\n", Task::Tags(2)));
    }

    #[test]
    fn a_folder_of_reviews_has_two_classes_and_no_values() {
        let folder = tempfile::tempdir().unwrap();
        for class in ["neg", "pos"] {
            std::fs::create_dir(folder.path().join(class)).unwrap();
            std::fs::write(folder.path().join(class).join("0.txt"), class).unwrap();
        }
        let labels = |task| open_for::<Label>(folder.path(), Part::Train, task);
        assert_eq!(labels(Task::Classes(2)).unwrap().filter_map(Result::ok).count(), 2);
        let error = labels(Task::Values).err().expect("no values").to_string();
        assert!(error.contains("two classes"), "{error}");
    }
}
