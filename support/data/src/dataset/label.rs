//! What a text is labelled with, and how that is read: a class, a value, or one of them for each of its tokens.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The most classes of a task: an image has no more outputs.
pub const MAX_CLASSES: u32 = 256;

/// What the labels of a data set mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One of so many classes a text; 0 where the data is still to say how many there are.
    Classify(u32),
    /// A number a text.
    Regress,
    /// A class for each token of a text, likewise. Tokens are what white space separates.
    Tag(u32),
    /// A number for each token of a text.
    RegressEach,
}

impl Default for Task {
    fn default() -> Self {
        Task::Classify(0)
    }
}

impl Task {
    /// The task whose labels the answers of a model can be judged by: so many outputs, `values` or logits of classes, one answer a text
    /// or one at `each_step`.
    pub fn of_answers(outputs: usize, values: bool, each_step: bool) -> Self {
        let classes = u32::try_from(outputs).unwrap_or(u32::MAX).max(2);
        match (values, each_step) {
            (true, false) => Task::Regress,
            (true, true) => Task::RegressEach,
            (false, true) => Task::Tag(classes),
            (false, false) => Task::Classify(classes),
        }
    }

    /// Its name as `--task` has it.
    pub fn name(self) -> &'static str {
        match self {
            Task::Classify(_) => "classify",
            Task::Regress => "regress",
            Task::Tag(_) => "tag",
            Task::RegressEach => "regress-each",
        }
    }

    /// Whether each token has a label of its own.
    pub fn each_step(self) -> bool {
        matches!(self, Task::Tag(_) | Task::RegressEach)
    }

    /// Whether the labels are numbers, not classes.
    pub fn has_values(self) -> bool {
        matches!(self, Task::Regress | Task::RegressEach)
    }

    /// Whether a text has one of two classes, as far as is known.
    pub fn is_binary(self) -> bool {
        matches!(self, Task::Classify(0..=2))
    }

    /// The classes; 0 of numbers, and where the data is still to say it.
    pub fn classes(self) -> u32 {
        match self {
            Task::Classify(classes) | Task::Tag(classes) => classes,
            _ => 0,
        }
    }

    /// The outputs of a head for this task: one for a number and for two classes, else one a class.
    pub fn outputs(self) -> usize {
        match self {
            Task::Classify(classes) | Task::Tag(classes) if classes > 2 => classes as usize,
            _ => 1,
        }
    }

    /// The same task with so many classes; one of numbers stays as it is.
    #[must_use]
    pub fn with_classes(self, classes: u32) -> Self {
        match self {
            Task::Classify(_) => Task::Classify(classes),
            Task::Tag(_) => Task::Tag(classes),
            _ => self,
        }
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

    /// Gives the classes of a [`Task`] other numbers: class `k` becomes `numbers[k]`.
    fn renumber(&mut self, numbers: &[u32]);

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

    fn renumber(&mut self, numbers: &[u32]) {
        *self = numbers[*self as usize];
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

    fn renumber(&mut self, numbers: &[u32]) {
        match self {
            Label::Class(class) => class.renumber(numbers),
            Label::Value(_) => {}
            Label::Each(labels) => labels.iter_mut().for_each(|label| *label = numbers[*label as usize] as f32),
        }
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
    use anyhow::Result;

    use super::super::{Dataset, Part, Reading, open_for};
    use super::*;
    use crate::error::exit_code;

    const CLASSIFY: Task = Task::Classify(0);
    const TAG: Task = Task::Tag(0);

    fn load(name: &str, text: &str, task: Task) -> Result<Dataset<Label>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Dataset::load_for(&path, Part::Train, &Reading::of(task))
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
    fn classes_and_numbers_are_read_from_every_format() {
        let classes = [Label::Class(2), Label::Class(0), Label::Class(1)];
        let values = [Label::Value(-1.5), Label::Value(3.0)];
        assert_eq!(labels("a.tsv", "2\ta\n0\tb\n1\tc\n", CLASSIFY), classes);
        assert_eq!(labels("a.csv", "text,label\na,sport\nb,art\nc,food\n", CLASSIFY), classes);
        assert_eq!(labels("a.csv", "2,a\n0,b\n1,c\n", CLASSIFY), classes);
        let lines = "{\"label\":2,\"text\":\"a\"}\n{\"label\":\"0\",\"text\":\"b\"}\n{\"label\":1.0,\"text\":\"c\"}\n";
        assert_eq!(labels("a.jsonl", lines, CLASSIFY), classes);
        assert_eq!(labels("a.tsv", "-1.5\ta\n3\tb\n", Task::Regress), values);
        assert_eq!(labels("a.csv", "label,text\n-1.5,a\n3,b\n", Task::Regress), values);
        assert_eq!(labels("a.csv", "a,-1.5\nb,3\n", Task::Regress), values);
        assert_eq!(
            labels("a.jsonl", "{\"label\":-1.5,\"text\":\"a\"}\n{\"label\":3,\"text\":\"b\"}\n", Task::Regress),
            values
        );
    }

    #[test]
    fn labels_of_tokens_are_read_beside_tokens_or_a_text() {
        let lines = "{\"tokens\":[\"the\",\"U.S.\"],\"labels\":[0,2]}\n{\"text\":\"a  b c\",\"labels\":[1,0,0]}\n";
        let set = load("a.jsonl", lines, TAG).unwrap();
        assert_eq!((set.examples[0].text.as_str(), set.classes.join(" ")), ("the U.S.", "0 1 2".to_owned()));
        let expected = [Label::Each(vec![0.0, 2.0]), Label::Each(vec![1.0, 0.0, 0.0])];
        assert_eq!(set.examples.into_iter().map(|example| example.label).collect::<Vec<_>>(), expected);
        assert_eq!(labels("a.tsv", "0 2\tthe U.S.\n1 0 0\ta b c\n", TAG), expected);
        assert_eq!(labels("a.tsv", "the U.S.\t0 2\na b c\t1 0 0\n", TAG), expected);
        let words = "{\"tokens\":[\"the\",\"U.S.\"],\"labels\":[\"B-ORG\",\"O\"]}\n{\"tokens\":[\"a\",\"b\",\"c\"],\"tags\":[\"I-ORG\",\"B-ORG\",\"B-ORG\"]}\n";
        let set = load("a.jsonl", words, TAG).unwrap();
        assert_eq!(set.classes, ["B-ORG", "I-ORG", "O"]);
        assert_eq!(set.examples.into_iter().map(|example| example.label).collect::<Vec<_>>(), expected);
        let values = labels("a.jsonl", "{\"tokens\":[\"up\",\"down\"],\"labels\":[0.5,-0.5]}\n", Task::RegressEach);
        assert_eq!(values, [Label::Each(vec![0.5, -0.5])]);
    }

    #[test]
    fn a_wrong_label_of_any_task_is_a_fault_that_names_file_and_line() {
        for (name, text, task, words) in [
            ("a.tsv", "0\ta\n\tb\n", CLASSIFY, "the label is empty"),
            ("a.tsv", "0\ta\ngood\tb\n", Task::Regress, "the label \"good\" is not a number"),
            ("a.tsv", "0\ta\nNaN\tb\n", Task::Regress, "is not a number"),
            (
                "a.jsonl",
                "{\"label\":0,\"text\":\"a\"}\n{\"label\":1e99,\"text\":\"a\"}\n",
                Task::Regress,
                "is not a number",
            ),
            ("a.tsv", "0 1\ta b\n0\ta b\n", TAG, "the number of labels is 1 and that of tokens 2"),
            (
                "a.jsonl",
                "{\"tokens\":[\"a\"],\"labels\":[0]}\n{\"tokens\":[\"a\"],\"labels\":[0,1]}\n",
                TAG,
                "the number of labels is 2 and that of tokens 1",
            ),
            (
                "a.jsonl",
                "{\"tokens\":[\"a\"],\"labels\":[0]}\n{\"tokens\":[\"a b\"],\"labels\":[0]}\n",
                TAG,
                "token 1 is empty, has white space in it, or is no word",
            ),
            (
                "a.jsonl",
                "{\"tokens\":[\"a\"],\"labels\":[0]}\n{\"tokens\":[\"a\"],\"labels\":[\"B LOC\"]}\n",
                TAG,
                "label 1 is empty, has white space in it, or is no word",
            ),
            ("a.jsonl", "{\"tokens\":[\"a\"],\"labels\":[0]}\n{\"tokens\":[\"a\"]}\n", TAG, "no labels"),
            ("a.jsonl", "{\"label\":0,\"text\":\"a\"}\n{\"labels\":[0],\"text\":\"a\"}\n", Task::Regress, "--task tag"),
        ] {
            let message = refusal(name, text, task);
            assert!(message.contains(&format!("{name}:2: ")) && message.contains(words), "{message}");
        }
    }

    #[test]
    fn labels_that_are_all_the_same_are_a_fault() {
        assert!(refusal("a.tsv", "2\ta\n2\tb\n", CLASSIFY).contains("all 2 labels are \"2\""));
        assert!(refusal("a.tsv", "0.5\ta\n0.5\tb\n", Task::Regress).contains("all 2 labels are 0.5"));
        assert!(refusal("a.tsv", "x x\ta b\n", TAG).contains("all 2 labels are \"x\""));
    }

    #[test]
    fn classes_and_numbers_and_labels_of_tokens_belong_to_the_digest() {
        let digest = |text: &str, task| load("a.tsv", text, task).unwrap().sha256;
        assert_eq!(digest("0\ta\n1\tb\n", CLASSIFY), digest("ham\ta\nspam\tb\n", CLASSIFY));
        assert_ne!(digest("0\ta\n1\tb\n", Task::Regress), digest("0\ta\n2\tb\n", Task::Regress));
        assert_ne!(digest("0 1\ta b\n", TAG), digest("1 0\ta b\n", TAG));
    }

    #[test]
    fn known_classes_keep_their_order_and_any_other_label_is_a_fault_that_lists_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tsv");
        let load = |text: &str, part| {
            std::fs::write(&path, text).unwrap();
            let reading = Reading::of(CLASSIFY).among(&["spam".into(), "ham".into()]);
            Dataset::<u32>::load_for(&path, part, &reading)
        };
        let set = load("ham\ta\n spam \tb\n", Part::Valid).unwrap();
        assert_eq!(set.examples.iter().map(|example| example.label).collect::<Vec<_>>(), [1, 0]);
        for part in [Part::Valid, Part::Test] {
            let message = load("ham\ta\nHam\tb\n", part).unwrap_err().to_string();
            assert!(
                message.contains("a.tsv:2: the label \"Ham\" is none of the known classes (spam, ham)"),
                "{message}"
            );
            assert!(message.contains("did you mean \"ham\"? --label-map Ham=ham reads it so"), "{message}");
            let message = load("ham\ta\neggs\tb\n", part).unwrap_err().to_string();
            assert!(message.contains("--label-map eggs=CLASS"), "{message}");
        }
    }

    #[test]
    fn a_folder_of_reviews_has_two_classes_and_no_numbers() {
        for names in [["neg", "pos"], ["negative", "positive"]] {
            let folder = tempfile::tempdir().unwrap();
            for class in names {
                std::fs::create_dir(folder.path().join(class)).unwrap();
                std::fs::write(folder.path().join(class).join("0.txt"), class).unwrap();
            }
            let set = Dataset::<u32>::load(folder.path()).unwrap();
            assert_eq!((set.classes.join(" "), set.examples[1].text.as_str()), ("neg pos".to_owned(), names[1]));
            let error =
                open_for::<Label>(folder.path(), Part::Train, &Reading::of(Task::Regress)).err().expect("no numbers");
            assert!(error.to_string().contains("a folder of classes has no other labels"), "{error}");
        }
    }
}
