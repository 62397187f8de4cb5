//! Reads frames of samples from the serial port and answers each series with its class.
//!
//! A line is a frame: whole numbers, one for each channel, with commas or spaces between them. An empty line ends the
//! series. In place of the serial port a product has its sensor here: see [`Frames`].
//!
//! | the image answers | the answer |
//! | --- | --- |
//! | one of several classes | `running`, at the end of the series |
//! | values | `values 3.141 -0.500`, at the end of the series |
//! | each step | the same after every frame |
//!
//! Classes have the names that the image gives them; in an image without names they are `class 0`, `class 1` and so on.
//!
//! The board is in `board.rs`. Nothing here computes with floats, formats, allocates or panics.
#![no_std]
#![no_main]

mod board;
mod frames;

use board::{STATE_BYTES, Uart};
use frames::{Frames, Read};
use latch_engine::features::Feature;
use latch_engine::image::Image;
use latch_engine::image::header::AnswerKind;
use latch_engine::{Error, Logit, Model, SelfTest, State, View};

#[board::entry]
fn main() -> ! {
    static mut STATE: State<STATE_BYTES> = State::new(); // `entry` makes it a `&mut`: nothing else can have it
    let mut uart = Uart::open();
    if let Err(problem) = judge_series(&mut uart, STATE) {
        uart.write(problem.as_bytes());
        uart.write(b"\r\n");
    }
    board::halt()
}

/// Runs for ever, or says why it cannot.
fn judge_series(uart: &mut Uart, state: &mut State<STATE_BYTES>) -> Result<(), &'static str> {
    let image = board::image().map_err(explain)?;
    let model = Model::new(&image);
    let channels = model.channels();
    if channels == 0 {
        return Err("the image is no model of samples");
    }
    let ready: &[u8] = match model.self_test(state.as_bytes_mut()).map_err(explain)? {
        SelfTest::Passed => b"the self-test passed; send frames of ",
        SelfTest::Absent => b"the image has no self-test; send frames of ",
        SelfTest::Failed { .. } => return Err("the self-test failed: this chip computes something else than the host"),
    };
    uart.write(ready);
    write_number(uart, channels.into());
    uart.write(b", and an empty line behind the last\r\n");
    let mut session = model.session(state).map_err(explain)?;
    let (mut frames, mut buffer) = (Frames::new(channels.into()), [0; 16]);
    loop {
        let Ok(bytes) = uart.read(&mut buffer) else {
            uart.write(b"bytes were lost: send more slowly; the series is forgotten\r\n");
            session.reset();
            frames = Frames::new(channels.into());
            continue;
        };
        for &byte in bytes {
            match frames.read(byte) {
                Some(Read::Frame(counts)) => {
                    session.push_samples(counts).map_err(explain)?;
                    if model.answer().each_step {
                        answer(uart, &image, &mut session);
                    }
                }
                Some(Read::End) => {
                    if session.tokens() > 0 && !model.answer().each_step {
                        answer(uart, &image, &mut session);
                    }
                    session.reset();
                }
                Some(Read::Wrong(problem)) => {
                    uart.write(problem.as_bytes());
                    uart.write(b"\r\n");
                }
                None => {}
            }
        }
    }
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
        let class = usize::from(stream.output().is_positive());
        write_class(uart, image, class);
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
    uart.write(b"\r\n");
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
    // Q15.16; an image of floats does not run here.
    let Logit::Fixed(value) = value else { return };
    let thousandths = (i64::from(value) * 1000 + (1 << 15)) >> 16;
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
        Error::Feature { feature: Feature::Float } => "the image needs floats: export it with --precision int8",
        Error::Feature { .. } => {
            "the image needs a feature of the engine: `latch inspect` prints the line for Cargo.toml"
        }
        _ => "the image is damaged: copy it again or export it anew",
    }
}
