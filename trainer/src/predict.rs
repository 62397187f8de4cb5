//! What a model says of a text, and how that came about token by token.

use latch_engine::Session;
use latch_engine::View;
use latch_engine::image::header::AnswerKind;
use serde::Serialize;

use crate::composed::composed;
use crate::metrics::{class_of, probabilities};
use crate::shown::shown;

/// A text's verdict, and how it came about.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// True for the positive class.
    pub positive: bool,
    /// The probability of the positive class.
    pub probability: f32,
    /// Tokens that the network read.
    pub tokens: u32,
    /// Each token that the network read, and the probability after it.
    pub trail: Vec<(String, f32)>,
    /// The token after which the verdict was certain for the first time, where the image has thresholds for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certain_after: Option<u32>,
}

/// What a model of several classes, of values, or with an answer each step says of a text.
#[derive(Debug, Serialize)]
pub struct Response {
    #[serde(flatten)]
    answer: Said,
    /// The class of each probability is its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    probabilities: Vec<f64>,
    tokens: u32,
    /// Each token that the network read, and the answer after it.
    trail: Vec<(String, Said)>,
    #[serde(skip)]
    each_step: bool,
}

/// One answer.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Class(usize),
    Value(f32),
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Said::Class(class) => write!(f, "{class}"),
            Said::Value(value) => write!(f, "{value:.4}"),
        }
    }
}

impl Response {
    /// The answer and its trail in words.
    pub fn words(&self) -> String {
        let trail: Vec<String> = self.trail.iter().map(|(token, said)| format!("{} {said}", shown(token))).collect();
        let trail = lines(trail.iter().map(String::as_str));
        if self.each_step {
            return trail;
        }
        match self.answer {
            Said::Value(value) => format!("value {value:.4}, {} tokens\n{trail}", self.tokens),
            Said::Class(class) => {
                let all: Vec<String> = self.probabilities.iter().map(|p| format!("{p:.3}")).collect();
                format!("class {class}, probabilities {}, {} tokens\n{trail}", all.join(" "), self.tokens)
            }
        }
    }
}

/// Runs one text, in Unicode's form NFC, through a session from its beginning.
pub fn respond(session: &mut Session<'_, '_, '_>, text: &str) -> Response {
    let (outputs, kind) = (usize::from(session.model().outputs()), session.model().answer().kind);
    let logits = |session: &mut View<'_, '_, '_>| -> Vec<f32> {
        (0..outputs).map(|output| session.logit(output).to_f32()).collect()
    };
    let said = |logits: &[f32]| match kind {
        AnswerKind::Values => Said::Value(logits[0]),
        AnswerKind::Classes => Said::Class(class_of(logits)),
    };
    session.reset();
    let mut trail = Vec::new();
    let mut note = |session: &mut View<'_, '_, '_>, token: &[u8]| {
        trail.push((String::from_utf8_lossy(token).into_owned(), said(&logits(session))));
    };
    session.push_bytes_each(composed(text).as_bytes(), &mut note);
    session.finish_each(&mut note);
    let last = logits(session);
    let probabilities = if kind == AnswerKind::Classes { probabilities(&last) } else { Vec::new() };
    let each_step = session.model().answer().each_step;
    Response { answer: said(&last), probabilities, tokens: session.tokens(), trail, each_step }
}

/// Runs one text, in Unicode's form NFC, through a session from its beginning.
pub fn judge(session: &mut Session<'_, '_, '_>, text: &str) -> Verdict {
    session.reset();
    let (mut trail, mut certain_after) = (Vec::new(), None);
    let mut note = |session: &mut View<'_, '_, '_>, token: &[u8]| {
        trail.push((String::from_utf8_lossy(token).into_owned(), session.probability()));
        certain_after = certain_after.or_else(|| session.is_certain().then(|| session.tokens()));
    };
    session.push_bytes_each(composed(text).as_bytes(), &mut note);
    session.finish_each(&mut note);
    Verdict {
        positive: session.output().is_positive(),
        probability: session.probability(),
        tokens: session.tokens(),
        trail,
        certain_after,
    }
}

/// The verdict in words.
pub fn sentence(verdict: &Verdict) -> String {
    let word = if verdict.positive { "positive" } else { "negative" };
    if verdict.tokens == 0 {
        return format!(
            "{word}, probability {:.3} of positive: no known word, this is the bias alone",
            verdict.probability
        );
    }
    let certain = verdict.certain_after.map_or(String::new(), |tokens| format!(", certain after {tokens}"));
    format!("{word}, probability {:.3} of positive, {} tokens{certain}", verdict.probability, verdict.tokens)
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

/// Columns of a trail's line behind its two spaces.
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
