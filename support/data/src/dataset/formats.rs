//! Which format a path has, and which file of a folder is meant.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::folders::{self, ByFiles, Classes, Texts};
use super::lines::{HEAD, Lines};
use super::table::{Promise, Table};
use super::{Columns, Part, Reading, Source, Task, csv, encoding, json_lines, pattern, tsv};
use crate::error::{fault, reading};

/// What the name of a text file says of its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Table(Promise),
    /// Objects, one a line or all in a list.
    Json,
    /// Nothing: the content says it.
    Unknown,
}

const EXTENSIONS: [(&str, Format); 7] = [
    (".tsv", Format::Table(Promise::Tabs)),
    (".csv", Format::Table(Promise::Commas)),
    (".jsonl", Format::Json),
    (".ndjson", Format::Json),
    (".json", Format::Json),
    (".label", Format::Unknown),
    (".txt", Format::Unknown),
];

/// The format that the name of `path` promises, whether it is said to be compressed, and the name without its extensions.
fn recognise(path: &Path) -> Option<(Format, bool, String)> {
    let name = path.file_name()?.to_string_lossy();
    let lower = name.to_ascii_lowercase();
    let (stem, compressed) = match lower.strip_suffix(".gz") {
        Some(stem) => (stem, true),
        None => (lower.as_str(), false),
    };
    let known = EXTENSIONS.iter().find(|(extension, _)| stem.ends_with(extension));
    let (extension, format) = known.copied().unwrap_or(("", Format::Unknown));
    Some((format, compressed, name[..stem.len() - extension.len()].to_owned()))
}

/// What to call the data set at `path`: its file name without the extensions above.
pub(crate) fn name(path: &Path) -> String {
    if let Some((_, _, name)) = recognise(path)
        && !name.is_empty()
        && !path.is_dir()
    {
        return name;
    }
    // `.` and `..` have a name only once they are resolved.
    let resolved = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    match resolved.file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => "data".to_owned(),
    }
}

/// The files and folders of `folder` that are called as `part` is, those with its usual name first.
fn candidates(folder: &Path, part: Part) -> Vec<PathBuf> {
    let of_name = |name: &&'static str| {
        let files = EXTENSIONS.iter().flat_map(|(extension, _)| ["", ".gz"].map(|gz| format!("{extension}{gz}")));
        let files = files.map(|end| folder.join(format!("{name}{end}"))).filter(|file| file.is_file());
        let below = folder.join(name);
        (below.is_dir() && Classes::of(&below).is_some()).then_some(below).into_iter().chain(files).collect::<Vec<_>>()
    };
    part.names().iter().flat_map(of_name).collect()
}

/// The file, or the folder of classes, that `path` and `part` mean.
pub(super) fn locate(path: &Path, part: Part) -> Result<PathBuf> {
    let metadata = fs::metadata(path).map_err(|error| reading(path, error))?;
    if !metadata.is_dir() || folders::reviews(path).is_some() {
        return Ok(path.to_path_buf());
    }
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match &candidates(path, part)[..] {
        [] => {}
        [one] => return Ok(one.clone()),
        several => {
            let names = several.iter().map(name).collect::<Vec<_>>().join(" and ");
            let problem = format!("{names} could each be the {part} part");
            return Err(fault(path.display(), problem, "move all but one elsewhere, or name the file itself").into());
        }
    }
    let has_parts = Part::ALL.iter().any(|&other| !candidates(path, other).is_empty());
    if !has_parts && Classes::of(path).is_some() {
        return Ok(path.to_path_buf());
    }
    let place = path.display();
    Err(match ["pos", "neg"].map(|class| path.join(class).is_dir()) {
        [true, false] => fault(place, "it has a folder pos/ but no folder neg/", "add the negative reviews as neg/*.txt"),
        [false, true] => fault(place, "it has a folder neg/ but no folder pos/", "add the positive reviews as pos/*.txt"),
        _ if path.join("aclImdb").is_dir() => {
            fault(place, "the data lies one folder deeper", format!("name {}", path.join("aclImdb").display()))
        }
        _ => fault(
            place,
            format!("this folder has no {part} data: no file such as {part}.csv, no folder {part}/, and no folder or .txt file for each class"),
            "name a folder that has, or a .csv, .tsv, .json or .jsonl file",
        ),
    }
    .into())
}

