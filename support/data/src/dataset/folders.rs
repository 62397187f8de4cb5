//! Folders that name their classes: one folder for each class with one text in each file, or one file for each class with one text on each line.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Result;
use encoding_rs::Encoding;

use super::classes::plain;
use super::lines::{Lines, MAX_LINE, not_utf8, too_long};
use super::{Part, Place, Row, Source, encoding, quoted};
use crate::composed::composed;
use crate::error::{Fault, fault, open_file, reading};
use crate::shown::shown;

/// The names of the two folders of reviews, as published and as some write them; the classes are called as in the first line.
const REVIEWS: [[&str; 2]; 2] = [["neg", "pos"], ["negative", "positive"]];

/// Folders that have no class: reviews without a label, and what an archive holds besides.
const NO_CLASS: [&str; 3] = ["unsup", "aclimdb", "__macosx"];

/// Files beside the data, by their names without an extension.
const NO_DATA: [&str; 10] =
    ["license", "licence", "copying", "notice", "readme", "authors", "changelog", "sources", "citation", "index"];

/// A class by its name and its file or folder.
pub(crate) type Class = (String, PathBuf);

/// How a folder names its classes.
pub(crate) enum Classes {
    /// A folder each.
    Folders(Vec<Class>),
    /// A file each; the files beside them are left out.
    Files { files: Vec<Class>, others: Vec<String> },
}

impl Classes {
    /// The classes of `folder`; `None` where it has none.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        if let Some(names) = reviews(folder) {
            let classes = names.iter().zip(REVIEWS[0]).map(|(name, class)| (class.to_owned(), folder.join(name)));
            return Some(Classes::Folders(classes.collect()));
        }
        let folders = class_folders(folder, has_text);
        let (mut files, mut others) = (Vec::new(), Vec::new());
        for (name, path) in entries(folder)? {
            if !path.is_dir() {
                match stem(&name) {
                    Some(stem) if is_data(&stem) => files.push((stem, path)),
                    _ => others.push(name),
                }
            }
        }
        match (folders.len(), files.len()) {
            (2.., 0) => Some(Classes::Folders(folders)),
            (0, 2..) => Some(Classes::Files { files, others }),
            _ => None,
        }
    }

    /// Checks that each file or folder names a class of its own.
    ///
    /// # Errors
    /// A [`Fault`] that names two of one class, or one whose name is not UTF-8.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let (Classes::Folders(classes) | Classes::Files { files: classes, .. }) = self;
        let mut known: HashMap<String, &Path> = HashMap::new();
        for (name, path) in classes {
            if path.file_name().is_some_and(|name| name.to_str().is_none()) {
                let problem = "its name is the class, and is not UTF-8";
                return Err(fault(path.display(), problem, "rename it"));
            }
            // As labels are read.
            if let Some(other) = known.insert(composed(plain(name)).into_owned(), path) {
                let of = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let problem = format!("{} and {} are one class, {}", of(other), of(path), quoted(name));
                let place = path.parent().unwrap_or(path);
                return Err(fault(place.display(), problem, "remove one of them, or rename it"));
            }
        }
        Ok(())
    }
}

/// The names and paths in a folder, in order, without those that are hidden or hold no class.
fn entries(folder: &Path) -> Option<Vec<Class>> {
    let mut names: Vec<OsString> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.file_name()).collect();
    names.sort_unstable();
    let entries = names.into_iter().map(|name| (name.to_string_lossy().into_owned(), folder.join(&name)));
    let is_visible = |(name, _): &Class| !name.starts_with('.') && !NO_CLASS.contains(&name.to_lowercase().as_str());
    Some(entries.filter(is_visible).collect())
}

