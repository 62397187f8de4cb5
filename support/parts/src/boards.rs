//! The boards that QEMU models and the firmware runs on: processor, memories, and where the image lies.
//!
//! The one table of this: the linker's memory map, the address that QEMU loads an image to, and the compiler's `target-cpu` come from
//! here. The clock of a real chip is not in it: QEMU models none.

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

/// Bytes at the start of the flash that belong to the firmware. The linker refuses a firmware that outgrows them.
pub const FIRMWARE_RESERVE: u32 = 32 * KIB;

/// A board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// What a user types; QEMU's name for it where QEMU has one of its own.
    pub name: &'static str,
    /// Maker and board in words.
    pub title: &'static str,
    /// The processor.
    pub core: &'static str,
    /// The compiler's target.
    pub target: &'static str,
    /// The compiler's `target-cpu`, where the target alone is not all that the processor can do.
    pub cpu: Option<&'static str>,
    /// QEMU's program.
    pub qemu: &'static str,
    /// QEMU's `-M`.
    pub machine: &'static str,
    /// The memory that code and image lie in.
    pub flash: Memory,
    /// The memory for state, buffers and stack.
    pub ram: Memory,
    /// Where the image's first byte lies; from here to the flash's end is the slot.
    pub image_address: u32,
    /// Bytes that the firmware sets aside for a stream's state unless it is built for a model that needs fewer.
    pub state_bytes: u32,
    /// The serial port that the firmware knows.
    pub uart: Uart,
    /// The clock that the firmware reads.
    pub clock: Clock,
}

/// A piece of the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Address of its first byte.
    pub base: u32,
    /// Its size.
    pub bytes: u32,
}

impl Memory {
    /// The address behind its last byte.
    pub const fn end(&self) -> u32 {
        self.base + self.bytes
    }
}

/// A serial port: what it is, and its first register's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uart {
    /// Arm's CMSDK APB UART.
    Cmsdk(u32),
    /// Nordic's UART of the nRF51.
    Nrf51(u32),
    /// A 16550 with registers of one byte.
    Ns16550(u32),
}

/// What measures time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The chip has nothing that counts: ticks are 0.
    None,
    /// SysTick on the processor's clock; wraps at 24 bits.
    SysTick,
    /// The counter `mcycle`; wraps at 32 bits.
    Mcycle,
}

impl Board {
    /// Bytes of flash from the image's first byte on.
    pub const fn slot_bytes(&self) -> u32 {
        self.flash.end() - self.image_address
    }
}

/// What Arm's boards with the first memory map have in common, two of which differ in their processor alone.
const MPS2: Board = Board {
    name: "mps2-an386",
    title: "Arm MPS2, AN386",
    core: "Cortex-M4F",
    target: "thumbv7em-none-eabihf",
    cpu: Some("cortex-m4"),
    qemu: "qemu-system-arm",
    machine: "mps2-an386",
    flash: Memory { base: 0, bytes: 4 * MIB },
    ram: Memory { base: 0x2000_0000, bytes: 4 * MIB },
    image_address: FIRMWARE_RESERVE,
    state_bytes: 64 * KIB,
    uart: Uart::Cmsdk(0x4000_4000),
    clock: Clock::SysTick,
};

/// And those with the second one. The addresses are the secure ones: the firmware stays in the secure state.
const SSE: Board = Board { target: "thumbv8m.main-none-eabihf", image_address: 0x1000_0000 + FIRMWARE_RESERVE, ..MPS2 };

