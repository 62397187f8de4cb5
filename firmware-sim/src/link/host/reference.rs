//! A session without a board: the program of the boards, on this machine's processor, over memory.

use std::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};
use latch_engine::Model;
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::kernels::AnyBackend;

use super::LinkError;
use super::batch::{Batch, Transcript};
use crate::app;
use crate::link::board::{LinkBoard, Machine};
use crate::link::message::Refusal;

/// What a board with this image must answer to a session, by this machine's backend of that name. Ticks are 0.
///
/// # Errors
/// [`LinkError::Refused`] when the image cannot run.
pub fn transcript(image: &AlignedBytes, backend: AnyBackend, batch: &Batch) -> Result<Transcript, LinkError> {
    let state_bytes = Image::open(image).map_or(0, |image| Model::new(&image).state_bytes());
    let mut state = AlignedBytes::zeroed(state_bytes);
    let mut board = LinkBoard::new(Memory::new(&batch.bytes), Here(image));
    match app::run_on(&mut board, &mut state, backend) {
        Ok(_) => batch.read(&board.into_port().output),
        Err(stop) => Err(LinkError::Refused(Refusal::of::<Infallible>(&stop).unwrap_or(Refusal::Malformed))),
    }
}

/// A port over memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory<'i> {
    /// What is still to be read.
    pub input: &'i [u8],
    /// What has been written.
    pub output: Vec<u8>,
}

impl<'i> Memory<'i> {
    /// A port with this input.
    pub fn new(input: &'i [u8]) -> Self {
        Memory { input, output: Vec::new() }
    }
}

impl ErrorType for Memory<'_> {
    type Error = Infallible;
}

impl Read for Memory<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let count = self.input.len().min(buffer.len());
        for (to, &from) in buffer.iter_mut().zip(self.input) {
            *to = from;
        }
        self.input = self.input.get(count..).unwrap_or(&[]);
        Ok(count)
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.output.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// This machine.
struct Here<'f>(&'f [u8]);

impl<'f> Machine<'f> for Here<'f> {
    fn name(&self) -> &'static str {
        "host"
    }

    fn image(&self) -> &'f [u8] {
        self.0
    }

    fn start(&mut self) {}

    fn stop(&mut self) -> u32 {
        0
    }
}
