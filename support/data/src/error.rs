//! Errors that a person can act on.
//!
//! The crate returns [`anyhow::Result`] everywhere. Inside it, a [`Fault`] marks what is the input's or the user's doing,
//! names the place, the problem and the remedy in one sentence, and turns into exit code 2. Everything else is the program's
//! or the machine's failure, and turns into exit code 1.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

/// The exit code of a run that ended because of a [`Fault`].
pub const EXIT_FAULT: u8 = 2;

/// The exit code of a run that ended because of any other error.
pub const EXIT_FAILURE: u8 = 1;

/// An error that the input or the user is responsible for, and that they can repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it is: a path, `path:line`, a tensor's name, an option's name.
    pub place: String,
    /// What is wrong there, in a few words that start in lower case.
    pub problem: String,
    /// What the reader can do about it, in a few words that start in lower case.
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.problem, self.remedy)
    }
}

impl std::error::Error for Fault {}

/// A [`Fault`] at `place`: what is wrong (`problem`) and what to do about it (`remedy`).
///
/// ```
/// use latch_data::error::fault;
/// let fault = fault("reviews.tsv:7", "the line has no tab", "write label<TAB>text");
/// assert_eq!(fault.to_string(), "reviews.tsv:7: the line has no tab; write label<TAB>text");
/// ```
#[must_use]
pub fn fault(place: impl fmt::Display, problem: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Fault { place: place.to_string(), problem: problem.into(), remedy: remedy.into() }
}

/// The [`Fault`] within `error`, however many contexts were put around it.
#[must_use]
pub fn find_fault(error: &anyhow::Error) -> Option<&Fault> {
    // `downcast_ref` sees a fault that was attached as a context, the chain sees one that is a cause.
    error.downcast_ref::<Fault>().or_else(|| error.chain().find_map(|cause| cause.downcast_ref()))
}

/// The exit code that `error` deserves: [`EXIT_FAULT`] if a [`Fault`] is anywhere in its chain, else [`EXIT_FAILURE`].
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match find_fault(error) {
        Some(_) => EXIT_FAULT,
        None => EXIT_FAILURE,
    }
}

/// What to report when the system refused to open or read `path`, a file or folder that the user named.
///
/// A missing path, a forbidden one, a folder in place of a file and the like become a [`Fault`] that names the path; any other
/// error keeps its own words, with the path as context.
#[must_use]
pub fn reading(path: &Path, error: io::Error) -> anyhow::Error {
    let place = path.display();
    match error.kind() {
        ErrorKind::NotFound => fault(place, "there is no such file or folder", "check the path").into(),
        ErrorKind::PermissionDenied => fault(
            place,
            "the system does not permit reading it",
            "ask its owner for permission to read it, or name a copy",
        )
        .into(),
        ErrorKind::IsADirectory => fault(place, "it is a folder where a file is wanted", "name a file").into(),
        ErrorKind::NotADirectory => {
            fault(place, "a part of the path is a file where a folder is wanted", "check the path").into()
        }
        ErrorKind::InvalidInput | ErrorKind::InvalidFilename => {
            fault(place, format!("this cannot be a path ({error})"), "check the path").into()
        }
        _ => anyhow::Error::new(error).context(format!("reading {place}")),
    }
}

/// What to report when the system refused to create or write `path`, a file or folder that the user named.
///
/// A missing or read-only folder, a forbidden path, a full disk and the like become a [`Fault`] that names the path; any other
/// error keeps its own words, with the path as context.
#[must_use]
pub fn writing(path: &Path, error: io::Error) -> anyhow::Error {
    let place = path.display();
    match error.kind() {
        ErrorKind::NotFound => {
            fault(place, "the folder that it should go into does not exist", "create that folder, or name another one")
                .into()
        }
        ErrorKind::PermissionDenied => {
            fault(place, "the system does not permit writing there", "name a folder that you may write to").into()
        }
        ErrorKind::ReadOnlyFilesystem => {
            fault(place, "it lies on a file system that is read-only", "name a folder that you may write to").into()
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => fault(
            place,
            "there is no space left to write it",
            "free some space on that disk, or name a folder on another one",
        )
        .into(),
        ErrorKind::FileTooLarge => fault(
            place,
            "it would be larger than the system permits",
            "raise the limit on file sizes, or name a folder on another disk",
        )
        .into(),
        ErrorKind::IsADirectory => fault(place, "it is a folder where a file is wanted", "name a file").into(),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            fault(place, "a part of the path is a file where a folder is wanted", "check the path").into()
        }
        ErrorKind::InvalidInput | ErrorKind::InvalidFilename => {
            fault(place, format!("this cannot be a path ({error})"), "check the path").into()
        }
        _ => anyhow::Error::new(error).context(format!("writing {place}")),
    }
}

/// Opens the file `path`, which the user named, for reading.
///
/// # Errors
/// As [`reading`]; a folder is a [`Fault`] as well.
pub fn open_file(path: &Path) -> anyhow::Result<File> {
    let file = File::open(path).map_err(|error| reading(path, error))?;
    let metadata = file.metadata().map_err(|error| reading(path, error))?;
    if metadata.is_dir() {
        return Err(reading(path, ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_fault_names_place_problem_and_remedy_in_one_line() {
        let text = fault("a.tsv:3", "no tab", "add one").to_string();
        assert_eq!(text, "a.tsv:3: no tab; add one");
    }

    #[test]
    fn a_fault_is_exit_code_2_wherever_it_is_in_the_chain() {
        let bare: anyhow::Error = fault("a", "b", "c").into();
        let wrapped = bare.context("loading").context("training");
        assert_eq!(exit_code(&wrapped), 2);
        let as_context = Err::<(), _>(io::Error::other("x")).context(fault("a", "b", "c")).unwrap_err();
        assert_eq!(exit_code(&as_context.context("training")), 2);
        assert_eq!(exit_code(&anyhow::anyhow!("a bug")), 1);
    }

    #[test]
    fn a_missing_file_is_a_fault_and_a_broken_disk_is_not() {
        let path = Path::new("/no/such/file");
        let error = open_file(path).unwrap_err();
        assert_eq!(exit_code(&error), 2);
        assert!(error.to_string().contains("/no/such/file"), "{error}");
        assert_eq!(exit_code(&reading(path, io::Error::other("broken disk"))), 1);
        assert_eq!(exit_code(&writing(path, io::Error::other("broken disk"))), 1);
    }

    #[test]
    fn everything_that_the_user_can_repair_is_a_fault() {
        let path = Path::new("x");
        for kind in [
            ErrorKind::NotFound,
            ErrorKind::PermissionDenied,
            ErrorKind::ReadOnlyFilesystem,
            ErrorKind::StorageFull,
            ErrorKind::QuotaExceeded,
            ErrorKind::FileTooLarge,
            ErrorKind::IsADirectory,
            ErrorKind::NotADirectory,
        ] {
            assert_eq!(exit_code(&writing(path, kind.into())), 2, "{kind}");
        }
    }

    #[test]
    fn a_folder_is_refused_where_a_file_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let error = open_file(folder.path()).unwrap_err();
        assert!(error.to_string().contains("folder where a file"), "{error}");
        assert_eq!(exit_code(&error), 2);
    }
}
