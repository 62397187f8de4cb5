//! Reads lines of text from the serial port and answers each with a verdict: `positive, 855 per mille (28033 of 32768)`.
//!
//! The board is in `board.rs`. Text goes into the model as it comes, so that no line is too long. Nothing here formats, allocates or panics.
#![no_std]
#![no_main]

mod board;

use board::{STATE_BYTES, Uart};
use latch_engine::{Error, Logit, Model, SelfTest, State, probability_q15};
use latch_engine::image::Image;

#[board::entry]
fn main() -> ! {
    static mut STATE: State<STATE_BYTES> = State::new(); // `entry` makes it a `&mut`: nothing else can have it
    let mut uart = Uart::open();
    if let Err(problem) = judge_lines(&mut uart, STATE) {
        uart.write(problem.as_bytes());
        uart.write(b"\r\n");
    }
    board::halt()
}

/// Runs for ever, or says why it cannot.
fn judge_lines(uart: &mut Uart, state: &mut State<STATE_BYTES>) -> Result<(), &'static str> {
    let image = Image::open(board::model()).map_err(explain)?;
    let model = Model::new(&image);
    if model.vocabulary().is_none() || model.outputs() != 1 {
        return Err("the image is no model of texts with one output");
    }
    match model.self_test(state.as_bytes_mut()).map_err(explain)? {
        SelfTest::Passed => uart.write(b"the self-test passed; send a line of text\r\n"),
        SelfTest::Absent => uart.write(b"the image has no self-test; send a line of text\r\n"),
        SelfTest::Failed { .. } => return Err("the self-test failed: this chip computes something else than the host"),
    }
    let mut session = model.session(state).map_err(explain)?;
    let (mut has_text, mut buffer) = (false, [0; 16]);
    loop {
        let Ok(bytes) = uart.read(&mut buffer) else {
            uart.write(b"bytes were lost: send more slowly; the text is forgotten\r\n");
            session.reset();
            has_text = false;
            continue;
        };
        for piece in bytes.split_inclusive(|&byte| is_end(byte)) {
            session.push_bytes(piece);
            has_text |= piece.iter().any(|&byte| !is_end(byte));
            if has_text && piece.iter().any(|&byte| is_end(byte)) {
                session.finish();
                answer(uart, session.output());
                session.reset();
                has_text = false;
            }
        }
    }
}

/// Terminals end a line with either or both.
fn is_end(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

fn answer(uart: &mut Uart, logit: Logit) {
    let probability = u32::from(probability_q15(logit)); // in 32768ths
    uart.write(if logit.is_positive() { b"positive, " } else { b"negative, " });
    write_number(uart, (probability * 1000 + (1 << 14)) >> 15);
    uart.write(b" per mille (");
    write_number(uart, probability);
    uart.write(b" of 32768)\r\n");
}

/// In decimal.
fn write_number(uart: &mut Uart, mut number: u32) {
    let mut digits = [b'0'; 10];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    uart.write(digits.get(digits.len() - used..).unwrap_or(&[]));
}

/// What to do about an image that cannot run here.
fn explain(error: Error) -> &'static str {
    match error {
        Error::NotAnImage => "there is no image: put one into the chip's flash",
        Error::PrecisionUnavailable => "the image needs floats: export it with --precision int8",
        Error::ExtensionUnavailable => "the image needs the engine's feature `extended`",
        Error::FoldingUnavailable => "the image has a folded embedding: export it without --fold-to",
        Error::StateTooSmall { .. } => "STATE_BYTES is too small for the model: `latch inspect` says how many it needs",
        Error::NewerVersion { .. } => "the image is newer than this program: build the program with its Latch",
        _ => "the image is damaged: copy it again or export it anew",
    }
}
