//! Prepares the chips' programs (feature `device`): the linker's memory map, the linker's arguments, and what the board is.
//!
//! | variable | what it chooses | without it |
//! | --- | --- | --- |
//! | `LATCH_BOARD` | the board, by name | the first board of the target |
//! | `LATCH_PORT` | where input comes from: `semihosting` or `uart` | `semihosting` |
//! | `LATCH_STATE_BYTES` | bytes of RAM for a stream's state | the board's number |
//!
//! On a host it does nothing.

use std::path::PathBuf;
use std::{env, fs};

use latch_parts::boards::{self, BOARDS, Board, Clock, Uart};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!(r#"cargo::rustc-check-cfg=cfg(latch_port, values("semihosting", "uart"))"#);
    println!(r#"cargo::rustc-check-cfg=cfg(latch_uart, values("cmsdk", "nrf51", "ns16550"))"#);
    println!(r#"cargo::rustc-check-cfg=cfg(latch_clock, values("none", "systick", "mcycle"))"#);
    let is_chip = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none");
    if env::var_os("CARGO_FEATURE_DEVICE").is_none() || !is_chip {
        return Ok(());
    }
    let board = board(&env::var("TARGET")?)?;
    let state_bytes = match variable("LATCH_STATE_BYTES") {
        None => board.state_bytes,
        Some(text) => text.parse().map_err(|_| format!("LATCH_STATE_BYTES={text}: this is no number of bytes"))?,
    };
    let port = variable("LATCH_PORT").unwrap_or_else(|| "semihosting".to_owned());
    if !["semihosting", "uart"].contains(&port.as_str()) {
        return Err(format!("LATCH_PORT={port}: take semihosting or uart").into());
    }
    let (uart, uart_base) = match board.uart {
        Uart::Cmsdk(base) => ("cmsdk", base),
        Uart::Nrf51(base) => ("nrf51", base),
        Uart::Ns16550(base) => ("ns16550", base),
    };
    let clock = match board.clock {
        Clock::None => "none",
        Clock::SysTick => "systick",
        Clock::Mcycle => "mcycle",
    };
    println!("cargo::rustc-cfg=latch_port=\"{port}\"");
    println!("cargo::rustc-cfg=latch_uart=\"{uart}\"");
    println!("cargo::rustc-cfg=latch_clock=\"{clock}\"");

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("memory.x"), memory_map(board))?;
    // cortex-m-rt asks for the names of the interrupts' handlers: there are none.
    fs::write(out.join("device.x"), "")?;
    let constants = format!(
        "/// The board's name.\nconst BOARD: &str = {:?};\n\
         /// Bytes of RAM for a stream's state.\npub const STATE_BYTES: usize = {state_bytes};\n\
         /// The first register of the serial port.\n\
         #[cfg(latch_port = \"uart\")]\nconst UART_BASE: usize = {uart_base:#x};\n",
        board.name
    );
    fs::write(out.join("constants.rs"), constants)?;
    println!("cargo::rustc-link-search={}", out.display());
    for program in ["cells", "engine", "firmware", "parity", "start", "steps"] {
        println!("cargo::rustc-link-arg-bin={program}=-Tlink.x");
        println!("cargo::rustc-link-arg-bin={program}=--nmagic");
    }
    Ok(())
}

/// A variable of the environment; cargo runs this program again when it changes.
fn variable(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).ok()
}

/// The board that is named, or the first of the target.
fn board(target: &str) -> Result<&'static Board> {
    match variable("LATCH_BOARD") {
        Some(name) => {
            let board = boards::find(&name).map_err(|error| format!("LATCH_BOARD: {error}"))?;
            if board.target != target {
                return Err(format!("LATCH_BOARD={name} needs --target {}, not {target}", board.target).into());
            }
            Ok(board)
        }
        None => BOARDS
            .iter()
            .find(|board| board.target == target)
            .ok_or_else(|| format!("no board has a processor for the target {target}").into()),
    }
}

/// The linker's memory map. The firmware may fill its reserve and nothing else of the flash.
fn memory_map(board: &Board) -> String {
    let regions = match board.target.starts_with("riscv") {
        true => {
            ["TEXT", "RODATA", "DATA", "BSS", "HEAP", "STACK"]
            .map(|name| {
                let memory = if name == "TEXT" || name == "RODATA" { "FLASH" } else { "RAM" };
                format!("REGION_ALIAS(\"REGION_{name}\", {memory});\n")
            })
            .concat()
            // Tables for unwinding: nothing unwinds.
            + "SECTIONS { /DISCARD/ : { *(.eh_frame .eh_frame_hdr) } }\n"
        }
        false => String::new(),
    };
    format!(
        "/* {} */\nMEMORY\n{{\n  FLASH : ORIGIN = {:#x}, LENGTH = {:#x}\n  RAM : ORIGIN = {:#x}, LENGTH = {:#x}\n}}\n\
         {regions}\
         latch_image_start = {:#x};\nlatch_image_end = {:#x};\n\"latch_board.{}\" = 0;\n",
        board.title,
        board.flash.base,
        board.image_address - board.flash.base,
        board.ram.base,
        board.ram.bytes,
        board.image_address,
        board.flash.end(),
        board.name,
    )
}
