//! The counts are exact: guests of a few instructions, whose counts a reader can add up, run in QEMU under the plugin.
//!
//! Without QEMU these tests say so and pass; where the variable `CI` is `true` they fail.

use std::path::Path;
use std::process::Command;

use latch_emulator::boot::{self, Options, Outcome};
use latch_emulator::counts::{self, Accesses, Counts, Executed};
use latch_parts::boards::{self, Board};

const A: u16 = 0xbf50;
const B: u16 = 0xbf60;
const NOP: u16 = 0xbf00;

/// `movw r2, #0; movt r2, #0x2000`: the RAM of the AN386.
const R2_TO_RAM: [u16; 4] = [0xf240, 0x0200, 0xf2c2, 0x0200];

/// Where the guests' stack ends and begins, from the RAM's first byte.
const STACK: u32 = 0x1000;

/// Runs `code` on the board to its end, which this function adds. `None` without QEMU.
fn run(board: &str, code: &[u16]) -> Option<Outcome> {
    let board = boards::find(board).expect("a board of the table");
    if Command::new(board.qemu).arg("--version").output().is_err() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{} is not installed", board.qemu);
        eprintln!("skipped: {} is not installed (`cargo xtask setup` installs it)", board.qemu);
        return None;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [program, image] = ["guest.elf", "image"].map(|name| folder.path().join(name));
    std::fs::write(&program, elf(board, code)).expect("writable");
    std::fs::write(&image, b"").expect("writable");
    let plugin = counts::plugin(board, board.ram.base..board.ram.base + STACK).expect("the plugin builds");
    let outcome = boot::boot(
        board,
        Path::new(&program),
        Some(&image),
        &[],
        &Options { plugin: Some(plugin), ..Options::default() },
    );
    Some(outcome.expect("the guest runs to its end"))
}

fn count(board: &str, code: &[u16]) -> Option<Counts> {
    run(board, code).map(|outcome| Counts::parse(&outcome.plugin).expect("a valid log"))
}

/// An ELF file with `code` where the processor begins, and after it a call that ends QEMU with status 0.
fn elf(board: &Board, code: &[u16]) -> Vec<u8> {
    let base = board.flash.base;
    let halves = |word: u32| [word as u16, (word >> 16) as u16];
    let (machine, end): (u32, &[u16]) = if board.target.starts_with("riscv") {
        // li a0, 0x18; lui a1, 0x20; addi a1, a1, 0x26; slli x0, x0, 0x1f; ebreak; srai x0, x0, 7
        (243, &[0x4561, 0x05b7, 0x0002, 0x8593, 0x0265, 0x1013, 0x01f0, 0x0073, 0x0010, 0x5013, 0x4070])
    } else {
        // movs r0, #0x18; movw r1, #0x26; movt r1, #2; bkpt 0xab
        (40, &[0x2018, 0xf240, 0x0126, 0xf2c0, 0x0102, 0xbeab])
    };
    let mut memory = Vec::new();
    if machine == 40 {
        // The vector table: the first stack pointer, and the first instruction's address with the Thumb bit.
        memory.extend(halves(board.ram.base + STACK));
        memory.extend(halves(base + 8 + 1));
    }
    let entry = base + 2 * memory.len() as u32;
    memory.extend_from_slice(code);
    // RISC-V wants the three instructions of a semihosting call in one page, and the middle one is a whole word.
    memory.extend_from_slice(end);

    let bytes = 2 * memory.len() as u32;
    let header: [u32; 21] = [
        0x464c_457f, // the ELF mark
        0x0001_0101, // 32 bits, little-endian
        0,
        0,
        2 | machine << 16, // an executable
        1,
        entry | u32::from(machine == 40),
        52, // the program headers' place
        0,
        0,
        52 | 32 << 16,
        1, // one program header, no sections
        0,
        1, // to be loaded
        84,
        base,
        base,
        bytes,
        bytes,
        5,
        4,
    ];
    header.iter().flat_map(|word| word.to_le_bytes()).chain(memory.iter().flat_map(|half| half.to_le_bytes())).collect()
}

