//! The parts that can be named, chips as they are sold: their memories and clocks, from their data sheets.
//!
//! Sizes are those of the largest flash variant of the part unless the row says otherwise. Nothing here is measured. Wait states and
//! currents serve the estimate alone; they are typical figures, written down without the data sheets at hand.

use crate::boards::{BOARDS, Board};
use crate::cores::MemoryTiming;

/// A part: what is known of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// What a user types, in lower case.
    pub name: &'static str,
    /// Maker and part, and the board or memory that is meant where the part alone leaves it open.
    pub title: &'static str,
    /// The processor.
    pub core: &'static str,
    /// Highest clock of the processor in hertz.
    pub clock_hz: u32,
    /// The flash that code and image lie in.
    pub flash: FlashShape,
    /// The RAM.
    pub ram: RamShape,
    /// How long flash and RAM keep the core waiting at the highest clock, for the estimate of cycles.
    pub memory: MemoryTiming,
    /// What the core draws while it runs from flash, where the data sheet has one figure for it.
    pub current: Option<Current>,
}

/// A current of the running core.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Current {
    /// Microamperes a megahertz.
    pub microamps_per_mhz: f64,
    /// Volts of the supply.
    pub volts: f64,
}

/// A flash: its place, its pages and its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashShape {
    /// Address of its first byte.
    pub base: u32,
    /// Its pages (or sectors: the smallest piece that can be erased) from the first to the last, in runs of one size.
    pub pages: &'static [Pages],
    /// Bytes that are programmed at once: a power of two.
    pub word_bytes: usize,
    /// How often a word may be programmed between two erases; `u8::MAX` where only the bits limit it.
    pub writes: u8,
}

/// A run of pages of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    /// How many.
    pub count: usize,
    /// Bytes of each.
    pub bytes: usize,
}

/// A RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RamShape {
    /// Address of the largest block.
    pub base: u32,
    /// Bytes of all blocks together, as the data sheet's first page has them.
    pub total: usize,
    /// Bytes of the largest block without a gap: the program's stack lies in one block, so this is what counts.
    pub block: usize,
}

impl Part {
    /// The emulated board whose core executes the same instructions.
    pub fn board(&self) -> Option<&'static Board> {
        // ARMv6-M is the same on a Cortex-M0 and an M0+.
        BOARDS.iter().find(|board| board.core == self.core.trim_end_matches('+'))
    }
}

