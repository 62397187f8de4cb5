//! How a table is laid out, told from its first bytes: what separates its columns, whether it has a header, and which columns hold the label and the text.
//!
//! What the names of columns do not say is guessed from the first rows: a text is long, a label is short and comes again. Where two columns could be
//! meant, that is a fault that lists the columns.

use std::collections::HashSet;

use csv::ReaderBuilder;

use super::classes::{Columns, number};
use super::label::Task;
use super::quoted;
use crate::error::{Fault, fault};

/// Names of the column of labels; the first two win over the others.
pub(super) const LABEL_NAMES: [&str; 8] =
    ["label", "labels", "sentiment", "class", "category", "target", "tags", "polarity"];

/// Names of the column of texts; the first wins over the others.
pub(crate) const TEXT_NAMES: [&str; 8] =
    ["text", "review", "message", "sentence", "content", "tweet", "comment", "tokens"];

/// Names of columns that number the rows.
const NUMBERING: [&str; 5] = ["", "id", "idx", "index", "unnamed: 0"];

/// Names that people give columns of short texts and their labels besides: what stands above single words is told from a class by them.
const HEADINGS: [&str; 30] = [
    "name",
    "names",
    "word",
    "words",
    "surname",
    "lastname",
    "firstname",
    "title",
    "term",
    "token",
    "query",
    "phrase",
    "question",
    "input",
    "x",
    "v2",
    "language",
    "lang",
    "country",
    "nationality",
    "origin",
    "gender",
    "type",
    "kind",
    "topic",
    "genre",
    "intent",
    "emotion",
    "y",
    "v1",
];

/// Words that are labels wherever they stand.
const KNOWN_LABELS: [&str; 14] = [
    "neg", "pos", "negative", "positive", "neutral", "ham", "spam", "true", "false", "yes", "no", "good", "bad",
    "other",
];

/// Rows that are looked at.
const ROWS: usize = 1_000;

/// How a table is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    /// What stands between two columns.
    pub(super) separator: char,
    /// Whether fields may stand in double quotes.
    pub(super) quoted: bool,
    /// Whether the first record is a header.
    pub(super) header: bool,
    /// The column of labels, from 0.
    pub(super) label: usize,
    /// The column of texts, from 0.
    pub(super) text: usize,
    /// The columns of a record; in a table without quotes two columns are a label and the rest of the line, or the other way around.
    pub(super) count: usize,
    /// The columns up to the last that has a name: a record may leave out those behind.
    pub(super) least: usize,
    /// What was found, in words, where it is not the plain case.
    pub(super) words: Vec<String>,
}

/// What a file's name says of its separator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// `.tsv`: tabs, without quotes.
    Tabs,
    /// `.csv`: commas, and quotes.
    Commas,
    /// Nothing.
    Nothing,
}

