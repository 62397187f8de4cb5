//! Calls to the debugger or emulator that the chip runs under: Arm's and RISC-V's semihosting, which QEMU answers as well.

use core::arch::asm;

/// SYS_EXIT_EXTENDED: ends with a reason and a status.
const EXIT_EXTENDED: usize = 0x20;
/// The reason: the application has ended.
const APPLICATION_EXIT: usize = 0x2_0026;

/// Ends the program with that status where a debugger or an emulator listens. Elsewhere the processor stops in a fault's loop or here.
pub fn exit(status: u32) -> ! {
    let block = [APPLICATION_EXIT, status as usize];
    // SAFETY: the call reads two words from the block, which outlives it.
    unsafe { call(EXIT_EXTENDED, &block) };
    loop {
        core::hint::spin_loop();
    }
}

/// Makes the call `operation` with its block of arguments, and gives its answer.
///
/// # Safety
/// The block must have the arguments that semihosting asks for, and what they point to must be valid for what the operation does.
#[inline(never)]
pub(super) unsafe fn call(operation: usize, block: &[usize]) -> usize {
    let answer: usize;
    // SAFETY: the caller's promise about the block. The debugger changes the answer's register and what the block points to, nothing else.
    unsafe {
        #[cfg(target_arch = "arm")]
        asm!("bkpt 0xab", inout("r0") operation => answer, in("r1") block.as_ptr(), options(nostack, preserves_flags));
        // The three instructions that say that the breakpoint is a call; they must be uncompressed and lie in one page.
        #[cfg(target_arch = "riscv32")]
        asm!(
            ".option push",
            ".option norvc",
            ".balign 16",
            "slli x0, x0, 0x1f",
            "ebreak",
            "srai x0, x0, 7",
            ".option pop",
            inout("a0") operation => answer,
            in("a1") block.as_ptr(),
            options(nostack, preserves_flags)
        );
    }
    answer
}
