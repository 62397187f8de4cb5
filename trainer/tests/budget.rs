//! Promise: a search under a budget trains what `latch train` would: the task, the classes and the kind of token that were asked for.

use crate::support::{Place, succeed};
use serde_json::Value;

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
    // Its file of options repeats it, and goes on where the search left the trial.
    succeed(&mut place.latch(["train", "--config", &format!("{run}/latch.toml"), "--out", "repeated"]));
    for name in ["config.json", "vocabulary.txt"] {
        assert!(place.read(&format!("repeated/{name}")) == place.read(&format!("{run}/{name}")), "{name}");
    }
    let [whole, begun] = ["repeated", run].map(|run| place.read(&format!("{run}/metrics.jsonl")));
    assert!(!begun.is_empty() && whole.starts_with(&begun), "{run}");
    std::fs::remove_dir_all(place.file("repeated")).expect("the run");
    std::fs::remove_dir_all(place.file("search")).expect("the search");
    (config, image)
}

#[test]
fn a_search_trains_the_task_that_was_asked_for() {
    let place = Place::with_data(20);
    place.write("classes.tsv", texts(|class| ["sport", "art", "food"][class].to_owned(), ["fine", "dull", "odd"]));
    let (config, image) = search(&place, &["--data", "classes.tsv"]);
    assert_eq!(config["train"]["task"], serde_json::json!({ "classify": 3 }));
    assert_eq!(
        (&config["classes"], &image["classes"]),
        (&image["classes"], &serde_json::json!(["art", "food", "sport"]))
    );
    assert_eq!(
        (&image["outputs"], &image["answer"], &image["each_step"]),
        (&3.into(), &"classes".into(), &false.into())
    );

    place.write("values.tsv", texts(|value| format!("{}.5", 3 * value), ["fine", "dull", "odd"]));
    let (config, image) = search(&place, &["--data", "values.tsv", "--task", "regress"]);
    assert_eq!((&config["train"]["task"], &image["answer"]), (&"regress".into(), &"values".into()));

    let tags: String = (0..200)
        .map(|number| {
            let name = ["Ada", "Grace", "Alan"][number % 3];
            format!("{{\"tokens\":[\"hello\",\"{name}\",\"of\",\"t{number}\"],\"labels\":[0,1,0,2]}}\n")
        })
        .collect();
    place.write("tags.jsonl", tags);
    let (config, image) = search(&place, &["--data", "tags.jsonl", "--task", "tag"]);
    assert_eq!(config["train"]["task"], serde_json::json!({ "tag": 3 }));
    assert_eq!((&image["outputs"], &image["each_step"]), (&3.into(), &true.into()));
}

#[test]
fn what_a_search_prints_of_its_best_model_is_a_model_to_train() {
    let place = Place::with_data(20);
    let tag = |n: usize| format!("{{\"tokens\":[\"hello\",\"x{}\",\"t{n}\"],\"labels\":[0,{},0]}}\n", n % 3, n % 3);
    let tags: String = (0..300).map(tag).collect();
    place.write("tags.jsonl", tags);
    let texts = texts(|class| (class % 2).to_string(), ["fine", "dull", "odd"]);
    place.write("texts.tsv", texts);
    for (number, (data, task)) in [("texts.tsv", "classify"), ("tags.jsonl", "tag")].into_iter().enumerate() {
        let (searched, again) = (format!("search{number}"), format!("again{number}"));
        let train = ["train", "--data", data, "--task", task, "--epochs", "1"];
        let search = ["--flash", "4KiB", "--model", "text 90 unknown=hashed:3 > embedding 4 word_dropout=0.1 > gru 4"];
        let said = succeed(place.latch(train).args(search).args(["--out", &searched])).stdout;
        let best = said.lines().find(|line| line.starts_with("best of ")).expect("the best");
        let marked = said.lines().filter(|line| line.starts_with("* trial-")).count();
        assert!(marked > 0 && said.contains(" left"), "{said}");
        let row = |line: &&str| ["* trial-", "  trial-", "  run", "---"].iter().any(|begin| line.starts_with(begin));
        let table: Vec<&str> = said.lines().filter(row).filter(|line| !line.contains("--model")).collect();
        // A heading, a line below it, and the front; after the only round it is not said twice.
        assert!(table.len() >= 3 && table.iter().all(|line| line.chars().count() <= 80), "{said}");
        assert!(said.contains("the front, best first") && !said.contains("the front so far"), "{said}");
        let printed = best.split_once("--model '").and_then(|(_, model)| model.split_once('\'')).expect("a model").0;
        succeed(place.latch(train).args(["--model", printed, "--out", &again]));
        let config = |run: &str| -> Value {
            serde_json::from_slice(&place.read(&format!("{run}/config.json"))).expect("a configuration")
        };
        let again = config(&again)["train"]["model"].clone();
        assert_eq!(again.as_str(), Some(printed), "{best}");
        let run = said.lines().find_map(|line| line.strip_prefix("run in ")).expect("a run");
        assert_eq!(config(run)["train"]["model"], again);
        let line = succeed(&mut place.latch(["train", "--resume", "--json", "--out", &searched]));
        assert_eq!(line.json()["best"]["model"], again);
    }
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
    for (tokens, syllables) in [("auto", true), ("syllables", true), ("words", false)] {
        let (config, _) = search(&place, &["--data", "korean.tsv", "--tokens", tokens]);
        let model = config["train"]["model"].as_str().unwrap_or_default();
        assert_eq!(model.contains(" syllables "), syllables, "{tokens}");
    }
}
