//! Estimates how many cycles the counted instructions take on a chip. An estimate, never a measurement: QEMU executes instructions and
//! knows no pipeline.
//!
//! Every instruction of the histogram gets the cost of its kind on the core, every branch that was taken the cost of refilling the
//! pipeline, and accesses of memories that are slower than the core their waits. Each cost has three values: the least that the core
//! can take, the likely one, and the most. Their sums are an estimate and its band. The tables, where their numbers come from, and
//! how the whole was held against published measurements is in `docs/cycle-estimate.md`.
//!
//! What is left out: interrupts, contention for a bus, and which instruction waits for which result, beyond what the band holds.

use std::ops::{Add, AddAssign, Mul};

use crate::counts::{Counts, Executed};
use crate::decode::{self, Kind};

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

const fn span(low: f64, likely: f64, high: f64) -> Span {
    Span { low, likely, high }
}

const fn exactly(cycles: f64) -> Span {
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
    decode: fn(u32, u8) -> Kind,
    alu: Span,
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
    refill: Span,
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
    margin: f64,
}

/// Cortex-M0 with the fast multiplier.
pub const CORTEX_M0: Core = Core {
    name: "Cortex-M0",
    decode: decode::thumb,
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
    decode: decode::riscv,
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
    /// The core of that name as [`crate::boards::Board::core`] has it: `Cortex-M4F` is a Cortex-M4, and `RV32IMAC` an RV32IMC.
    pub fn find(name: &str) -> Option<&'static Core> {
        let plain = name.strip_suffix('F').unwrap_or(name).replace("IMAC", "IMC");
        CORES.into_iter().find(|core| core.name == plain)
    }

    /// The cost of a kind; `behind` says that it directly follows another access.
    fn cost(&self, kind: Kind, behind: bool) -> Span {
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
pub struct Memory {
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

impl Memory {
    /// Memories as fast as the core, as tightly coupled ones are, or any flash at a low clock.
    pub const NO_WAITS: Memory =
        Memory { flash_waits: 0.0, line_bytes: 16.0, code_cached: true, data_cached: true, ram_waits: 0.0 };

    /// What the counted instruction waits for its code and data, all executions together.
    fn waits(&self, executed: &Executed) -> Span {
        let line = |bytes: u64| bytes as f64 / self.line_bytes * self.flash_waits;
        let code = if self.code_cached {
            Span::default()
        } else {
            // Straight code waits for each new line, unless that is fetched ahead; a branch that is taken always begins a line.
            let straight = line(executed.executions * u64::from(executed.size));
            let branches = executed.left as f64 * self.flash_waits;
            span(branches, branches + straight / 2.0, branches + straight)
        };
        let accesses = executed.accesses;
        // In lines, as when all of a line is used while it is there; or one line for each load.
        let bytes = accesses.load_bytes * accesses.flash_loads / accesses.loads.max(1);
        let (lines, each) = (line(bytes), accesses.flash_loads as f64 * self.flash_waits);
        let data = if self.data_cached {
            span(0.0, lines, lines.max(each))
        } else {
            span(lines, (lines + each) / 2.0, lines.max(each))
        };
        let ram = (accesses.loads - accesses.flash_loads + accesses.stores) as f64 * self.ram_waits;
        code + data + exactly(ram)
    }
}

/// An estimate of cycles, for all regions together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The likely number of cycles.
    pub cycles: f64,
    /// The least that the tables and their margin allow.
    pub low: f64,
    /// The most.
    pub high: f64,
    /// Instructions of which the tables know nothing; they are costed as sums, in the high value as barriers.
    pub unknown: u64,
}

impl Estimate {
    /// The likely energy in joules: `microamps` a megahertz at `volts`, from the chip's data sheet, for a core that runs.
    pub fn joules(&self, microamps: f64, volts: f64) -> f64 {
        // One microampere a megahertz is one picocoulomb a cycle.
        self.cycles * microamps * 1e-12 * volts
    }
}

/// Estimates the cycles of everything that was counted.
pub fn estimate(counts: &Counts, core: &Core, memory: Memory) -> Estimate {
    let (mut total, mut unknown) = (Span::default(), 0);
    let mut before: Option<(&Executed, Kind)> = None;
    for executed in &counts.histogram {
        let kind = (core.decode)(executed.opcode, executed.size);
        let single = |kind: &Kind| matches!(kind, Kind::Load(1) | Kind::Store(1));
        let behind = before.is_some_and(|(other, kind)| {
            single(&kind) && other.address + u32::from(other.size) == executed.address && other.left == 0
        });
        // Executions whose condition failed access nothing.
        let idle = match kind {
            Kind::Load(_) => executed.executions - executed.accesses.loads,
            Kind::Store(_) => executed.executions - executed.accesses.stores,
            _ => 0,
        };
        total += core.cost(kind, behind) * (executed.executions - idle) + core.alu * idle;
        if kind != Kind::LoopEnd {
            total += core.refill * executed.left;
        }
        total += memory.waits(executed);
        if kind == Kind::Other {
            unknown += executed.executions;
        }
        before = Some((executed, kind));
    }
    let (low, high) = (total.low * (1.0 - core.margin), total.high * (1.0 + core.margin));
    Estimate { cycles: total.likely, low, high, unknown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boards::BOARDS;
    use crate::counts::Accesses;

    /// The histogram of `lines`, each an opcode with its executions and how often it left; a word is loaded or stored by each access.
    fn counts(lines: &[(u32, u64, u64)]) -> Counts {
        let mut address = 0x100;
        let histogram: Vec<Executed> = lines
            .iter()
            .map(|&(opcode, executions, left)| {
                let size = if opcode >> 16 == 0 { 2 } else { 4 };
                let accesses = match decode::thumb(opcode, size) {
                    Kind::Load(words) => Accesses {
                        loads: executions,
                        load_bytes: 4 * executions * u64::from(words),
                        ..Accesses::default()
                    },
                    Kind::Store(words) => Accesses {
                        stores: executions,
                        store_bytes: 4 * executions * u64::from(words),
                        ..Accesses::default()
                    },
                    _ => Accesses::default(),
                };
                address += u32::from(size);
                Executed { address: address - u32::from(size), opcode, size, executions, left, accesses }
            })
            .collect();
        Counts {
            regions: 1,
            instructions: histogram.iter().map(|executed| executed.executions).sum(),
            shortest: 0,
            longest: 0,
            accesses: Accesses::default(),
            stack_low: None,
            stack_low_in_regions: None,
            histogram,
        }
    }

    #[test]
    fn a_cortex_m0_takes_what_its_manual_says() {
        let lines = [
            (0x3801, 10, 0),    // subs: 1
            (0xd1fd, 10, 9),    // bne: 3 taken, 1 not
            (0x6813, 1, 0),     // ldr: 2
            (0xca70, 1, 0),     // ldm of three: 4
            (0xf800f000, 1, 1), // bl: 4
            (0x4770, 1, 1),     // bx: 3
        ];
        let estimate = estimate(&counts(&lines), &CORTEX_M0, Memory::NO_WAITS);
        assert_eq!(estimate.cycles, 51.0);
        assert!((estimate.low - 51.0 * 0.95).abs() < 1e-9 && (estimate.high - 62.0 * 1.05).abs() < 1e-9);
        assert_eq!(estimate.unknown, 0);
    }

    /// The loop of `out[j] += q * m[j]` over 64 rows of 64, in RAM: 49,796 cycles were published for it on a Cortex-M4, and 43,430 on a
    /// Cortex-M33 (`docs/cycle-estimate.md`).
    #[test]
    fn a_published_loop_is_estimated_within_a_tenth_and_lies_in_the_band() {
        let (inner, outer) = (64 * 64, 64);
        let lines = [
            (0x6a01ecf0, outer, 0), // vldmia r0!, {s13}
            (0x0c82eb06, outer, 0), // add.w ip, r6, r2, lsl #2
            (0x462b, outer, 0),     // mov r3, r5
            (0x7a00edd3, inner, 0), // vldr s15, [r3]
            (0x7a01ecbc, inner, 0), // vldmia ip!, {s14}
            (0x7a26eee7, inner, 0), // vfma.f32 s15, s14, s13
            (0x7a01ece3, inner, 0), // vstmia r3!, {s15}
            (0x459e, inner, 0),     // cmp lr, r3
            (0xd1f5, inner, inner - outer),
            (0x4288, outer, 0), // cmp r0, r1
            (0x4422, outer, 0), // add r2, r4
            (0xd1eb, outer, outer - 1),
        ];
        for (core, published) in [(&CORTEX_M4, 49_796.0), (&CORTEX_M33, 43_430.0)] {
            let Estimate { cycles, low, high, .. } = estimate(&counts(&lines), core, Memory::NO_WAITS);
            assert!((cycles / published - 1.0).abs() < 0.1, "{}: {cycles} for {published}", core.name);
            assert!((low..high).contains(&published), "{}: {low} to {high} for {published}", core.name);
        }
    }

    #[test]
    fn an_access_whose_condition_failed_costs_a_sum() {
        let mut counted = counts(&[(0xbf00, 4, 0), (0xe9d24500u32.rotate_left(16), 4, 0)]); // nop; ldrd
        counted.histogram[1].accesses.loads = 1;
        assert_eq!(estimate(&counted, &CORTEX_M4, Memory::NO_WAITS).cycles, 4.0 + 3.0 + 3.0);
    }

    #[test]
    fn waits_are_paid_where_they_arise_and_in_order() {
        let mut counted = counts(&[(0x6813, 100, 0), (0xbf00, 100, 99)]);
        counted.histogram[0].accesses.flash_loads = 40;
        let without = estimate(&counted, &CORTEX_M4, Memory::NO_WAITS);
        let ram = Memory { ram_waits: 2.0, ..Memory::NO_WAITS };
        assert_eq!(estimate(&counted, &CORTEX_M4, ram).cycles - without.cycles, 120.0);
        let flash = Memory { flash_waits: 5.0, ..Memory::NO_WAITS };
        let cached = estimate(&counted, &CORTEX_M4, flash);
        assert_eq!(cached.cycles - without.cycles, 40.0 * 4.0 / 16.0 * 5.0);
        let bare = estimate(&counted, &CORTEX_M4, Memory { code_cached: false, data_cached: false, ..flash });
        assert!(bare.low > cached.low && bare.cycles > cached.cycles && bare.high > cached.high);
        let most = 40.0 * 5.0 + 99.0 * 5.0 + 400.0 / 16.0 * 5.0;
        assert!((bare.high - without.high - 1.1 * most).abs() < 1e-9);
    }

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

    #[test]
    fn what_the_tables_do_not_know_is_told() {
        let estimate = estimate(&counts(&[(0x1005_a52f, 3, 0), (0x0001, 2, 0)]), &RV32IMC, Memory::NO_WAITS); // lr.w; nop
        assert_eq!((estimate.unknown, estimate.cycles, estimate.high), (3, 5.0, (3.0 * 5.0 + 2.0) * 1.25));
    }

    #[test]
    fn energy_is_charge_times_voltage() {
        let estimate = Estimate { cycles: 1e6, low: 0.0, high: 0.0, unknown: 0 };
        // A million cycles at 100 µA/MHz are 100 µC; at 3 V, 300 µJ.
        assert!((estimate.joules(100.0, 3.0) - 300e-6).abs() < 1e-12);
    }
}
