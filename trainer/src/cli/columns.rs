//! The options that say where labels and texts are in labelled data, wherever a verb reads some.

use std::collections::BTreeMap;

use crate::dataset::Columns;
use crate::error::Fault;

/// Where labels and texts are.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct ColumnArgs {
    /// Column of the labels, by name or by number from 1; in JSON lines the key [default: found by its name or content]
    #[arg(long, value_name = "NAME|NUMBER")]
    pub(super) label_column: Option<String>,
    /// Column of the texts, by name or by number from 1
    #[arg(long, value_name = "NAME|NUMBER")]
    pub(super) text_column: Option<String>,
    /// Regular expression that finds the label in each line, as its first group, such as '^(\w+): '. The rest of the line is the text
    #[arg(long, value_name = "REGEX", conflicts_with_all = ["label_column", "text_column"])]
    pub(super) label_pattern: Option<String>,
    /// Rename labels, as in ham=no,spam=yes; may be repeated. A label with a comma stands alone: 'Sales, EU=sales'
    #[arg(long, value_name = "LABEL=CLASS,…", value_parser = parse_map)]
    pub(super) label_map: Vec<LabelMap>,
    /// Encoding of the texts, such as latin-1, windows-1252 or mac-roman [default: UTF-8, or UTF-16 by its byte-order mark]
    #[arg(long, value_name = "NAME")]
    pub(super) encoding: Option<String>,
}

/// `--label-map`.
pub(super) type LabelMap = BTreeMap<String, String>;

fn parse_map(text: &str) -> Result<LabelMap, String> {
    Columns::parse_map(text)
}

impl ColumnArgs {
    /// What was asked for.
    ///
    /// # Errors
    /// A fault where a label is to be read as two classes.
    pub(super) fn columns(&self) -> Result<Columns, Fault> {
        let ColumnArgs { label_column: label, text_column: text, label_pattern: pattern, label_map, encoding } =
            self.clone();
        Ok(Columns { label, text, pattern, map: Columns::joined(label_map)?, encoding })
    }
}
