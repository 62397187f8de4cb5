//! The folders of the published IMDb set: `pos/` and `neg/` with one review a file.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::lines::{MAX_LINE, not_utf8, too_long};
use super::{Row, Source};
use crate::error::{fault, open_file, reading};

/// The names of the two folders, as published and as some write them; the classes are called as in the first line.
const FOLDERS: [[&str; 2]; 2] = [["neg", "pos"], ["negative", "positive"]];

/// Whether `folder` is one part of the set: whether it has a folder `pos` and a folder `neg`, or the same with whole words.
pub(super) fn is_part(folder: &Path) -> bool {
    folders(folder).is_some()
}

fn folders(folder: &Path) -> Option<[&'static str; 2]> {
    FOLDERS.into_iter().find(|names| names.iter().all(|class| folder.join(class).is_dir()))
}

/// Reads the reviews of one part: the negative ones, then the positive ones, each class in the order of its file names.
///
/// The names are listed first; the texts are read one at a time. Files that do not end in `.txt` are ignored.
pub(super) struct Reviews {
    classes: [Class; 2],
    /// The file that was read last, or the folder.
    place: PathBuf,
}

/// The files of one class that are still to be read, the next one last.
struct Class {
    label: &'static str,
    folder: PathBuf,
    names: Vec<OsString>,
}

impl Reviews {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let [negative, positive] = folders(folder).unwrap_or(FOLDERS[0]);
        let classes =
            [Class::open(folder.join(negative), FOLDERS[0][0])?, Class::open(folder.join(positive), FOLDERS[0][1])?];
        Ok(Self { classes, place: folder.to_path_buf() })
    }
}

impl Class {
    fn open(folder: PathBuf, label: &'static str) -> Result<Self> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(|error| reading(&folder, error))? {
            let name = entry.map_err(|error| reading(&folder, error))?.file_name();
            if Path::new(&name).extension().is_some_and(|extension| extension == "txt") {
                names.push(name);
            }
        }
        if names.is_empty() {
            return Err(fault(
                folder.display(),
                "there is no review in this folder",
                "put each review into a file of its own whose name ends in .txt",
            )
            .into());
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Self { label, folder, names })
    }

    /// The next file.
    fn next(&mut self) -> Option<(PathBuf, &'static str)> {
        Some((self.folder.join(self.names.pop()?), self.label))
    }
}

/// The text of one review, without the line ends around it.
fn read(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    open_file(path)?.take(MAX_LINE as u64 + 1).read_to_end(&mut bytes).map_err(|error| reading(path, error))?;
    if bytes.len() > MAX_LINE {
        return Err(too_long(path.display()));
    }
    let text = String::from_utf8(bytes).map_err(|error| not_utf8(path.display(), error.utf8_error(), 0))?;
    let bare = text.strip_prefix('\u{feff}').unwrap_or(&text).trim_matches(['\r', '\n']);
    Ok(if bare.len() == text.len() { text } else { bare.to_owned() })
}

impl Iterator for Reviews {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        let (path, label) = self.classes.iter_mut().find_map(Class::next)?;
        self.place = path;
        Some(read(&self.place).map(|text| Row { label: label.to_owned(), text }))
    }
}

impl Source for Reviews {
    fn place(&self) -> String {
        self.place.display().to_string()
    }

    fn layout(&self) -> &str {
        "labels from the folders' names"
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
            ("README", "no pos/ and neg/"),
        ] {
            let folder = folder_with(&[(file, b"x")]);
            let error = Dataset::load(folder.path()).unwrap_err();
            assert_eq!(exit_code(&error), 2);
            assert!(error.to_string().contains(words), "{error}");
        }
        let folder = folder_with(&[("pos/0.txt", b"x"), ("neg/README", b"x")]);
        let error = Dataset::load(folder.path()).unwrap_err();
        assert!(error.to_string().contains("no review in this folder"), "{error}");
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
}