/// The folders in `folder` that name classes: those that are no part of a set, and of which `has_data` says that they hold some.
pub(crate) fn class_folders(folder: &Path, has_data: impl Fn(&Path) -> bool) -> Vec<Class> {
    let is_part = |name: &str| Part::ALL.iter().any(|part| part.names().contains(&name.to_lowercase().as_str()));
    let is_class = |(name, path): &Class| path.is_dir() && !is_part(name) && has_data(path);
    entries(folder).unwrap_or_default().into_iter().filter(is_class).collect()
}

/// The folders of reviews that are there.
pub(super) fn reviews(folder: &Path) -> Option<[&'static str; 2]> {
    REVIEWS.into_iter().find(|names| names.iter().all(|class| folder.join(class).is_dir()))
}

/// The name of a text file without its extensions.
fn stem(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let length = [".txt", ".txt.gz"].iter().find_map(|end| Some(lower.strip_suffix(end)?.len()))?;
    Some(name[..length].to_owned()).filter(|stem| !stem.is_empty())
}

/// Whether a file is data by its name without an extension: neither a licence or the like nor a part of a set.
fn is_data(stem: &str) -> bool {
    let lower = stem.to_lowercase();
    !NO_DATA.contains(&lower.as_str()) && !Part::ALL.iter().any(|part| part.names().contains(&lower.as_str()))
}

/// Whether a file of a class's folder is a text: `*.txt`, or without an extension as in some published sets.
fn is_text(name: &OsString) -> bool {
    let path = Path::new(name);
    let has_no_extension = || path.extension().is_none() && is_data(&name.to_string_lossy());
    !name.to_string_lossy().starts_with('.')
        && (path.extension().is_some_and(|extension| extension == "txt") || has_no_extension())
}

fn has_text(folder: &Path) -> bool {
    fs::read_dir(folder)
        .is_ok_and(|entries| entries.flatten().any(|entry| is_text(&entry.file_name()) && entry.path().is_file()))
}

/// Reads a text from each file: one class after the other, each in the order of its file names.
///
/// The names are listed first; the texts are read one at a time. Files that do not end in `.txt` are ignored where some do.
pub(super) struct Texts {
    /// The files of all classes with the places of their classes, the next one last.
    files: Vec<(usize, OsString)>,
    classes: Vec<Class>,
    encoding: Option<&'static Encoding>,
    total: u64,
}

impl Texts {
    pub(super) fn open(classes: Vec<Class>, encoding: Option<&'static Encoding>) -> Result<Self> {
        let mut files = Vec::new();
        for (class, (_, folder)) in classes.iter().enumerate() {
            let mut names = Vec::new();
            for entry in fs::read_dir(folder).map_err(|error| reading(folder, error))? {
                let name = entry.map_err(|error| reading(folder, error))?.file_name();
                if is_text(&name) && !folder.join(&name).is_dir() {
                    names.push(name);
                }
            }
            let ends_in_txt = |name: &OsString| Path::new(name).extension().is_some();
            if names.iter().any(ends_in_txt) {
                names.retain(ends_in_txt);
            }
            if names.is_empty() {
                return Err(fault(
                    folder.display(),
                    "there is no text in this folder",
                    "put each text into a file of its own whose name ends in .txt",
                )
                .into());
            }
            names.sort_unstable();
            files.extend(names.into_iter().map(|name| (class, name)));
        }
        files.reverse();
        let total = files.len() as u64;
        Ok(Self { files, classes, encoding, total })
    }
}

/// The text of one file, without the line ends around it.
fn read(path: &Path, asked: Option<&'static Encoding>) -> Result<String> {
    let mut bytes = Vec::new();
    open_file(path)?.take(MAX_LINE as u64 + 1).read_to_end(&mut bytes).map_err(|error| reading(path, error))?;
    if bytes.len() > MAX_LINE {
        return Err(too_long(path.display()));
    }
    let text = match encoding::of(&bytes, asked) {
        Some(encoding) => encoding::decoded(&bytes, encoding).map_err(|at| {
            let problem = format!("the text is not {} before byte offset {at}", encoding.name());
            fault(path.display(), problem, "name its encoding with --encoding")
        })?,
        None => String::from_utf8(bytes)
            .map_err(|error| not_utf8(path.display(), error.utf8_error(), 0, error.as_bytes()))?,
    };
    let bare = text.strip_prefix('\u{feff}').unwrap_or(&text).trim_matches(['\r', '\n']);
    Ok(if bare.len() == text.len() { text } else { bare.to_owned() })
}

