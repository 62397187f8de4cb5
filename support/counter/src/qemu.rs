//! QEMU's plugin interface, version 1: the functions that this plugin calls, and the callbacks that QEMU calls.
//!
//! The prototypes are those of `qemu-plugin.h` of QEMU 7.2, written out because distributions do not ship that header. All
//! `unsafe` of the plugin is here. The proofs lean on four facts, named below by their letters:
//!
//! - A: what QEMU hands to a callback (blocks, instructions, their bytes) is valid until that callback returns.
//! - B: the user data that a callback gets is the pointer with which it was registered.
//! - C: slots, blocks and counters are leaked, so that pointers to them stay valid and are shared references only.
//! - D: under `-icount` QEMU runs the processor in one thread and calls the plugin from nowhere else at the same time.
#![allow(unsafe_code)] // QEMU is C; the rest of the plugin is safe

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use std::{ptr, slice};

use crate::args::Args;
use crate::log;
use crate::tally::{Block, Slot, Tally};
use crate::target::{Marker, Target};

/// The version of the interface that this plugin speaks; QEMU reads it before it calls anything.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)] // the name is QEMU's
static qemu_plugin_version: c_int = 1;

/// What QEMU says of itself: the beginning of `qemu_info_t`.
#[repr(C)]
struct Info {
    target_name: *const c_char,
    version_min: c_int,
    version_current: c_int,
    system_emulation: bool,
    processors: c_int,
    most_processors: c_int,
}

const NO_REGISTERS: c_int = 0; // QEMU_PLUGIN_CB_NO_REGS
const LOADS_AND_STORES: c_int = 3; // QEMU_PLUGIN_MEM_RW
const ADD: c_int = 0; // QEMU_PLUGIN_INLINE_ADD_U64

type OnExecution = extern "C" fn(processor: c_uint, data: *mut c_void);
type OnAccess = extern "C" fn(processor: c_uint, access: u32, address: u64, data: *mut c_void);

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, callback: extern "C" fn(id: u64, tb: *mut c_void));
    fn qemu_plugin_register_atexit_cb(id: u64, callback: extern "C" fn(id: u64, data: *mut c_void), data: *mut c_void);
    fn qemu_plugin_register_vcpu_tb_exec_cb(tb: *mut c_void, callback: OnExecution, flags: c_int, data: *mut c_void);
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: *mut c_void,
        callback: OnExecution,
        flags: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_insn_exec_inline(insn: *mut c_void, operation: c_int, counter: *mut c_void, by: u64);
    fn qemu_plugin_register_vcpu_mem_cb(
        insn: *mut c_void,
        callback: OnAccess,
        flags: c_int,
        direction: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_tb_n_insns(tb: *const c_void) -> usize;
    fn qemu_plugin_tb_vaddr(tb: *const c_void) -> u64;
    fn qemu_plugin_tb_get_insn(tb: *const c_void, index: usize) -> *mut c_void;
    fn qemu_plugin_insn_data(insn: *const c_void) -> *const c_void;
    fn qemu_plugin_insn_size(insn: *const c_void) -> usize;
    fn qemu_plugin_insn_vaddr(insn: *const c_void) -> u64;
    fn qemu_plugin_mem_size_shift(access: u32) -> c_uint;
    fn qemu_plugin_mem_is_store(access: u32) -> bool;
}

/// The run's state, set once when QEMU loads the plugin.
struct Run {
    args: Args,
    tally: Tally,
    target: Target,
}

static RUN: OnceLock<Run> = OnceLock::new();

/// The block that began last.
static PREVIOUS: AtomicPtr<Block> = AtomicPtr::new(ptr::null_mut());

/// Called by QEMU when it loads the plugin. A result other than 0 ends QEMU.
///
/// # Safety
/// QEMU's promise: `info` is valid, and `arguments` are `count` texts.
#[unsafe(no_mangle)]
unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    info: *const Info,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    // SAFETY: by the caller's promise.
    let (info, name) = unsafe { (&*info, CStr::from_ptr((*info).target_name).to_string_lossy()) };
    let texts: Vec<_> = (0..usize::try_from(count).unwrap_or(0))
        // SAFETY: by the caller's promise; the index is below `count`.
        .map(|index| unsafe { CStr::from_ptr(*arguments.add(index)).to_string_lossy() })
        .collect();
    let Some(target) = Target::named(&name) else {
        return refuse(&format!("QEMU emulates {name}; the markers are known for arm and riscv"));
    };
    if !info.system_emulation || info.processors != 1 {
        return refuse("counts whole machines with one processor only");
    }
    let args = match Args::parse(texts.iter().map(|text| &**text)) {
        Ok(args) => args,
        Err(sentence) => return refuse(&sentence),
    };
    let tally = Tally::new(args.stack, args.flash);
    if RUN.set(Run { args, tally, target }).is_err() {
        return refuse("is loaded already: name it in one -plugin only");
    }
    // SAFETY: the prototypes are QEMU's, `id` is the one it gave, and the callbacks are functions of the types it wants.
    unsafe {
        qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
        qemu_plugin_register_atexit_cb(id, ended, ptr::null_mut());
    }
    0
}

