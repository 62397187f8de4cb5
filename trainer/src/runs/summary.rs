//! What was read of a run's data, in one line: a person sees at once whether it is what they mean.

use std::collections::HashSet;

use crate::config::Valid;
use crate::dataset::{Dataset, Example, Label, Labels, Task};
use crate::shown::{for_shell, shown};

/// Classes that are shown with their counts.
const SHOWN: usize = 8;

/// `read 5,572 texts, 2 classes (ham 4,825, spam 747), label column v1, text column v2`.
pub(super) fn of(data: &Dataset<Label>, task: Task) -> String {
    let texts = thousands(data.examples.len());
    let numbers = || data.examples.iter().flat_map(|example| example.label.numbers().into_owned());
    let of_tokens = if task.each_step() { " of tokens" } else { "" };
    let labels = if task.has_values() {
        let (low, high) =
            numbers().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        format!("numbers{of_tokens} from {low} to {high}")
    } else {
        let mut counts = vec![0; data.classes.len()];
        numbers().for_each(|class| counts[class as usize] += 1);
        let named = data.classes.iter().zip(&counts).take(SHOWN);
        let mut named =
            named.map(|(name, &count)| format!("{} {}", shown(name), thousands(count))).collect::<Vec<_>>().join(", ");
        if counts.len() > SHOWN {
            named += &format!(" and {} more", counts.len() - SHOWN);
        }
        format!("{} classes{of_tokens} ({named})", counts.len())
    };
    let layout = if data.layout.is_empty() { String::new() } else { format!(", {}", data.layout) };
    format!("read {texts} texts, {labels}{layout}")
}

/// Which classes differ in case or spaces alone, in words; `None` where none do. They are often one class with a slip of the hand.
pub(super) fn alike(classes: &[String]) -> Option<String> {
    let plain = |name: &String| name.split_whitespace().collect::<String>().to_lowercase();
    let mut names: Vec<&String> = classes.iter().collect();
    names.sort_by_key(|name| plain(name));
    let (first, second) = names.windows(2).map(|pair| (pair[0], pair[1])).find(|(a, b)| plain(a) == plain(b))?;
    Some(format!(
        "note: the classes {} and {} differ in case or spaces alone; --label-map {} makes one class of them",
        shown(first),
        shown(second),
        for_shell(&format!("{first}={second}"))
    ))
}

/// `; 5,015 train, 557 validation`.
pub(super) fn parts(training: usize, validation: usize, valid: &Valid) -> String {
    let from = match valid {
        Valid::Fraction(_) => String::new(),
        Valid::Path(path) => format!(" from {}", path.display()),
    };
    format!("; {} train, {} validation{from}", thousands(training), thousands(validation))
}

/// How many validation texts are training texts too, in words; `None` where none are.
pub(super) fn shared(training: &[Example<Label>], validation: &[Example<Label>]) -> Option<String> {
    let known: HashSet<&str> = training.iter().map(|example| example.text.as_str()).collect();
    let shared = validation.iter().filter(|example| known.contains(example.text.as_str())).count();
    (shared > 0).then(|| {
        format!(
            "note: {} of {} validation texts are training texts too, so that the validation score is too good",
            thousands(shared),
            thousands(validation.len())
        )
    })
}

/// A number with commas between its thousands.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_have_commas() {
        assert_eq!([0, 999, 1_000, 12_345, 1_234_567].map(thousands).join(" "), "0 999 1,000 12,345 1,234,567");
    }

    #[test]
    fn validation_texts_that_are_training_texts_are_counted() {
        let texts = |texts: &[&str]| -> Vec<Example<Label>> {
            texts.iter().map(|text| Example { label: Label::Class(0), text: text.to_string() }).collect()
        };
        let said = shared(&texts(&["a", "b", "c"]), &texts(&["b", "d", "c"])).expect("two are shared");
        assert!(said.contains("2 of 3 validation texts"), "{said}");
        assert_eq!(shared(&texts(&["a"]), &texts(&["b"])), None);
    }

    #[test]
    fn classes_that_differ_in_case_or_spaces_alone_are_named() {
        let alike = |names: &[&str]| alike(&names.iter().map(|name| name.to_string()).collect::<Vec<_>>());
        let said = alike(&["BILLING", "billing", "other"]).expect("two are alike");
        assert!(said.contains("BILLING and billing") && said.contains("--label-map BILLING=billing "), "{said}");
        assert!(alike(&["not spam", "NotSpam"]).is_some());
        assert_eq!(alike(&["ham", "spam", "Hamm"]), None);
    }

    #[test]
    fn a_line_says_classes_with_their_counts_and_where_they_were_found() {
        let text = |label: Label| Example { label, text: "a b".into() };
        let data = Dataset::new("x", vec![text(Label::Class(1)), text(Label::Class(0)), text(Label::Class(1))]);
        let data = Dataset { layout: "label column v1, text column v2".into(), ..data.named(["ham", "spam"]) };
        assert_eq!(
            of(&data, Task::Classify(0)) + &parts(2, 1, &Valid::Fraction(0.1)),
            "read 3 texts, 2 classes (ham 1, spam 2), label column v1, text column v2; 2 train, 1 validation"
        );
        let tags = Dataset::new("x", vec![text(Label::Each(vec![0.0, 1.0]))]).named(["O", "LOC"]);
        assert_eq!(of(&tags, Task::Tag(0)), "read 1 texts, 2 classes of tokens (O 1, LOC 1)");
        let numbers = Dataset::new("x", vec![text(Label::Value(0.5)), text(Label::Value(-2.0))]);
        assert_eq!(of(&numbers, Task::Regress), "read 2 texts, numbers from -2 to 0.5");
        let many = Dataset::new("x", (0..12).map(|class| text(Label::Class(class))).collect());
        let many = many.named((0..12).map(|class| class.to_string()));
        assert!(of(&many, Task::Classify(0)).contains("7 1 and 4 more)"));
    }
}