/// Whether `path` is a folder that has `part` as a file or folder of its own.
pub(super) fn has_part(path: &Path, part: Part) -> bool {
    path.is_dir() && folders::reviews(path).is_none() && !candidates(path, part).is_empty()
}

/// Opens what [`locate`] found.
pub(super) fn open(path: &Path, reading: &Reading) -> Result<Box<dyn Source>> {
    let Reading { task, columns, .. } = reading;
    let asked = columns.encoding.as_deref().map(encoding::named).transpose()?;
    let pattern = columns.pattern.as_deref().map(pattern::compiled).transpose()?;
    if path.is_dir() {
        return open_classes(path, *task, columns, asked);
    }
    let (format, compressed, _) = recognise(path).unwrap_or((Format::Unknown, false, String::new()));
    let mut lines = Lines::open(path, compressed, asked)?;
    let head = lines.checked_head()?;
    if let Some(pattern) = pattern {
        return Ok(Box::new(pattern::Matches::new(lines, pattern)));
    }
    let head = String::from_utf8_lossy(&head);
    // A record that is cut off tells nothing, unless it is the only one.
    let head = match head.rfind('\n') {
        Some(end) if head.len() as u64 >= HEAD - 8 => &head[..end],
        _ => &head,
    };
    let start = head.trim_start();
    let is_list = match format {
        Format::Json => start.starts_with('['),
        Format::Unknown => start.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with('{')),
        Format::Table(_) => false,
    };
    let promise = match format {
        Format::Json => None,
        Format::Unknown if is_list || start.starts_with('{') => None,
        Format::Unknown => Some(Promise::Nothing),
        Format::Table(promise) => Some(promise),
    };
    let Some(promise) = promise else {
        return Ok(Box::new(json_lines::Objects::new(lines, is_list, *task, columns.clone())));
    };
    let table = Table::of(head, promise, *task, columns, &path.display().to_string())?;
    Ok(if table.quoted {
        Box::new(csv::Records::new(lines, *task, table))
    } else {
        Box::new(tsv::Rows::new(lines, table))
    })
}

