//! A line with faults, over any line without: for trying out whether what is behind it notices.
//!
//! [`FaultInjector`] wraps a port ([`embedded_io::Read`] and [`embedded_io::Write`]) or a host's [`Wire`]. What goes through it, in either
//! direction, meets the faults of that direction's [`Faults`]: a list, or chance from a seed.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use embedded_io::{ErrorType, Read, Write};

use super::host::wire::Wire;

/// A change to the bytes on a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// So many of the next bytes are lost.
    Lose(usize),
    /// Bits of the last byte change.
    Flip(u8),
    /// The last so many bytes come again.
    Repeat(usize),
    /// Bytes that nobody sent.
    Insert(Vec<u8>),
}

/// The faults of one direction, each after a number of bytes that go through unharmed.
#[derive(Clone, Debug)]
pub enum Faults {
    /// These, and none after the last.
    Listed(VecDeque<(usize, Fault)>),
    /// Any, by chance, see [`Faults::random`].
    Random {
        /// The state of the generator.
        noise: u32,
        /// The mean distance between two faults in bytes.
        mean: u32,
    },
}

impl Faults {
    /// No fault.
    pub fn none() -> Self {
        Faults::Listed(VecDeque::new())
    }

    /// These faults, each with the number of bytes before it.
    pub fn listed(faults: impl IntoIterator<Item = (usize, Fault)>) -> Self {
        Faults::Listed(faults.into_iter().collect())
    }

    /// Faults of every kind, for ever, one in `mean` bytes on the average. The same seed gives the same faults.
    pub fn random(seed: u32, mean: u32) -> Self {
        // The generator stays at 0 for ever.
        Faults::Random { noise: seed.wrapping_mul(0x9E37_79B9) | 1, mean: mean.max(1) }
    }

    /// The next fault and the bytes before it.
    fn next(&mut self) -> Option<(usize, Fault)> {
        match self {
            Faults::Listed(faults) => faults.pop_front(),
            Faults::Random { noise, mean } => {
                let mut draw = |below: u32| {
                    *noise ^= *noise << 13;
                    *noise ^= *noise >> 17;
                    *noise ^= *noise << 5;
                    (*noise >> 8) % below
                };
                let distance = draw(2 * *mean) as usize;
                let fault = match draw(4) {
                    0 => Fault::Lose(1 + draw(40) as usize),
                    1 => Fault::Flip(1 << draw(8)),
                    2 => Fault::Repeat(1 + draw(60) as usize),
                    _ => Fault::Insert((0..=draw(20)).map(|_| draw(256) as u8).collect()),
                };
                Some((distance, fault))
            }
        }
    }
}

/// How many of the last bytes a repetition can reach back to.
const REACH: usize = 256;

/// One direction of a line.
#[derive(Clone, Debug)]
struct Direction {
    faults: Faults,
    /// The fault that comes next, and the bytes before it.
    next: Option<(usize, Fault)>,
    /// Bytes still to be lost.
    losing: usize,
    /// The last bytes that went through.
    passed: VecDeque<u8>,
    happened: u64,
}

impl Direction {
    fn new(mut faults: Faults) -> Self {
        let next = faults.next();
        Direction { faults, next, losing: 0, passed: VecDeque::new(), happened: 0 }
    }

    /// What becomes of these bytes.
    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if self.losing > 0 {
                self.losing -= 1;
                continue;
            }
            self.put(byte, &mut out);
            match &mut self.next {
                Some((0, _)) => {
                    if let Some((_, fault)) = self.next.take() {
                        self.happened += 1;
                        self.happen(fault, &mut out);
                    }
                    self.next = self.faults.next();
                }
                Some((sound, _)) => *sound -= 1,
                None => {}
            }
        }
        out
    }

    fn put(&mut self, byte: u8, out: &mut Vec<u8>) {
        out.push(byte);
        self.passed.push_back(byte);
        if self.passed.len() > REACH {
            self.passed.pop_front();
        }
    }

    fn happen(&mut self, fault: Fault, out: &mut Vec<u8>) {
        match fault {
            Fault::Lose(count) => self.losing = count,
            Fault::Flip(mask) => {
                if let Some(last) = out.last_mut() {
                    *last ^= mask;
                }
            }
            Fault::Repeat(count) => {
                let from = self.passed.len().saturating_sub(count);
                let again: Vec<u8> = self.passed.range(from..).copied().collect();
                again.into_iter().for_each(|byte| self.put(byte, out));
            }
            Fault::Insert(bytes) => bytes.into_iter().for_each(|byte| self.put(byte, out)),
        }
    }
}

