//! What was read of a run's data, in one line and in notes: a person sees at once whether it is what they mean.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::Valid;
use crate::counted::named;
use crate::dataset::{Dataset, Example, Label, Labels, Part, Repeated, Task, locate};
use crate::shown::{for_shell, shown};
use crate::unknown::{UnknownByPart, percent, thousands};

/// Classes that are all shown with their counts; of more the largest and the smallest are.
const SHOWN: usize = 3;

/// Classes that a note names.
const NAMED: usize = 8;

/// What a run's data has: `data.json` in its folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Texts that were read.
    pub texts: usize,
    /// Texts that are equal to one before them.
    pub duplicates: usize,
    /// Different texts that occur with different labels.
    pub disputed: usize,
    /// Texts that the network learns from.
    pub training: usize,
    /// Texts that choose the best epoch.
    pub validation: usize,
    /// Texts of the folder's test part, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<usize>,
    /// Different tokens of the training texts.
    pub words: usize,
    /// Those of them that the vocabulary has.
    pub kept: usize,
    /// The tokens that it does not have.
    pub unknown: UnknownByPart,
}

/// A number of things in words: `1 text`, `1,200 texts`.
fn count(number: usize, thing: &str) -> String {
    format!("{} {}", thousands(number), named(number as u64, thing))
}

/// `read 5,572 texts, 2 classes (ham 4,825, spam 747), 403 duplicates, label column v1, text column v2`.
pub(super) fn of(data: &Dataset<Label>, task: Task, repeated: &Repeated) -> String {
    let numbers = || data.examples.iter().flat_map(|example| example.label.numbers().into_owned());
    let of_tokens = if task.each_step() { " of tokens" } else { "" };
    let labels = if task.has_values() {
        let (low, high) =
            numbers().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        format!("numbers{of_tokens} from {low} to {high}")
    } else {
        let mut counts = vec![0; data.classes.len()];
        numbers().for_each(|class| counts[class as usize] += 1);
        format!("{}{of_tokens} ({})", count(counts.len(), "class"), sizes(&data.classes, &counts))
    };
    let copies = match repeated.copies {
        0 => String::new(),
        copies => format!(", {}", count(copies, "duplicate")),
    };
    let layout = if data.layout.is_empty() { String::new() } else { format!(", {}", data.layout) };
    format!("read {}, {labels}{copies}{layout}", count(data.examples.len(), "text"))
}

/// Classes with their counts: all of few, of many the largest and the smallest.
fn sizes(classes: &[String], counts: &[usize]) -> String {
    let mut sizes: Vec<(&String, usize)> = classes.iter().zip(counts.iter().copied()).collect();
    let one = |&(name, count): &(&String, usize)| format!("{} {}", shown(name), thousands(count));
    if sizes.len() <= SHOWN {
        return sizes.iter().map(one).collect::<Vec<_>>().join(", ");
    }
    // Of equal ones that which comes first.
    sizes.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    format!("{} … {}", one(&sizes[0]), one(&sizes[sizes.len() - 1]))
}

/// Which classes differ in case or spaces alone, or are the same number, in words; `None` where none do. They are often one class with a slip of the hand.
pub(super) fn alike(classes: &[String]) -> Option<String> {
    let plain = |name: &String| match name.parse::<f64>() {
        Ok(number) if number.is_finite() => number.to_string(),
        _ => name.split_whitespace().collect::<String>().to_lowercase(),
    };
    let mut names: Vec<&String> = classes.iter().collect();
    names.sort_by_key(|name| plain(name));
    let (first, second) = names.windows(2).map(|pair| (pair[0], pair[1])).find(|(a, b)| plain(a) == plain(b))?;
    let differ = if first.parse::<f64>().is_ok() { "are the same number" } else { "differ in case or spaces alone" };
    Some(format!(
        "note: the classes {} and {} {differ}; --label-map {} makes one class of them",
        shown(first),
        shown(second),
        for_shell(&format!("{first}={second}"))
    ))
}