impl Table {
    /// The layout of a table that begins with `head`.
    pub(super) fn of(head: &str, promise: Promise, task: Task, columns: &Columns, place: &str) -> Result<Self, Fault> {
        let Some((separator, quoted)) = separator(head, promise) else {
            return Err(fault(
                place,
                "no tab, comma, semicolon or vertical bar divides its lines into a label and a text",
                "write label<TAB>text, one example a line, or CSV, or JSON lines; or say with --label-pattern what the label of a line is",
            ));
        };
        let mut records = records(head, separator, quoted);
        if !quoted && records.iter().any(|row| row.len() > 1) {
            // A line without a separator says nothing of the columns; the reader refuses it by its number.
            records.retain(|row| row.len() > 1);
        }
        if records.first().is_some_and(|row| row.len() == 1) {
            let remedy = "separate them by a comma, a semicolon, a tab or a vertical bar";
            return Err(fault(place, "the table has one column, and a label and a text need two", remedy));
        }
        let (choice, records) = match &records[..] {
            [] => (Choice { label: 0, text: 1, header: false }, records),
            [first, ..] => {
                // Without quotes a text may have tabs in it: two columns where the rows do not agree.
                let is_named =
                    |names: &[&str]| first.iter().any(|name| names.contains(&name.trim().to_lowercase().as_str()));
                let is_wide = first.len() > 2 && is_named(&LABEL_NAMES) && is_named(&TEXT_NAMES);
                let apart = !quoted && !is_wide && records.iter().any(|row| row.len() != first.len());
                let records = if apart { in_two(&records) } else { records };
                (choose(&records, task, columns, place)?, records)
            }
        };
        let Choice { label, text, header } = choice;
        let width = records.first().map_or(2, Vec::len);
        let names = records.first().filter(|_| header);
        let least = names.map_or(width, |names| {
            let last = names.iter().rposition(|name| !name.trim().is_empty()).unwrap_or(0);
            (last + 1).max(label + 1).max(text + 1).min(width)
        });
        let is_plain = match names {
            Some(names) => [(label, "label"), (text, "text")].iter().all(|&(at, name)| names[at].trim() == name),
            None => (label, text, width) == (0, 1, 2),
        };
        let mut words = match names {
            _ if is_plain => Vec::new(),
            Some(names) => vec![format!("label column {}, text column {}", names[label].trim(), names[text].trim())],
            None => vec![format!("label column {}, text column {}, no header", label + 1, text + 1)],
        };
        let unusual = match (promise, separator) {
            (Promise::Commas, '\t') => Some("tabs"),
            (_, ';') => Some("semicolons"),
            (_, '|') => Some("vertical bars"),
            (Promise::Nothing, ',') => Some("commas"),
            _ => None,
        };
        words.extend(unusual.map(|unusual| format!("separated by {unusual}")));
        Ok(Table { separator, quoted, header, label, text, count: width, least, words })
    }
}

/// What separates the columns, and whether fields may stand in quotes.
fn separator(head: &str, promise: Promise) -> Option<(char, bool)> {
    if promise == Promise::Tabs {
        return Some(('\t', false));
    }
    // The share of the records that have as many columns as the first, and where the separator first stands.
    let score = |separator: char| {
        let records = records(head, separator, true);
        let count = records.first().map_or(0, Vec::len);
        let alike = records.iter().filter(|record| record.len() == count).count();
        let share = if count < 2 { 0.0 } else { alike as f64 / records.len() as f64 };
        // A bar is rare as a separator, and not rare in texts.
        let share = if separator == '|' && share < 1.0 { 0.0 } else { share };
        (share, head.find(separator).unwrap_or(usize::MAX))
    };
    if promise == Promise::Nothing {
        let lines = head.lines().filter(|line| !line.trim().is_empty()).take(ROWS);
        if head.contains('\t') && lines.clone().all(|line| line.contains('\t')) {
            return Some(('\t', false));
        }
    }
    let scores = [',', ';', '\t', '|'].map(|separator| (separator, score(separator)));
    let best = scores.iter().map(|(_, (share, _))| *share).fold(0.0, f64::max);
    if best == 0.0 {
        // A table of one column, of which the reader says what it lacks.
        return (promise == Promise::Commas).then_some((',', true));
    }
    let first = scores.iter().filter(|(_, (share, _))| *share == best).min_by_key(|(_, (_, at))| *at);
    first.map(|(separator, _)| (*separator, true))
}

/// The first records.
fn records(head: &str, separator: char, quoted: bool) -> Vec<Vec<String>> {
    if !quoted {
        let lines = head.lines().filter(|line| !line.trim().is_empty()).take(ROWS);
        return lines.map(|line| line.split(separator).map(str::to_owned).collect()).collect();
    }
    let mut builder = ReaderBuilder::new();
    let builder = builder.has_headers(false).flexible(true).delimiter(separator as u8);
    let reader = builder.from_reader(head.as_bytes());
    let fields = |record: csv::StringRecord| record.iter().map(str::to_owned).collect();
    // A blank line is a record of one empty field in some tables, and none in others.
    let blank = |record: &csv::StringRecord| record.iter().all(|field| field.trim().is_empty());
    reader.into_records().map_while(Result::ok).filter(|record| !blank(record)).take(ROWS).map(fields).collect()
}

