//! Promise: a search under a budget trains what `latch train` would: the task, the classes and the kind of token that were asked for.

#[path = "support/latch.rs"]
mod support;

use serde_json::Value;
use support::{Place, succeed};

/// Labelled texts whose label a few words decide.
fn texts(label: impl Fn(usize) -> String, words: [&str; 3]) -> String {
    let others = ["the", "film", "on", "a", "long", "evening", "was", "as", "ever"];
    let row = |number: usize| {
        let other = |at: usize| others[(number * 7 + at * at * 3) % others.len()];
        format!("{}\t{} {} {} {number}\n", label(number % 3), other(0), words[number % 3], other(1))
    };
    (0..300).map(row).collect()
}

/// Searches with these options, and gives the configuration of the best trial and what its image is.
fn search(place: &Place, more: &[&str]) -> (Value, Value) {
    let fixed = ["train", "--flash", "4KiB", "--epochs", "3", "--lr", "0.02", "--out", "search", "--json"];
    let answer = succeed(&mut place.latch(fixed.iter().chain(more))).json();
    let config: Value =
        serde_json::from_slice(&place.read(&format!("{}/config.json", answer["run"].as_str().expect("a run"))))
            .expect("a configuration");
    let image = succeed(&mut place.latch(["inspect", "search/best.latch", "--json"])).json();
    assert!(image["image_bytes"].as_u64().expect("bytes") <= 4096, "{image}");
    // The same run gives the same image to whoever asks.
    let (run, precision) = (answer["run"].as_str().expect("a run"), answer["best"]["precision"].as_str().expect("one"));
    place.export(run, precision);
    assert!(place.read(&format!("{precision}.latch")) == place.read("search/best.latch"));
    std::fs::remove_dir_all(place.file("search")).expect("the search");
    (config, image)
}

#[test]
fn a_search_trains_the_task_that_was_asked_for() {
    let place = Place::with_data(20);
    place.write("classes.tsv", texts(|class| class.to_string(), ["fine", "dull", "odd"]));
    let (config, image) = search(&place, &["--data", "classes.tsv", "--task", "classes"]);
    assert_eq!(config["train"]["task"], serde_json::json!({ "classes": 3 }));
    assert_eq!(
        (&image["outputs"], &image["answer"], &image["each_step"]),
        (&3.into(), &"classes".into(), &false.into())
    );

    let (config, image) = search(&place, &["--data", "classes.tsv", "--task", "classes", "--classes", "4"]);
    assert_eq!((&config["train"]["task"], &image["outputs"]), (&serde_json::json!({ "classes": 4 }), &4.into()));

    place.write("values.tsv", texts(|value| format!("{}.5", 3 * value), ["fine", "dull", "odd"]));
    let (config, image) = search(&place, &["--data", "values.tsv", "--task", "values"]);
    assert_eq!((&config["train"]["task"], &image["answer"]), (&"values".into(), &"values".into()));

    let tags: String = (0..200)
        .map(|number| {
            let name = ["Ada", "Grace", "Alan"][number % 3];
            format!("{{\"tokens\":[\"hello\",\"{name}\",\"of\",\"t{number}\"],\"labels\":[0,1,0,2]}}\n")
        })
        .collect();
    place.write("tags.jsonl", tags);
    let (config, image) = search(&place, &["--data", "tags.jsonl", "--task", "tags"]);
    assert_eq!(config["train"]["task"], serde_json::json!({ "tags": 3 }));
    assert_eq!((&image["outputs"], &image["each_step"]), (&3.into(), &true.into()));
}

#[test]
fn a_search_reads_the_kind_of_token_that_was_asked_for() {
    let place = Place::with_data(20);
    let korean: String = (0..300)
        .map(|number| {
            format!(
                "{}\t영화가 {} 재미{} {number}\n",
                number % 2,
                ["정말", "너무"][number / 2 % 2],
                ["없다", "있다"][number % 2]
            )
        })
        .collect();
    place.write("korean.tsv", korean);
    for (units, syllables) in [("auto", true), ("syllables", true), ("words", false)] {
        let (config, _) = search(&place, &["--data", "korean.tsv", "--units", units]);
        assert_eq!(config["train"]["syllables"], syllables, "{units}");
    }
}