/// Names in a sentence: the first ones, and how many more there are.
fn names(names: &[&str]) -> String {
    let mut text = names.iter().take(NAMED).map(|name| shown(name).into_owned()).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        text += &format!(" and {} more", names.len() - NAMED);
    }
    text
}

/// Which labels are words although most are numbers, in words: one of them may be a gap in the table, or another column's.
pub(super) fn mixed(classes: &[String]) -> Option<String> {
    let is_number = |name: &&str| name.parse::<f64>().is_ok_and(f64::is_finite);
    let (numbers, words): (Vec<&str>, Vec<&str>) = classes.iter().map(String::as_str).partition(is_number);
    (!words.is_empty() && numbers.len() > words.len()).then(|| {
        let (labels, are) = if words.len() == 1 { ("label", "is a word") } else { ("labels", "are words") };
        format!(
            "note: the {labels} {} {are}, and the others are numbers; each is a class. Rows without a label are to be removed",
            names(&words)
        )
    })
}

/// Classes that are numbers from which on they may be meant as numbers.
const MANY_NUMBERS: usize = 4;

/// What the labels were taken for where they look like something else, and how to say so; `None` where they look like what they are.
pub(super) fn guessed(data: &Dataset<Label>, task: Task) -> Option<String> {
    if task.has_values() {
        return beyond(data);
    }
    let Task::Classify(_) = task else { return None };
    let classes = &data.classes;
    if classes.len() >= MANY_NUMBERS && classes.iter().all(|name| name.parse::<f64>().is_ok_and(f64::is_finite)) {
        return Some(format!(
            "note: all labels are numbers, and each of the {} is read as a class; --task regress learns them as numbers",
            classes.len()
        ));
    }
    let words = |text: &str| text.split_whitespace().count();
    let of_tokens = |example: &&Example<Label>| match example.label {
        Label::Class(class) => {
            let label = classes.get(class as usize).map_or(0, |name| words(name));
            label > 1 && label == words(&example.text)
        }
        _ => false,
    };
    let first = data.examples.iter().find(of_tokens)?;
    let Label::Class(class) = first.label else { return None };
    // One here and there is an accident.
    (10 * data.examples.iter().filter(of_tokens).count() > 9 * data.examples.len()).then(|| {
        format!(
            "note: each label has as many words as its text, such as {:?}, and is read as one class; --task tag learns a class for each token",
            shown(&classes[class as usize])
        )
    })
}

/// That the validation file of a folder is not read.
pub(super) fn unread_validation(folder: &Path) -> String {
    let file = locate(folder, Part::Valid).ok().and_then(|file| Some(file.file_name()?.to_string_lossy().into_owned()));
    format!(
        "note: {} is not read: a cross-validation divides the training texts",
        shown(&file.unwrap_or_else(|| "the validation part".to_owned()))
    )
}

/// How many texts occur with different labels, in words; `None` where none do.
pub(super) fn disputed(data: &Dataset<Label>, repeated: &Repeated) -> Option<String> {
    const SHOWN: usize = 40;
    let (first, other) = repeated.first?;
    let whole = &data.examples[first].text;
    let start: String = whole.chars().take(SHOWN).collect();
    let text = format!("{start:?}{}", if start.len() < whole.len() { "…" } else { "" });
    let label = |index: usize| match &data.examples[index].label {
        Label::Class(class) => data.classes.get(*class as usize).map(|name| format!("as {}", shown(name))),
        Label::Value(value) => Some(format!("as {value}")),
        Label::Each(_) => None,
    };
    let labels = match (label(first), label(other)) {
        (Some(first), Some(other)) => format!(" {first} and {other}"),
        _ => String::new(),
    };
    let (occur, them) = if repeated.disputed == 1 { ("occurs", "it") } else { ("occur", "them") };
    let texts = count(repeated.disputed, "text");
    Some(format!(
        "note: {texts} {occur} with different labels, such as {text}{labels}; no network answers {them} right each time"
    ))
}