/// Lines of a label and a text, or of a text and a label, whatever tabs the text has.
fn in_two(records: &[Vec<String>]) -> Vec<Vec<String>> {
    let first = |row: &[String]| vec![row[0].clone(), row[1..].join("\t")];
    let last = |row: &[String]| vec![row[..row.len() - 1].join("\t"), row[row.len() - 1].clone()];
    let labels_last: Vec<Vec<String>> = records.iter().map(|row| last(row)).collect();
    let label_first: Vec<Vec<String>> = records.iter().map(|row| first(row)).collect();
    // Whichever side comes again and again.
    let distinct = |rows: &[Vec<String>], column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|field| field.trim()).collect::<HashSet<_>>().len()
    };
    if distinct(&labels_last, 1) < distinct(&label_first, 0) { labels_last } else { label_first }
}

/// The columns of the label and the text.
#[derive(Debug, Clone, Copy)]
struct Choice {
    label: usize,
    text: usize,
    header: bool,
}

/// Chooses the columns of the label and the text.
fn choose(records: &[Vec<String>], task: Task, columns: &Columns, place: &str) -> Result<Choice, Fault> {
    let first = &records[0];
    let asked = |option: &str, wanted: &Option<String>| -> Result<Option<(usize, bool)>, Fault> {
        let Some(wanted) = wanted else { return Ok(None) };
        if let Some(at) = first.iter().position(|name| name.trim().eq_ignore_ascii_case(wanted.trim())) {
            return Ok(Some((at, true)));
        }
        match wanted.trim().parse::<usize>() {
            Ok(number) if (1..=first.len()).contains(&number) => Ok(Some((number - 1, false))),
            _ => Err(fault(
                option,
                format!("{place} has no column {}; its columns are {}", quoted(wanted), listed(first)),
                "name one of these, or give its number from 1",
            )),
        }
    };
    let label = asked("--label-column", &columns.label)?;
    let text = asked("--text-column", &columns.text)?;
    let found = |names: &[&str], first_names: usize, option: &str| named(first, names, first_names, option, place);
    let named_label = if label.is_none() { found(&LABEL_NAMES, 2, "--label-column")? } else { None };
    let named_text = if text.is_none() { found(&TEXT_NAMES, 1, "--text-column")? } else { None };
    let names = [label, text].iter().flatten().any(|(_, by_name)| *by_name)
        || (named_label.is_some() && named_text.is_some())
        || ((named_label.is_some() || named_text.is_some()) && is_plausible(first));
    let taken =
        |asked: Option<(usize, bool)>, named: Option<usize>| asked.map(|(at, _)| at).or(named.filter(|_| names));
    let (label, text) = (taken(label, named_label), taken(text, named_text));
    let body = if names && records.len() > 1 { &records[1..] } else { records };
    let (label, text) = match (label, text) {
        (Some(label), Some(text)) => (label, text),
        _ if first.len() == 2 => match (label, text) {
            (Some(label), None) => (label, 1 - label),
            (None, Some(text)) => (1 - text, text),
            _ => {
                let label = usize::from(label_is_second(body, task));
                (label, 1 - label)
            }
        },
        _ => guess(body, first, names, label, text, task, place)?,
    };
    if label == text {
        let problem = format!("{place}: the label and the text are both in column {}", label + 1);
        return Err(fault("--text-column", problem, "name two columns"));
    }
    let header = names || is_header(records, label, text, task);
    let is_asked = columns.label.is_some() && columns.text.is_some();
    if header && !is_asked && [label, text].iter().any(|&at| is_numbering(&first[at])) {
        return Err(unclear("labels and which the texts", "--label-column and --text-column", first, place));
    }
    Ok(Choice { label, text, header })
}

