//! Estimates how many cycles the counted instructions take on a chip. An estimate, never a measurement: QEMU executes instructions and
//! knows no pipeline.
//!
//! Every instruction of the histogram gets the cost of its kind on the core, every branch that was taken the cost of refilling the
//! pipeline, and accesses of memories that are slower than the core their waits. Each cost has three values: the least that the core
//! can take, the likely one, and the most. Their sums are an estimate and its band. The tables, where their numbers come from, and
//! how the whole was held against published measurements is in `docs/cycle-estimate.md`.
//!
//! What is left out: interrupts, contention for a bus, and which instruction waits for which result, beyond what the band holds.

use latch_parts::cores::{Core, Instructions, Kind, MemoryTiming, Span, exactly, span};

use crate::counts::{Counts, Executed};
use crate::decode;

/// What the counted instruction waits for its code and data, all executions together.
fn waits(memory: &MemoryTiming, executed: &Executed) -> Span {
    let line = |bytes: u64| bytes as f64 / memory.line_bytes * memory.flash_waits;
    let code = if memory.code_cached {
        Span::default()
    } else {
        // Straight code waits for each new line, unless that is fetched ahead; a branch that is taken always begins a line.
        let straight = line(executed.executions * u64::from(executed.size));
        let branches = executed.left as f64 * memory.flash_waits;
        span(branches, branches + straight / 2.0, branches + straight)
    };
    let accesses = executed.accesses;
    // In lines, as when all of a line is used while it is there; or one line for each load.
    let bytes = accesses.load_bytes * accesses.flash_loads / accesses.loads.max(1);
    let (lines, each) = (line(bytes), accesses.flash_loads as f64 * memory.flash_waits);
    let data = if memory.data_cached {
        span(0.0, lines, lines.max(each))
    } else {
        span(lines, (lines + each) / 2.0, lines.max(each))
    };
    let ram = (accesses.loads - accesses.flash_loads + accesses.stores) as f64 * memory.ram_waits;
    code + data + exactly(ram)
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
pub fn estimate(counts: &Counts, core: &Core, memory: MemoryTiming) -> Estimate {
    let (mut total, mut unknown) = (Span::default(), 0);
    let decode = match core.instructions {
        Instructions::Thumb => decode::thumb,
        Instructions::RiscV => decode::riscv,
    };
    let mut before: Option<(&Executed, Kind)> = None;
    for executed in &counts.histogram {
        let kind = decode(executed.opcode, executed.size);
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
        total += waits(&memory, executed);
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
    use crate::counts::Accesses;
    use latch_parts::cores::{CORTEX_M0, CORTEX_M4, CORTEX_M33, RV32IMC};

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
        let estimate = estimate(&counts(&lines), &CORTEX_M0, MemoryTiming::NO_WAITS);
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
            let Estimate { cycles, low, high, .. } = estimate(&counts(&lines), core, MemoryTiming::NO_WAITS);
            assert!((cycles / published - 1.0).abs() < 0.1, "{}: {cycles} for {published}", core.name);
            assert!((low..high).contains(&published), "{}: {low} to {high} for {published}", core.name);
        }
    }

    #[test]
    fn an_access_whose_condition_failed_costs_a_sum() {
        let mut counted = counts(&[(0xbf00, 4, 0), (0xe9d24500u32.rotate_left(16), 4, 0)]); // nop; ldrd
        counted.histogram[1].accesses.loads = 1;
        assert_eq!(estimate(&counted, &CORTEX_M4, MemoryTiming::NO_WAITS).cycles, 4.0 + 3.0 + 3.0);
    }

    #[test]
    fn waits_are_paid_where_they_arise_and_in_order() {
        let mut counted = counts(&[(0x6813, 100, 0), (0xbf00, 100, 99)]);
        counted.histogram[0].accesses.flash_loads = 40;
        let without = estimate(&counted, &CORTEX_M4, MemoryTiming::NO_WAITS);
        let ram = MemoryTiming { ram_waits: 2.0, ..MemoryTiming::NO_WAITS };
        assert_eq!(estimate(&counted, &CORTEX_M4, ram).cycles - without.cycles, 120.0);
        let flash = MemoryTiming { flash_waits: 5.0, ..MemoryTiming::NO_WAITS };
        let cached = estimate(&counted, &CORTEX_M4, flash);
        assert_eq!(cached.cycles - without.cycles, 40.0 * 4.0 / 16.0 * 5.0);
        let bare = estimate(&counted, &CORTEX_M4, MemoryTiming { code_cached: false, data_cached: false, ..flash });
        assert!(bare.low > cached.low && bare.cycles > cached.cycles && bare.high > cached.high);
        let most = 40.0 * 5.0 + 99.0 * 5.0 + 400.0 / 16.0 * 5.0;
        assert!((bare.high - without.high - 1.1 * most).abs() < 1e-9);
    }

    #[test]
    fn what_the_tables_do_not_know_is_told() {
        let estimate = estimate(&counts(&[(0x1005_a52f, 3, 0), (0x0001, 2, 0)]), &RV32IMC, MemoryTiming::NO_WAITS); // lr.w; nop
        assert_eq!((estimate.unknown, estimate.cycles, estimate.high), (3, 5.0, (3.0 * 5.0 + 2.0) * 1.25));
    }

    #[test]
    fn energy_is_charge_times_voltage() {
        let estimate = Estimate { cycles: 1e6, low: 0.0, high: 0.0, unknown: 0 };
        // A million cycles at 100 µA/MHz are 100 µC; at 3 V, 300 µJ.
        assert!((estimate.joules(100.0, 3.0) - 300e-6).abs() < 1e-12);
    }
}
