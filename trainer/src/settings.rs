//! `latch.toml`: the options of a verb in a file.
//!
//! A key is the name of an option without its dashes, and its value is what the command line would have, so that the verb's
//! [`Command`] is the only list of options. Paths are relative to the file. What the command line says counts, and the file is asked for the rest.
//!
//! - [`with_file`] puts what a file says behind a command line.
//! - [`Settings::template`] is the file to begin with: every option, its first sentence and its default.
//! - [`Settings::resolved`] is the file that repeats a call.

use std::any::TypeId;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use latch_data::misuse::plainly;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::near::near;
use crate::config::warm_up::WarmUp;
use crate::dataset::Columns;
use crate::error::{Fault, fault, read_text};

/// Most bytes of a file of settings.
const LARGEST: u64 = 1 << 20;

/// Columns of a comment in a file that is written here.
const COLUMNS: usize = 100;

/// The options of a verb that a file may hold.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'c> {
    /// The verb.
    command: &'c Command,
    /// The options that say how the verb is called, not what it does: no file has them.
    of_a_call: &'c [&'c str],
}

/// A value for the file to begin with.
#[derive(Clone, Debug)]
pub struct Given<'g> {
    /// The option's name without dashes.
    pub name: &'g str,
    /// Its value.
    pub value: String,
    /// What is to be known of it; may be empty.
    pub note: &'static str,
}

/// A key of a file, and what it says.
struct Entry<'f> {
    key: &'f str,
    value: &'f DeValue<'f>,
    /// `FILE:LINE`.
    place: String,
}

