//! The counters, and the rules by which they are kept. No QEMU and no `unsafe` here.
//!
//! [`Slot::executions`] only ever grows: QEMU's generated code increments it before each execution, inside regions and
//! outside. What belongs to regions is had by taking all counters once when a region opens and once when it closes, so that an
//! instruction costs nothing beyond its increment. All else is counted in callbacks, which look at [`Tally::in_region`].
//!
//! The counters are atomic so that they may be shared without `unsafe`; nothing here runs at the same time as
//! anything else, and every access is relaxed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One instruction: what stands at one address. Lives as long as the process.
#[derive(Debug)]
pub struct Slot {
    /// Its address.
    pub address: u64,
    /// Its bytes, the first one lowest.
    pub opcode: u32,
    /// How many bytes it has: 2 or 4.
    pub size: u8,
    /// Executions so far, in regions and outside. Incremented by QEMU.
    pub executions: &'static AtomicU64,
    /// Executions in regions after which control did not go on at the next address.
    left: AtomicU64,
    loads: Accesses,
    /// Those of the loads that began in the flash.
    flash_loads: AtomicU64,
    stores: Accesses,
}

/// Accesses of one instruction in one direction, in regions.
#[derive(Debug, Default)]
struct Accesses {
    /// Executions that accessed memory at least once.
    count: AtomicU64,
    bytes: AtomicU64,
    /// [`Slot::executions`] at the last access: what comes at the same value belongs to the same execution.
    at: AtomicU64,
}

/// Plain arithmetic in place of a read-modify-write: callbacks come one after another, and this is several times faster.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed) + more, Relaxed);
}

impl Accesses {
    /// True when this is the first access of the execution.
    fn add(&self, execution: u64, bytes: u64) -> bool {
        add(&self.bytes, bytes);
        let first = self.at.load(Relaxed) != execution;
        if first {
            self.at.store(execution, Relaxed);
            add(&self.count, 1);
        }
        first
    }
}

/// A run of instructions that QEMU translated together. Lives as long as the process.
#[derive(Debug)]
pub struct Block {
    /// The address of its first instruction.
    pub start: u64,
    /// Its last instruction, if that is no marker.
    pub last: Option<&'static Slot>,
    /// Executions of the last instruction when the block last began.
    before: AtomicU64,
}

/// How many counters are allocated together.
const CHUNK: usize = 1024;

/// All slots, in the order in which they were first translated.
#[derive(Debug, Default)]
struct Table {
    slots: Vec<&'static Slot>,
    by_place: HashMap<(u64, u32), &'static Slot>,
    blocks: HashMap<(u64, u64), &'static Block>,
    /// The slots' counters, side by side because each region's end walks them all.
    counters: Vec<&'static [AtomicU64; CHUNK]>,
    /// Executions in closed regions, by slot. While a region is open, what the counter had at its opening is already taken
    /// off, modulo 2^64.
    executed: Vec<u64>,
    opening: u64,
    regions: u64,
    instructions: u64,
    shortest: u64,
    longest: u64,
    /// Markers A in an open region and markers B outside.
    misplaced: u64,
}

/// Everything that is counted. One stands for one run of QEMU.
#[derive(Debug)]
pub struct Tally {
    stack: (u64, u64),
    flash: (u64, u64),
    table: Mutex<Table>,
    open: AtomicBool,
    stack_low: AtomicU64,
    stack_low_in_regions: AtomicU64,
}

/// What was counted, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Regions that were entered and left.
    pub regions: u64,
    /// Instructions in all of them.
    pub instructions: u64,
    /// The fewest in one region; 0 when there was no region.
    pub shortest: u64,
    /// The most in one region.
    pub longest: u64,
    /// Markers that did not alternate.
    pub misplaced: u64,
    /// The run ended in an open region, which is not counted.
    pub unfinished: bool,
    /// The lowest address of the stack stored to in the whole run.
    pub stack_low: Option<u64>,
    /// The same in regions.
    pub stack_low_in_regions: Option<u64>,
    /// What was executed in regions, by address.
    pub lines: Vec<Line>,
}

/// One instruction that was executed in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Its address.
    pub address: u64,
    /// Its bytes, the first one lowest.
    pub opcode: u32,
    /// How many bytes it has.
    pub size: u8,
    /// How often it was executed.
    pub executions: u64,
    /// How often control did not go on at the next address.
    pub left: u64,
    /// Executions that loaded.
    pub loads: u64,
    /// Those of them that began in the flash.
    pub flash_loads: u64,
    /// Bytes loaded.
    pub load_bytes: u64,
    /// Executions that stored.
    pub stores: u64,
    /// Bytes stored.
    pub store_bytes: u64,
}

