//! Which format a path has, and which file of a folder is meant.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::lines::Lines;
use super::{Part, Source, Task, acl_imdb, csv, json_lines, tsv};
use crate::error::{fault, open_file, reading};

/// How a text file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Tsv,
    Csv,
    JsonLines,
}

const EXTENSIONS: [(&str, Format); 4] =
    [(".tsv", Format::Tsv), (".csv", Format::Csv), (".jsonl", Format::JsonLines), (".ndjson", Format::JsonLines)];

/// The format that the name of `path` promises, whether it is said to be compressed, and the name without its extensions.
fn recognise(path: &Path) -> Option<(Format, bool, String)> {
    let name = path.file_name()?.to_string_lossy();
    let lower = name.to_ascii_lowercase();
    let (stem, compressed) = match lower.strip_suffix(".gz") {
        Some(stem) => (stem, true),
        None => (lower.as_str(), false),
    };
    let (extension, format) = EXTENSIONS.iter().find(|(extension, _)| stem.ends_with(extension))?;
    Some((*format, compressed, name[..stem.len() - extension.len()].to_owned()))
}

/// What to call the data set at `path`: its file name without the extensions above.
pub(super) fn name(path: &Path) -> String {
    if let Some((_, _, name)) = recognise(path)
        && !name.is_empty()
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

/// The file, or the folder with `pos/` and `neg/`, that `path` and `part` mean.
pub(super) fn locate(path: &Path, part: Part) -> Result<PathBuf> {
    let metadata = fs::metadata(path).map_err(|error| reading(path, error))?;
    if !metadata.is_dir() || acl_imdb::is_part(path) {
        return Ok(path.to_path_buf());
    }
    let folder = path.join(part.name());
    if acl_imdb::is_part(&folder) {
        return Ok(folder);
    }
    for (extension, _) in EXTENSIONS {
        for compressed in ["", ".gz"] {
            let file = path.join(format!("{part}{extension}{compressed}"));
            if file.is_file() {
                return Ok(file);
            }
        }
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
            format!("this folder has no {part} data: no pos/ and neg/, no {part}/pos/ and {part}/neg/, no file such as {part}.tsv"),
            "name a folder that has, or a .tsv, .csv or .jsonl file",
        ),
    }
    .into())
}

/// Opens what [`locate`] found.
pub(super) fn open(path: &Path, task: Task) -> Result<Box<dyn Source>> {
    if path.is_dir() {
        if !matches!(task, Task::Verdict | Task::Classes(_)) {
            return Err(fault(
                path.display(),
                "a folder with pos/ and neg/ has two classes and no other labels",
                "name a .tsv, .csv or .jsonl file",
            )
            .into());
        }
        return Ok(Box::new(acl_imdb::Reviews::open(path)?));
    }
    let Some((format, compressed, _)) = recognise(path) else {
        // A file that cannot be read has a graver problem than its name.
        open_file(path)?;
        return Err(fault(
            path.display(),
            "the format of this file is not known from its name",
            "let the name end in .tsv, .csv, .jsonl or .ndjson, or in one of these and .gz",
        )
        .into());
    };
    let lines = Lines::open(path, compressed)?;
    Ok(match format {
        Format::Tsv => Box::new(tsv::Rows::new(lines, task)),
        Format::Csv => Box::new(csv::Records::new(lines, task)),
        Format::JsonLines => Box::new(json_lines::Objects::new(lines, task)),
    })
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
        let files: [(&str, &[u8]); 4] = [
            ("x.tsv", b"\xef\xbb\xbf0\tbad film\r\n1\tgood film"),
            ("x.csv", b"\xef\xbb\xbflabel,text\r\n0,bad film\r\n1,\"good film\"\r\n"),
            ("x.jsonl", b"\xef\xbb\xbf{\"label\":0,\"text\":\"bad film\"}\r\n{\"label\":1,\"text\":\"good film\"}"),
            ("x.ndjson", b"{\"label\":\"neg\",\"text\":\"bad film\"}\n\n{\"label\":\"pos\",\"text\":\"good film\"}\n"),
        ];
        for (name, bytes) in files {
            assert_eq!(load_bytes(name, bytes).unwrap(), expected, "{name}");
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
        // UTF-16 with its mark.
        assert!(fault_of("x.csv", b"\xff\xfe0\0,\0").contains("byte offset 0 "));
    }

    #[test]
    fn an_unknown_extension_and_a_missing_file_are_faults() {
        assert!(fault_of("x.xlsx", ROWS).contains(".tsv, .csv, .jsonl"));
        assert!(fault_of("x.gz", &gzip(ROWS)).contains(".tsv, .csv, .jsonl"));
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
        let dull = Example { label: 0, text: "dull".into() };
        assert_eq!(load(Part::Test).unwrap().examples[0], dull);
        let error = load(Part::Valid).unwrap_err();
        assert_eq!(exit_code(&error), 2);
        assert!(error.to_string().contains("no valid data"), "{error}");
    }
}
