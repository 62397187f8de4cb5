//! Input from the file `input`, output to the file `output`, in the working folder of the debugger or emulator.
//!
//! The input is what has been written beforehand, all of it. Meant for runs that are counted or compared, not for a conversation.

use embedded_io::{ErrorKind, ErrorType, Read, Write};

use super::debugger::call;

const OPEN: usize = 0x01;
const WRITE: usize = 0x05;
const READ: usize = 0x06;
/// `rb` and `wb` of C's `fopen`.
const READ_BINARY: usize = 1;
const WRITE_BINARY: usize = 5;

/// The two files.
#[derive(Debug)]
pub struct Files {
    input: usize,
    output: usize,
}

/// A file cannot be opened, read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileError;

impl Files {
    /// Opens both; an older `output` is gone.
    ///
    /// # Errors
    /// [`FileError`] when there is no `input` or `output` cannot be made.
    pub fn open() -> Result<Self, FileError> {
        Ok(Files { input: open(c"input", READ_BINARY)?, output: open(c"output", WRITE_BINARY)? })
    }
}

fn open(name: &core::ffi::CStr, mode: usize) -> Result<usize, FileError> {
    // SAFETY: OPEN takes address, mode and length of a name that ends in a zero, which the length leaves out; the debugger reads it only.
    let handle = unsafe { call(OPEN, &[name.as_ptr().addr(), mode, name.count_bytes()]) };
    if handle == usize::MAX { Err(FileError) } else { Ok(handle) }
}

impl core::fmt::Display for FileError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("a file of the debugger cannot be opened, read or written")
    }
}

impl core::error::Error for FileError {}

impl embedded_io::Error for FileError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl ErrorType for Files {
    type Error = FileError;
}

impl Read for Files {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, FileError> {
        // SAFETY: READ takes a handle and address and length of memory to write, which is the buffer's, borrowed for this call alone.
        let missing = unsafe { call(READ, &[self.input, buffer.as_mut_ptr().expose_provenance(), buffer.len()]) };
        // The answer is how much has not been filled.
        buffer.len().checked_sub(missing).ok_or(FileError)
    }
}

impl Write for Files {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, FileError> {
        // SAFETY: WRITE takes a handle and address and length of memory to read, which is that of the bytes.
        let missing = unsafe { call(WRITE, &[self.output, bytes.as_ptr().expose_provenance(), bytes.len()]) };
        if missing == 0 { Ok(bytes.len()) } else { Err(FileError) }
    }

    fn flush(&mut self) -> Result<(), FileError> {
        Ok(())
    }
}
