//! The board's serial port, polled: no interrupts, no buffers beside the port's own.
//!
//! A read waits for one byte and takes what else has come by then. There is no end of the input and no error; a byte that the line damages or
//! loses is the protocol's to notice. The bit rate is the reset's or the board's: QEMU transfers at once.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};

use super::UART_BASE;

/// The serial port.
#[derive(Debug)]
pub struct Uart(());

impl Uart {
    /// Makes the port ready.
    ///
    /// # Errors
    /// Never.
    pub fn open() -> Result<Self, Infallible> {
        driver::enable();
        Ok(Uart(()))
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let mut count = 0;
        for place in buffer {
            let byte = match driver::receive() {
                Some(byte) => byte,
                None if count > 0 => break,
                None => loop {
                    if let Some(byte) = driver::receive() {
                        break byte;
                    }
                },
            };
            *place = byte;
            count += 1;
        }
        Ok(count)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        bytes.iter().for_each(|&byte| driver::send(byte));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The register at that offset.
fn read<T>(offset: usize) -> T {
    // SAFETY: a register of the port that the table of boards gives this board, at an offset of this driver, in the width it has.
    unsafe { ((UART_BASE + offset) as *const T).read_volatile() }
}

fn write<T>(offset: usize, value: T) {
    // SAFETY: as in `read`; no register written here makes the port touch memory.
    unsafe { ((UART_BASE + offset) as *mut T).write_volatile(value) }
}

/// Arm's CMSDK APB UART.
#[cfg(latch_uart = "cmsdk")]
mod driver {
    use super::{read, write};

    const DATA: usize = 0x00;
    /// Bit 0: the transmitter is full. Bit 1: a byte has come.
    const STATE: usize = 0x04;
    const CONTROL: usize = 0x08;
    const BAUD_DIVIDER: usize = 0x10;

    pub(super) fn enable() {
        // The least divider that the port accepts; at 25 MHz of the boards' clock 217 is 115,200 bits a second.
        write::<u32>(BAUD_DIVIDER, 217);
        write::<u32>(CONTROL, 0b11);
    }

    pub(super) fn receive() -> Option<u8> {
        (read::<u32>(STATE) & 0b10 != 0).then(|| read::<u32>(DATA) as u8)
    }

    pub(super) fn send(byte: u8) {
        while read::<u32>(STATE) & 0b01 != 0 {}
        write(DATA, u32::from(byte));
    }
}

/// Nordic's UART of the nRF51.
#[cfg(latch_uart = "nrf51")]
mod driver {
    use super::{read, write};

    const START_RECEIVING: usize = 0x000;
    const START_SENDING: usize = 0x008;
    const RECEIVED: usize = 0x108;
    const SENT: usize = 0x11C;
    const ENABLE: usize = 0x500;
    const PIN_SEND: usize = 0x50C;
    const PIN_RECEIVE: usize = 0x514;
    const RECEIVE: usize = 0x518;
    const SEND: usize = 0x51C;
    const BAUD_RATE: usize = 0x524;

    pub(super) fn enable() {
        // The micro:bit's pins to its USB chip; 115,200 bits a second.
        write::<u32>(PIN_SEND, 24);
        write::<u32>(PIN_RECEIVE, 25);
        write::<u32>(BAUD_RATE, 0x01D7_E000);
        write::<u32>(ENABLE, 4);
        write::<u32>(START_RECEIVING, 1);
        write::<u32>(START_SENDING, 1);
    }

    pub(super) fn receive() -> Option<u8> {
        if read::<u32>(RECEIVED) == 0 {
            return None;
        }
        // Cleared before the byte is taken: the next byte sets it again.
        write::<u32>(RECEIVED, 0);
        Some(read::<u32>(RECEIVE) as u8)
    }

    pub(super) fn send(byte: u8) {
        write::<u32>(SENT, 0);
        write(SEND, u32::from(byte));
        while read::<u32>(SENT) == 0 {}
    }
}

/// A 16550 with registers of one byte.
#[cfg(latch_uart = "ns16550")]
mod driver {
    use super::{read, write};

    const DATA: usize = 0;
    const LINE_CONTROL: usize = 3;
    /// Bit 0: a byte has come. Bit 5: the transmitter is empty.
    const LINE_STATUS: usize = 5;

    pub(super) fn enable() {
        // Eight bits, no parity, one stop bit. The FIFOs stay off: switching them on drops the bytes that have come by then.
        write::<u8>(LINE_CONTROL, 0b11);
    }

    pub(super) fn receive() -> Option<u8> {
        (read::<u8>(LINE_STATUS) & 1 != 0).then(|| read(DATA))
    }

    pub(super) fn send(byte: u8) {
        while read::<u8>(LINE_STATUS) & (1 << 5) == 0 {}
        write(DATA, byte);
    }
}
