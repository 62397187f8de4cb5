//! The two instruction sets: how long an instruction is, and which two are the markers.
//!
//! The length is read from the instruction itself. What QEMU says is no use: at the end of a page its translator looks at the next
//! halfword and takes it for a part of the instruction.

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Thumb, as every Cortex-M has it.
    Thumb,
    /// RISC-V with compressed instructions, or without.
    RiscV,
}

/// A marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// Marker A, which opens a region.
    Open,
    /// Marker B, which closes it.
    Close,
}

impl Target {
    /// The one that QEMU calls `name`, or `None`.
    pub fn named(name: &str) -> Option<Target> {
        match name {
            "arm" => Some(Target::Thumb),
            "riscv32" | "riscv64" => Some(Target::RiscV),
            _ => None,
        }
    }

    /// The instruction that `bytes` begin with: how many bytes it has, and these as a number, the first one lowest.
    pub fn instruction(self, bytes: &[u8]) -> (u8, u32) {
        let value = |count| bytes.iter().take(count).rev().fold(0, |value, &byte| value << 8 | u32::from(byte));
        let half = value(2);
        let wide = match self {
            Target::Thumb => half >> 11 >= 0b11101,
            Target::RiscV => half & 3 == 3,
        };
        if wide { (4, value(4)) } else { (2, half) }
    }

    /// The marker that the instruction is, or `None`. Both sets have instructions without an effect that no compiler emits: hints
    /// without a meaning (`0xbf50`, `0xbf60`), and comparisons into the register that is always zero (`slti x0, x0, 0x501` and
    /// `0x502`).
    pub fn marker(self, opcode: u32) -> Option<Marker> {
        match (self, opcode) {
            (Target::Thumb, 0xbf50) | (Target::RiscV, 0x5010_2013) => Some(Marker::Open),
            (Target::Thumb, 0xbf60) | (Target::RiscV, 0x5020_2013) => Some(Marker::Close),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_the_instructions_own_whatever_follows() {
        for (target, bytes, size, opcode) in [
            (Target::Thumb, &[0x00, 0xbf, 0x01, 0x38][..], 2, 0xbf00),
            (Target::Thumb, &[0x00, 0xe0], 2, 0xe000),
            (Target::Thumb, &[0xd2, 0xe9, 0x00, 0x45, 0x00, 0xbf], 4, 0x4500_e9d2),
            (Target::Thumb, &[0x00, 0xf0, 0x01, 0xf8], 4, 0xf801_f000),
            (Target::RiscV, &[0x7d, 0x15, 0x82, 0x45], 2, 0x157d),
            (Target::RiscV, &[0x13, 0x20, 0x10, 0x50], 4, 0x5010_2013),
        ] {
            assert_eq!(target.instruction(bytes), (size, opcode), "{bytes:x?}");
        }
    }

    #[test]
    fn each_instruction_set_has_its_own_markers() {
        assert_eq!(Target::Thumb.marker(0xbf50), Some(Marker::Open));
        assert_eq!(Target::Thumb.marker(0xbf60), Some(Marker::Close));
        assert_eq!(Target::RiscV.marker(0xbf50), None);
        assert_eq!(Target::RiscV.marker(0x5010_2013), Some(Marker::Open));
        assert_eq!(Target::named("riscv32").and_then(|target| target.marker(0x5020_2013)), Some(Marker::Close));
        assert_eq!(Target::named("x86_64"), None);
    }
}