/// A port or a wire with faults in both directions.
#[derive(Clone, Debug)]
pub struct FaultInjector<P> {
    port: P,
    out: Direction,
    back: Direction,
    /// Bytes that have come through and found no room yet.
    waiting: VecDeque<u8>,
}

impl<P> FaultInjector<P> {
    /// `port` with faults in what is written to it (`out`) and in what is read from it (`back`).
    pub fn new(port: P, out: Faults, back: Faults) -> Self {
        FaultInjector { port, out: Direction::new(out), back: Direction::new(back), waiting: VecDeque::new() }
    }

    /// Faults that have happened, in both directions.
    pub fn happened(&self) -> u64 {
        self.out.happened + self.back.happened
    }

    /// The port beneath.
    pub fn into_inner(self) -> P {
        self.port
    }

    /// Hands over what waits.
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.waiting.len().min(buffer.len());
        buffer.iter_mut().zip(self.waiting.drain(..count)).for_each(|(to, from)| *to = from);
        count
    }

    /// Takes in the first `count` bytes of a buffer, and hands over what became of them.
    fn through(&mut self, buffer: &mut [u8], count: usize) -> usize {
        let bytes = self.back.pass(buffer.get(..count).unwrap_or(&[]));
        self.waiting.extend(bytes);
        self.take(buffer)
    }
}

impl<P: ErrorType> ErrorType for FaultInjector<P> {
    type Error = P::Error;
}

impl<P: Read> Read for FaultInjector<P> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, P::Error> {
        let mut count = self.take(buffer);
        while count == 0 {
            let read = self.port.read(buffer)?;
            if read == 0 {
                break;
            }
            count = self.through(buffer, read);
        }
        Ok(count)
    }
}

impl<P: Write> Write for FaultInjector<P> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, P::Error> {
        self.port.write_all(&self.out.pass(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), P::Error> {
        self.port.flush()
    }
}

impl<W: Wire> Wire for FaultInjector<W> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let bytes = self.out.pass(bytes);
        if bytes.is_empty() { Ok(()) } else { self.port.send(&bytes) }
    }

    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<usize> {
        let deadline = Instant::now() + patience;
        let mut count = self.take(buffer);
        while count == 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            let received = self.port.receive(buffer, left)?;
            if received == 0 {
                break;
            }
            count = self.through(buffer, received);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(faults: impl IntoIterator<Item = (usize, Fault)>, pieces: &[&[u8]]) -> Vec<u8> {
        let mut direction = Direction::new(Faults::listed(faults));
        pieces.iter().flat_map(|piece| direction.pass(piece)).collect()
    }

    #[test]
    fn every_fault_happens_where_the_list_has_it_however_the_bytes_are_cut() {
        let faults =
            [(1, Fault::Lose(2)), (0, Fault::Flip(0x20)), (1, Fault::Insert(vec![b'!'])), (0, Fault::Repeat(3))];
        for pieces in [&[&b"abcdefghij"[..]][..], &[b"a", b"bc", b"de", b"fghij"], &[b"abcdefgh", b"ij"]] {
            assert_eq!(passed(faults.clone(), pieces), b"abEfg!hg!hij", "{pieces:?}");
        }
        assert_eq!(passed([(0, Fault::Lose(usize::MAX))], &[b"abc", b"def"]), b"a");
    }

    #[test]
    fn chance_gives_the_same_faults_for_the_same_seed_and_about_as_many_as_asked_for() {
        let text = [7_u8; 10_000];
        let run = |seed| {
            let mut direction = Direction::new(Faults::random(seed, 50));
            (direction.pass(&text), direction.happened)
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1).0, run(2).0);
        // A fault in 50 bytes that go through, and a quarter of them lose 20 more.
        assert!((120..260).contains(&run(1).1), "{}", run(1).1);
    }

    #[test]
    fn a_port_that_is_wrapped_reads_and_writes_through_the_faults() {
        let memory = super::super::host::reference::Memory::new(b"abc");
        let mut port =
            FaultInjector::new(memory, Faults::listed([(0, Fault::Lose(1))]), Faults::listed([(0, Fault::Repeat(1))]));
        let mut buffer = [0; 2];
        let mut read = Vec::new();
        loop {
            let Ok(count) = port.read(&mut buffer);
            if count == 0 {
                break;
            }
            read.extend(&buffer[..count]);
        }
        let Ok(()) = port.write_all(b"xyz");
        assert_eq!((read, port.happened()), (b"aabc".to_vec(), 2));
        assert_eq!(port.into_inner().output, b"xz");
    }
}
