//! The chips: what the firmware needs of one, and nothing else (feature `device`, targets without an operating system).
//!
//! ```text
//! reset -> cortex-m-rt or riscv-rt -> `entry` -> the program over a `Chip` and a port -> `exit`
//! ```
//!
//! - [`Chip`] is the one owner of what a chip has once: the RAM of the state, the clock, the markers, the slot with the image.
//! - [`ChipPort`] is how bytes come in and go out: [`semihosting`] reads a file `input` and writes a file `output` in the debugger's working
//!   folder, [`uart`] is the board's serial port. The build script chooses one (`LATCH_PORT`).
//! - [`exit`] ends the program under a debugger or an emulator with a status.
//!
//! # What it promises
//!
//! - `Chip::start` and `Chip::stop` execute one marker instruction each, which does nothing on a chip. Between them lies the work
//!   and nothing of this module. An emulator counts what is between the markers.
//! - A panic or a fault of the processor exits with [`PANIC`] or [`FAULT`] and says nothing: there is no formatting in the firmware.
//!
//! # What it leaves out
//!
//! Clocks and pins: the emulated boards need no setting up of either, and a product's firmware has its own. Programming flash: the image is
//! put into its slot by whoever programs the chip.
#![allow(unsafe_code)] // Registers, linker symbols and debugger calls; each block has its proof.

#[cfg(latch_port = "semihosting")]
pub mod semihosting;
#[cfg(latch_port = "uart")]
pub mod uart;

mod debugger;
#[cfg(target_arch = "arm")]
mod memory;

use core::arch::asm;
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use latch_engine::State;

use crate::link::board::Machine;

#[cfg(target_arch = "arm")]
pub use cortex_m_rt::entry;
#[cfg(target_arch = "riscv32")]
pub use riscv_rt::entry;

#[cfg(latch_port = "semihosting")]
pub use semihosting::Files as ChipPort;
#[cfg(latch_port = "uart")]
pub use uart::Uart as ChipPort;

pub use debugger::exit;

include!(concat!(env!("OUT_DIR"), "/constants.rs"));

/// The status of [`exit`] after a panic.
pub const PANIC: u32 = 101;

/// The status of [`exit`] after a fault of the processor.
pub const FAULT: u32 = 102;

/// A value in RAM that is handed out once and for ever. A static of zeros, or of nothing, lies in `.bss`.
#[derive(Debug)]
pub struct Once<T> {
    taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the only access to the value is in `take`, which lets one call pass. That call may hand the value to another context than
// the one that made it, which `Send` allows.
unsafe impl<T: Send> Sync for Once<T> {}

impl<T> Once<T> {
    /// A value that nobody has taken.
    pub const fn new(value: T) -> Self {
        Once { taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// The value; `None` when it has been taken before.
    #[allow(clippy::mut_from_ref)] // Once.
    pub fn take(&self) -> Option<&mut T> {
        // No read-modify-write: the smallest Cortex-M has none. The boards have one processor, and the firmware has no interrupts.
        if self.taken.load(Ordering::Relaxed) {
            return None;
        }
        self.taken.store(true, Ordering::Relaxed);
        // SAFETY: the flag lets one call get here, as nothing can come between its reading and its writing. This is the only reference
        // to the value, for as long as the cell lives.
        Some(unsafe { &mut *self.value.get() })
    }
}

/// The RAM of the state.
static STATE: Once<State<STATE_BYTES>> = Once::new(State::new());

/// The chip: exists once.
#[derive(Debug)]
pub struct Chip {
    /// The clock when work began.
    started: u32,
}

impl Chip {
    /// The chip and the RAM of the state, [`STATE_BYTES`] of it; `None` when it has been taken before.
    pub fn take() -> Option<(Self, &'static mut [u8])> {
        let state = STATE.take()?;
        clock::enable();
        Some((Chip { started: 0 }, state.as_bytes_mut()))
    }
}

impl Machine<'static> for Chip {
    fn name(&self) -> &'static str {
        BOARD
    }

    fn image(&self) -> &'static [u8] {
        unsafe extern "C" {
            static latch_image_start: u8;
            static latch_image_end: u8;
        }
        let start = &raw const latch_image_start;
        let bytes = (&raw const latch_image_end).addr() - start.addr();
        // SAFETY: the linker's map sets the two symbols to the ends of a piece of the board's flash that no section of the firmware lies in
        // (`build.rs`, the lower address first). It can be read whether or not anyone has programmed it, and nothing writes it while the
        // firmware runs.
        unsafe { core::slice::from_raw_parts(start, bytes) }
    }

