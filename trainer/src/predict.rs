//! What a model says of a text, and how that came about token by token.

use latch_engine::Session;
use latch_engine::View;
use latch_engine::image::header::AnswerKind;
use serde::Serialize;

use crate::composed::composed;
use crate::counted::counted;
use crate::metrics::{class_of, probabilities};
use crate::shown::shown;
use crate::unknown::unknown_of;

/// What a model of two classes says of a text, and how that came about.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// The name of the more probable class.
    pub class: String,
    /// The probability of the second class.
    pub probability: f32,
    /// The probability of each class.
    pub probabilities: Probabilities,
    /// Tokens that the network read.
    pub tokens: u32,
    /// Each token that the network read, and the probability of the second class after it.
    pub trail: Vec<(String, f32)>,
    /// The tokens of the text that are none of the model's words, each once.
    pub unknown: Vec<String>,
    /// The token after which the verdict was certain for the first time, where the image has thresholds for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certain_after: Option<u32>,
    /// The network has read nothing, and the n-grams have answered.
    #[serde(skip)]
    pub by_ngrams: bool,
    /// Tokens in front of the first that the network answers.
    #[serde(skip)]
    pub unanswered: u32,
}

/// What a model of several classes, of values, or with an answer each step says of a text.
#[derive(Debug, Serialize)]
pub struct Response {
    #[serde(flatten)]
    answer: Answered,
    tokens: u32,
    unknown: Vec<String>,
    /// Each token that the network read, and the answer after it.
    trail: Vec<(String, Said)>,
    #[serde(skip)]
    each_step: bool,
    /// The network has read nothing, and the n-grams have answered.
    #[serde(skip)]
    by_ngrams: bool,
    /// Tokens in front of the first that the network answers.
    #[serde(skip)]
    unanswered: u32,
}

/// An answer with all that is known of it.
#[derive(Clone, Debug, Serialize)]
pub struct Answered {
    #[serde(flatten)]
    said: Said,
    /// Nothing of values.
    #[serde(skip_serializing_if = "Probabilities::is_empty")]
    probabilities: Probabilities,
}

impl Answered {
    /// The answer of outputs of this kind; `classes` are the names of the model's classes.
    pub fn of(kind: AnswerKind, classes: &[String], outputs: &[f32]) -> Self {
        match kind {
            AnswerKind::Values => Self { said: said(kind, classes, outputs), probabilities: Probabilities(Vec::new()) },
            AnswerKind::Classes => Self { said: said(kind, classes, outputs), probabilities: named(classes, outputs) },
        }
    }

    /// The value, or the class and the most probable classes, in words.
    pub fn words(&self) -> String {
        match &self.said {
            Said::Value(value) => format!("value {value:.4}"),
            Said::Class(class) => {
                let mut all: Vec<&(String, f64)> = self.probabilities.0.iter().collect();
                all.sort_by(|a, b| b.1.total_cmp(&a.1));
                let named = |(name, probability): &&(String, f64)| format!("{} {probability:.3}", shown(name));
                let first: Vec<String> = all.iter().take(MOST_PROBABLE).map(named).collect();
                let more =
                    if all.len() > first.len() { format!(", {} more", all.len() - first.len()) } else { String::new() };
                format!("{}, probabilities {}{more}", called(class), first.join(", "))
            }
        }
    }
}

/// The probability of each class, by its name, in the order of the classes' numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Probabilities(pub Vec<(String, f64)>);

impl Probabilities {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Probabilities {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, probability)| (name, probability)))
    }
}

/// One answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Class(String),
    Value(f32),
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Said::Class(class) => f.write_str(&shown(class)),
            Said::Value(value) => write!(f, "{value:.4}"),
        }
    }
}

/// A class's name as it stands in a sentence: a bare number says what it is.
fn called(name: &str) -> String {
    let name = shown(name);
    if name.bytes().all(|byte| byte.is_ascii_digit()) { format!("class {name}") } else { name.into_owned() }
}

impl Response {
    /// The answer and its trail in words.
    pub fn words(&self) -> String {
        let trail: Vec<String> = self.trail.iter().map(|(token, said)| format!("{} → {said}", shown(token))).collect();
        let trail = lines(trail.iter().map(String::as_str));
        if self.each_step {
            return trail;
        }
        let (answer, unknown) = (self.answer.words(), strange(&self.unknown));
        let read = read(self.tokens, self.unanswered, self.by_ngrams);
        let mark = if matches!(self.answer.said, Said::Value(_)) { "," } else { ";" };
        format!("{answer}{mark} {read}{unknown}\n{trail}")
    }
}

/// How many tokens the network read, in words: without any, and without n-grams that know the text, the answer says nothing of it.
fn read(tokens: u32, unanswered: u32, by_ngrams: bool) -> String {
    match tokens {
        1.. if tokens <= unanswered && !by_ngrams => {
            format!(
                "{} of the {} of the network's first answer, so this is only the default answer",
                counted(tokens, "token"),
                unanswered + 1
            )
        }
        0 if by_ngrams => "the network knows no word of the text, so this is the answer of its n-grams".to_owned(),
        0 => "the text has no known word, so this is only the default answer".to_owned(),
        tokens => counted(tokens, "token"),
    }
}

/// Classes that are shown with their probabilities, the most probable ones.
const MOST_PROBABLE: usize = 5;