impl<'c> Settings<'c> {
    /// The options of a verb but for those `of_a_call`, by their names without dashes.
    pub fn new(command: &'c Command, of_a_call: &'c [&'c str]) -> Self {
        Settings { command, of_a_call }
    }

    /// The options, in the verb's order.
    fn options(self) -> impl Iterator<Item = (&'c str, &'c Arg)> {
        let own = |name: &&str| !self.of_a_call.contains(name) && *name != "help" && *name != "version";
        self.command.get_arguments().filter_map(move |option| Some((option.get_long().filter(own)?, option)))
    }

    /// The options that a file gives and `matches` of the command line does not, as arguments for the command line.
    ///
    /// # Errors
    /// A fault that names the file and the line: of text that is no TOML, an unknown key, or a value that its option does not take.
    pub fn with_file(self, file: &Path, matches: &ArgMatches) -> Result<Vec<OsString>> {
        let text = read_text(file, LARGEST)?;
        let line = |at: usize| 1 + text[..at.min(text.len())].matches('\n').count();
        let table = DeTable::parse(&text).map_err(|error| {
            let place = format!("{}:{}", file.display(), error.span().map_or(1, |span| line(span.start)));
            let problem = error.message().lines().next().unwrap_or_default();
            fault(place, problem, "write one `name = value` a line, with text in quotes")
        })?;
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut arguments = Vec::new();
        for (key, value) in entries {
            let place = format!("{}:{}", file.display(), line(key.span().start));
            let entry = Entry { key: key.get_ref(), value: value.get_ref(), place };
            let option = self.option(&entry)?;
            let texts = entry.texts(option, file.parent().unwrap_or(Path::new("")))?;
            let on_line =
                |option: &Arg| matches.value_source(option.get_id().as_str()) == Some(ValueSource::CommandLine);
            // What is said on the line counts before what cannot stand beside it, too: --valid before folds.
            let against = || self.command.get_arguments().filter(|other| self.conflict(option, other));
            if on_line(option) || is_default(option, &texts) || against().any(on_line) {
                continue;
            }
            if is_flag(option) {
                if texts == ["true"] {
                    arguments.push(format!("--{}", entry.key).into());
                }
                continue;
            }
            arguments.extend(texts.iter().map(|text| OsString::from(format!("--{}={text}", entry.key))));
        }
        Ok(arguments)
    }

    /// Whether two options cannot stand on one line.
    fn conflict(self, one: &Arg, other: &Arg) -> bool {
        let excludes = |one: &Arg, other: &Arg| self.command.get_arg_conflicts_with(one).contains(&other);
        excludes(one, other) || excludes(other, one)
    }

    /// The option that a key names.
    fn option(self, entry: &Entry<'_>) -> Result<&'c Arg, Fault> {
        if let Some((_, option)) = self.options().find(|(name, _)| *name == entry.key) {
            return Ok(option);
        }
        if self.command.get_arguments().any(|option| option.get_long() == Some(entry.key)) {
            let problem = format!("`{}` is for the command line only", entry.key);
            return Err(fault(&entry.place, problem, "take it out of the file"));
        }
        let verb = self.command.get_name();
        let names = || self.options().map(|(name, _)| name);
        let hint = match near(&entry.key.replace('_', "-"), names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if entry.value.is_table() => "write the options without a [heading]".to_owned(),
            None => {
                format!("`latch {verb} --help` lists the options, and a key is an option's name without its dashes")
            }
        };
        Err(fault(&entry.place, format!("unknown key `{}`", entry.key), hint))
    }

    /// The file to begin with, under its `heading`: every option with its first sentence, and its value, where `given` or its default has one. An
    /// option without one is commented out, with an example. Behind a given value stands what is to be known of it, if anything is.
    pub fn template(self, heading: &str, given: &[Given<'_>]) -> String {
        let of = |name: &str| given.iter().find(|given| given.name == name);
        let value =
            |name: &str, option: &Arg| of(name).map_or_else(|| defaults(option), |given| vec![given.value.clone()]);
        self.written(heading, Some(&|name| of(name).map_or("", |given| given.note)), value)
    }

    /// The file that repeats a call: every value that counted, paths from the root. What was `given` stands in place of what the call says.
    pub fn resolved(self, heading: &str, matches: &ArgMatches, given: &[(&str, String)]) -> String {
        self.written(heading, None, |name, option| {
            if let Some((_, value)) = given.iter().find(|(key, _)| *key == name) {
                return vec![value.clone()];
            }
            if is_flag(option) {
                return vec![matches.get_flag(option.get_id().as_str()).to_string()];
            }
            let raw = matches.get_raw(option.get_id().as_str()).into_iter().flatten();
            let path = |text: &str| if is_path(option, text) { absolute(text) } else { text.to_owned() };
            raw.map(|value| path(&value.to_string_lossy())).collect()
        })
    }

    /// The options with their values; with comments where there are `notes` for them.
    fn written(
        self,
        heading: &str,
        notes: Option<&dyn Fn(&str) -> &'static str>,
        value: impl Fn(&str, &Arg) -> Vec<String>,
    ) -> String {
        let mut text = String::new();
        write_comment(&mut text, heading);
        for (name, option) in self.options().filter(|(_, option)| !option.is_hide_set()) {
            let values = value(name, option);
            if notes.is_some() {
                text.push('\n');
                write_comment(&mut text, &first_sentence(option));
            }
            let list = is_list(option);
            let toml = match &values[..] {
                [] if notes.is_none() => continue,
                [] => format!("# {name} = {}  # an example", example(option)),
                values if is_map(option) => format!("{name} = {}", table_of(values)),
                [value] if !list => format!("{name} = {}", toml_of(option, value)),
                values => {
                    let values: Vec<String> = values.iter().map(|value| toml_of(option, value)).collect();
                    format!("{name} = [{}]", values.join(", "))
                }
            };
            text += &toml;
            if let Some(note) = notes.map(|notes| notes(name)).filter(|note| !note.is_empty()) {
                text += &format!("  # {note}");
            }
            text.push('\n');
        }
        text
    }
}

impl Entry<'_> {
    /// What a value would be on the command line; paths are put behind `folder`.
    fn texts(&self, option: &Arg, folder: &Path) -> Result<Vec<String>, Fault> {
        let values = match self.value {
            DeValue::Array(values) if is_list(option) => {
                values.iter().map(|value| self.text(option, value.get_ref())).collect::<Result<Vec<_>, _>>()?
            }
            DeValue::Table(pairs) if is_map(option) => {
                let pair = |(from, to): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
                    self.pair(option, from.get_ref(), to.get_ref())
                };
                pairs.iter().map(pair).collect::<Result<Vec<_>, _>>()?
            }
            value => vec![self.text(option, value)?],
        };
        let within = |text: String| {
            let inside = is_path(option, &text) && !folder.as_os_str().is_empty();
            if inside { folder.join(&text).to_string_lossy().into_owned() } else { text }
        };
        Ok(values.into_iter().map(within).collect())
    }

    /// One pair of a table, as it would be on the command line.
    fn pair(&self, option: &Arg, from: &str, to: &DeValue<'_>) -> Result<String, Fault> {
        let to = match to {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            value => return Err(self.mistake(option, format!("{from:?} is {}", kind(value)))),
        };
        if from.contains('=') || to.contains('=') {
            return Err(self.mistake(option, format!("a name with = cannot be renamed, as {from:?} to {to:?}")));
        }
        self.text(option, &DeValue::String(format!("{from}={to}").into()))
    }

    /// One value.
    fn text(&self, option: &Arg, value: &DeValue<'_>) -> Result<String, Fault> {
        let is_text = is_of::<PathBuf>(option);
        let text = match value {
            DeValue::Boolean(value) if is_flag(option) => return Ok(value.to_string()),
            DeValue::String(text) if !is_flag(option) => text.clone().into_owned(),
            DeValue::Integer(number) if !is_flag(option) && !is_text && number.radix() == 10 => {
                number.as_str().to_owned()
            }
            DeValue::Float(number) if !is_flag(option) && !is_text => number.as_str().to_owned(),
            value => return Err(self.mistake(option, format!("this is {}", kind(value)))),
        };
        // The option alone, so that nothing but its value can be wrong.
        let alone = Arg::new("value").long("value").value_parser(option.get_value_parser().clone());
        let alone = Command::new("value").no_binary_name(true).arg(alone);
        match alone.try_get_matches_from([format!("--value={text}")]) {
            Ok(_) => Ok(text),
            Err(error) => {
                let problem = std::error::Error::source(&error).map(|problem| plainly(&problem.to_string(), &text));
                Err(self.mistake(option, problem.unwrap_or_else(|| format!("{text:?} is unknown here"))))
            }
        }
    }

    fn mistake(&self, option: &Arg, problem: String) -> Fault {
        // A chain says what is wrong in its first line and points at it in the next: the place is the end of the sentence.
        if let Some((sentence, place)) = problem.split_once('\n') {
            let (problem, remedy) = sentence.split_once("; ").unwrap_or((sentence, "mend it here:"));
            return fault(&self.place, format!("`{}`: {problem}", self.key), format!("{remedy}\n{place}"));
        }
        let remedy = match option.get_possible_values() {
            _ if is_flag(option) => "write true or false".to_owned(),
            values if !values.is_empty() => {
                let names: Vec<String> = values.iter().map(|value| format!("\"{}\"", value.get_name())).collect();
                format!("write one of {}", names.join(", "))
            }
            _ => match &defaults(option)[..] {
                [value, ..] => format!("write it as in `{} = {}`", self.key, toml_of(option, value)),
                [] => format!("write it as in `{} = {}`", self.key, example(option)),
            },
        };
        fault(&self.place, format!("`{}`: {problem}", self.key), remedy)
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn is_flag(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::SetTrue)
}

fn is_of<T: 'static>(option: &Arg) -> bool {
    option.get_value_parser().type_id() == TypeId::of::<T>()
}

/// True where an option may be given several values.
fn is_list(option: &Arg) -> bool {
    option.get_value_delimiter().is_some() || matches!(option.get_action(), ArgAction::Append)
}

/// True where a value renames: `from=to`.
fn is_map(option: &Arg) -> bool {
    is_of::<BTreeMap<String, String>>(option)
}

/// Values that rename, as one table of TOML.
fn table_of(values: &[String]) -> String {
    let pairs = values.iter().filter_map(|value| Columns::parse_map(value).ok()).flatten();
    toml::Value::Table(pairs.map(|(from, to)| (from, to.into())).collect()).to_string()
}

/// True where an option takes a number alone.
fn is_number(option: &Arg) -> bool {
    is_of::<f64>(option) || is_of::<u64>(option) || is_of::<u32>(option) || is_of::<usize>(option)
}

/// True where a value is a path, not the number that may stand in its place.
fn is_path(option: &Arg, value: &str) -> bool {
    matches!(option.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath)
        && value.parse::<f64>().is_err()
}

fn absolute(path: &str) -> String {
    std::path::absolute(path).map_or_else(|_| path.to_owned(), |path| path.to_string_lossy().into_owned())
}

fn defaults(option: &Arg) -> Vec<String> {
    if is_flag(option) {
        return vec!["false".to_owned()];
    }
    option.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect()
}

/// True where a file says what counts without it: an option may not be given where the one that it belongs to is not, but its default may stand
/// in a file.
fn is_default(option: &Arg, texts: &[String]) -> bool {
    let same = |a: &str, b: &str| {
        a == b || matches!((a.parse::<f64>(), b.parse::<f64>()), (Ok(a), Ok(b)) if is_number(option) && a == b)
    };
    let defaults = defaults(option);
    defaults.len() == texts.len() && defaults.iter().zip(texts).all(|(a, b)| same(a, b))
}

/// A value as TOML has it.
fn toml_of(option: &Arg, value: &str) -> String {
    let may_be_number = is_number(option) || is_of_share(option) || is_of::<WarmUp>(option);
    let bare = is_flag(option) || may_be_number && is_toml_number(value);
    if bare { value.to_owned() } else { toml::Value::from(value).to_string() }
}

/// True where a number may stand in a path's place.
fn is_of_share(option: &Arg) -> bool {
    option.get_value_hint() == ValueHint::AnyPath && !is_of::<PathBuf>(option)
}

fn is_toml_number(value: &str) -> bool {
    DeValue::parse(value).is_ok_and(|value| value.get_ref().is_integer() || value.get_ref().is_float())
}

/// What stands for the value of an option that has none.
fn example(option: &Arg) -> String {
    let names = option.get_value_names().unwrap_or_default();
    if is_map(option) {
        return "{ \"old name\" = \"new name\" }".to_owned();
    }
    if is_of::<WarmUp>(option) {
        return "250".to_owned();
    }
    let name = names.first().map_or_else(|| option.get_id().to_string().to_uppercase(), ToString::to_string);
    match &option.get_possible_values()[..] {
        [first, ..] => format!("\"{}\"", first.get_name()),
        // A size or a time may have its unit, and is text then.
        [] if is_number(option) && !["BYTES", "TIME"].contains(&name.as_str()) => "10".to_owned(),
        [] => format!("\"{name}\""),
    }
}

fn first_sentence(option: &Arg) -> String {
    let help = option.get_help().map(ToString::to_string).unwrap_or_default();
    help.split_once(". ").map_or(help.as_str(), |(first, _)| first).to_owned()
}

/// Writes a text as lines of comments that fit a page.
fn write_comment(text: &mut String, comment: &str) {
    for paragraph in comment.lines() {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > COLUMNS {
                let _ = writeln!(text, "{line}");
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        let _ = writeln!(text, "{line}");
    }
}

/// The arguments of a command line and what the file behind its `--config` adds to them; the line as it is where it has none.
///
/// # Errors
/// Those of [`Settings::with_file`].
pub fn with_file(whole: &Command, verb: &str, of_a_call: &[&str], line: Vec<OsString>) -> Result<Vec<OsString>> {
    // What else is wrong with the line is said when it is read in earnest.
    let matches = whole.clone().ignore_errors(true).try_get_matches_from(&line);
    let Ok(matches) = matches else { return Ok(line) };
    let Some((_, matches)) = matches.subcommand().filter(|(name, _)| *name == verb) else { return Ok(line) };
    let Ok(Some(file)) = matches.try_get_one::<PathBuf>("config") else { return Ok(line) };
    let command = whole.find_subcommand(verb).context("the verb is one of the command's")?;
    let arguments = Settings::new(command, of_a_call).with_file(file, matches)?;
    Ok(line.into_iter().chain(arguments).collect())
}

/// The fault of a command line whose `error` is that required options are missing, where a file could have said them; `None` of any other.
pub fn missing(whole: &Command, verb: &str, line: &[OsString], error: &clap::Error) -> Option<Fault> {
    let (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(options))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    else {
        return None;
    };
    let matches = whole.clone().ignore_errors(true).try_get_matches_from(line).ok()?;
    let (_, matches) = matches.subcommand().filter(|(name, _)| *name == verb)?;
    let file = matches.try_get_one::<PathBuf>("config").ok()??;
    let command = whole.find_subcommand(verb)?;
    let name = options.first()?.split(' ').next()?.trim_start_matches('-').to_owned();
    let option = command.get_arguments().find(|option| option.get_long() == Some(&name))?;
    let remedy = format!("add a line such as `{name} = {}`, or give --{name}", example(option));
    Some(fault(file.display(), format!("`{name}` is missing"), remedy))
}

#[cfg(test)]
mod tests;
