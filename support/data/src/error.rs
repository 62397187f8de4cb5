//! Errors that a person can act on.
//!
//! The crate returns [`anyhow::Result`] everywhere. Inside it, a [`Fault`] marks what is the input's or the user's doing,
//! names the place, the problem and the remedy in one sentence, and turns into exit code 2. Everything else is the program's
//! or the machine's failure, and turns into exit code 1.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::shown::{shown, shown_lines};

/// The exit code of a run that ended because of a [`Fault`].
pub const EXIT_FAULT: u8 = 2;

/// The exit code of a run that ended because of any other error.
pub const EXIT_FAILURE: u8 = 1;

/// The exit code of a run that the user ended by Ctrl-C, as shells have it.
pub const EXIT_INTERRUPTED: u8 = 130;

/// The most bytes of a file that is read as a whole: more than any run, image or list of words has.
pub const LARGEST_FILE: u64 = 4 << 30;

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

/// What is wrong with a file that a full disk has no space for.
const NO_SPACE: &str = "there is no space left to write it";

/// What is wrong with a file that the system permits no further to grow.
const TOO_LARGE: &str = "it would be larger than the system permits";

impl Fault {
    /// Whether a file could not be written because there was no space for it.
    #[must_use]
    pub fn lacks_space(&self) -> bool {
        [NO_SPACE, TOO_LARGE].contains(&self.problem.as_str())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Paths and labels come from outside.
        write!(f, "{}: {}; {}", shown(&self.place), shown_lines(&self.problem), shown_lines(&self.remedy))
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
    if let Some(fault) = error.get_ref().and_then(|inner| inner.downcast_ref::<Fault>()) {
        return fault.clone().into();
    }
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
        _ if is_dead_link(path) => dead_link(path),
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
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            fault(place, NO_SPACE, "free some space on that disk, or name a folder on another one").into()
        }
        ErrorKind::FileTooLarge => {
            fault(place, TOO_LARGE, "raise the limit on file sizes, or name a folder on another disk").into()
        }
        ErrorKind::IsADirectory => fault(place, "it is a folder where a file is wanted", "name a file").into(),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            fault(place, "a part of the path is a file where a folder is wanted", "check the path").into()
        }
        ErrorKind::InvalidInput | ErrorKind::InvalidFilename => {
            fault(place, format!("this cannot be a path ({error})"), "check the path").into()
        }
        _ if is_dead_link(path) => dead_link(path),
        _ => anyhow::Error::new(error).context(format!("writing {place}")),
    }
}

/// Whether a link on the way to `path` leads nowhere, as links do that lead to each other.
fn is_dead_link(path: &Path) -> bool {
    let is_link = |path: &Path| fs::symlink_metadata(path).is_ok_and(|data| data.is_symlink());
    path.ancestors().any(|path| is_link(path) && fs::metadata(path).is_err())
}

fn dead_link(path: &Path) -> anyhow::Error {
    fault(path.display(), "a link on the way to it leads nowhere", "let the link lead to a file, or name the file")
        .into()
}

/// Opens the file `path`, which the user named, for reading: an ordinary file, which has an end and does not keep its reader waiting.
/// Whatever is not read as a stream is opened here, or by the functions below.
///
/// # Errors
/// As [`reading`]; a folder, a device, a pipe and a socket are each a [`Fault`] as well.
pub fn open_file(path: &Path) -> anyhow::Result<File> {
    open_ordinary(path).map_err(|error| reading(path, error))
}

/// All bytes of the file `path`, which the user named; more than `most` of them are refused before they fill the memory.
///
/// # Errors
/// As [`open_file`]; a larger file is a [`Fault`].
pub fn read_file(path: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    read_bytes(path, most).map_err(|error| reading(path, error))
}

/// As [`read_file`], for a file of text.
///
/// # Errors
/// As [`read_file`]; bytes that are not UTF-8 are a [`Fault`].
pub fn read_text(path: &Path, most: u64) -> anyhow::Result<String> {
    read_string(path, most).map_err(|error| reading(path, error))
}