/// Which classes the parts lack, in words: those that are never learned, those that are never checked, and those of one text.
pub(super) fn lacking(
    (classes, thing): (&[String], &str),
    training: &[Example<Label>],
    validation: &[Example<Label>],
) -> Vec<String> {
    let counts = |examples: &[Example<Label>]| {
        let mut counts = vec![0_usize; classes.len()];
        for label in examples.iter().flat_map(|example| example.label.numbers().into_owned()) {
            if let Some(count) = counts.get_mut(label as usize) {
                *count += 1;
            }
        }
        counts
    };
    let (learned, checked) = (counts(training), counts(validation));
    let those = |is: &dyn Fn(usize) -> bool| -> Vec<&str> {
        (0..classes.len()).filter(|&class| is(class)).map(|class| classes[class].as_str()).collect()
    };
    let all_once = those(&|class| learned[class] + checked[class] == 1);
    let never_learned = those(&|class| learned[class] == 0);
    let never_checked = those(&|class| checked[class] == 0 && learned[class] > 1);
    let word = |classes: &[&str]| named(classes.len() as u64, "class");
    let mut notes = Vec::new();
    if !all_once.is_empty() {
        let occur = if all_once.len() == 1 { "occurs" } else { "occur" };
        notes.push(format!(
            "note: the {} {} {occur} once: too little to learn from",
            word(&all_once),
            names(&all_once)
        ));
    }
    if !never_learned.is_empty() {
        notes.push(format!(
            "note: no training {thing} has the {} {}: the network cannot learn it",
            word(&never_learned),
            names(&never_learned)
        ));
    }
    if !never_checked.is_empty() && !validation.is_empty() {
        notes.push(format!(
            "note: no validation {thing} has the {} {}: nothing checks its answers",
            word(&never_checked),
            names(&never_checked)
        ));
    }
    notes
}

/// Values that an integer image cannot have, which computes them in Q15.16.
fn beyond(data: &Dataset<Label>) -> Option<String> {
    let largest =
        data.examples.iter().flat_map(|example| example.label.numbers().into_owned()).map(f32::abs).fold(0.0, f32::max);
    (largest >= LARGEST_VALUE).then(|| {
        format!(
            "note: labels reach {largest}, and an integer image has values up to {LARGEST_VALUE}: divide the labels by a constant, or export with --precision f32"
        )
    })
}

/// Largest value of an integer image.
const LARGEST_VALUE: f32 = 32_767.0;

/// `; 5,015 train, 557 validation`.
pub(super) fn parts(training: usize, validation: usize, valid: &Valid) -> String {
    let from = match valid {
        Valid::Fraction(_) | Valid::Fold(_) | Valid::All { .. } => String::new(),
        Valid::Path(path) => format!(" from {}", path.display()),
    };
    format!("; {} train, {} validation{from}", thousands(training), thousands(validation))
}

impl Facts {
    /// `, 499 test; 8,812 words, 5,000 kept, 3.1 % unknown`; `things` are what the tokens are called.
    pub(super) fn words(&self, things: &str) -> String {
        let test = self.test.map_or(String::new(), |texts| format!(", {} test", thousands(texts)));
        let kept = if self.kept == self.words { "all".to_owned() } else { thousands(self.kept) };
        let unknown = &self.unknown.training;
        let unknown = if unknown.unknown > 0 { format!(", {} unknown", percent(unknown.share)) } else { String::new() };
        format!("{test}; {} {things}, {kept} kept{unknown}", thousands(self.words))
    }
}

