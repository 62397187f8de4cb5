//! A way for bytes as the host sees it: one that may keep silent.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use latch_data::error::{fault, reading};
#[cfg(feature = "command")]
use latch_emulator::boot::Serial;

/// Bytes in and out, where those that come in may fail to come.
pub trait Wire {
    /// Sends all of the bytes.
    ///
    /// # Errors
    /// When the line fails for good.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Puts bytes at the front of `buffer` and says how many; 0 when none came in the time given.
    ///
    /// # Errors
    /// When the line fails for good or has come to its end.
    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<usize>;
}

/// Pieces of at most 256 bytes that wait to be received. Where more come, they stay with the system, and are lost there if need be.
const QUEUE: usize = 64;

/// A wire over anything that writes, and reads in a thread of its own, since reading waits. The thread ends with what it reads.
#[derive(Debug)]
pub struct Stream<W> {
    writer: W,
    pieces: Receiver<io::Result<Vec<u8>>>,
    /// Bytes that came and found no room.
    rest: Vec<u8>,
}

impl<W: Write> Stream<W> {
    /// A wire over a reader and a writer.
    pub fn new(mut reader: impl Read + Send + 'static, writer: W) -> Self {
        let (sender, pieces) = sync_channel(QUEUE);
        thread::spawn(move || {
            let mut buffer = [0; 256];
            loop {
                let piece = match reader.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(count) => Ok(buffer.get(..count).unwrap_or(&buffer).to_vec()),
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let failed = piece.is_err();
                if sender.send(piece).is_err() || failed {
                    return;
                }
            }
        });
        Stream { writer, pieces, rest: Vec::new() }
    }
}

impl<W: Write> Wire for Stream<W> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)?;
        self.writer.flush()
    }

    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = match self.pieces.recv_timeout(patience) {
                Ok(piece) => piece?,
                Err(RecvTimeoutError::Timeout) => return Ok(0),
                Err(RecvTimeoutError::Disconnected) => return Err(ErrorKind::UnexpectedEof.into()),
            };
        }
        let count = self.rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(self.rest.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

#[cfg(feature = "command")]
impl Wire for Serial {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)?;
        self.flush()
    }

    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<usize> {
        self.set_timeout(patience);
        match self.read(buffer) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(0),
            other => other,
        }
    }
}

/// Opens what lies at a path as a wire: a serial device, or a socket of the local machine.
///
/// A device is set to 8 bits, no parity, one stop bit, and every byte as it is. `stty` does that, so that no library of the system is needed.
///
/// # Errors
/// A [`latch_data::error::Fault`] that names the path when it cannot be opened or set up.
pub fn open(path: &Path, baud: u32) -> Result<Stream<Box<dyn Write>>> {
    #[cfg(unix)]
    if std::fs::metadata(path).is_ok_and(|data| std::os::unix::fs::FileTypeExt::is_socket(&data.file_type())) {
        let socket = std::os::unix::net::UnixStream::connect(path).map_err(|error| {
            fault(path.display(), format!("nobody listens at this socket ({error})"), "start what should listen there")
        })?;
        let reader = socket.try_clone().with_context(|| format!("opening {}", path.display()))?;
        return Ok(Stream::new(reader, Box::new(socket)));
    }
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| reading(path, error))?;
    if !file.is_terminal() {
        return Err(fault(
            path.display(),
            "it is no serial device and no socket",
            "name the board's device, as /dev/ttyACM0",
        )
        .into());
    }
    let stty = Command::new("stty")
        .arg("-F")
        .arg(path)
        .args(["raw", "-echo", "-crtscts", "clocal", "cs8", "-parenb", "-cstopb", &baud.to_string()])
        .output()
        .map_err(|error| fault("stty", format!("it cannot be run ({error})"), "install coreutils"))?;
    if !stty.status.success() {
        let said = String::from_utf8_lossy(&stty.stderr);
        let problem = format!("it cannot be set to {baud} baud ({})", said.lines().next().unwrap_or_default());
        return Err(fault(path.display(), problem, "give a rate that the device has, with --baud").into());
    }
    let reader = file.try_clone().with_context(|| format!("opening {}", path.display()))?;
    Ok(Stream::new(reader, Box::new(file)))
}