impl FlashShape {
    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        self.pages.iter().map(|pages| pages.count * pages.bytes).sum()
    }
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Every part, in the order in which they are listed.
pub const PARTS: &[Part] = &[
    // Nordic, nRF52840 Product Specification 4413_417: chapters Memory, NVMC (nWRITE = 2) and CPU.
    Part {
        name: "nrf52840",
        title: "Nordic nRF52840",
        core: "Cortex-M4F",
        clock_hz: 64_000_000,
        flash: FlashShape { base: 0, pages: &[Pages { count: 256, bytes: 4 * KIB }], word_bytes: 4, writes: 2 },
        ram: RamShape { base: 0x2000_0000, total: 256 * KIB, block: 256 * KIB },
        // Two wait states behind an instruction cache of 2 KiB (NVMC, ICACHECNF), which holds a step's loops; data wait.
        memory: MemoryTiming {
            flash_waits: 2.0,
            line_bytes: 16.0,
            code_cached: true,
            data_cached: false,
            ram_waits: 0.0,
        },
        // CPU running CoreMark from flash, cache on, DC/DC regulator, 3 V: 3.3 mA at 64 MHz.
        current: Some(Current { microamps_per_mhz: 51.6, volts: 3.0 }),
    },
    // ST, data sheet DS10693 (STM32F446xC/E) and reference manual RM0390, chapter Embedded flash memory: sectors of 4 × 16, 64 and
    // 3 × 128 KiB, programming by 32 bits at 2.7 V and above. SRAM1 112 KiB and SRAM2 16 KiB lie without a gap.
    Part {
        name: "stm32f446",
        title: "ST STM32F446xE",
        core: "Cortex-M4F",
        clock_hz: 180_000_000,
        flash: FlashShape {
            base: 0x0800_0000,
            pages: &[
                Pages { count: 4, bytes: 16 * KIB },
                Pages { count: 1, bytes: 64 * KIB },
                Pages { count: 3, bytes: 128 * KIB },
            ],
            word_bytes: 4,
            writes: u8::MAX,
        },
        ram: RamShape { base: 0x2000_0000, total: 128 * KIB, block: 128 * KIB },
        // Five wait states at 180 MHz behind the ART accelerator: 64 lines of 16 bytes for code, 8 for data.
        memory: MemoryTiming::cached(5.0, 16.0),
        current: None,
    },
    // ST, data sheet DS12023 (STM32L4R5xx) and reference manual RM0432, chapter Embedded flash memory: double words of 64 bits with
    // their ECC, written once; pages of 4 KiB in the factory's dual-bank mode (8 KiB in single-bank mode). SRAM1 192, SRAM2 64 and
    // SRAM3 384 KiB lie without a gap.
    Part {
        name: "stm32l4r5",
        title: "ST STM32L4R5xI (dual bank)",
        core: "Cortex-M4F",
        clock_hz: 120_000_000,
        flash: FlashShape {
            base: 0x0800_0000,
            pages: &[Pages { count: 512, bytes: 4 * KIB }],
            word_bytes: 8,
            writes: 1,
        },
        ram: RamShape { base: 0x2000_0000, total: 640 * KIB, block: 640 * KIB },
        // Five wait states at 120 MHz behind the ART accelerator: 1 KiB for code, 256 bytes for data.
        memory: MemoryTiming::cached(5.0, 16.0),
        // Run mode from the internal regulator, as the first page has it: 110 µA/MHz.
        current: Some(Current { microamps_per_mhz: 110.0, volts: 3.3 }),
    },
    // ST, data sheet DS12110 (STM32H743xI) and reference manual RM0433, chapter Embedded flash memory: two banks of 8 sectors, flash
    // words of 256 bits with their ECC, written once. 480 MHz from revision V on. 1 MiB of RAM in several domains; the largest is AXI
    // SRAM.
    Part {
        name: "stm32h743",
        title: "ST STM32H743xI",
        core: "Cortex-M7",
        clock_hz: 480_000_000,
        flash: FlashShape {
            base: 0x0800_0000,
            pages: &[Pages { count: 16, bytes: 128 * KIB }],
            word_bytes: 32,
            writes: 1,
        },
        ram: RamShape { base: 0x2400_0000, total: MIB, block: 512 * KIB },
        // Flash behind a bus of half the clock, and 16 KiB of cache each for code and data.
        memory: MemoryTiming::cached(20.0, 32.0),
        current: None,
    },
    // Raspberry Pi, RP2040 Datasheet (chapters Bus fabric and Memory) and Pico Datasheet: no flash inside; the Pico has a Winbond
    // W25Q16JV of 2 MiB on QSPI, executed in place, with 4 KiB sectors and 256-byte pages. 133 MHz.
    Part {
        name: "rp2040",
        title: "Raspberry Pi RP2040, Pico board",
        core: "Cortex-M0+",
        clock_hz: 133_000_000,
        flash: FlashShape {
            base: 0x1000_0000,
            pages: &[Pages { count: 512, bytes: 4 * KIB }],
            word_bytes: 256,
            writes: u8::MAX,
        },
        ram: RamShape { base: 0x2000_0000, total: 264 * KIB, block: 264 * KIB },
        // A miss of the 16 KiB cache reads 8 bytes over four wires at half the clock: 16 serial clocks and as many for the address.
        memory: MemoryTiming::cached(48.0, 8.0),
        current: None,
    },
    // Raspberry Pi, RP2350 Datasheet (chapters Bus fabric and Memory) and Pico 2 Datasheet: the Pico 2 has 4 MiB of serial flash with
    // 4 KiB sectors and 256-byte pages. 150 MHz.
    Part {
        name: "rp2350",
        title: "Raspberry Pi RP2350, Pico 2 board",
        core: "Cortex-M33",
        clock_hz: 150_000_000,
        flash: FlashShape {
            base: 0x1000_0000,
            pages: &[Pages { count: 1024, bytes: 4 * KIB }],
            word_bytes: 256,
            writes: u8::MAX,
        },
        ram: RamShape { base: 0x2000_0000, total: 520 * KIB, block: 520 * KIB },
        // As on the RP2040, with a cache of 16 KiB.
        memory: MemoryTiming::cached(48.0, 8.0),
        current: None,
    },
    // Arm, application note AN547 (Corstone-300 on MPS3, the memory map that the FVP shares): 512 KiB of ITCM for code and 512 KiB of
    // DTCM for data at their secure addresses, 32 MHz. There is no flash: a debugger or the board's controller loads the ITCM, in
    // words of 32 bits and without wear; it stands here as one with pages of 4 KiB. Block RAM and DDR are left out.
    Part {
        name: "corstone-300",
        title: "Arm Corstone-300, MPS3 AN547 and FVP",
        core: "Cortex-M55",
        clock_hz: 32_000_000,
        flash: FlashShape {
            base: 0x1000_0000,
            pages: &[Pages { count: 128, bytes: 4 * KIB }],
            word_bytes: 4,
            writes: u8::MAX,
        },
        ram: RamShape { base: 0x3000_0000, total: 512 * KIB, block: 512 * KIB },
        memory: MemoryTiming::NO_WAITS,
        current: None,
    },
];