/// The one instruction of the histogram with this opcode.
fn executed(counts: &Counts, opcode: u32) -> &Executed {
    let mut found = counts.histogram.iter().filter(|executed| executed.opcode == opcode);
    let (first, second) = (found.next(), found.next());
    assert!(second.is_none(), "{opcode:#x} stands at several places");
    first.expect("executed")
}

#[test]
fn a_thousand_nops_count_a_thousand() {
    let mut code = vec![NOP; 7];
    code.push(A);
    code.extend([NOP; 1000]);
    code.push(B);
    code.extend([NOP; 9]);
    let Some(counts) = count("mps2-an386", &code) else { return };
    assert_eq!((counts.regions, counts.instructions, counts.shortest, counts.longest), (1, 1000, 1000, 1000));
    assert_eq!(counts.accesses, Accesses::default());
    assert_eq!((counts.stack_low, counts.stack_low_in_regions), (None, None));
    assert_eq!(counts.histogram.len(), 1000);
    assert!(counts.histogram.iter().all(|executed| (executed.opcode, executed.size) == (0xbf00, 2)));
}

#[test]
fn markers_are_seen_at_the_end_of_a_page() {
    // Pages have 1,024 bytes here; the code begins at byte 8.
    for address in [0x3fa, 0x3fc, 0x3fe, 0x400] {
        let mut code = vec![NOP; (address - 8) / 2];
        code.extend([A, NOP, NOP, NOP, B, NOP, NOP, NOP]);
        let Some(counts) = count("mps2-an386", &code) else { return };
        assert_eq!((counts.regions, counts.instructions), (1, 3), "{address:#x}");
    }
}

#[test]
fn regions_add_up_and_a_loop_knows_how_often_it_went_round() {
    // movs r1, #3; outer: A; movs r0, #10; inner: subs r0, #1; bne inner; B; subs r1, #1; bne outer
    let code = [0x2103, A, 0x200a, 0x3801, 0xd1fd, B, 0x3901, 0xd1f8];
    let Some(counts) = count("mps2-an386", &code) else { return };
    assert_eq!((counts.regions, counts.instructions), (3, 3 * 21));
    let inner = executed(&counts, 0xd1fd);
    assert_eq!((inner.executions, inner.left), (30, 27));
    assert_eq!(counts.histogram.len(), 3, "the outer loop is in no region");
}

#[test]
fn a_load_multiple_is_one_load_and_its_bytes_count() {
    let mut code = R2_TO_RAM.to_vec();
    code.extend([
        0xb403, // push {r0, r1}, before the region
        0xbc03, // pop {r0, r1}
        A,      //
        0x6813, // ldr r3, [r2]
        0x7813, // ldrb r3, [r2]
        0x6053, // str r3, [r2, #4]
        0xca70, // ldm r2!, {r4, r5, r6}
        0xe922, 0x0070, // stmdb r2!, {r4, r5, r6}
        0xe9d2, 0x4500, // ldrd r4, r5, [r2]
        0xb401, // push {r0}
        0xbc01, // pop {r0}
        0x4900, // ldr r1, [pc]: from the flash
        B,      //
        NOP,
    ]);
    let Some(counts) = count("mps2-an386", &code) else { return };
    assert_eq!(counts.instructions, 9);
    let loads =
        Accesses { loads: 6, flash_loads: 1, load_bytes: 4 + 1 + 12 + 8 + 4 + 4, stores: 3, store_bytes: 4 + 12 + 4 };
    assert_eq!(counts.accesses, loads);
    // The guest writes below its stack pointer, and at the RAM's first words, which belong to the watched addresses.
    assert_eq!(counts.stack_low, Some(0x2000_0000));
}

#[test]
fn the_lowest_store_is_kept_from_reset_on_and_apart_in_regions() {
    let code = [
        0xb4ff, // push {r0-r7}
        0xbcff, // pop {r0-r7}
        A, 0xb401, // push {r0}
        0xbc01, // pop {r0}
        B,
    ];
    let Some(counts) = count("mps2-an386", &code) else { return };
    let top = 0x2000_0000 + STACK;
    assert_eq!((counts.stack_low, counts.stack_low_in_regions), (Some(top - 32), Some(top - 4)));
}

