//! Files that are whole or absent.
//!
//! Whatever the trainer leaves on a disk goes through [`write_atomically`], or through [`stage`] where several files belong together:
//! a reader, a crash, a full disk or an error halfway never sees or leaves half a file, and an older file survives until its successor
//! is complete. Folders are made by [`OutputFolder`], which takes an empty one away again.
//!
//! A process that is killed in the middle of a write leaves its temporary file, `.latch-*.partial`, and nothing under the file's name;
//! [`remove_partial_files`] clears it away.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::NamedTempFile;

use crate::error::{fault, reading, writing};

/// How the name of a temporary file begins.
const PARTIAL_PREFIX: &str = ".latch-";

/// How it ends.
const PARTIAL_SUFFIX: &str = ".partial";

/// Writes the file `path` through `write`: all of it, or nothing.
///
/// The bytes go to a temporary file in the same folder, which is flushed to the disk and then renamed. On any error, also one
/// that `write` returns, the temporary file is removed and a file that was at `path` before stays as it was. A symbolic link is
/// followed; the permissions of a file that is replaced are kept.
///
/// # Errors
/// A [`Fault`](crate::error::Fault) if the folder is missing or read-only, if `path` is a folder, a device or write-protected,
/// or if the disk is full; otherwise what `write` or the system returned.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    stage(path, write)?.keep()
}

/// A complete file that lies on the disk under a temporary name; dropping it removes it.
#[derive(Debug)]
pub struct Staged {
    file: NamedTempFile,
    /// As the user named it.
    path: PathBuf,
    /// With symbolic links resolved.
    target: PathBuf,
}

impl Staged {
    /// Gives the file its name.
    ///
    /// # Errors
    /// As [`write_atomically`].
    pub fn keep(self) -> Result<()> {
        self.file.persist(&self.target).map_err(|error| writing(&self.path, error.error))?;
        sync_folder(folder_of(&self.target));
        Ok(())
    }
}

/// The first half of [`write_atomically`]: the file is written and flushed, and only its name is missing. Several files that belong
/// together are staged one after the other, and kept once all of them are there.
///
/// # Errors
/// As [`write_atomically`].
pub fn stage(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<Staged> {
    let mut write = Some(write);
    stage_by(path, &mut |file| write.take().map_or(Ok(()), |write| write(file)))
}

/// [`stage`], compiled once for all callers. `write` is called once.
fn stage_by(path: &Path, write: &mut dyn FnMut(&mut dyn Write) -> Result<()>) -> Result<Staged> {
    let target = target_of(path)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL_PREFIX).suffix(PARTIAL_SUFFIX);
    #[cfg(unix)]
    {
        // The mode that `File::create` asks for: what the umask leaves of 0666, not the 0600 of a secret.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    // Locked as long as it has no other name, so that whoever clears up knows that somebody still writes it. One that was cleared away before it was
    // locked is made again.
    let file = loop {
        let file = builder.tempfile_in(folder_of(&target)).map_err(|error| writing(path, error))?;
        if !matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock)) && file.path().exists() {
            break file;
        }
    };

    let file = fill(path, file, write)?;
    if let Ok(metadata) = fs::metadata(&target) {
        file.as_file().set_permissions(metadata.permissions()).map_err(|error| writing(path, error))?;
    }
    file.as_file().sync_all().map_err(|error| writing(path, error))?;
    Ok(Staged { file, path: path.to_path_buf(), target })
}

/// The folder that the file `path` lies in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Removes what killed processes left of [`write_atomically`] in `folder`: its temporary files. A folder that is not there has none.
///
/// The temporary file of a process that is still writing it is left alone.
///
/// # Errors
/// A [`Fault`](crate::error::Fault) if the folder cannot be read, or such a file not be removed.
pub fn remove_partial_files(folder: &Path) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(reading(folder, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| reading(folder, error))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && name.starts_with(PARTIAL_PREFIX) && name.ends_with(PARTIAL_SUFFIX) {
            let path = entry.path();
            match File::open(&path) {
                Ok(file) if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) => continue,
                // Renamed since, or removed by its own process.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                _ => {}
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(writing(&path, error)),
                _ => {}
            }
        }
    }
    Ok(())
}

