//! What an instruction costs on a core, by its kind, and how slow memories keep the core waiting: from the makers' manuals.
//!
//! Each cost has three values: the least that the core can take, the likely one, and the most. Where the numbers come from, and how the
//! whole was held against published measurements, is in `docs/cycle-estimate.md`.

use core::ops::{Add, AddAssign, Mul};

/// A kind of instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Moves, sums, logic, shifts, bit fields, extensions, comparisons, saturation, hints, and the start of a hardware loop.
    Alu,
    /// A product without a sum, of any width.
    Multiply,
    /// A product and a sum: `mla`, `smlad`, `smlal` and their like.
    MultiplyAccumulate,
    /// A quotient or remainder.
    Divide,
    /// A load: words. Two and more for pairs, multiples and pops.
    Load(u8),
    /// A store: words. Two and more for pairs, multiples and pushes.
    Store(u8),
    /// A branch to a fixed place, with or without a condition.
    Branch,
    /// A branch to a fixed place that keeps where it came from.
    Call,
    /// A branch to where a register or a table says.
    BranchIndirect,
    /// The end of a hardware loop (`le`, `letp`), or its start that may skip it (`wls`).
    LoopEnd,
    /// Float sums, products, minima, absolute values, immediate values.
    Float,
    /// A float product and sum: `vmla`, `vfma`.
    FloatAccumulate,
    /// A float quotient or square root.
    FloatDivide,
    /// Between floats and integers, halves and singles; float comparisons.
    FloatConvert,
    /// Between a float register and others.
    FloatMove,
    /// A Helium operation on registers.
    Vector,
    /// A Helium load or store of neighbouring elements; interleaving loads and stores count each instruction.
    VectorAccess,
    /// A Helium load or store of elements at addresses of their own: elements' number is not known here, so 4 words.
    VectorScatter,
    /// Barriers, special registers, exceptions.
    System,
    /// What this table does not know.
    Other,
}

/// The instructions that a core reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instructions {
    /// Thumb, with the extensions of the core.
    Thumb,
    /// RV32IMAC.
    RiscV,
}

/// Cycles: the least, the likely number, and the most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Span {
    /// The least.
    pub low: f64,
    /// The likely number.
    pub likely: f64,
    /// The most.
    pub high: f64,
}

/// Three values.
pub const fn span(low: f64, likely: f64, high: f64) -> Span {
    Span { low, likely, high }
}

/// One value that has no band.
pub const fn exactly(cycles: f64) -> Span {
    span(cycles, cycles, cycles)
}

impl Add for Span {
    type Output = Span;

    fn add(self, other: Span) -> Span {
        span(self.low + other.low, self.likely + other.likely, self.high + other.high)
    }
}

impl AddAssign for Span {
    fn add_assign(&mut self, other: Span) {
        *self = *self + other;
    }
}

impl Mul<u64> for Span {
    type Output = Span;

    fn mul(self, times: u64) -> Span {
        let times = times as f64;
        span(self.low * times, self.likely * times, self.high * times)
    }
}

/// What a core takes for each kind of instruction, in cycles, from memories without waits. Kinds that a core does not have cost as
/// on the core that its table is made from.
#[derive(Clone, Copy, Debug)]
pub struct Core {
    /// Its maker's name for it.
    pub name: &'static str,
    /// What it reads.
    pub instructions: Instructions,
    /// Moves, sums, logic.
    pub alu: Span,
    multiply: Span,
    accumulate: Span,
    divide: Span,
    /// A load of one word, and one that directly follows another access.
    load: Span,
    load_behind: Span,
    store: Span,
    /// Each word of a load or store of several, which take one cycle besides.
    word: Span,
    /// A call, beyond its own cycle and the refill.
    call: Span,
    /// What a taken branch costs beyond its own cycle.
    pub refill: Span,
    loop_end: Span,
    float: Span,
    float_accumulate: Span,
    float_divide: Span,
    float_move: Span,
    vector: Span,
    vector_access: Span,
    vector_scatter: Span,
    system: Span,
    /// What the kinds do not tell (results that are waited for, alignment, pairs that issue together), as a share by which the band is
    /// wider than the sums on either side.
    pub margin: f64,
}

