//! What a file may cost in memory, before any of it is taken.

use std::cell::Cell;

use crate::Error;

/// Bytes that every file may take, however small it is: those of tables and names.
const FREE: usize = 1 << 18;

/// Bytes of memory that are left for one file: three times its size. The file itself, and one tensor while it is turned, come to that.
pub(super) struct Budget {
    left: Cell<usize>,
    file: usize,
}

impl Budget {
    /// That of a file of so many bytes.
    pub(super) fn of(file: usize) -> Self {
        Self { left: Cell::new(file.saturating_mul(3).saturating_add(FREE)), file }
    }

    /// The size of the file.
    pub(super) fn file(&self) -> usize {
        self.file
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.left.get()
    }

    /// Takes memory for something; `at` is its place.
    pub(super) fn take(&self, at: &str, bytes: usize) -> Result<(), Error> {
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                let problem = format!(
                    "it unpacks to {bytes} bytes, and a file of {} bytes may come to {} more",
                    self.file,
                    self.left.get()
                );
                Err(Error::new(at, problem, "save the model again, without compression"))
            }
        }
    }
}