/// The column with one of these names; the first ones win over the others.
fn named(first: &[String], names: &[&str], winners: usize, option: &str, place: &str) -> Result<Option<usize>, Fault> {
    let at = |name: &&str| first.iter().position(|field| field.trim().eq_ignore_ascii_case(name));
    if let Some(winner) = names[..winners].iter().find_map(at) {
        let again = |field: &&String| field.trim().eq_ignore_ascii_case(first[winner].trim());
        if first.iter().filter(again).count() > 1 {
            let problem =
                format!("two columns are called {}: the columns are {}", quoted(first[winner].trim()), listed(first));
            return Err(fault(place, problem, format!("say which one with {option}, by its number from 1")));
        }
        return Ok(Some(winner));
    }
    let others: Vec<usize> = names[winners..].iter().filter_map(at).collect();
    match others[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => {
            let what = if option == "--label-column" { "labels" } else { "texts" };
            Err(unclear(what, option, first, place))
        }
    }
}

fn unclear(what: &str, option: &str, first: &[String], place: &str) -> Fault {
    let problem = format!("it is not clear which column has the {what}: the columns are {}", listed(first));
    fault(place, problem, format!("say it with {option}, by name or by number from 1"))
}

/// The columns by number and name, or by what the first row has there.
fn listed(first: &[String]) -> String {
    const SHOWN: usize = 8;
    let named = |(at, name): (usize, &String)| format!("{} ({})", at + 1, quoted(name.trim()));
    let mut text = first.iter().enumerate().take(SHOWN).map(named).collect::<Vec<_>>().join(", ");
    if first.len() > SHOWN {
        text += ", …";
    }
    text
}

fn is_numbering(name: &str) -> bool {
    NUMBERING.contains(&name.trim().to_lowercase().as_str())
}

/// Whether a record could be a header: short names, and no number.
fn is_plausible(first: &[String]) -> bool {
    let short = |field: &String| {
        let field = field.trim();
        field.chars().count() <= 40
            && field.split_whitespace().count() <= 3
            && (field.is_empty() || number(field).is_none())
    };
    first.iter().all(short) && first.iter().any(|field| !field.trim().is_empty())
}

/// Whether the first record is a header although its names alone do not say it: it has short names where the texts of the others have more words, or where they are
/// single words names that columns have; and its label is no label of the others, which come again and again or are numbers.
fn is_header(records: &[Vec<String>], label: usize, text: usize, task: Task) -> bool {
    let [first, others @ ..] = records else { return false };
    let texts = Content::of(others, text);
    let own_words = first[text].split_whitespace().count();
    // A name of several words must be far shorter than the texts, and these many.
    let is_name = own_words == 1 || others.len() >= 8 && texts.words >= 2 * own_words * texts.values.len();
    let is_heading = |name: &&String| {
        let name = name.trim().to_lowercase();
        [&HEADINGS[..], &LABEL_NAMES, &TEXT_NAMES].iter().any(|names| names.contains(&name.as_str()))
    };
    // A class that occurs once, with a short text, looks as a header does.
    let is_told = texts.words >= 3 * texts.values.len() || [&first[label], &first[text]].iter().any(is_heading);
    if others.len() < 2 || !is_plausible(first) || !is_name || !is_told {
        return false;
    }
    let own = first[label].trim();
    let labels: Vec<&str> = others.iter().filter_map(|row| row.get(label)).map(|field| field.trim()).collect();
    if task.has_values() {
        return own.split_whitespace().any(|word| number(word).is_none())
            && labels.iter().all(|label| label.split_whitespace().all(|word| number(word).is_some()));
    }
    if number(own).is_none() && labels.iter().all(|label| number(label).is_some()) {
        return !task.each_step();
    }
    let distinct: HashSet<&&str> = labels.iter().collect();
    !task.each_step() && !distinct.contains(&own) && 2 * distinct.len() <= labels.len()
}

/// What the first rows have in a column.
struct Content {
    values: Vec<String>,
    distinct: usize,
    characters: usize,
    words: usize,
}