/// The part of that name; case and `-` do not matter.
///
/// # Errors
/// [`UnknownPart`], which lists the names.
pub fn find(name: &str) -> Result<Part, UnknownPart<'_>> {
    fn plain(name: &str) -> impl Iterator<Item = char> {
        name.chars().filter(|&character| character != '-').map(|character| character.to_ascii_lowercase())
    }
    PARTS.iter().find(|part| plain(part.name).eq(plain(name))).copied().ok_or(UnknownPart(name))
}

/// There is no part with this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPart<'n>(pub &'n str);

impl UnknownPart<'_> {
    /// What to do about it: the names there are.
    pub fn remedy(&self) -> impl core::fmt::Display {
        core::fmt::from_fn(|formatter| {
            for (index, part) in PARTS.iter().enumerate() {
                write!(formatter, "{}{}", if index == 0 { "take one of " } else { ", " }, part.name)?;
            }
            Ok(())
        })
    }
}

impl core::fmt::Display for UnknownPart<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match crate::boards::find(self.0) {
            Ok(board) => write!(
                formatter,
                "{} is an emulated board, for `latch-sim device` and `latch-sim verify`; wanted is a part",
                board.name
            ),
            Err(_) => write!(formatter, "there is no part with the name {:?}", self.0),
        }
    }
}

impl core::error::Error for UnknownPart<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an image asks of its address: `latch_engine::image::ALIGNMENT`.
    const ALIGNMENT: usize = 16;

    #[test]
    fn every_part_has_an_emulated_board_with_its_core() {
        for part in PARTS {
            let board = part.board().expect(part.name);
            assert!(part.core.starts_with(board.core), "{}: {}", part.name, board.name);
        }
    }

    #[test]
    fn every_part_has_the_size_that_its_data_sheet_names() {
        let sizes: Vec<_> =
            PARTS.iter().map(|part| (part.name, part.flash.bytes() / KIB, part.ram.total / KIB)).collect();
        let expected = [
            ("nrf52840", 1024, 256),
            ("stm32f446", 512, 128),
            ("stm32l4r5", 2048, 640),
            ("stm32h743", 2048, 1024),
            ("rp2040", 2048, 264),
            ("rp2350", 4096, 520),
            ("corstone-300", 512, 512),
        ];
        assert_eq!(sizes, expected);
    }

    #[test]
    fn every_part_can_hold_an_aligned_image_in_whole_words() {
        for part in PARTS {
            let flash = &part.flash;
            assert!(flash.word_bytes.is_power_of_two(), "{}", part.name);
            assert!((flash.base as usize).is_multiple_of(ALIGNMENT), "{}", part.name);
            for pages in flash.pages {
                assert!(
                    pages.bytes.is_multiple_of(flash.word_bytes) && pages.bytes.is_multiple_of(ALIGNMENT),
                    "{}",
                    part.name
                );
            }
            assert!(part.ram.block <= part.ram.total, "{}", part.name);
        }
    }

    #[test]
    fn a_part_is_found_in_any_case_and_an_unknown_name_lists_the_known_ones() {
        assert_eq!(find("nRF52840").map(|part| part.name), Ok("nrf52840"));
        assert_eq!(find("Corstone300").map(|part| part.name), Ok("corstone-300"));
        let error = find("esp32").expect_err("no such part");
        let message = format!("{error}; {}", error.remedy());
        for part in PARTS {
            assert!(message.contains(part.name), "{message}");
        }
        assert!(message.contains("esp32"), "{message}");
        let message = find("Microbit").expect_err("a board").to_string();
        assert!(
            message.contains("microbit is an emulated board") && message.contains("`latch-sim device`"),
            "{message}"
        );
    }
}