impl Iterator for Texts {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        let (class, name) = self.files.pop()?;
        let (label, folder) = &self.classes[class];
        let path = folder.join(name);
        Some(read(&path, self.encoding).map(|text| Row {
            label: label.clone(),
            text,
            place: Place { path: path.into(), line: None },
        }))
    }
}

impl Source for Texts {
    fn layout(&self) -> Vec<String> {
        let encoding = self.encoding.map(|encoding| format!("encoding {}", encoding.name()));
        ["one folder for each class".to_owned()].into_iter().chain(encoding).collect()
    }

    fn progress(&self) -> (u64, u64) {
        (self.total - self.files.len() as u64, self.total)
    }
}

/// Reads a text from each line: one class's file after the other, in the order of their names.
pub(super) struct ByFiles {
    /// The files that are still to be read, the next one last.
    files: Vec<Class>,
    /// The file that is read, and its class.
    current: Option<(String, Lines)>,
    asked: Option<&'static Encoding>,
    /// What is said of the encoding.
    encoding: Option<String>,
    others: Vec<String>,
    total: u64,
}

impl ByFiles {
    pub(super) fn new(mut files: Vec<Class>, others: Vec<String>, asked: Option<&'static Encoding>) -> Self {
        files.reverse();
        let total = files.len() as u64;
        ByFiles { files, current: None, asked, encoding: None, others, total }
    }

    fn read(&mut self) -> Result<Option<Row>> {
        loop {
            if let Some((label, lines)) = &mut self.current {
                if lines.advance_to_text()? {
                    let row = Row { label: label.clone(), text: lines.line()?.trim().to_owned(), place: lines.place() };
                    return Ok(Some(row));
                }
                if lines.is_blank() {
                    let remedy = "write a text on each line, or move the file to another folder";
                    return Err(fault(lines.place(), "there is no text of this class", remedy).into());
                }
            }
            let Some((label, path)) = self.files.pop() else { return Ok(None) };
            let compressed = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
            let mut lines = Lines::open(&path, compressed, self.asked)?;
            // For what ends its lines.
            lines.checked_head()?;
            self.encoding = self.encoding.take().or(lines.encoding());
            self.current = Some((label, lines));
        }
    }
}

impl Iterator for ByFiles {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl Source for ByFiles {
    fn layout(&self) -> Vec<String> {
        const SHOWN: usize = 4;
        let mut others =
            self.others.iter().take(SHOWN).map(|name| shown(name).into_owned()).collect::<Vec<_>>().join(", ");
        if self.others.len() > SHOWN {
            others += &format!(" and {} more", self.others.len() - SHOWN);
        }
        let left_out = (!self.others.is_empty()).then(|| format!("{others} left out"));
        ["one file for each class".to_owned()].into_iter().chain(left_out).chain(self.encoding.clone()).collect()
    }

