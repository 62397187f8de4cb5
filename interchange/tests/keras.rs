//! Promise: a description of a Keras file computes what Keras computes of it, within 1e-5. `goldens/keras/make.py` made the files with Keras 3 and Keras 2.

mod support;

use latch_interchange::keras::{Options, read};
use latch_interchange::{Described, Input, reference};
use serde_json::Value;
use support::{Goldens, LIMITS, WITHIN, disagreement, numbers};

/// A model, and what Keras computes of an input.
struct Case {
    name: String,
    file: Vec<u8>,
    chain: Option<String>,
    text: Option<String>,
    is_ids: bool,
    x: Vec<f64>,
    y: Vec<f64>,
}

fn cases(archive: &str) -> Vec<Case> {
    let mut archive = Goldens::open(&format!("keras/{archive}"));
    let list = archive.listed();
    let text = |case: &Value, key: &str| case[key].as_str().map(str::to_owned);
    let case = |case: &Value| Case {
        name: text(case, "name").expect("a name"),
        file: archive.member(case["file"].as_str().expect("a file")),
        chain: text(case, "chain"),
        text: text(case, "text"),
        is_ids: case["ids"] == true,
        x: numbers(case, "x"),
        y: numbers(case, "y"),
    };
    list.as_array().expect("a list").iter().map(case).collect()
}

fn answers(model: &Described, case: &Case) -> Vec<f64> {
    let Input::Ids(text) = &model.input else {
        assert!(!case.is_ids);
        let frames: Vec<f32> = case.x.iter().map(|&sample| sample as f32).collect();
        return reference::of_samples(model, &frames).answers;
    };
    assert!(case.is_ids);
    let ids: Vec<u32> = match &case.text {
        None => case.x.iter().map(|&id| id as u32).collect(),
        // Rows have the order of the words.
        Some(sentence) => {
            let words = text.vocabulary.as_ref().expect("the file has words");
            let id = |word: &String| words.iter().position(|known| known == word).unwrap_or(words.len()) as u32;
            text.cutting.as_ref().expect("the file says how").cut(sentence).iter().map(id).collect()
        }
    };
    reference::of_ids(model, &ids).answers
}

/// Why a case does not agree.
fn fault(case: &Case) -> Option<String> {
    let options = Options { chain: case.chain.as_deref(), ..Options::default() };
    let model = match read(&case.file, &case.name, &options, &LIMITS) {
        Ok(model) => model,
        Err(error) => return Some(error.to_string()),
    };
    disagreement(&case.name, &answers(&model, case), &case.y, WITHIN)
}

fn check(archive: &str, least: usize) {
    let cases = cases(archive);
    let faults: Vec<String> = cases.iter().filter_map(fault).collect();
    assert!(faults.is_empty(), "{} of {} cases differ:\n{}", faults.len(), cases.len(), faults.join("\n"));
    assert!(cases.len() >= least, "{archive} has {} cases", cases.len());
    println!("{archive}: {} cases agree", cases.len());
}

#[test]
fn files_of_keras_3_compute_what_keras_3_computes() {
    check("keras3.zip", 205);
}

#[test]
fn files_of_keras_2_and_1_compute_what_keras_2_computes() {
    check("keras2.zip", 210);
}
