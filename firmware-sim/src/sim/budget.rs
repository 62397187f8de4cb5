//! What a model takes of a part's flash and RAM, item by item, and the refusal of one that takes too much.
//!
//! ```text
//! flash = firmware (the reserve, filled up to a page) + image (filled up to a program word)
//! RAM   = state + model view + input buffer + stack reserve
//! ```

use latch_data::error::{Fault, fault};

use latch_engine::image::Description;
use latch_engine::input::samples::MAX_CHANNELS;
use latch_engine::layers::Layer;

use super::FIRMWARE_RESERVE;
use crate::app::{INPUT_BYTES, VIEW_BYTES};
use latch_parts::parts::Part;

/// Bytes of stack for everything that has no item of its own: the frames of the engine and the link ([`firmware_stack`]), the board's drivers, and
/// interrupts.
pub const STACK_RESERVE: usize = 2 * 1024;

/// The most bytes of stack that the firmware takes for an integer image of this model on any emulated board, from
/// reset to the last token, as `latch-sim device` measures it. It depends on the kinds of layers: what grows with their
/// sizes lies in the state. A frame of samples lies on the stack while its bytes come in.
#[must_use]
pub fn firmware_stack(description: &Description) -> usize {
    let layers = &description.layers;
    let frame = if description.samples().is_some() { 2 * usize::from(MAX_CHANNELS) } else { 0 };
    let cell = |layer: &Layer| if let Layer::Bidirectional(both, _) = layer { both.direction() } else { *layer };
    let has_gru = layers.iter().any(|layer| matches!(cell(layer), Layer::Gru(_)));
    let has_conv1d = layers.iter().any(|layer| matches!(layer, Layer::Conv1d(_) | Layer::MaxPool(..)));
    // The last dense layer is the answer.
    let has_dense = layers.iter().filter(|layer| matches!(layer, Layer::Dense(_))).count() > 1;
    let has_both = layers.iter().any(|layer| matches!(layer, Layer::Bidirectional(..)));
    let chain = match (has_gru, has_dense) {
        // A step inside an answer.
        (true, _) if has_both => 1_904,
        _ if has_both => 1_536,
        (true, _) => 1_424,
        (false, true) => 1_144,
        (false, false) if has_conv1d => 1_088,
        (false, false) => 1_024,
    };
    chain + frame
}

/// One use of a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is for.
    pub name: &'static str,
    /// How many bytes it takes.
    pub bytes: usize,
}

/// The uses of a part's flash and RAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Uses of the flash, from its start on.
    pub flash: [Item; 2],
    /// Uses of the RAM.
    pub ram: [Item; 4],
}

impl Budget {
    /// The budget of an image of `image_bytes` bytes in a slot that starts at `slot_start` (`None` where the part has no flash
    /// behind the reserve), with a stream's state of `state_bytes` bytes.
    pub fn new(part: &Part, slot_start: Option<usize>, image_bytes: usize, state_bytes: usize) -> Self {
        let item = |name, bytes| Item { name, bytes };
        Budget {
            flash: [
                item("firmware", slot_start.unwrap_or(FIRMWARE_RESERVE)),
                item("image", image_bytes.next_multiple_of(part.flash.word_bytes)),
            ],
            ram: [
                item("state", state_bytes),
                item("model view", VIEW_BYTES),
                item("input buffer", INPUT_BYTES),
                item("stack reserve", STACK_RESERVE),
            ],
        }
    }

    /// Bytes of flash in use.
    pub fn flash_used(&self) -> usize {
        sum(&self.flash)
    }

    /// Bytes of RAM in use.
    pub fn ram_used(&self) -> usize {
        sum(&self.ram)
    }

    /// Bytes of a stream's state.
    pub fn state_bytes(&self) -> usize {
        self.ram[0].bytes
    }

    /// Holds the budget to the part's flash and to the largest block of its RAM.
    ///
    /// # Errors
    /// A [`Fault`] with the bytes needed, item by item, the bytes there are, and what to do; for both memories where both are too small.
    pub fn check(&self, part: &Part) -> Result<(), Fault> {
        let memories = [
            ("flash", self.flash_used(), part.flash.bytes(), list(&self.flash), "a smaller vocabulary or embedding"),
            ("RAM", self.ram_used(), part.ram.block, list(&self.ram), "fewer units"),
        ];
        let lacking: Vec<_> = memories.into_iter().filter(|(_, needed, available, ..)| needed > available).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let problems: Vec<String> = lacking
            .iter()
            .map(|(memory, needed, available, items, _)| {
                format!(
                    "the {memory} is too small: needed are {needed} bytes ({items}) and it has {available}, {} fewer",
                    needed - available
                )
            })
            .collect();
        let changes: Vec<&str> = lacking.iter().map(|&(.., change)| change).collect();
        let remedy = format!(
            "export the model with --precision int8, train it with {}, or take a larger part (`latch-sim parts` lists them)",
            changes.join(" and ")
        );
        Err(fault(part.name, problems.join(", and "), remedy))
    }
}

/// Items as a sum: `state 512 + stack reserve 4096`.
pub fn list(items: &[Item]) -> String {
    items.iter().map(|item| format!("{} {}", item.name, item.bytes)).collect::<Vec<_>>().join(" + ")
}

fn sum(items: &[Item]) -> usize {
    items.iter().map(|item| item.bytes).fold(0, usize::saturating_add)
}