/// Every board, from the smallest to the largest, in the order in which they are listed. The first of a target is the one that a
/// build for that target alone means.
pub const BOARDS: &[Board] = &[
    Board {
        name: "microbit",
        title: "BBC micro:bit, Nordic nRF51822",
        core: "Cortex-M0",
        target: "thumbv6m-none-eabi",
        cpu: None,
        qemu: "qemu-system-arm",
        machine: "microbit",
        flash: Memory { base: 0, bytes: 256 * KIB },
        ram: Memory { base: 0x2000_0000, bytes: 16 * KIB },
        image_address: FIRMWARE_RESERVE,
        state_bytes: 8 * KIB,
        uart: Uart::Nrf51(0x4000_2000),
        // The nRF51 has no SysTick; its timers count at 16 MHz at most and are left out.
        clock: Clock::None,
    },
    MPS2,
    Board {
        name: "mps2-an500",
        title: "Arm MPS2, AN500",
        core: "Cortex-M7",
        cpu: Some("cortex-m7"),
        machine: "mps2-an500",
        ..MPS2
    },
    Board {
        name: "mps2-an505",
        title: "Arm MPS2+, AN505 (SSE-200)",
        core: "Cortex-M33",
        cpu: Some("cortex-m33"),
        machine: "mps2-an505",
        flash: Memory { base: 0x1000_0000, bytes: 4 * MIB },
        ram: Memory { base: 0x3800_0000, bytes: 2 * MIB },
        uart: Uart::Cmsdk(0x5020_0000),
        ..SSE
    },
    Board {
        name: "mps3-an547",
        title: "Arm MPS3, AN547 (Corstone-300)",
        core: "Cortex-M55",
        cpu: Some("cortex-m55"),
        machine: "mps3-an547",
        flash: Memory { base: 0x1000_0000, bytes: 512 * KIB },
        ram: Memory { base: 0x3000_0000, bytes: 512 * KIB },
        uart: Uart::Cmsdk(0x5930_3000),
        ..SSE
    },
    Board {
        name: "riscv32imac",
        title: "QEMU virt, one hart",
        core: "RV32IMAC",
        target: "riscv32imac-unknown-none-elf",
        cpu: None,
        qemu: "qemu-system-riscv32",
        machine: "virt",
        // This machine has RAM only; its first 4 MiB stand for a flash.
        flash: Memory { base: 0x8000_0000, bytes: 4 * MIB },
        ram: Memory { base: 0x8040_0000, bytes: MIB },
        image_address: 0x8000_0000 + MIB,
        state_bytes: 64 * KIB,
        uart: Uart::Ns16550(0x1000_0000),
        clock: Clock::Mcycle,
    },
];

/// The board of that name; case does not matter.
///
/// # Errors
/// [`UnknownBoard`], which lists the names.
pub fn find(name: &str) -> Result<&'static Board, UnknownBoard<'_>> {
    BOARDS.iter().find(|board| board.name.eq_ignore_ascii_case(name)).ok_or(UnknownBoard(name))
}

/// There is no board with this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownBoard<'n>(pub &'n str);

impl core::fmt::Display for UnknownBoard<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "there is no board with the name {:?}; take one of", self.0)?;
        for (index, board) in BOARDS.iter().enumerate() {
            write!(formatter, "{} {}", if index == 0 { "" } else { "," }, board.name)?;
        }
        Ok(())
    }
}

impl core::error::Error for UnknownBoard<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_lies_in_the_flash_behind_the_firmware_and_on_a_multiple_of_16() {
        for board in BOARDS {
            assert!(board.image_address >= board.flash.base + FIRMWARE_RESERVE, "{}", board.name);
            assert!(board.image_address < board.flash.end(), "{}", board.name);
            assert!(board.image_address.is_multiple_of(16), "{}", board.name);
        }
    }

    #[test]
    fn the_state_leaves_room_for_stack_and_buffers() {
        for board in BOARDS {
            assert!(board.state_bytes + 4 * KIB <= board.ram.bytes, "{}", board.name);
        }
    }

    #[test]
    fn a_board_is_found_in_any_case_and_an_unknown_name_lists_the_known_ones() {
        assert_eq!(find("MPS2-AN386").map(|board| board.core), Ok("Cortex-M4F"));
        let message = find("esp32").expect_err("no such board").to_string();
        assert!(message.starts_with("there is no board with the name \"esp32\"; take one of microbit, mps2-an386,"));
        assert!(BOARDS.iter().all(|board| message.contains(board.name)), "{message}");
    }
}