/// A folder for output, made where it is missing. Unless [`OutputFolder::keep`] says that something has come of it, dropping it removes
/// those folders again that were made for it and are empty.
#[derive(Debug)]
pub struct OutputFolder {
    /// The folders that were made, the outermost first.
    made: Vec<PathBuf>,
}

impl OutputFolder {
    /// Makes the folder `path` and those above it, if they are missing.
    ///
    /// # Errors
    /// As [`create_folder`]; then no folder is left.
    pub fn create(path: &Path) -> Result<Self> {
        let missing = path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        let mut made: Vec<PathBuf> = missing.map(Path::to_path_buf).collect();
        made.reverse();
        let folder = OutputFolder { made };
        create_folder(path)?;
        Ok(folder)
    }

    /// Lets the folder stay.
    pub fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        for folder in self.made.iter().rev() {
            // A folder that holds something refuses, and that is what it should do.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Creates the folder `path` and those above it, if they are missing.
///
/// # Errors
/// A [`Fault`](crate::error::Fault) if a file is in the way, or the place may not be written to.
pub fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|error| writing(path, error))
}

/// The file that a write to `path` would replace, with symbolic links resolved.
fn target_of(path: &Path) -> Result<PathBuf> {
    if path.file_name().is_none() {
        return Err(fault(path.display(), "this is not the name of a file", "name a file").into());
    }
    let Ok(metadata) = fs::metadata(path) else {
        return Ok(path.to_path_buf());
    };
    if metadata.is_dir() {
        return Err(writing(path, io::ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() {
        // Renaming over a device such as /dev/null would replace it for everyone.
        return Err(fault(path.display(), "it is not an ordinary file", "name a file in a folder").into());
    }
    if metadata.permissions().readonly() {
        return Err(fault(
            path.display(),
            "the file is there already and is write-protected",
            "name another file, or make this one writable",
        )
        .into());
    }
    fs::canonicalize(path).map_err(|error| reading(path, error))
}

/// Lets `write` fill `file`, and reports an error of the disk as one about `path`.
fn fill<W: Write>(path: &Path, file: W, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<W> {
    let mut file = BufWriter::with_capacity(1 << 16, Watched { file, failure: None });
    let outcome = write(&mut file).and_then(|()| Ok(file.flush()?));
    // Taken apart without a second attempt to write what is left in the buffer.
    let (watched, _) = file.into_parts();
    match (outcome, watched.failure) {
        (Ok(()), _) => Ok(watched.file),
        (Err(_), Some(kind)) => Err(writing(path, kind)),
        (Err(error), None) => Err(error),
    }
}

/// A writer that remembers the last error of the file beneath, so that it can be told from an error of the bytes' producer.
struct Watched<W> {
    file: W,
    failure: Option<io::Error>,
}

impl<W> Watched<W> {
    fn watch<T>(&mut self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.failure = Some(match error.raw_os_error() {
                    Some(code) => io::Error::from_raw_os_error(code),
                    None => error.kind().into(),
                });
            }
        })
    }
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let outcome = self.file.write(bytes);
        self.watch(outcome)
    }

    fn flush(&mut self) -> io::Result<()> {
        let outcome = self.file.flush();
        self.watch(outcome)
    }
}