    #[inline(always)]
    fn start(&mut self) {
        self.started = clock::now();
        marker_a();
    }

    /// Ticks wrap at 24 bits where the clock is SysTick and at 32 where it is `mcycle`; 0 on a chip without a clock.
    #[inline(always)]
    fn stop(&mut self) -> u32 {
        marker_b();
        clock::since(self.started)
    }
}

/// The instruction that an emulator counts from. Does nothing.
#[inline(always)]
pub fn marker_a() {
    // SAFETY: a hint that no processor knows, and an addition to the register that stays zero: both do nothing. The block may not move
    // across memory accesses, because it is not `nomem`.
    unsafe {
        #[cfg(target_arch = "arm")]
        asm!(".inst.n 0xbf50", options(nostack, preserves_flags));
        #[cfg(target_arch = "riscv32")]
        asm!("slti x0, x0, 0x501", options(nostack, preserves_flags));
    }
}

/// The instruction that an emulator counts to. Does nothing.
#[inline(always)]
pub fn marker_b() {
    // SAFETY: as `marker_a`.
    unsafe {
        #[cfg(target_arch = "arm")]
        asm!(".inst.n 0xbf60", options(nostack, preserves_flags));
        #[cfg(target_arch = "riscv32")]
        asm!("slti x0, x0, 0x502", options(nostack, preserves_flags));
    }
}

/// A chip without a clock that is of use here.
#[cfg(latch_clock = "none")]
mod clock {
    pub(super) fn enable() {}

    #[inline(always)]
    pub(super) fn now() -> u32 {
        0
    }

    #[inline(always)]
    pub(super) fn since(_: u32) -> u32 {
        0
    }
}

/// SysTick, which counts down 24 bits on the processor's clock.
#[cfg(latch_clock = "systick")]
mod clock {
    const CONTROL: *mut u32 = 0xE000_E010 as *mut u32;
    const RELOAD: *mut u32 = 0xE000_E014 as *mut u32;
    const VALUE: *mut u32 = 0xE000_E018 as *mut u32;
    const MASK: u32 = 0x00FF_FFFF;

    pub(super) fn enable() {
        // SAFETY: SysTick's registers are at these addresses of every Cortex-M that has one, as the table of boards says of this one. No
        // interrupt is asked for: bit 0 enables, bit 2 takes the processor's clock.
        unsafe {
            RELOAD.write_volatile(MASK);
            VALUE.write_volatile(0);
            CONTROL.write_volatile(0b101);
        }
    }

    #[inline(always)]
    pub(super) fn now() -> u32 {
        // SAFETY: as in `enable`; reading has no effect that anything here depends on.
        unsafe { VALUE.read_volatile() }
    }

    #[inline(always)]
    pub(super) fn since(start: u32) -> u32 {
        start.wrapping_sub(now()) & MASK
    }
}

/// The low half of the counter of cycles.
#[cfg(latch_clock = "mcycle")]
mod clock {
    pub(super) fn enable() {}

    #[inline(always)]
    pub(super) fn now() -> u32 {
        let cycles: u32;
        // SAFETY: reads a counter that every RISC-V hart has in machine mode, in which the firmware runs from reset on.
        unsafe { core::arch::asm!("csrr {}, mcycle", out(reg) cycles, options(nomem, nostack, preserves_flags)) };
        cycles
    }

    #[inline(always)]
    pub(super) fn since(start: u32) -> u32 {
        now().wrapping_sub(start)
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(PANIC)
}

/// Faults of the processor. Every fault of a Cortex-M ends here, because no other handler is enabled.
#[cfg(target_arch = "arm")]
#[cortex_m_rt::exception(trampoline = false)]
unsafe fn HardFault() -> ! {
    exit(FAULT)
}

/// The vectors of interrupts, cut down to one: none is ever enabled, and up to 480 would take 2 KB of flash.
#[cfg(target_arch = "arm")]
#[unsafe(link_section = ".vector_table.interrupts")] // Where cortex-m-rt's linker script looks for it, and its name there.
#[unsafe(no_mangle)]
static __INTERRUPTS: [extern "C" fn() -> !; 1] = [unexpected_interrupt];

#[cfg(target_arch = "arm")]
extern "C" fn unexpected_interrupt() -> ! {
    exit(FAULT)
}

/// Exceptions of the processor: all of them, because none has a handler of its own.
#[cfg(target_arch = "riscv32")]
#[unsafe(export_name = "ExceptionHandler")] // The name that riscv-rt's linker script asks for; nothing else has it.
extern "C" fn exception_handler(_: &riscv_rt::TrapFrame) -> ! {
    exit(FAULT)
}
