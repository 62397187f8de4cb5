//! What is wrong with a command line, in plain words.

use clap::error::{ContextKind, Error, ErrorKind};

/// What stands below such a sentence.
pub const MORE: &str = "For more information, try '--help'.";

/// What is wrong with an option's value, in one plain sentence; `None` where the error is another one, or points into the value.
#[must_use]
pub fn sentence(error: &Error) -> Option<String> {
    let context = |kind| error.get(kind).map(ToString::to_string);
    let (option, value) = (context(ContextKind::InvalidArg)?, context(ContextKind::InvalidValue)?);
    let problem = std::error::Error::source(error).filter(|_| error.kind() == ErrorKind::ValueValidation)?;
    let problem = plainly(&problem.to_string(), &value);
    let option = option.split(' ').next().unwrap_or(&option);
    let value = if problem.contains(&value) { String::new() } else { format!(" {value}") };
    (!problem.contains('\n')).then(|| format!("{option}{value}: {problem}"))
}

/// What is wrong with a value, in words that a person expects: the standard library's sentences do not say what is wanted.
pub fn plainly(problem: &str, text: &str) -> String {
    if let Some((from, to)) = problem.split_once(" is not in ").and_then(|(_, range)| range.split_once("..")) {
        return match to.trim_start_matches('=') {
            "" => format!("{text} is not a whole number from {from}"),
            to => format!("{text} is not a whole number from {from} to {to}"),
        };
    }
    match problem {
        "invalid digit found in string" => format!("{text:?} is not a whole number"),
        "number too large to fit in target type" => format!("{text} is too large"),
        "cannot parse integer from empty string" => "a whole number is missing".to_owned(),
        "number would be zero for non-zero type" => format!("{text} is not a whole number from 1"),
        "invalid float literal" => format!("{text:?} is not a number"),
        "cannot parse float from empty string" => "a number is missing".to_owned(),
        _ => problem.to_owned(),
    }
}