impl Content {
    fn of(records: &[Vec<String>], column: usize) -> Self {
        let values: Vec<String> = records
            .iter()
            .filter_map(|row| row.get(column))
            .map(|field| field.trim().to_owned())
            .filter(|field| !field.is_empty())
            .collect();
        Content {
            distinct: values.iter().collect::<HashSet<_>>().len(),
            characters: values.iter().map(|value| value.chars().count()).sum(),
            words: values.iter().map(|value| value.split_whitespace().count()).sum(),
            values,
        }
    }

    /// Whether its values come again.
    fn repeats(&self) -> bool {
        !self.values.is_empty() && 2 * self.distinct <= self.values.len()
    }

    /// Whether all values, but for a header, are numbers, or one for each token.
    fn is_numbers(&self) -> bool {
        let numbers = |value: &String| value.split_whitespace().all(|word| number(word).is_some());
        let others = self.values.iter().filter(|value| !numbers(value)).count();
        !self.values.is_empty() && others <= usize::from(self.values.len() > 1 && !numbers(&self.values[0]))
    }

    /// Whether all values are words that are labels everywhere.
    fn is_known(&self) -> bool {
        let known = |value: &String| KNOWN_LABELS.iter().any(|label| value.eq_ignore_ascii_case(label));
        !self.values.is_empty() && self.values.iter().all(|value| known(value) || number(value).is_some())
    }

    fn is_single_words(&self) -> bool {
        self.values.iter().all(|value| !value.contains(char::is_whitespace))
    }
}

/// Of two columns without names, whether the second has the labels; the first has where nothing speaks against it.
fn label_is_second(records: &[Vec<String>], task: Task) -> bool {
    let [first, second] = [0, 1].map(|column| Content::of(records, column));
    if task.each_step() {
        let words = |content: &Content| {
            content.values.iter().flat_map(|value| value.split_whitespace()).collect::<HashSet<_>>().len()
        };
        return match (first.is_numbers(), second.is_numbers()) {
            (false, true) => true,
            (true, false) => false,
            _ => words(&second) < words(&first),
        };
    }
    if task.has_values() {
        return second.is_numbers() && !first.is_numbers();
    }
    match (first.repeats(), second.repeats()) {
        (true, false) => false,
        (false, true) if second.characters <= first.characters => true,
        // The names of classes may be longer than texts of one word, where they come again and again.
        (false, true) if second.distinct > 1 && 10 * second.distinct <= second.values.len() => true,
        _ if first.is_known() || first.is_numbers() => false,
        _ if second.is_known() || second.is_numbers() => true,
        _ => second.is_single_words() && first.words >= 2 * first.values.len() && !first.values.is_empty(),
    }
}