#[test]
fn a_block_that_a_device_cuts_short_counts_what_it_executed_and_no_more() {
    // r6 = the serial port; 100 times: nop; ldr r7, [r6, #4]; nop; adds r0, #1; cmp r0, #100; blt
    // Under -icount QEMU leaves the block at the access, and executes that again in a block of its own.
    let code = [0xf244, 0x0600, 0xf2c4, 0x0600, 0x2000, A, NOP, 0x6877, 0xbf00, 0x3001, 0x2864, 0xdbf9, B];
    let Some(counts) = count("mps2-an386", &code) else { return };
    assert_eq!(counts.instructions, 600);
    assert_eq!(counts.accesses, Accesses { loads: 100, load_bytes: 400, ..Accesses::default() });
    assert!(counts.histogram.iter().all(|executed| executed.executions == 100), "{:?}", counts.histogram);
    assert_eq!(executed(&counts, 0xdbf9).left, 99);
}

#[test]
fn an_instruction_whose_condition_fails_is_executed_and_loads_nothing() {
    let mut code = R2_TO_RAM.to_vec();
    // A; movs r0, #1; lsls r0, r0, #31; it mi; ldrmi r1, [r2]; it pl; ldrpl r1, [r2]; B
    code.extend([A, 0x2001, 0x07c0, 0xbf48, 0x6811, 0xbf58, 0x6811, B]);
    let Some(counts) = count("mps2-an386", &code) else { return };
    assert_eq!((counts.instructions, counts.accesses.loads), (6, 1));
}

#[test]
fn a_helium_load_is_one_load_of_sixteen_bytes() {
    let code = [
        0xf64e, 0x5088, 0xf2ce, 0x0000, // r0 = 0xe000ed88, which lets the program use the vector unit
        0x6801, 0xf441, 0x0170, 0x6001, // ldr r1, [r0]; orr r1, r1, #0xf00000; str r1, [r0]
        0xf240, 0x0200, 0xf2c3, 0x0200, // r2 = 0x30000000
        A, 0xed92, 0x1e00, // vldrb.u8 q0, [r2]
        0xed82, 0x1e10, // vstrb.8 q0, [r2, #16]
        0xed92, 0x3f00, // vldrw.u32 q1, [r2]
        B,
    ];
    let Some(counts) = count("mps3-an547", &code) else { return };
    assert_eq!(counts.instructions, 3);
    let accesses = Accesses { loads: 2, flash_loads: 0, load_bytes: 32, stores: 1, store_bytes: 16 };
    assert_eq!(counts.accesses, accesses);
}

#[test]
fn risc_v_is_counted_between_its_own_markers() {
    let code = [
        0x0137, 0x8040, // lui sp, 0x80400
        0x4529, // li a0, 10
        0x2013, 0x5010, // marker A
        0x4582, // lw a1, 0(sp)
        0xc22e, // sw a1, 4(sp)
        0x157d, // addi a0, a0, -1
        0xfd7d, // bnez a0, -2: to the addi
        0x2013, 0x5020, // marker B
    ];
    let Some(counts) = count("riscv32imac", &code) else { return };
    assert_eq!(counts.instructions, 22);
    assert_eq!(counts.accesses, Accesses { loads: 1, load_bytes: 4, stores: 1, store_bytes: 4, flash_loads: 0 });
    assert_eq!((executed(&counts, 0xfd7d).left, counts.stack_low), (9, Some(0x8040_0004)));
}

#[test]
fn markers_that_do_not_alternate_are_refused() {
    for (code, sentence) in
        [(&[B][..], "do not alternate"), (&[A, A, B], "do not alternate"), (&[A], "ended in a region")]
    {
        let Some(outcome) = run("mps2-an386", code) else { return };
        let error = Counts::parse(&outcome.plugin).expect_err("refused");
        assert!(format!("{error:#}").contains(sentence), "{error:#}");
    }
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let code = [0x2103, A, 0x200a, 0x3801, 0xd1fd, B, 0x3901, 0xd1f8];
    let Some(first) = run("mps2-an386", &code) else { return };
    assert_eq!(run("mps2-an386", &code).expect("QEMU").plugin, first.plugin);
}