/// Cortex-M0 with the fast multiplier.
pub const CORTEX_M0: Core = Core {
    name: "Cortex-M0",
    instructions: Instructions::Thumb,
    alu: exactly(1.0),
    multiply: exactly(1.0),
    accumulate: exactly(1.0),
    divide: exactly(1.0),
    load: exactly(2.0),
    load_behind: exactly(2.0),
    store: exactly(2.0),
    word: exactly(1.0),
    call: exactly(1.0),
    // One more when a pop branches.
    refill: span(2.0, 2.0, 3.0),
    loop_end: exactly(1.0),
    float: exactly(1.0),
    float_accumulate: exactly(1.0),
    float_divide: exactly(1.0),
    float_move: exactly(1.0),
    vector: exactly(1.0),
    vector_access: exactly(2.0),
    vector_scatter: exactly(2.0),
    system: span(1.0, 4.0, 4.0),
    margin: 0.05,
};

/// Cortex-M0 with the small multiplier, which the maker of a chip may choose.
pub const CORTEX_M0_SMALL: Core = Core { name: "Cortex-M0 (small multiplier)", multiply: exactly(32.0), ..CORTEX_M0 };

/// Cortex-M4, with its floating-point unit.
pub const CORTEX_M4: Core = Core {
    name: "Cortex-M4",
    divide: span(2.0, 7.0, 12.0),
    multiply: exactly(1.0),
    load: span(1.0, 2.0, 2.0),
    load_behind: span(1.0, 1.0, 2.0),
    store: span(1.0, 1.5, 2.0),
    call: exactly(0.0),
    refill: span(1.0, 2.0, 3.0),
    float: span(1.0, 1.0, 2.0),
    float_accumulate: span(3.0, 3.0, 4.0),
    float_divide: span(14.0, 14.0, 15.0),
    float_move: span(1.0, 1.0, 2.0),
    system: span(1.0, 2.0, 4.0),
    margin: 0.1,
    ..CORTEX_M0
};

/// Cortex-M7.
pub const CORTEX_M7: Core = Core {
    name: "Cortex-M7",
    alu: span(0.5, 0.75, 1.0),
    multiply: span(0.5, 1.0, 2.0),
    accumulate: span(0.5, 1.0, 2.0),
    divide: span(3.0, 8.0, 20.0),
    load: span(0.5, 1.0, 2.0),
    load_behind: span(0.5, 0.75, 2.0),
    store: span(0.5, 0.75, 1.0),
    word: span(0.5, 0.75, 1.0),
    refill: span(0.0, 1.0, 4.0),
    float: span(0.5, 1.0, 3.0),
    float_accumulate: span(1.0, 2.0, 5.0),
    float_divide: span(14.0, 16.0, 18.0),
    float_move: span(0.5, 1.0, 2.0),
    margin: 0.25,
    ..CORTEX_M4
};

/// Cortex-M33, with DSP extension and floating-point unit.
pub const CORTEX_M33: Core = Core {
    name: "Cortex-M33",
    alu: span(0.75, 1.0, 1.0),
    multiply: span(1.0, 1.0, 2.0),
    accumulate: span(1.0, 1.5, 2.0),
    divide: span(2.0, 6.0, 11.0),
    load: span(1.0, 2.0, 2.0),
    load_behind: span(1.0, 1.0, 2.0),
    store: span(1.0, 1.0, 2.0),
    float: span(1.0, 1.0, 2.0),
    float_accumulate: span(1.0, 1.5, 4.0),
    float_divide: span(14.0, 14.0, 16.0),
    margin: 0.15,
    ..CORTEX_M4
};

/// Cortex-M55 with Helium, which executes two beats of four a cycle.
pub const CORTEX_M55: Core = Core {
    name: "Cortex-M55",
    load: span(1.0, 1.5, 2.0),
    loop_end: span(0.0, 0.0, 3.0),
    vector: span(1.0, 2.0, 2.0),
    vector_access: span(1.0, 2.0, 3.0),
    vector_scatter: span(4.0, 8.0, 16.0),
    margin: 0.25,
    ..CORTEX_M33
};

/// RV32IMC in order and one at a time, as small cores are; Arm's tables are no guide here, and makers' differ.
pub const RV32IMC: Core = Core {
    name: "RV32IMC",
    instructions: Instructions::RiscV,
    multiply: span(1.0, 2.0, 5.0),
    divide: span(4.0, 20.0, 37.0),
    load: span(1.0, 2.0, 3.0),
    load_behind: span(1.0, 2.0, 3.0),
    store: span(1.0, 1.0, 2.0),
    call: exactly(0.0),
    refill: span(1.0, 2.0, 3.0),
    system: span(1.0, 2.0, 5.0),
    margin: 0.25,
    ..CORTEX_M0
};