    fn progress(&self) -> (u64, u64) {
        (self.total - self.files.len() as u64, self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;
    use crate::dataset::{Dataset, Part};
    use crate::error::exit_code;

    fn folder_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        folder
    }

    const SET: &[(&str, &[u8])] = &[
        ("train/pos/1_9.txt", b"good"),
        ("train/pos/0_8.txt", b"\xef\xbb\xbffine\r\n"),
        ("train/neg/0_1.txt", b"bad\n"),
        ("train/neg/.DS_Store", b"\xff"),
        ("train/unsup/0_0.txt", b"no label"),
        ("test/pos/0_7.txt", b"nice"),
        ("test/neg/0_2.txt", b"dull<br />film"),
        ("train/urls_pos.txt", b"x"),
    ];

    #[test]
    fn the_part_is_picked_and_reviews_come_in_the_order_of_their_names() {
        let folder = folder_with(SET);
        let train = Dataset::load(folder.path()).unwrap();
        assert_eq!(train.examples, [example(0, "bad"), example(1, "fine"), example(1, "good")]);
        let test = Dataset::load_part(folder.path(), Part::Test).unwrap();
        assert_eq!(test.examples, [example(0, "dull<br />film"), example(1, "nice")]);
        let direct = Dataset::load(&folder.path().join("test")).unwrap();
        assert_eq!((direct.sha256, direct.name), (test.sha256, "test".to_owned()));
        let error = Dataset::load_part(folder.path(), Part::Valid).unwrap_err();
        assert_eq!(exit_code(&error), 2);
    }

    #[test]
    fn a_folder_that_lacks_a_class_or_lies_too_high_is_a_fault_that_says_so() {
        for (file, words) in [
            ("pos/0.txt", "no folder neg/"),
            ("neg/0.txt", "no folder pos/"),
            ("aclImdb/README", "name "),
            ("README", "no folder or .txt file for each class"),
        ] {
            let folder = folder_with(&[(file, b"x")]);
            let error = Dataset::load(folder.path()).unwrap_err();
            assert_eq!(exit_code(&error), 2);
            assert!(error.to_string().contains(words), "{error}");
        }
        let folder = folder_with(&[("pos/0.txt", b"x"), ("neg/README", b"x")]);
        let error = Dataset::load(folder.path()).unwrap_err();
        assert!(error.to_string().contains("no text in this folder"), "{error}");
    }

    #[test]
    fn a_review_that_is_too_long_or_not_utf8_is_a_fault_that_names_its_file() {
        let long = vec![b'x'; 10_000_000];
        for (bytes, words) in [(&b"ca\xe9"[..], "byte offset 2 "), (&long, "longer than")] {
            let folder = folder_with(&[("pos/0.txt", b"x"), ("neg/3_1.txt", bytes)]);
            let error = Dataset::load(folder.path()).unwrap_err();
            assert_eq!(exit_code(&error), 2);
            assert!(error.to_string().contains("3_1.txt: ") && error.to_string().contains(words), "{error}");
        }
    }
    #[test]
    fn a_folder_has_a_file_for_each_class_and_a_licence_is_none() {
        let folder = folder_with(&[
            ("Irish.txt", "Adam\r\n\r\n  Ahearn \n".as_bytes()),
            ("Czech.txt", "\u{feff}Abl\nCh\u{e1}ra".as_bytes()),
            ("Greek.TXT", b"Adamou\rAdamos\r"),
            ("LICENSE", b"\xff\n"),
            ("readme.txt", b"what this is\n"),
            (".hidden.txt", b"x\n"),
        ]);
        let set = Dataset::load(folder.path()).unwrap();
        assert_eq!(set.classes, ["Czech", "Greek", "Irish"]);
        let texts: Vec<(u32, &str)> =
            set.examples.iter().map(|example| (example.label, example.text.as_str())).collect();
        assert_eq!(texts, [(0, "Abl"), (0, "Ch\u{e1}ra"), (1, "Adamou"), (1, "Adamos"), (2, "Adam"), (2, "Ahearn")]);
        assert_eq!(set.layout, "one file for each class, LICENSE, readme.txt left out");
        fs::write(folder.path().join("Dutch.txt"), "\n\n").unwrap();
        let error = Dataset::load(folder.path()).unwrap_err();
        assert!(exit_code(&error) == 2 && error.to_string().contains("Dutch.txt"), "{error}");
        // In parts, each of which is such a folder.
        let parts = folder_with(&[
            ("train/a.txt", b"x\n"),
            ("train/b.txt", b"y\n"),
            ("test/a.txt", b"z\n"),
            ("test/b.txt", b"z\n"),
        ]);
        assert_eq!(Dataset::load(parts.path()).unwrap().classes, ["a", "b"]);
        assert_eq!(Dataset::load_part(parts.path(), Part::Test).unwrap().examples[0].text, "z");
    }

    #[test]
    fn two_files_of_one_class_and_names_that_are_not_utf8_are_faults() {
        let refusal = |files: &[(&str, &[u8])]| {
            let error = Dataset::load(folder_with(files).path()).unwrap_err();
            assert_eq!(exit_code(&error), 2);
            error.to_string()
        };
        let said = refusal(&[("a.txt", b"x\n"), ("a.txt.gz", b"x\n"), ("b.txt", b"y\n")]);
        assert!(said.contains("a.txt and a.txt.gz are one class, \"a\""), "{said}");
        let said = refusal(&[("caf\u{e9}/1.txt", b"x"), ("cafe\u{301}/1.txt", b"x"), ("b/1.txt", b"y")]);
        assert!(said.contains("are one class"), "{said}");
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            let folder = folder_with(&[("a.txt", b"x\n"), ("b.txt", b"y\n")]);
            fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"\xe9.txt")), "z\n").unwrap();
            let error = Dataset::load(folder.path()).unwrap_err();
            assert_eq!(exit_code(&error), 2);
            assert!(error.to_string().contains("is not UTF-8; rename it"), "{error}");
        }
    }

    #[test]
    fn columns_and_patterns_are_refused_for_a_folder_that_names_its_classes() {
        use crate::dataset::{Columns, Reading};
        let folder = folder_with(&[("a.txt", b"x\n"), ("b.txt", b"y\n")]);
        let word = || Some("x".to_owned());
        for (columns, option) in [
            (Columns { label: word(), ..Columns::default() }, "--label-column"),
            (Columns { text: word(), ..Columns::default() }, "--text-column"),
            (Columns { pattern: Some("(x)".into()), ..Columns::default() }, "--label-pattern"),
        ] {
            let error =
                Dataset::<u32>::load_for(folder.path(), Part::Train, &Reading::default().within(columns)).unwrap_err();
            assert_eq!(exit_code(&error), 2);
            assert!(error.to_string().contains(&format!("leave out {option}")), "{error}");
        }
    }

    #[test]
    fn a_folder_has_a_folder_for_each_class_whatever_its_name() {
        let folder = folder_with(&[
            ("sci.space/51060", b"a moon"),
            ("sci.space/51061", b"a star"),
            ("rec.autos/7.txt", b"a car"),
            ("rec.autos/README", b"about cars"),
            ("docs/.keep", b""),
        ]);
        let set = Dataset::load(folder.path()).unwrap();
        assert_eq!(set.classes, ["rec.autos", "sci.space"]);
        assert_eq!(set.examples, [example(0, "a car"), example(1, "a moon"), example(1, "a star")]);
        assert_eq!(set.layout, "one folder for each class");
    }

    #[test]
    fn files_and_folders_of_classes_are_read_in_the_encoding_that_is_named() {
        let columns = crate::dataset::Columns { encoding: Some("latin-1".into()), ..Default::default() };
        let reading = crate::dataset::Reading::default().within(columns);
        for files in
            [[("a.txt", &b"caf\xe9\n"[..]), ("b.txt", b"x")], [("a/1.txt", &b"caf\xe9"[..]), ("b/1.txt", b"x")]]
        {
            let folder = folder_with(&files);
            assert!(Dataset::load(folder.path()).unwrap_err().to_string().contains("--encoding windows-1252"));
            let set = Dataset::<u32>::load_for(folder.path(), Part::Train, &reading).unwrap();
            assert_eq!(set.examples[0].text, "caf\u{e9}");
        }
    }
}