/// The label and the text among several columns of which the names say at most one.
fn guess(
    body: &[Vec<String>],
    first: &[String],
    names: bool,
    label: Option<usize>,
    text: Option<usize>,
    task: Task,
    place: &str,
) -> Result<(usize, usize), Fault> {
    let contents: Vec<Content> = (0..first.len()).map(|column| Content::of(body, column)).collect();
    let candidates: Vec<usize> = (0..first.len())
        .filter(|&at| Some(at) != label && Some(at) != text)
        .filter(|&at| !(contents[at].values.is_empty() || names && is_numbering(&first[at])))
        .collect();
    let text = match text {
        Some(text) => text,
        None => {
            // The longest, by a fifth at least.
            let mut by_length = candidates.clone();
            by_length.sort_by_key(|&at| std::cmp::Reverse(contents[at].characters));
            match by_length[..] {
                [one] => one,
                [longest, second, ..] if 4 * contents[longest].characters >= 5 * contents[second].characters => longest,
                _ => return Err(unclear("texts", "--text-column", first, place)),
            }
        }
    };
    let label = match label {
        Some(label) => label,
        None => {
            let is_label = |&at: &usize| {
                let content = &contents[at];
                at != text
                    && content.distinct > 1
                    && if task.has_values() { content.is_numbers() } else { content.repeats() }
            };
            match candidates.iter().copied().filter(is_label).collect::<Vec<_>>()[..] {
                [one] => one,
                _ => return Err(unclear("labels", "--label-column", first, place)),
            }
        }
    };
    Ok((label, text))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fault_of, load_bytes};
    use super::super::{Dataset, Part, Reading};
    use super::*;

    /// What is taken of a file `a.csv`.
    fn taken(text: &str) -> (String, String, String) {
        let set = load_bytes("a.csv", text.as_bytes()).unwrap();
        (set.classes.join(" "), set.examples[0].text.clone(), set.layout)
    }

    const ROWS: [(&str, &str); 4] = [
        ("ham", "are you coming home for dinner tonight"),
        ("spam", "win a free prize and call this number now"),
        ("ham", "ok see you there in ten minutes then"),
        ("spam", "urgent you have won a holiday so claim it"),
    ];

    fn rows(row: impl Fn(usize, &str, &str) -> String) -> String {
        ROWS.iter()
            .cycle()
            .take(12)
            .enumerate()
            .map(|(at, (label, text))| row(at, label, &format!("{text} {at}")) + "\n")
            .collect()
    }

    #[test]
    fn names_that_people_give_their_columns_are_known_in_any_order_and_case() {
        let body = rows(|at, label, text| format!("{at},{text},{label}"));
        for (label, text) in
            [("class", "message"), ("Category", "Sentence"), ("target", "content"), ("sentiment", "tweet")]
        {
            let (classes, first, layout) = taken(&format!("id,{text},{label}\n{body}"));
            assert_eq!((classes.as_str(), first.as_str()), ("ham spam", "are you coming home for dinner tonight 0"));
            assert_eq!(layout, format!("label column {label}, text column {text}"));
        }
    }

    #[test]
    fn columns_without_a_known_name_are_chosen_by_their_content() {
        let sms = rows(|_, label, text| format!("{label},\"{text}, he said\",,,"));
        let (classes, first, layout) = taken(&format!("v1,v2,,,\n{sms}"));
        assert_eq!((classes.as_str(), layout.as_str()), ("ham spam", "label column v1, text column v2"));
        assert_eq!(first, "are you coming home for dinner tonight 0, he said");
        let three = rows(|at, label, text| format!("{at},{text},{label}"));
        assert_eq!(taken(&three).2, "label column 3, text column 2, no header");
        let two = rows(|_, label, text| format!("{text},{label}"));
        assert_eq!(taken(&two).2, "label column 2, text column 1, no header");
        assert_eq!(taken(&format!("what,kind\n{two}")).0, "kind ham spam".replace("kind ", ""));
    }

    #[test]
    fn a_line_without_a_separator_is_refused_by_its_number_and_moves_no_column() {
        let message = fault_of("a.tsv", b"1\tgood\nno tab\n0\tbad\n");
        assert!(message.contains("a.tsv:2"), "{message}");
    }

    #[test]
    fn a_header_of_several_words_is_a_header_and_no_class_of_its_own() {
        let two = rows(|_, label, text| format!("{text},{label}"));
        let (classes, first, layout) = taken(&format!("Customer said,Ticket type\n{two}"));
        assert_eq!((classes.as_str(), first.as_str()), ("ham spam", "are you coming home for dinner tonight 0"));
        assert_eq!(layout, "label column Ticket type, text column Customer said");
        let stars = rows(|at, _, text| format!("{at},{},{text}", 1 + at % 4));
        let (classes, _, layout) = taken(&format!("id,Stars,Review Text\n{stars}"));
        assert_eq!((classes.as_str(), layout.as_str()), ("1 2 3 4", "label column Stars, text column Review Text"));
    }

    #[test]
    fn a_header_above_single_words_is_no_class() {
        let names = ["Adam", "Ahearn", "Abl", "Chalupka", "Blober", "Zaruba"];
        let body: String =
            (0..12).map(|at| format!("{}{at},{}\n", names[at % 6], ["Irish", "Czech"][at / 2 % 2])).collect();
        for heading in ["name,language", "Surname,Nationality", "word,sort"] {
            let (classes, first, layout) = taken(&format!("{heading}\n{body}"));
            assert_eq!((classes.as_str(), first.as_str()), ("Czech Irish", "Adam0"), "{heading}");
            let (text, label) = heading.split_once(',').unwrap();
            assert_eq!(layout, format!("label column {label}, text column {text}"));
        }
        // Names of classes that are longer than the texts.
        let short: String = (0..60).map(|at| format!("N{at},{}\n", ["Norwegian", "Portuguese"][at % 2])).collect();
        let (classes, first, _) = taken(&format!("name,language\n{short}"));
        assert_eq!((classes.as_str(), first.as_str()), ("Norwegian Portuguese", "N0"));
        // One text again and again is no class of its own.
        let same: String = (0..60).map(|at| format!("user{at}\ta fine film\n")).collect();
        assert_eq!(load_bytes("a.tsv", same.as_bytes()).unwrap().classes.len(), 60);
        // A row as the others, whose class occurs once.
        let (classes, first, _) = taken(&format!("Adamos,Greek\n{body}"));
        assert_eq!((classes.as_str(), first.as_str()), ("Czech Greek Irish", "Adamos"));
    }

    #[test]
    fn a_class_that_occurs_once_in_the_first_row_is_no_header() {
        let (classes, first, _) =
            taken(&format!("sport,a goal in the last minute\n{}", rows(|_, label, text| format!("{label},{text}"))));
        assert_eq!((classes.as_str(), first.as_str()), ("ham spam sport", "a goal in the last minute"));
    }

    #[test]
    fn columns_that_could_both_be_meant_are_a_fault_until_they_are_named() {
        let text = format!(
            "kind,source,words\n{}",
            rows(|at, label, text| format!("{label},{},{text}", ["a", "b"][at / 2 % 2]))
        );
        let message = fault_of("a.csv", text.as_bytes());
        assert!(
            message
                .contains("which column has the labels: the columns are 1 (\"kind\"), 2 (\"source\"), 3 (\"words\")"),
            "{message}"
        );
        assert!(message.contains("say it with --label-column"), "{message}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, &text).unwrap();
        let load = |label: Option<&str>, text: Option<&str>| {
            let own = |name: Option<&str>| name.map(str::to_owned);
            let columns = Columns { label: own(label), text: own(text), ..Columns::default() };
            Dataset::<u32>::load_for(&path, Part::Train, &Reading::default().within(columns))
        };
        for (label, classes) in [("kind", "ham spam"), ("Source", "a b"), ("1", "ham spam"), ("2", "a b")] {
            let set = load(Some(label), None).unwrap();
            assert_eq!((set.classes.join(" ").as_str(), set.examples.len()), (classes, 12), "{label}");
        }
        let message = load(Some("sort"), None).unwrap_err().to_string();
        assert!(
            message.starts_with("--label-column: ")
                && message.contains("has no column \"sort\"; its columns are 1 (\"kind\")"),
            "{message}"
        );
        assert!(load(Some("4"), None).is_err() && load(Some("0"), None).is_err());
        let message = load(Some("3"), Some("words")).unwrap_err().to_string();
        assert!(message.contains("both in column 3"), "{message}");
        let several = format!("class,category,text\n{}", rows(|_, label, text| format!("{label},{label},{text}")));
        assert!(fault_of("a.csv", several.as_bytes()).contains("which column has the labels"));
    }

    #[test]
    fn a_number_is_guessed_to_be_the_label_of_a_task_of_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, rows(|at, _, text| format!("{text},{}", 0.5 * at as f64))).unwrap();
        let set = Dataset::<crate::dataset::Label>::load_for(&path, Part::Train, &Reading::of(Task::Regress)).unwrap();
        assert_eq!(set.layout, "label column 2, text column 1, no header");
        assert_eq!(set.examples[3].label, crate::dataset::Label::Value(1.5));
    }
}