/// Every core that has a table.
pub const CORES: [&Core; 7] =
    [&CORTEX_M0, &CORTEX_M0_SMALL, &CORTEX_M4, &CORTEX_M7, &CORTEX_M33, &CORTEX_M55, &RV32IMC];

impl Core {
    /// The core of that name as [`Board::core`](crate::boards::Board::core) has it: `Cortex-M4F` is a Cortex-M4, and `RV32IMAC` an RV32IMC.
    pub fn find(name: &str) -> Option<&'static Core> {
        let plain = name.strip_suffix('F').unwrap_or(name);
        let plain = if plain == "RV32IMAC" { RV32IMC.name } else { plain };
        CORES.into_iter().find(|core| core.name == plain)
    }

    /// The cost of a kind; `behind` says that it directly follows another access.
    pub fn cost(&self, kind: Kind, behind: bool) -> Span {
        let words = |count: u8| exactly(1.0) + self.word * u64::from(count);
        match kind {
            Kind::Alu | Kind::Branch | Kind::BranchIndirect => self.alu,
            Kind::Multiply => self.multiply,
            Kind::MultiplyAccumulate => self.accumulate,
            Kind::Divide => self.divide,
            Kind::Load(1) if behind => self.load_behind,
            Kind::Load(1) => self.load,
            Kind::Store(1) => self.store,
            Kind::Load(count) | Kind::Store(count) => words(count),
            Kind::Call => self.alu + self.call,
            Kind::LoopEnd => self.loop_end,
            Kind::Float | Kind::FloatConvert => self.float,
            Kind::FloatAccumulate => self.float_accumulate,
            Kind::FloatDivide => self.float_divide,
            Kind::FloatMove => self.float_move,
            Kind::Vector => self.vector,
            Kind::VectorAccess => self.vector_access,
            Kind::VectorScatter => self.vector_scatter,
            Kind::System => self.system,
            // As anything between a sum and a barrier.
            Kind::Other => span(self.alu.low, self.alu.likely, self.system.high),
        }
    }
}

/// How long memories keep the core waiting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryTiming {
    /// Cycles that an access of the flash waits.
    pub flash_waits: f64,
    /// Bytes that one access of the flash brings: a line of its buffer or cache.
    pub line_bytes: f64,
    /// The code comes from a cache or accelerator that holds its loops.
    pub code_cached: bool,
    /// Data in flash come from a cache as large as several lines for each stream of data.
    pub data_cached: bool,
    /// Cycles that an access of the RAM waits.
    pub ram_waits: f64,
}

impl MemoryTiming {
    /// Memories as fast as the core, as tightly coupled ones are, or any flash at a low clock.
    pub const NO_WAITS: MemoryTiming =
        MemoryTiming { flash_waits: 0.0, line_bytes: 16.0, code_cached: true, data_cached: true, ram_waits: 0.0 };

    /// A flash that is slower than the core, behind caches for code and data; RAM as fast as the core.
    pub const fn cached(flash_waits: f64, line_bytes: f64) -> Self {
        MemoryTiming { flash_waits, line_bytes, code_cached: true, data_cached: true, ram_waits: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boards::BOARDS;

    #[test]
    fn no_kind_costs_less_at_most_than_at_least() {
        let kinds = [
            Kind::Alu,
            Kind::Multiply,
            Kind::MultiplyAccumulate,
            Kind::Divide,
            Kind::Load(1),
            Kind::Load(5),
            Kind::Store(1),
            Kind::Store(2),
            Kind::Branch,
            Kind::Call,
            Kind::BranchIndirect,
            Kind::LoopEnd,
            Kind::Float,
            Kind::FloatAccumulate,
            Kind::FloatDivide,
            Kind::FloatConvert,
            Kind::FloatMove,
            Kind::Vector,
            Kind::VectorAccess,
            Kind::VectorScatter,
            Kind::System,
            Kind::Other,
        ];
        for core in CORES {
            for (kind, behind) in kinds.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
                let Span { low, likely, high } = core.cost(kind, behind);
                assert!(0.0 <= low && low <= likely && likely <= high, "{} {kind:?}", core.name);
            }
            assert!(core.refill.low <= core.refill.likely && core.refill.likely <= core.refill.high);
        }
    }

    #[test]
    fn every_board_has_a_core_with_a_table() {
        for board in BOARDS {
            assert!(Core::find(board.core).is_some(), "{}: {}", board.name, board.core);
        }
        assert!(Core::find("Cortex-A53").is_none());
    }
}