/// How many texts of a part are training texts too, in words; `None` where none are.
pub(super) fn shared(training: &[Example<Label>], part: &str, examples: &[Example<Label>]) -> Option<String> {
    let known: HashSet<&str> = training.iter().map(|example| example.text.as_str()).collect();
    let shared = examples.iter().filter(|example| known.contains(example.text.as_str())).count();
    (shared > 0).then(|| {
        let (of, texts) = (thousands(shared), count(examples.len(), &format!("{part} text")));
        let too = if examples.len() == 1 { "is a training text" } else { "are training texts" };
        format!("note: {of} of {texts} {too} too, so that the {part} score is too good")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unknown::UnknownTokens;

    fn texts(texts: &[(u32, &str)]) -> Vec<Example<Label>> {
        texts.iter().map(|&(class, text)| Example::new(Label::Class(class), text)).collect()
    }

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn line(data: &Dataset<Label>, task: Task) -> String {
        of(data, task, &data.repeated())
    }

    #[test]
    fn texts_of_a_part_that_are_training_texts_are_counted() {
        let training = texts(&[(0, "a"), (0, "b"), (0, "c")]);
        let said = shared(&training, "validation", &texts(&[(0, "b"), (0, "d"), (0, "c")])).expect("two are shared");
        assert!(said.starts_with("note: 2 of 3 validation texts are training texts too"), "{said}");
        let said = shared(&training, "test", &texts(&[(0, "b")])).expect("one is shared");
        assert!(said.starts_with("note: 1 of 1 test text is a training text too"), "{said}");
        assert_eq!(shared(&training, "test", &texts(&[(0, "x")])), None);
    }

    #[test]
    fn classes_that_differ_in_case_or_spaces_alone_or_are_the_same_number_are_named() {
        let alike = |names: &[&str]| alike(&owned(names));
        let said = alike(&["BILLING", "billing", "other"]).expect("two are alike");
        assert!(said.contains("BILLING and billing") && said.contains("--label-map BILLING=billing "), "{said}");
        assert!(alike(&["not spam", "NotSpam"]).is_some());
        assert!(alike(&["1.5", "2", "1.50"]).is_some_and(|said| said.contains("1.5 and 1.50 are the same number")));
        assert_eq!(alike(&["ham", "spam", "Hamm", "1", "-1"]), None);
    }

    #[test]
    fn a_label_that_is_a_number_in_most_rows_and_a_word_in_one_is_named() {
        let said = mixed(&owned(&["0", "1", "n/a"])).expect("one is a word");
        assert!(said.contains("the label n/a is a word, and the others are numbers"), "{said}");
        for classes in [&["0", "1"][..], &["ham", "spam"], &["1", "one"], &["4 stars", "5 stars"]] {
            assert_eq!(mixed(&owned(classes)), None);
        }
    }

    #[test]
    fn labels_that_look_like_another_task_are_said_with_the_option_that_says_so() {
        let examples = texts(&[(0, "a film"), (1, "no film"), (2, "x y"), (3, "one two")]);
        let named = |names: &[&str]| Dataset::new("x", examples.clone()).named(names.iter().copied());
        let numbers = named(&["1", "2.5", "3", "4"]);
        let said = guessed(&numbers, Task::Classify(0)).expect("numbers");
        assert!(said.contains("each of the 4 is read as a class; --task regress"), "{said}");
        assert_eq!(guessed(&numbers, Task::Tag(0)), None);
        let said = guessed(&named(&["O O", "O LOC", "LOC O", "LOC LOC"]), Task::Classify(0)).expect("tags");
        assert!(said.contains("such as \"O O\"") && said.contains("--task tag"), "{said}");
        assert_eq!(guessed(&named(&["good film", "bad", "so so", "other"]), Task::Classify(0)), None);
        assert_eq!(
            guessed(&Dataset::new("x", texts(&[(0, "a"), (1, "b")])).named(["0", "1"]), Task::Classify(0)),
            None
        );
    }

    #[test]
    fn a_class_that_occurs_once_and_one_that_a_part_lacks_are_named() {
        let classes = owned(&["a", "b", "c", "d"]);
        let training = texts(&[(0, "x"), (0, "y"), (1, "z"), (1, "u"), (2, "v")]);
        let notes = lacking((&classes, "text"), &training, &texts(&[(0, "w")]));
        assert_eq!(
            notes,
            [
                "note: the class c occurs once: too little to learn from",
                "note: no training text has the class d: the network cannot learn it",
                "note: no validation text has the class b: nothing checks its answers"
            ]
        );
        let few = owned(&["a", "b"]);
        assert!(lacking((&few, "text"), &training[..4], &texts(&[(0, "w"), (1, "w")])).is_empty());
        assert!(lacking((&few, "text"), &training[..4], &[]).is_empty());
    }

    #[test]
    fn texts_that_are_alike_and_have_different_labels_are_counted() {
        let data = Dataset::new("x", texts(&[(0, "a b"), (1, "a  b"), (0, "c"), (0, "c")])).named(["ham", "spam"]);
        let said = disputed(&data, &data.repeated()).expect("one is disputed");
        assert!(
            said.starts_with("note: 1 text occurs with different labels, such as \"a b\" as ham and as spam"),
            "{said}"
        );
        let data = Dataset::new("x", texts(&[(0, "a"), (1, "b")]));
        assert_eq!(disputed(&data, &data.repeated()), None);
    }

    #[test]
    fn a_line_says_classes_with_their_counts_and_what_is_not_the_plain_case() {
        let text = |label: Label, text: &str| Example::new(label, text);
        let data = Dataset::new("x", texts(&[(1, "a"), (0, "b"), (1, "a")])).named(["ham", "spam"]);
        let plain = "read 3 texts, 2 classes (ham 1, spam 2), 1 duplicate";
        assert_eq!(line(&data, Task::Classify(0)), plain);
        let data = Dataset { layout: "label column v1, text column v2".into(), ..data };
        assert_eq!(
            line(&data, Task::Classify(0)) + &parts(2, 1, &Valid::Fraction(0.1)),
            format!("{plain}, label column v1, text column v2; 2 train, 1 validation")
        );
        let tags = Dataset::new("x", vec![text(Label::Each(vec![0.0, 1.0]), "a b")]).named(["O", "LOC"]);
        assert_eq!(line(&tags, Task::Tag(0)), "read 1 text, 2 classes of tokens (O 1, LOC 1)");
        let numbers = Dataset::new("x", vec![text(Label::Value(0.5), "a"), text(Label::Value(-2.0), "b")]);
        assert_eq!(line(&numbers, Task::Regress), "read 2 texts, numbers from -2 to 0.5");
        let many: Vec<(u32, String)> = (0..1_300).map(|row| ([0, 1, 1, 2, 3][row % 5], format!("t{row}"))).collect();
        let many: Vec<(u32, &str)> = many.iter().map(|(class, text)| (*class, text.as_str())).collect();
        let many = Dataset::new("x", texts(&many)).named(["DESC", "ENTY", "HUM", "ABBR"]);
        assert_eq!(line(&many, Task::Classify(0)), "read 1,300 texts, 4 classes (ENTY 520 … ABBR 260)");
    }

    #[test]
    fn a_line_says_the_words_that_are_kept_and_the_share_that_is_unknown() {
        let unknown = UnknownTokens { tokens: 1_000, unknown: 31, share: 0.031, most: Vec::new() };
        let unknown = UnknownByPart { training: unknown, ..UnknownByPart::default() };
        let facts = Facts { words: 8_812, kept: 5_000, unknown, test: Some(499), ..Facts::default() };
        assert_eq!(facts.words("words"), ", 499 test; 8,812 words, 5,000 kept, 3.1 % unknown");
        let facts = Facts { words: 312, kept: 312, ..Facts::default() };
        assert_eq!(facts.words("tokens"), "; 312 tokens, all kept");
    }
}
