//! README's picture: the idea of Latch with the default model. `cargo xtask picture` writes it.

use latch_trainer::config::default_model;
use latch_trainer::report::diagram::{Diagram, picture};

/// The file, from the root of the repository.
pub const FILE: &str = "docs/picture.svg";

/// What was recorded of the default model.
const RECORD: &str = include_str!("../results/default-model.json");

/// The picture as SVG.
pub fn svg() -> String {
    let text = "not a good film";
    let tokens: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let model = default_model().to_string();
    let layers: Vec<(String, String)> = model.split(" > ").map(layer).collect();
    let (image_bytes, state_bytes) = default_image();
    let flow = [
        ("your texts", "a label and a text a line".to_owned()),
        ("latch train", "on your computer".to_owned()),
        ("latch export", "8 bits a weight".to_owned()),
        ("one image", format!("{:.0} KB, words included", image_bytes / 1_000.0)),
        ("Cortex-M4", format!("{state_bytes:.0} bytes of RAM, no heap")),
    ]
    .map(|(name, below)| (name.to_owned(), below));
    let (begin, step, answer) = ("a text", "token", "negative");
    picture(&Diagram { begin, text, step, tokens: &tokens, layers: &layers, answer, flow: &flow }).file()
}

/// Bytes of the default model's int8 image and of a stream's state, as they were recorded with the IMDb reviews.
fn default_image() -> (f64, f64) {
    let record: serde_json::Value = serde_json::from_str(RECORD).unwrap_or_default();
    let int8 = &record["seeds"]["1"]["int8"];
    let bytes = |key: &str| int8[key].as_f64().unwrap_or(f64::NAN);
    (bytes("image_bytes"), bytes("state_bytes"))
}

/// A layer of the chain without its options of training, and what it does.
fn layer(element: &str) -> (String, String) {
    let name: Vec<&str> = element.split(' ').filter(|word| !word.contains('=')).collect();
    let below = match name[0] {
        "text" => "a number for each word",
        "embedding" => "its features",
        "lstm" | "gru" | "rnn" => "remembers what came before",
        "bilstm" | "bigru" | "birnn" => "what came before and behind",
        "conv1d" => "sees the last frames",
        "attention" => "what mattered",
        _ => "its score",
    };
    (name.join(" "), below.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_in_the_repository_is_the_one_that_the_command_writes() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FILE);
        let written = std::fs::read_to_string(path).expect("the picture");
        assert!(!svg().contains("NaN"), "the record has no figures of the int8 image");
        assert!(written == svg(), "{FILE} is another picture: write it again by `cargo xtask picture`");
    }
}