/// Makes the rename itself survive a power cut, where the system can. The file is complete either way.
fn sync_folder(folder: &Path) {
    if cfg!(unix) {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::exit_code;
    use anyhow::bail;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_written_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        for text in ["one", "two"] {
            write_atomically(&path, |file| Ok(file.write_all(text.as_bytes())?)).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn an_error_halfway_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, "old").unwrap();
        let outcome = write_atomically(&path, |file| {
            file.write_all(&[7; 1_000_000])?;
            bail!("the producer stopped")
        });
        assert_eq!(outcome.unwrap_err().to_string(), "the producer stopped");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_staged_file_has_its_name_once_it_is_kept_and_leaves_nothing_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, "old").unwrap();
        drop(stage(&path, |file| Ok(file.write_all(b"new")?)).unwrap());
        assert_eq!(
            (names(folder.path()), fs::read_to_string(&path).unwrap()),
            (vec!["a.txt".to_owned()], "old".to_owned())
        );
        stage(&path, |file| Ok(file.write_all(b"new")?)).unwrap().keep().unwrap();
        assert_eq!(
            (names(folder.path()), fs::read_to_string(&path).unwrap()),
            (vec!["a.txt".to_owned()], "new".to_owned())
        );
    }

    #[test]
    fn partial_files_are_removed_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".latch-x1.partial", ".latch-y2.partial", ".latch-notes", "model.partial", "config.json"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join(".latch-folder.partial")).unwrap();
        remove_partial_files(folder.path()).unwrap();
        assert_eq!(names(folder.path()), [".latch-folder.partial", ".latch-notes", "config.json", "model.partial"]);
        remove_partial_files(&folder.path().join("missing")).unwrap();
    }

    #[test]
    fn the_partial_file_of_a_process_that_still_writes_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let staged = stage(&path, |file| Ok(file.write_all(b"new")?)).unwrap();
        remove_partial_files(folder.path()).unwrap();
        staged.keep().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn an_output_folder_is_removed_again_unless_it_is_kept_or_holds_something() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        drop(OutputFolder::create(&deep).unwrap());
        assert!(!folder.path().join("a").exists());
        OutputFolder::create(&deep).unwrap().keep();
        drop(OutputFolder::create(&deep.join("c")).unwrap());
        assert!(deep.is_dir() && !deep.join("c").exists());
        let full = OutputFolder::create(&deep.join("d")).unwrap();
        fs::write(deep.join("d/file"), "").unwrap();
        drop(full);
        assert!(deep.join("d/file").exists());
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(OutputFolder::create(&folder.path().join("file/below")).is_err());
        assert_eq!(names(folder.path()), ["a", "file"]);
    }

    #[test]
    fn a_missing_folder_a_folder_and_a_file_as_a_folder_are_faults() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        for path in ["missing/a.txt", "", "file/a.txt"] {
            let path = folder.path().join(path);
            let error = write_atomically(&path, |_| Ok(())).unwrap_err();
            assert_eq!(exit_code(&error), 2, "{error:?}");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
        let error = create_folder(&folder.path().join("file/below")).unwrap_err();
        assert_eq!(exit_code(&error), 2, "{error:?}");
        let error = create_folder(&folder.path().join("file")).unwrap_err();
        assert_eq!(exit_code(&error), 2, "{error:?}");
    }

    #[test]
    fn a_full_disk_is_a_fault_that_names_the_file() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        // Both when the closure meets the error and when the last flush does.
        for length in [10, 1_000_000] {
            let outcome = fill(Path::new("big.latch"), Full, |file| Ok(file.write_all(&vec![0; length])?));
            let error = outcome.err().unwrap();
            assert_eq!(exit_code(&error), 2);
            assert!(error.to_string().starts_with("big.latch: there is no space"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_refused_and_never_replaced() {
        let error = write_atomically(Path::new("/dev/null"), |_| Ok(())).unwrap_err();
        assert_eq!(exit_code(&error), 2);
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_permissions_kept_and_write_protection_respected() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write_atomically(&link, |file| Ok(file.write_all(b"new")?)).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);

        fs::set_permissions(&real, fs::Permissions::from_mode(0o440)).unwrap();
        let error = write_atomically(&real, |_| Ok(())).unwrap_err();
        assert_eq!(exit_code(&error), 2);
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
    }
}