/// Runs one text, in Unicode's form NFC, through a session from its beginning; `classes` are the names of the model's classes.
pub fn respond(session: &mut Session<'_, '_, '_>, classes: &[String], text: &str) -> Response {
    let (outputs, kind) = (usize::from(session.model().outputs()), session.model().answer().kind);
    let logits = |session: &mut View<'_, '_, '_>| -> Vec<f32> {
        (0..outputs).map(|output| session.logit(output).to_f32()).collect()
    };
    session.reset();
    let default = logits(session);
    let mut trail = Vec::new();
    let mut note = |session: &mut View<'_, '_, '_>, token: &[u8]| {
        let said = said(kind, classes, &logits(session));
        trail.push((String::from_utf8_lossy(token).into_owned(), said));
    };
    session.push_bytes_each(composed(text).as_bytes(), &mut note);
    session.finish_each(&mut note);
    let last = logits(session);
    let each_step = session.model().answer().each_step;
    let unknown = unknown_of(session.model(), text);
    let tokens = session.tokens();
    let by_ngrams = tokens == 0 && last != default;
    let answer = Answered::of(kind, classes, &last);
    let unanswered = session.model().unanswered();
    Response { answer, tokens, unknown, trail, each_step, by_ngrams, unanswered }
}

/// The answer alone.
fn said(kind: AnswerKind, classes: &[String], outputs: &[f32]) -> Said {
    match kind {
        AnswerKind::Values => Said::Value(outputs.first().copied().unwrap_or_default()),
        AnswerKind::Classes => Said::Class(name_of(classes, class_of(outputs))),
    }
}

fn name_of(classes: &[String], class: usize) -> String {
    classes.get(class).cloned().unwrap_or_else(|| class.to_string())
}

fn named(classes: &[String], logits: &[f32]) -> Probabilities {
    let all = probabilities(logits).into_iter().enumerate();
    Probabilities(all.map(|(class, probability)| (name_of(classes, class), probability)).collect())
}

/// Runs one text, in Unicode's form NFC, through a session of a model of two classes from its beginning; `classes` are their names.
pub fn judge(session: &mut Session<'_, '_, '_>, classes: &[String], text: &str) -> Verdict {
    session.reset();
    let default = session.probability();
    let (mut trail, mut certain_after) = (Vec::new(), None);
    let mut note = |session: &mut View<'_, '_, '_>, token: &[u8]| {
        trail.push((String::from_utf8_lossy(token).into_owned(), session.probability()));
        certain_after = certain_after.or_else(|| session.is_certain().then(|| session.tokens()));
    };
    session.push_bytes_each(composed(text).as_bytes(), &mut note);
    session.finish_each(&mut note);
    Verdict {
        class: name_of(classes, usize::from(session.output().is_positive())),
        probability: session.probability(),
        probabilities: Probabilities(vec![
            (name_of(classes, 0), 1.0 - f64::from(session.probability())),
            (name_of(classes, 1), f64::from(session.probability())),
        ]),
        tokens: session.tokens(),
        unknown: unknown_of(session.model(), text),
        trail,
        certain_after,
        by_ngrams: session.tokens() == 0 && session.probability() != default,
        unanswered: session.model().unanswered(),
    }
}

/// Unknown tokens as a part of a sentence; nothing where all are known.
fn strange(unknown: &[String]) -> String {
    if unknown.is_empty() {
        return String::new();
    }
    let mut named = unknown.iter().take(MOST_UNKNOWN).map(|token| shown(token)).collect::<Vec<_>>().join(", ");
    if unknown.len() > MOST_UNKNOWN {
        named += &format!(" and {} more", unknown.len() - MOST_UNKNOWN);
    }
    format!("; unknown to the model: {named}")
}

/// Unknown tokens that are shown.
const MOST_UNKNOWN: usize = 10;

/// The verdict in words.
pub fn sentence(verdict: &Verdict) -> String {
    let Verdict { class, probability, probabilities, tokens, unknown, certain_after, by_ngrams, unanswered, .. } =
        verdict;
    let (class, second) = (called(class), probabilities.0.last().map_or(String::new(), |(name, _)| called(name)));
    let certain = certain_after.map_or(String::new(), |tokens| format!(", certain after {tokens}"));
    format!(
        "{class}, probability {probability:.3} of {second}{} {}{certain}{}",
        if *tokens == 0 { ";" } else { "," },
        read(*tokens, *unanswered, *by_ngrams),
        strange(unknown)
    )
}

/// The trail, several tokens a line, each with the percentage after it.
pub fn trail(verdict: &Verdict) -> String {
    let steps: Vec<String> = verdict
        .trail
        .iter()
        .map(|(token, probability)| format!("{} {:.0}%", shown(token), 100.0 * probability))
        .collect();
    lines(steps.iter().map(String::as_str))
}

/// Columns of a trail's lines behind their indent, so that they fit a terminal of 80.
const COLUMNS: usize = 78;

/// Steps of a trail in lines that fit a terminal.
fn lines<'s>(steps: impl Iterator<Item = &'s str>) -> String {
    let mut text = String::from(" ");
    let mut column = 0;
    for step in steps {
        let width = step.chars().count() + 1;
        if column + width > COLUMNS {
            text.push_str("\n ");
            column = 0;
        }
        column += width;
        text.push(' ');
        text.push_str(step);
    }
    if column == 0 { "  (no token)".into() } else { text }
}
