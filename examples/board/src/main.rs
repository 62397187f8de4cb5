//! Reads lines of text from the serial port and answers each.
//!
//! | the image answers | a line's answer |
//! | --- | --- |
//! | one of two classes | `spam, 855 per mille (28033 of 32768)` |
//! | one of several classes | `sport` |
//! | values | `values 3.141 -0.500` |
//! | each token | a line a token: `film: sport` or `film: values 3.141` |
//!
//! Classes have the names that the image gives them; in an image without names they are `class 0`, `class 1` and so on.
//!
//! The board is in `board.rs`. Text goes into the model as it comes, so that no line is too long. Nothing here formats, allocates or panics.
#![no_std]
#![no_main]

mod board;

use board::{STATE_BYTES, Uart};
use latch_engine::features::Feature;
use latch_engine::image::Image;
use latch_engine::image::header::AnswerKind;
use latch_engine::{Error, Logit, Model, SelfTest, State, View, probability_q15};

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
    let image = board::image().map_err(explain)?;
    let model = Model::new(&image);
    if model.vocabulary().is_none() {
        return Err("the image is no model of texts");
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
            if model.answer().each_step {
                session.push_bytes_each(piece, |stream, token| answer_token(uart, &image, stream, token));
            } else {
                session.push_bytes(piece);
            }
            has_text |= piece.iter().any(|&byte| !is_end(byte));
            if has_text && piece.iter().any(|&byte| is_end(byte)) {
                if model.answer().each_step {
                    session.finish_each(|stream, token| answer_token(uart, &image, stream, token));
                } else {
                    session.finish();
                    answer(uart, &image, &mut session);
                    uart.write(b"\r\n");
                }
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

/// The answer to a token.
fn answer_token(uart: &mut Uart, image: &Image<'_>, stream: &mut View<'_, '_, '_>, token: &[u8]) {
    uart.write(token);
    uart.write(b": ");
    answer(uart, image, stream);
    uart.write(b"\r\n");
}

/// The answer of the stream as it stands.
fn answer(uart: &mut Uart, image: &Image<'_>, stream: &mut View<'_, '_, '_>) {
    let outputs = usize::from(stream.model().outputs());
    if stream.model().answer().kind == AnswerKind::Values {
        uart.write(b"values");
        for output in 0..outputs {
            uart.write(b" ");
            write_thousandths(uart, stream.logit(output));
        }
    } else if outputs == 1 {
        let logit = stream.output();
        let positive = u32::from(probability_q15(logit)); // in 32768ths
        let probability = if logit.is_positive() { positive } else { (1 << 15) - positive };
        write_class(uart, image, usize::from(logit.is_positive()));
        uart.write(b", ");
        write_number(uart, (probability * 1000 + (1 << 14)) >> 15);
        uart.write(b" per mille (");
        write_number(uart, probability);
        uart.write(b" of 32768)");
    } else {
        // The first of the largest logits.
        let (mut best, mut largest) = (0, stream.logit(0));
        for output in 1..outputs {
            let logit = stream.logit(output);
            if logit.is_greater(largest) {
                (best, largest) = (output, logit);
            }
        }
        write_class(uart, image, best);
    }
}

/// The name of a class, or its number where the image has no names.
fn write_class(uart: &mut Uart, image: &Image<'_>, class: usize) {
    match image.class_names().nth(class) {
        Some(name) => uart.write(name.as_bytes()),
        None => {
            uart.write(b"class ");
            write_number(uart, class as u32);
        }
    }
}

/// A value with three digits behind the point.
fn write_thousandths(uart: &mut Uart, value: Logit) {
    let thousandths = match value {
        Logit::Fixed(value) => (i64::from(value) * 1000 + (1 << 15)) >> 16, // Q15.16
        Logit::Float(value) => (value * 1000.0) as i64,
    };
    if thousandths < 0 {
        uart.write(b"-");
    }
    let thousandths = u32::try_from(thousandths.unsigned_abs()).unwrap_or(u32::MAX);
    write_number(uart, thousandths / 1000);
    uart.write(b".");
    // Divided by constants: by anything else could be by zero, which panics.
    write_number(uart, thousandths / 100 % 10);
    write_number(uart, thousandths / 10 % 10);
    write_number(uart, thousandths % 10);
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
        Error::Feature { feature: Feature::Float } => "the image needs floats: export it with --precision int8",
        Error::Feature { .. } => {
            "the image needs a feature of the engine: `latch inspect` prints the line for Cargo.toml"
        }
        Error::StateTooSmall { .. } => {
            "SLOT_STATE_BYTES is too small for the model: `latch inspect` says how many it needs"
        }
        Error::OlderVersion { .. } => "the image is older than this program: export it again",
        Error::NewerVersion { .. } => "the image is newer than this program: build the program with its Latch",
        _ => "the image is damaged: copy it again or export it anew",
    }
}