/// As [`read_file`], for a caller to whom a missing file is no error. [`reading`] makes the same of its errors.
///
/// # Errors
/// The system's; one that holds a [`Fault`] for what is no ordinary file, or is larger.
pub fn read_bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One more than may be there, also where the file grows while it is read.
    open_ordinary(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let problem = format!("it is larger than the {most} bytes that such a file may have");
        return Err(io::Error::other(fault(path.display(), problem, "check that it is the file that you mean")));
    }
    Ok(bytes)
}

/// As [`read_bytes`], for a file of text.
///
/// # Errors
/// As [`read_bytes`]; [`ErrorKind::InvalidData`] with a [`Fault`] for bytes that are not UTF-8.
pub fn read_string(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read_bytes(path, most)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let problem = format!("the text is not UTF-8 at byte offset {at} of the file");
        io::Error::new(ErrorKind::InvalidData, fault(path.display(), problem, "save the file as UTF-8"))
    })
}

/// Opens an ordinary file.
fn open_ordinary(path: &Path) -> io::Result<File> {
    let check = |metadata: fs::Metadata| match (metadata.is_file(), metadata.is_dir()) {
        (true, _) => Ok(()),
        (_, true) => Err(ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::other(fault(path.display(), "it is not an ordinary file", "name a file in a folder"))),
    };
    // Before it is opened: opening a pipe waits for whoever writes into it.
    check(fs::metadata(path)?)?;
    let file = File::open(path)?;
    check(file.metadata()?)?;
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
            let error = writing(path, kind.into());
            assert_eq!(exit_code(&error), 2, "{kind}");
            let is_full = matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge);
            assert_eq!(find_fault(&error).is_some_and(Fault::lacks_space), is_full, "{kind}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_a_device_and_a_loop_of_links_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        for (from, to) in [("there", "back"), ("back", "there"), ("gone", "nothing")] {
            std::os::unix::fs::symlink(path(from), path(to)).unwrap();
        }
        for (path, words) in [
            (path("pipe"), "not an ordinary file"),
            (Path::new("/dev/zero").to_path_buf(), "not an ordinary file"),
            (path("there"), "leads nowhere"),
            (path("there/below"), "leads nowhere"),
            (path("nothing"), "no such file"),
        ] {
            for error in [open_file(&path).map(drop), read_file(&path, 10).map(drop), read_text(&path, 10).map(drop)] {
                let error = error.unwrap_err();
                assert_eq!(exit_code(&error), 2, "{error:#}");
                assert!(error.to_string().contains(words), "{error}");
                assert!(error.to_string().starts_with(path.to_str().unwrap()), "{error}");
            }
        }
        assert_eq!(exit_code(&writing(&path("there/below"), fs::metadata(path("there")).unwrap_err())), 2);
    }

    #[test]
    fn a_file_is_read_up_to_its_limit_and_no_further() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"12345\xff").unwrap();
        assert_eq!(read_file(&path, 6).unwrap(), b"12345\xff");
        let message = read_file(&path, 5).unwrap_err().to_string();
        assert!(
            message.ends_with(
                "file: it is larger than the 5 bytes that such a file may have; check that it is the file that you mean"
            ),
            "{message}"
        );
        assert!(read_text(&path, 6).unwrap_err().to_string().contains("byte offset 5 "));
        // An endless file without a size.
        #[cfg(target_os = "linux")]
        assert!(read_file(Path::new("/proc/cpuinfo"), 5).unwrap_err().to_string().contains("larger than"));
    }

    #[test]
    fn a_name_with_escape_sequences_is_escaped_in_a_fault() {
        let text = fault("a\u{1b}[2J\n.tsv", "two\nlines\u{7}", "repair it").to_string();
        assert_eq!(text, "a\\u{1b}[2J\\n.tsv: two\nlines\\u{7}; repair it");
    }

    #[test]
    fn a_folder_is_refused_where_a_file_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let error = open_file(folder.path()).unwrap_err();
        assert!(error.to_string().contains("folder where a file"), "{error}");
        assert_eq!(exit_code(&error), 2);
    }
}
