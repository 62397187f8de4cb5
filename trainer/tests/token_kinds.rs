//! Promise: what a token is travels with a network to other frameworks and back.

use safetensors::SafeTensors;

use crate::support::{Place, succeed};

/// Names of two languages, one of them with letters beyond ASCII.
fn names() -> String {
    let name = |row: usize| {
        let (language, end) = [("Irish", "Murphy"), ("Czech", "Dvo\u{159}\u{e1}k")][row % 2];
        format!("{language}\t{}{end}\n", ["Mac", "van", "O", "de"][row / 2 % 4].repeat(1 + row / 8 % 3))
    };
    (0..120).map(name).collect()
}

#[test]
fn a_network_over_characters_comes_back_from_safetensors_with_the_same_image() {
    let place = Place::with_data(20);
    place.write("names.tsv", names());
    let model = "chars 40 cased > embedding 4 > gru 6 > max > dense";
    succeed(&mut place.latch(["train", "--data", "names.tsv", "--model", model, "--epochs", "2", "--out", "run"]));
    let safetensors = ["export", "--run", "run", "--format", "safetensors", "--layout", "keras", "--out", "net"];
    succeed(&mut place.latch(safetensors));
    let file = place.read("net");
    let (_, metadata) = SafeTensors::read_metadata(&file).expect("a header");
    let note: serde_json::Value =
        serde_json::from_str(&metadata.metadata().as_ref().expect("metadata")["latch"]).expect("JSON");
    assert_eq!(note["tokens"].as_str(), Some("chars-cased"), "{note}");
    assert!(note["characters"].as_array().is_some_and(|table| table.len() > 10), "{note}");

    let import = ["import", "net", "--data", "names.tsv", "--out", "imported"];
    let said = succeed(&mut place.latch(import));
    assert!(said.stdout.contains(" cased > embedding 4 > gru 6"), "{said:?}");
    assert!(!said.stderr.contains("never come out"), "{said:?}");
    let image = |run: &str| {
        let out = format!("{run}.latch");
        succeed(&mut place.latch(["export", "--run", run, "--precision", "f32", "--no-calibrate", "--out", &out]));
        let answers = ["predict", "--image", &out, "--json", "O'Dvo\u{159}\u{e1}k mac"];
        (succeed(&mut place.latch(answers)).json()["trail"].clone(), place.read(&format!("{run}/characters")))
    };
    assert_eq!(image("run"), image("imported"));
    let other = ["import", "net", "--tokens", "words", "--out", "new", "--json"];
    place.refuse(&mut place.latch(other), &["--tokens: net: metadata latch.tokens names another kind of token"]);
}

#[test]
fn ids_of_characters_are_written_and_their_network_is_imported_as_one_of_characters() {
    let place = Place::with_data(20);
    place.write("names.tsv", names());
    let fixed = ["tokens", "--data", "names.tsv", "--vocabulary", "letters.txt", "--tokens", "chars"];
    succeed(place.latch(fixed).args(["--words", "30", "--out", "ids.jsonl"]));
    let first = place.read("ids.jsonl");
    succeed(place.latch(fixed).args(["--out", "again.jsonl"]));
    assert!(first == place.read("again.jsonl"));
    let letters = String::from_utf8(place.read("letters.txt")).expect("UTF-8");
    assert!(letters.lines().count() > 10 && letters.lines().all(|token| token.chars().count() == 1), "{letters}");
    let ids: serde_json::Value =
        serde_json::from_str(String::from_utf8_lossy(&first).lines().next().expect("a line")).expect("JSON");
    assert_eq!(ids["ids"].as_array().map(Vec::len), Some("MacMurphy".len()), "{ids}");
}
