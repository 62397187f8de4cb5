//! What a file may cost in memory, before any of it is taken.

use std::cell::Cell;

use crate::Error;

/// Bytes of memory that are left for one file, by its size.
pub(crate) struct Budget {
    left: Cell<usize>,
    file: usize,
    remedy: &'static str,
}

impl Budget {
    /// That of a file of so many bytes, which may take so many times its size, and `free` bytes for tables and names however small it is. The remedy says
    /// what to do with a file that takes more.
    pub(crate) fn of(file: usize, (times, free): (usize, usize), remedy: &'static str) -> Self {
        Self { left: Cell::new(file.saturating_mul(times).saturating_add(free)), file, remedy }
    }

    /// The size of the file.
    pub(crate) fn file(&self) -> usize {
        self.file
    }

    /// Bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.left.get()
    }

    /// Takes memory for something; `at` is its place.
    pub(crate) fn take(&self, at: &str, bytes: usize) -> Result<(), Error> {
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
                Err(Error::new(at, problem, self.remedy))
            }
        }
    }
}
