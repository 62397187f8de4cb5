//! Promise: the tensors of any module of PyTorch become a run whose f32 image answers what PyTorch answered, in the order that a chain says where the tensors do
//! not. The models are those of `interchange/tests/goldens/pytorch`.

use serde_json::Value;

use crate::goldens::{answers, numbers, placed};
use crate::support::succeed;

const ARCHIVE: &str = "pytorch/pytorch.zip";

#[test]
fn modules_of_samples_answer_what_pytorch_answered_at_each_step_or_behind_the_last() {
    let names = [
        "lstm-1",
        "lstm-2-last",
        "gru-3",
        "gru-1-unbiased-last",
        "relu-2",
        "gru-float16",
        "lstm-1-both-last",
        "lstm-3-both-last",
        "gru-2-both-unbiased-last",
        "relu-1-both-last",
    ];
    let files = names.map(|name| format!("{name}.safetensors"));
    let (place, listed) = placed(ARCHIVE, &files.each_ref().map(String::as_str));
    for (name, file) in names.into_iter().zip(&files) {
        let cases = listed["cases"].as_array();
        let case = cases.and_then(|cases| cases.iter().find(|case| case["name"] == name)).expect("a case");
        let chain = case["chain"].as_str().map_or(Vec::new(), |chain| vec!["--chain", chain]);
        succeed(&mut place.latch(["import", file, "--out", name, "--json"].iter().chain(&chain)));
        let (found, y) = (answers(&place, name, &numbers(case, "x")), numbers(case, "y"));
        assert_eq!(found.len(), y.len(), "{name}: {found:?}");
        found.iter().zip(&y).for_each(|(found, y)| assert!((found - y).abs() < 1e-5, "{name}: {found} {y}"));
    }
}

#[test]
fn what_the_tensors_do_not_say_is_asked_for_and_what_no_image_has_is_refused_by_name() {
    let (place, _) =
        placed(ARCHIVE, &["sensor-causal.safetensors", "lstm-1-both.safetensors", "texts-last.safetensors"]);
    let import = |file: &str, more: &[&str]| {
        let file = format!("{file}.safetensors");
        place.latch(["import", &file, "--out", "run"].iter().chain(more))
    };
    place.refuse(&mut import("sensor-causal", &[]), &["in which order its modules stand", "--chain \"front > "]);
    let chain = "front causal relu > norm > gru > body.lstm > 0 relu > head.2";
    let inspect = ["--task", "tag", "--chain", chain, "--inspect"];
    let said = succeed(&mut import("sensor-causal", &inspect)).stdout;
    assert!(said.contains("layer normalization") && said.contains("import       as it is"), "{said}");
    place.refuse(&mut import("lstm-1-both", &[]), &["layer lstm", "it knows nothing before its sequence has ended"]);
    place.refuse(&mut import("texts-last", &["--chain", "embed > rnn > last > fc"]), &["--vocabulary"]);
    // A text model with its words: which pooling it has the chain says.
    let words: String = (0..11).map(|word| format!("{}\n", char::from(b'a' + word))).collect();
    place.write("words.txt", words);
    let chain = ["--chain", "embed > rnn > last > fc", "--vocabulary", "words.txt"];
    let said = succeed(&mut import("texts-last", &[&chain[..], &["--inspect"]].concat())).stdout;
    assert!(said.contains("embed") && said.contains("last") && !said.contains("would stop"), "{said}");
    succeed(&mut import("texts-last", &chain));
}

/// The same file with this metadata under Latch's key.
fn noted(bytes: &[u8], note: &str) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("a length")) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).expect("JSON");
    header["__metadata__"] = serde_json::json!({ "latch": note });
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[8 + length..]].concat()
}

#[test]
fn the_metadata_of_a_file_holds_beside_a_chain_and_nothing_contradicts_it() {
    let (place, _) = placed(ARCHIVE, &["gru-1-last.safetensors"]);
    let bytes = place.read("gru-1-last.safetensors");
    let import = |note: &str, more: &[&str]| {
        place.write("noted.safetensors", noted(&bytes, note));
        place.latch(["import", "noted.safetensors", "--chain", "gru > last", "--out", "run"].iter().chain(more))
    };
    for (note, more, words) in [
        (r#"{"classes":["a","a","b","c","d"]}"#, &[][..], "the class \"a\" is named twice"),
        (r#"{"classes":["a","b"]}"#, &[], "it names 2 classes, but the task has 5"),
        (r#"{"pooling":"mean"}"#, &[], "metadata latch.pooling: it says mean, and the chain says last"),
        (r#"{"task":"tag"}"#, &["--task", "classify"], "metadata latch.task says that the task is tag"),
    ] {
        place.refuse(&mut import(note, more), &[words]);
    }
    succeed(&mut import(r#"{"classes":["a","b","c","d","e"],"pooling":"last"}"#, &["--full-scale", "20"]));
    succeed(&mut place.latch(["export", "--run", "run", "--precision", "int16", "--out", "new.latch"]));
    place.write("x.csv", "1,2,3\n-15,4,9\n");
    let said = succeed(&mut place.latch(["run", "--image", "new.latch", "--data", "x.csv", "--json"])).json();
    assert!(["a", "b", "c", "d", "e"].contains(&said["class"].as_str().expect("a name")), "{said}");
}
