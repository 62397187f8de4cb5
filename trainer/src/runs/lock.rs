//! The lock of a folder in which a process works for long: a run's or a search's.
//!
//! It is a lock on a file that is never renamed, taken before the process looks what the folder holds and before it writes anything there. The
//! system releases it however the process ends. The file is removed by whoever holds the lock; so after locking it, a process makes sure
//! that it is still the file of that name, and else tries again.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::error::{fault, writing};
use crate::files::remove_partial_files;

/// The file's name.
const NAME: &str = ".latch-lock";

/// An export holds a run's folder for as long as a small file takes to be written; whoever wants to train waits that long.
const TRIES: usize = 10;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// A folder's lock, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// Makes this process the only one that works in a folder, which must be there, and removes the temporary files that killed processes
    /// left in it. `work` is what others are told that it does: "training".
    ///
    /// # Errors
    /// A fault when another process holds the lock, or when the folder cannot be written.
    pub fn take(folder: &Path, work: &str) -> Result<Self> {
        let path = folder.join(NAME);
        for _ in 0..TRIES {
            let file = File::options().create(true).truncate(false).write(true).open(&path);
            let file = file.map_err(|error| writing(&path, error))?;
            // A file system without locks goes without.
            let free = !matches!(file.try_lock(), Err(TryLockError::WouldBlock));
            if free && is_at(&file, &path) {
                let lock = Lock { _file: file, path };
                remove_partial_files(folder)?;
                return Ok(lock);
            }
            if !free {
                std::thread::sleep(PAUSE);
            }
        }
        let problem = format!("another process is {work} in this folder");
        Err(fault(folder.display(), problem, "wait for it to end, or name another folder").into())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Elsewhere nothing would tell a removed file from the one of its name.
        if cfg!(unix) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether an open file is the one of this name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(file), Ok(named)) => place(file) == place(named),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_once_and_free_again_without_a_trace() {
        let folder = tempfile::tempdir().expect("a folder");
        let lock = Lock::take(folder.path(), "training").expect("the folder is free");
        let error = Lock::take(folder.path(), "training").expect_err("it is taken").to_string();
        assert!(error.contains("another process is training"), "{error}");
        drop(lock);
        drop(Lock::take(folder.path(), "searching").expect("the folder is free again"));
        assert!(!cfg!(unix) || fs::read_dir(folder.path()).expect("the folder").count() == 0);
    }

    #[test]
    fn many_threads_that_take_and_release_a_lock_never_hold_it_together() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let folder = tempfile::tempdir().expect("a folder");
        let (inside, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        if let Ok(lock) = Lock::take(folder.path(), "training") {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            taken.fetch_add(1, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(lock);
                        }
                    }
                });
            }
        });
        assert!(taken.into_inner() > 200);
    }
}