fn refuse(sentence: &str) -> c_int {
    eprintln!("latch-counter: {sentence}");
    1
}

/// QEMU translated a block: each of its instructions gets its counter and callbacks.
extern "C" fn translated(_id: u64, tb: *mut c_void) {
    let Some(run) = RUN.get() else { return };
    let mut last = None;
    // SAFETY: fact A for `tb`, its instructions, whose indices are below their number, and their bytes, which are as many as QEMU says.
    // The counters and the user data are leaked (C); QEMU alone writes through the counter's pointer, whose target is an atomic and
    // thus interior mutable.
    unsafe {
        for index in 0..qemu_plugin_tb_n_insns(tb) {
            let insn = qemu_plugin_tb_get_insn(tb, index);
            let bytes = slice::from_raw_parts(qemu_plugin_insn_data(insn).cast::<u8>(), qemu_plugin_insn_size(insn));
            let (size, opcode) = run.target.instruction(bytes);
            if let Some(marker) = run.target.marker(opcode) {
                let callback = match marker {
                    Marker::Open => opened,
                    Marker::Close => closed,
                };
                qemu_plugin_register_vcpu_insn_exec_cb(insn, callback, NO_REGISTERS, ptr::null_mut());
                last = None;
                continue;
            }
            let slot = run.tally.slot(qemu_plugin_insn_vaddr(insn), opcode, size);
            let data = ptr::from_ref(slot).cast_mut().cast();
            qemu_plugin_register_vcpu_insn_exec_inline(insn, ADD, slot.executions.as_ptr().cast(), 1);
            qemu_plugin_register_vcpu_mem_cb(insn, accessed, NO_REGISTERS, LOADS_AND_STORES, data);
            last = Some(slot);
        }
        let block = run.tally.block(qemu_plugin_tb_vaddr(tb), last);
        qemu_plugin_register_vcpu_tb_exec_cb(tb, began, NO_REGISTERS, ptr::from_ref(block).cast_mut().cast());
    }
}

extern "C" fn opened(_processor: c_uint, _data: *mut c_void) {
    if let Some(run) = RUN.get() {
        run.tally.open();
    }
}

extern "C" fn closed(_processor: c_uint, _data: *mut c_void) {
    if let Some(run) = RUN.get() {
        run.tally.close();
    }
}

extern "C" fn began(_processor: c_uint, data: *mut c_void) {
    let Some(run) = RUN.get() else { return };
    // A load and a store serve for a swap, by fact D.
    let previous = PREVIOUS.load(Relaxed);
    PREVIOUS.store(data.cast(), Relaxed);
    // SAFETY: `data` and what was `data` before are leaked blocks (B, C); null becomes None.
    let (previous, block) = unsafe { (previous.cast_const().as_ref(), &*data.cast_const().cast::<Block>()) };
    run.tally.begin(previous, block);
}

extern "C" fn accessed(_processor: c_uint, access: u32, address: u64, data: *mut c_void) {
    let Some(run) = RUN.get() else { return };
    // SAFETY: `data` is a leaked slot (B, C); `access` is QEMU's own description, from which these two only read bits.
    let (slot, bytes, store) = unsafe {
        (&*data.cast_const().cast::<Slot>(), 1 << qemu_plugin_mem_size_shift(access), qemu_plugin_mem_is_store(access))
    };
    if store {
        run.tally.store(slot, address, bytes);
    } else {
        run.tally.load(slot, address, bytes);
    }
}

/// QEMU ends: the log is written.
extern "C" fn ended(_id: u64, _data: *mut c_void) {
    let Some(run) = RUN.get() else { return };
    if let Err(error) = log::write(&run.tally.totals(), &run.args.out) {
        eprintln!("latch-counter: cannot write {}: {error}", run.args.out.display());
    }
}