/// A lock that another panicked under is taken all the same: the counters are plain numbers.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    /// Nothing counted yet. `stack` and `flash` are the first address of that memory and the address behind it.
    pub fn new(stack: (u64, u64), flash: (u64, u64)) -> Tally {
        Tally {
            stack,
            flash,
            table: Mutex::default(),
            open: AtomicBool::new(false),
            stack_low: AtomicU64::new(u64::MAX),
            stack_low_in_regions: AtomicU64::new(u64::MAX),
        }
    }

    /// True between marker A and marker B.
    pub fn in_region(&self) -> bool {
        self.open.load(Relaxed)
    }

    /// The slot of the instruction `opcode` of `size` bytes at `address`: the same one however often it is translated.
    pub fn slot(&self, address: u64, opcode: u32, size: u8) -> &'static Slot {
        let mut table = lock(&self.table);
        if let Some(slot) = table.by_place.get(&(address, opcode)) {
            return slot;
        }
        let at = table.slots.len();
        if at.is_multiple_of(CHUNK) {
            table.counters.push(Box::leak(Box::new([const { AtomicU64::new(0) }; CHUNK])));
        }
        let slot: &'static Slot = Box::leak(Box::new(Slot {
            address,
            opcode,
            size,
            executions: &table.counters[at / CHUNK][at % CHUNK],
            left: AtomicU64::new(0),
            loads: Accesses::default(),
            flash_loads: AtomicU64::new(0),
            stores: Accesses::default(),
        }));
        table.slots.push(slot);
        table.by_place.insert((address, opcode), slot);
        table.executed.push(0);
        slot
    }

    /// The block that begins at `start` and whose last instruction is `last`.
    pub fn block(&self, start: u64, last: Option<&'static Slot>) -> &'static Block {
        // A slot's address in memory names it; 0 stands for none.
        let name = last.map_or(0, |slot| std::ptr::from_ref(slot) as u64);
        let new = || &*Box::leak(Box::new(Block { start, last, before: AtomicU64::new(0) }));
        lock(&self.table).blocks.entry((start, name)).or_insert_with(new)
    }

    /// `block` begins, after `previous`. If the last instruction of `previous` was reached and `block` is not behind it, that
    /// instruction sent control elsewhere.
    pub fn begin(&self, previous: Option<&Block>, block: &Block) {
        if let Some(previous) = previous
            && let Some(last) = previous.last
            && self.in_region()
            && last.executions.load(Relaxed) != previous.before.load(Relaxed)
            && last.address + u64::from(last.size) != block.start
        {
            add(&last.left, 1);
        }
        if let Some(last) = block.last {
            block.before.store(last.executions.load(Relaxed), Relaxed);
        }
    }

    /// `slot` loads `bytes` bytes from `address`.
    pub fn load(&self, slot: &Slot, address: u64, bytes: u64) {
        if self.in_region()
            && slot.loads.add(slot.executions.load(Relaxed), bytes)
            && (self.flash.0..self.flash.1).contains(&address)
        {
            add(&slot.flash_loads, 1);
        }
    }

    /// `slot` stores `bytes` bytes at `address`.
    pub fn store(&self, slot: &Slot, address: u64, bytes: u64) {
        let region = self.in_region();
        if region {
            slot.stores.add(slot.executions.load(Relaxed), bytes);
        }
        if (self.stack.0..self.stack.1).contains(&address) {
            let lower = |low: &AtomicU64| low.store(low.load(Relaxed).min(address), Relaxed);
            lower(&self.stack_low);
            if region {
                lower(&self.stack_low_in_regions);
            }
        }
    }

    /// Marker A: a region opens.
    pub fn open(&self) {
        let mut table = lock(&self.table);
        if self.open.swap(true, Relaxed) {
            table.misplaced += 1;
            return;
        }
        table.opening = table.take(u64::wrapping_sub);
    }

    /// Marker B: the region closes.
    pub fn close(&self) {
        let mut table = lock(&self.table);
        if !self.open.swap(false, Relaxed) {
            table.misplaced += 1;
            return;
        }
        let executed = table.take(u64::wrapping_add).wrapping_sub(table.opening);
        table.shortest = if table.regions == 0 { executed } else { table.shortest.min(executed) };
        table.longest = table.longest.max(executed);
        table.instructions += executed;
        table.regions += 1;
    }

    /// All that was counted in closed regions, by address.
    pub fn totals(&self) -> Totals {
        let mut table = lock(&self.table);
        let unfinished = self.open.swap(false, Relaxed);
        if unfinished {
            table.take(u64::wrapping_add);
        }
        let seen = |low: &AtomicU64| Some(low.load(Relaxed)).filter(|&low| low != u64::MAX);
        let mut lines: Vec<Line> = table
            .slots
            .iter()
            .zip(&table.executed)
            .filter(|(_, executions)| **executions > 0)
            .map(|(slot, &executions)| Line {
                address: slot.address,
                opcode: slot.opcode,
                size: slot.size,
                executions,
                left: slot.left.load(Relaxed),
                loads: slot.loads.count.load(Relaxed),
                flash_loads: slot.flash_loads.load(Relaxed),
                load_bytes: slot.loads.bytes.load(Relaxed),
                stores: slot.stores.count.load(Relaxed),
                store_bytes: slot.stores.bytes.load(Relaxed),
            })
            .collect();
        lines.sort_unstable();
        Totals {
            regions: table.regions,
            instructions: table.instructions,
            shortest: table.shortest,
            longest: table.longest,
            misplaced: table.misplaced,
            unfinished,
            stack_low: seen(&self.stack_low),
            stack_low_in_regions: seen(&self.stack_low_in_regions),
            lines,
        }
    }
}