/// Opens a folder that names its classes.
fn open_classes(
    path: &Path,
    task: Task,
    columns: &Columns,
    asked: Option<&'static encoding_rs::Encoding>,
) -> Result<Box<dyn Source>> {
    let refuse = |problem: &str, remedy: &str| Err(fault(path.display(), problem, remedy).into());
    if !matches!(task, Task::Classify(_)) {
        return refuse("a folder of classes has no other labels than those", "name a .csv, .tsv, .json or .jsonl file");
    }
    for (option, given) in
        [("--label-pattern", &columns.pattern), ("--label-column", &columns.label), ("--text-column", &columns.text)]
    {
        if given.is_some() {
            return refuse(
                "a folder of classes names them itself, and has no columns",
                &format!("leave out {option}, or name a file"),
            );
        }
    }
    let classes = Classes::of(path);
    if let Some(classes) = &classes {
        classes.check()?;
    }
    match classes {
        Some(Classes::Folders(classes)) => Ok(Box::new(Texts::open(classes, asked)?)),
        Some(Classes::Files { files, others }) => Ok(Box::new(ByFiles::new(files, others, asked))),
        None => refuse(
            "this folder has neither a folder nor a .txt file for each class",
            "name a folder that has, or a file",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fault_of, load_bytes};
    use super::*;
    use crate::dataset::{Dataset, Example};
    use crate::error::exit_code;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    const ROWS: &[u8] = b"0\tbad film\n1\tgood film\n";

    #[test]
    fn every_format_gives_the_same_examples_plain_or_compressed() {
        let expected = load_bytes("x.tsv", ROWS).unwrap();
        let files: [(&str, &[u8]); 5] = [
            ("x.tsv", b"\xef\xbb\xbf0\tbad film\r\n1\tgood film"),
            ("x.csv", b"\xef\xbb\xbflabel,text\r\n0,bad film\r\n1,\"good film\"\r\n"),
            ("x.jsonl", b"\xef\xbb\xbf{\"label\":0,\"text\":\"bad film\"}\r\n{\"label\":1,\"text\":\"good film\"}"),
            ("x.json", b"[{\"label\":0,\"text\":\"bad film\"},\n {\"label\":1,\"text\":\"good film\"}]"),
            ("x.ndjson", b"{\"label\":\"neg\",\"text\":\"bad film\"}\n\n{\"label\":\"pos\",\"text\":\"good film\"}\n"),
        ];
        for (name, bytes) in files {
            let set = load_bytes(name, bytes).unwrap();
            assert_eq!((&set.examples, &set.sha256, &set.name), (&expected.examples, &expected.sha256, &expected.name));
            for name in [format!("{name}.gz"), name.to_uppercase() + ".GZ"] {
                let set = load_bytes(&name, &gzip(bytes)).unwrap();
                assert_eq!(set.sha256, expected.sha256, "{name}");
                assert_eq!(set.name.to_lowercase(), "x");
            }
        }
    }

    #[test]
    fn a_gzip_file_may_have_several_members_and_may_lack_its_extension() {
        let expected = load_bytes("x.tsv", ROWS).unwrap();
        let members = [gzip(&ROWS[..7]), gzip(&ROWS[7..])].concat();
        assert_eq!(load_bytes("x.tsv.gz", &members).unwrap(), expected);
        assert_eq!(load_bytes("x.tsv", &members).unwrap(), expected);
    }

    #[test]
    fn every_truncation_of_a_gzip_file_is_a_fault() {
        let whole = gzip(ROWS);
        for length in 0..whole.len() {
            fault_of("x.tsv.gz", &whole[..length]);
        }
    }

    #[test]
    fn a_damaged_gzip_file_is_a_fault() {
        let mut bytes = gzip(ROWS);
        let checksum = bytes.len() - 8;
        bytes[checksum] ^= 1;
        assert!(fault_of("x.tsv.gz", &bytes).contains("damaged"));
        assert!(fault_of("x.tsv.gz", ROWS).contains("not compressed"));
    }

    #[test]
    fn ten_megabytes_in_one_line_are_a_fault_in_every_format() {
        let long = "x".repeat(10_000_000);
        for (name, text) in [
            ("x.tsv", format!("0\tbad\n1\t{long}\n")),
            ("x.csv", format!("0,bad\n1,{long}\n")),
            ("x.jsonl", format!("{{\"label\":0,\"text\":\"bad\"}}\n{{\"label\":1,\"text\":\"{long}\"}}\n")),
        ] {
            for (name, bytes) in
                [(name.to_owned(), text.clone().into_bytes()), (format!("{name}.gz"), gzip(text.as_bytes()))]
            {
                let message = fault_of(&name, &bytes);
                assert!(message.contains(&format!("{name}:2: this text is longer")), "{message}");
            }
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_a_fault_with_their_offset() {
        let message = fault_of("x.tsv", b"0\tbad\n1\tgo\xffod\n");
        assert!(message.contains("x.tsv:2: ") && message.contains("byte offset 10 "), "{message}");
        let message = fault_of("x.tsv", b"\xef\xbb\xbf0\tb\xe9d\n");
        assert!(message.contains("x.tsv:1: ") && message.contains("byte offset 6 "), "{message}");
    }

    #[test]
    fn a_file_that_is_no_text_and_a_missing_one_are_faults() {
        assert!(fault_of("x.csv", b"0,bad\0\n1,good").contains("not a text file"));
        assert!(fault_of("x.json", b"[{\"label\":0}]").contains("x.json:1: the object has no text"));
        assert!(fault_of("x", b"hello\nyou\n").contains("no tab, comma, semicolon or vertical bar"));
        let error = Dataset::load(Path::new("/no/such/set.tsv")).unwrap_err();
        assert_eq!(exit_code(&error), 2);
        assert!(error.to_string().contains("/no/such/set.tsv"), "{error}");
    }

    #[test]
    fn a_folder_of_parts_gives_the_part_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train.tsv.gz"), gzip(ROWS)).unwrap();
        std::fs::write(folder.path().join("test.csv"), "0,dull\n1,nice\n").unwrap();
        let load = |part| Dataset::load_part(folder.path(), part);
        assert_eq!(load(Part::Train).unwrap().examples[0].text, "bad film");
        let dull = Example::new(0, "dull");
        assert_eq!(load(Part::Test).unwrap().examples[0], dull);
        assert!(has_part(folder.path(), Part::Test) && !has_part(folder.path(), Part::Valid));
        assert!(!has_part(&folder.path().join("test.csv"), Part::Test));
        let error = load(Part::Valid).unwrap_err();
        assert_eq!(exit_code(&error), 2);
        assert!(error.to_string().contains("no valid data"), "{error}");
        for name in ["dev.csv", "val.jsonl", "validation.tsv"] {
            let text = if name.ends_with("jsonl") {
                "{\"label\":0,\"text\":\"a\"}\n{\"label\":1,\"text\":\"b\"}"
            } else {
                "0,a\n1,b\n"
            };
            let text = if name.ends_with("tsv") { text.replace(',', "\t") } else { text.to_owned() };
            std::fs::write(folder.path().join(name), text).unwrap();
            assert_eq!(load(Part::Valid).unwrap().examples.len(), 2, "{name}");
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
    }

    #[test]
    fn a_file_without_an_extension_is_read_as_what_it_is() {
        let expected = load_bytes("x.tsv", ROWS).unwrap();
        let json = "{\"label\":0,\"text\":\"bad film\"}\n{\"label\":1,\"text\":\"good film\"}\n";
        for bytes in [ROWS, b"0,bad film\n1,good film\n", b"label;text\n0;bad film\n1;good film\n", json.as_bytes()] {
            for name in ["SMSSpamCollection", "x.txt", "x.data"] {
                let set = load_bytes(name, bytes).unwrap();
                assert_eq!((set.sha256.as_str(), set.examples.len()), (expected.sha256.as_str(), 2), "{name}");
            }
            assert_eq!(load_bytes("x.gz", &gzip(bytes)).unwrap().sha256, expected.sha256);
        }
    }

    #[test]
    fn a_table_is_read_with_the_separator_that_it_has_and_that_is_said() {
        let semicolons = load_bytes("x.csv", b"label;text\nham;\"hello; you, too\"\nspam;win, now\n").unwrap();
        assert_eq!(semicolons.examples[0].text, "hello; you, too");
        assert_eq!(semicolons.layout, "separated by semicolons");
        let tabs = load_bytes("x.csv", b"label\ttext\nham\t\"hello, you\"\nspam\twin\n").unwrap();
        assert_eq!((tabs.examples[0].text.as_str(), tabs.classes.join(" ")), ("hello, you", "ham spam".to_owned()));
        assert!(tabs.layout.ends_with("separated by tabs"), "{}", tabs.layout);
        let commas = load_bytes("x.csv", b"ham,\"a; b\"\nspam,\"c; d\"\n").unwrap();
        assert_eq!(commas.layout, "");
        let bars = load_bytes("x.csv", b"label|text\nham|hello, you; too\nspam|win, now\n").unwrap();
        assert_eq!(
            (bars.examples[0].text.as_str(), bars.layout.as_str()),
            ("hello, you; too", "separated by vertical bars")
        );
        let odd = load_bytes("x.csv", b"ham,a | b\nspam,c | d | e\n").unwrap();
        assert_eq!(odd.examples[1].text, "c | d | e");
    }
    #[test]
    fn lines_may_end_with_a_carriage_return_alone() {
        let expected = load_bytes("x.tsv", ROWS).unwrap();
        for (name, text) in [
            ("x.tsv", "0\tbad film\r1\tgood film\r"),
            ("x.csv", "label,text\r0,bad film\r1,\"good film\""),
            ("x.jsonl", "{\"label\":0,\"text\":\"bad film\"}\r\r{\"label\":1,\"text\":\"good film\"}\r"),
        ] {
            assert_eq!(load_bytes(name, text.as_bytes()).unwrap().sha256, expected.sha256, "{name}");
        }
        assert!(fault_of("x.csv", b"label,text\r0,bad\r,good\r").contains("x.csv:3: the label is empty"));
    }

    #[test]
    fn two_files_for_one_part_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| std::fs::write(folder.path().join(name), "0\ta\n1\tb\n").unwrap();
        let refused = |part| {
            let error = locate(folder.path(), part).unwrap_err();
            assert_eq!(exit_code(&error), 2);
            error.to_string()
        };
        ["train.csv", "train.tsv", "valid.tsv", "dev.tsv", "test.tsv"].into_iter().for_each(write);
        assert!(refused(Part::Train).contains("train.tsv and train.csv could each be the train part"));
        assert!(refused(Part::Valid).contains("valid.tsv and dev.tsv could each be the valid part"));
        assert!(has_part(folder.path(), Part::Valid));
        assert_eq!(locate(folder.path(), Part::Test).unwrap(), folder.path().join("test.tsv"));
    }
}
