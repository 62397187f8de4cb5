//! The board: everything that changes from one board to another.
//!
//! For a board of your own, change
//!
//! 1. in `memory.x` where flash and RAM lie;
//! 2. in `.cargo/config.toml` the target and the chip's name for probe-rs. For a Cortex-M33 or M55 add `-C target-cpu` too: the engine
//!    chooses its instructions by it;
//! 3. here the constants, and [`Uart`] with what waits for the clock.
//!
//! As it stands it is for the BBC micro:bit v1: nRF51822, Cortex-M0 at 16 MHz, its serial port on the USB plug.
//!
//! It promises that a byte that the line brought too fast is never passed over in silence: [`Uart::read`] says so. It leaves out
//! interrupts and buffers: the port keeps six bytes while the engine works, which is as long as one step may take.
#![allow(unsafe_code)] // Registers; each block has its proof.

use core::panic::PanicInfo;

pub use cortex_m_rt::entry;
use latch_engine::Error;
use latch_engine::image::Image;

/// Bits a second, 8N1, as the register wants them: 0x0013_B000 for 4,800, 0x0027_5000 for 9,600, 0x01D7_E000 for 115,200. Six bytes must take longer
/// than a step: 12 ms at 4,800.
const BAUD_RATE: u32 = 0x0013_B000;

/// The pins to the USB plug's chip.
const PIN_SEND: usize = 24;
const PIN_RECEIVE: usize = 25;

/// The chip's registers: the crystal's clock, the pins, the serial port.
const CLOCK: usize = 0x4000_0000;
const PINS: usize = 0x5000_0000;
const UART: usize = 0x4000_2000;

// The image in the program, and the bytes of state that it needs.
latch_engine::include_image!(pub Included = "../model.latch");

/// Bytes of RAM for the state of one stream.
pub const STATE_BYTES: usize = Included::STATE_BYTES;

/// The image.
pub fn image() -> Result<Image<'static>, Error> {
    Included::open()
}

/// The serial port.
pub struct Uart(());

/// Bytes came faster than they were read, and some are lost.
pub struct Overrun;

impl Uart {
    /// Starts the crystal, whose precision the port needs, and makes the port ready.
    pub fn open() -> Self {
        write(CLOCK, 1); // start
        while read(CLOCK + 0x100) == 0 {} // started
        write(PINS + 0x508, 1 << PIN_SEND); // high, which is the line at rest
        write(PINS + 0x700 + 4 * PIN_SEND, 3); // output
        write(PINS + 0x700 + 4 * PIN_RECEIVE, 0); // input
        write(UART + 0x50C, PIN_SEND as u32);
        write(UART + 0x514, PIN_RECEIVE as u32);
        write(UART + 0x524, BAUD_RATE);
        write(UART + 0x500, 4); // enable
        write(UART, 1); // start receiving
        write(UART + 0x008, 1); // start sending
        Uart(())
    }

    /// Waits for a byte, takes what else has come by then, and gives both.
    pub fn read<'b>(&mut self, buffer: &'b mut [u8]) -> Result<&'b [u8], Overrun> {
        while read(UART + 0x108) == 0 {} // received
        let mut count = 0;
        for place in buffer.iter_mut() {
            if read(UART + 0x108) == 0 {
                break;
            }
            write(UART + 0x108, 0); // before the byte is taken: the next byte sets it again
            *place = read(UART + 0x518) as u8;
            count += 1;
        }
        let errors = read(UART + 0x480);
        if errors & 1 != 0 {
            write(UART + 0x480, errors); // ones clear
            return Err(Overrun);
        }
        Ok(buffer.get(..count).unwrap_or(&[]))
    }

    /// Sends bytes, and waits until they are gone.
    pub fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            write(UART + 0x11C, 0);
            write(UART + 0x51C, u32::from(byte));
            while read(UART + 0x11C) == 0 {} // sent
        }
    }
}

/// Nothing more to do: sleeps for ever.
pub fn halt() -> ! {
    loop {
        // SAFETY: waits for an interrupt, of which none is enabled, and does nothing else.
        unsafe { core::arch::asm!("wfi", options(nomem, nostack, preserves_flags)) }
    }
}

fn read(register: usize) -> u32 {
    // SAFETY: called with the addresses of this file only, which are registers of this chip; no memory lies there.
    unsafe { (register as *const u32).read_volatile() }
}

fn write(register: usize, value: u32) {
    // SAFETY: as in `read`; no register written here makes the chip touch memory.
    unsafe { (register as *mut u32).write_volatile(value) }
}

/// The compiler asks for it. Neither the engine nor this program panics.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    halt()
}