impl Table {
    /// Joins each counter to what its slot executed in regions, and gives the sum of all counters.
    fn take(&mut self, join: impl Fn(u64, u64) -> u64) -> u64 {
        let mut sum = 0u64;
        for (executed, counters) in self.executed.chunks_mut(CHUNK).zip(&self.counters) {
            for (executed, counter) in executed.iter_mut().zip(counters.iter()) {
                let count = counter.load(Relaxed);
                *executed = join(*executed, count);
                sum = sum.wrapping_add(count);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Executes `slots` as QEMU would: increments each counter.
    fn execute(slots: &[&Slot]) {
        for slot in slots {
            add(slot.executions, 1);
        }
    }

    #[test]
    fn only_what_is_executed_in_regions_is_counted() {
        let tally = Tally::new((0, 0), (0, 0));
        let [outside, inside] = [tally.slot(0, 1, 2), tally.slot(2, 1, 2)];
        execute(&[outside, inside]);
        for times in [3, 1, 2] {
            tally.open();
            execute(&vec![inside; times]);
            tally.close();
            execute(&[outside, inside]);
        }
        let totals = tally.totals();
        assert_eq!((totals.regions, totals.instructions, totals.shortest, totals.longest), (3, 6, 1, 3));
        assert_eq!(totals.lines.iter().map(|line| (line.address, line.executions)).collect::<Vec<_>>(), [(2, 6)]);
    }

    #[test]
    fn an_instruction_first_translated_in_an_open_region_is_counted() {
        let tally = Tally::new((0, 0), (0, 0));
        tally.open();
        for address in 0..3 * CHUNK as u64 {
            execute(&[tally.slot(2 * address, 1, 2)]);
        }
        tally.close();
        assert_eq!(tally.totals().instructions, 3 * CHUNK as u64);
    }

    #[test]
    fn an_instruction_keeps_its_slot_and_another_at_its_place_gets_its_own() {
        let tally = Tally::new((0, 0), (0, 0));
        assert!(std::ptr::eq(tally.slot(8, 1, 2), tally.slot(8, 1, 2)));
        assert!(!std::ptr::eq(tally.slot(8, 1, 2), tally.slot(8, 2, 2)));
    }

    #[test]
    fn a_branch_is_taken_when_the_next_block_is_elsewhere_and_the_branch_was_reached() {
        let tally = Tally::new((0, 0), (0, 0));
        let branch = tally.slot(2, 1, 2);
        let [looping, behind] = [tally.block(0, Some(branch)), tally.block(4, None)];
        tally.open();
        tally.begin(None, looping);
        execute(&[branch]);
        tally.begin(Some(looping), looping); // taken
        tally.begin(Some(looping), looping); // left early: the branch was not reached
        execute(&[branch]);
        tally.begin(Some(looping), behind); // not taken
        tally.close();
        assert_eq!(tally.totals().lines[0].left, 1);
    }

    #[test]
    fn all_accesses_of_one_execution_are_one_load_and_their_bytes_add_up() {
        let tally = Tally::new((100, 200), (0, 50));
        let slot = tally.slot(0, 1, 4);
        tally.open();
        for _ in 0..3 {
            execute(&[slot]);
            (40..56).for_each(|address| tally.load(slot, address, 1));
            tally.store(slot, 96, 4);
        }
        tally.close();
        execute(&[slot]);
        tally.load(slot, 0, 4);
        let line = tally.totals().lines[0];
        assert_eq!((line.loads, line.flash_loads, line.load_bytes), (3, 3, 48));
        assert_eq!((line.stores, line.store_bytes), (3, 12));
    }

    #[test]
    fn only_loads_from_the_flash_are_flash_loads() {
        let tally = Tally::new((0, 0), (100, 200));
        let slot = tally.slot(0, 1, 2);
        tally.open();
        for address in [99, 100, 199, 200] {
            execute(&[slot]);
            tally.load(slot, address, 1);
        }
        tally.close();
        assert_eq!(tally.totals().lines[0].flash_loads, 2);
    }

    #[test]
    fn the_stack_is_watched_from_reset_and_apart_in_regions_and_nothing_beside_it() {
        let tally = Tally::new((100, 200), (0, 50));
        let slot = tally.slot(0, 1, 2);
        tally.store(slot, 140, 4);
        tally.open();
        for address in [96, 160, 200, 150] {
            tally.store(slot, address, 4);
        }
        tally.close();
        let totals = tally.totals();
        assert_eq!((totals.stack_low, totals.stack_low_in_regions), (Some(140), Some(150)));
    }

    #[test]
    fn markers_that_do_not_alternate_and_a_region_without_an_end_are_told() {
        let tally = Tally::new((0, 0), (0, 0));
        let slot = tally.slot(0, 1, 2);
        tally.close();
        tally.open();
        tally.open();
        execute(&[slot]);
        let totals = tally.totals();
        assert_eq!((totals.misplaced, totals.unfinished, totals.instructions), (2, true, 0));
    }
}
