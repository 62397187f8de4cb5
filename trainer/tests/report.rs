//! Promise: the report of a run is one file that needs nothing else, and says the same whenever it is written.

use serde_json::Value;

use crate::support::{Place, refuse, succeed};

fn page(place: &Place, args: &[&str]) -> (String, Value) {
    let line = succeed(place.latch(["report", "run", "--out", "report.html", "--json"]).args(args)).json();
    (String::from_utf8(place.read("report.html")).expect("UTF-8"), line)
}

#[test]
fn a_report_is_one_file_without_script_and_network_and_twice_the_same() {
    let place = Place::with_run();
    let (first, line) = page(&place, &["--svg", "pictures"]);
    for section in ["model", "curves", "confusion", "calibration", "trail", "worst", "bytes", "latency"] {
        assert!(first.contains(&format!("<section id=\"{section}\">")), "{section} is missing");
    }
    // The name of SVG is all that looks like an address.
    let addresses = first.matches("http").count();
    assert_eq!(addresses, first.matches("http://www.w3.org/2000/svg").count());
    for foreign in ["<script", "<link", "<img", "@import", "url(", "src="] {
        assert!(!first.contains(foreign), "{foreign}");
    }
    assert!(first.contains("prefers-color-scheme:dark") && first.contains("Nordic nRF52840"));
    // Nothing of this machine, such as the path of the data, is in it.
    assert!(!first.contains(place.path().to_str().expect("UTF-8")), "a path");
    assert!(line["image_bytes"].as_u64() > Some(500) && line["accuracy"].as_f64().is_some(), "{line}");
    for name in line["pictures"].as_array().expect("pictures") {
        let file = format!("pictures/{}.svg", name.as_str().expect("a name"));
        let svg = String::from_utf8(place.read(&file)).expect("UTF-8");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{file}");
    }
    assert!(page(&place, &[]).0 == first, "another report of the same run");
    assert!(page(&place, &["--text", "a <b>good</b> film"]).0.contains("a &lt;b&gt;good&lt;/b&gt; film"));
}

#[test]
fn a_report_is_on_the_image_and_the_texts_that_are_named() {
    let place = Place::with_images();
    let (of_floats, line) = page(&place, &["--image", "f32.latch", "--data", "data/test.tsv.gz"]);
    assert_eq!(line["image_bytes"].as_u64(), Some(place.read("f32.latch").len() as u64));
    assert!(of_floats.contains("the texts of --data"), "{of_floats}");
    let eval =
        succeed(&mut place.latch(["eval", "--image", "f32.latch", "--data", "data/test.tsv.gz", "--json"])).json();
    assert_eq!(line["accuracy"], eval["accuracy"]);
    place.refuse(&mut place.latch(["report", "data", "--out", "r.html"]), &["data", "no run"]);
    place
        .refuse(&mut place.latch(["report", "run", "--image", "run/config.json", "--out", "r.html"]), &["config.json"]);
    let again = ["train", "--config", "run/latch.toml", "--seed", "77", "--epochs", "1", "--out", "other"];
    succeed(&mut place.latch(again));
    place.refuse(
        &mut place.latch(["report", "other", "--image", "f32.latch", "--out", "r.html"]),
        &["--image", "another run"],
    );
}

#[test]
fn a_report_of_numbers_shows_each_prediction_against_its_label() {
    let place = Place::with_data(20);
    let line =
        |number: usize| format!("{}\t{} film\n", number % 5, ["bad", "dull", "fair", "good", "great"][number % 5]);
    place.write("stars.tsv", (0..60).map(line).collect::<String>());
    place.write("others.tsv", (0..20).map(line).collect::<String>());
    let model = "text 20 > embedding 4 > gru 4 > last > dense";
    let train = [
        "train",
        "--data",
        "stars.tsv",
        "--valid",
        "others.tsv",
        "--task",
        "regress",
        "--model",
        model,
        "--epochs",
        "2",
        "--out",
        "run",
    ];
    succeed(&mut place.latch(train));
    let (page, line) = page(&place, &[]);
    assert!(line["pictures"].as_array().expect("pictures").contains(&"errors".into()), "{line}");
    assert!(page.contains("Predicted value</text>") && page.contains("residual: predicted value less label"), "{page}");
    // Five different texts are five lines of the worst answers, each with its count.
    assert_eq!(page.split("id=\"worst\"").nth(1).expect("the section").matches("<tr>").count(), 1 + 5, "{page}");
}

#[test]
fn the_trail_of_two_classes_is_of_the_class_that_predict_names() {
    let place = Place::with_images();
    for text in ["a wonderful film", "a dreadful film"] {
        let page = page(&place, &["--text", text]).0;
        let said = succeed(&mut place.latch(["predict", "--image", "int8.latch", text])).stdout;
        let named = said.split(" of ").nth(1).and_then(|rest| rest.split([',', ';']).next()).expect("a class");
        assert!(page.contains(&format!("Probability of {named}</text>")), "{said}");
    }
}

#[test]
fn a_picture_of_an_evaluation_has_the_format_of_its_name() {
    let place = Place::with_images();
    let eval =
        |plot: &str| place.latch(["eval", "--image", "int8.latch", "--data", "data/valid.tsv.gz", "--plot", plot]);
    succeed(&mut eval("reliability.png"));
    assert!(place.read("reliability.png").starts_with(b"\x89PNG\r\n\x1a\n"));
    succeed(&mut eval("reliability.svg"));
    assert!(place.read("reliability.svg").starts_with(b"<svg "));
    for name in ["reliability.jpg", "reliability"] {
        refuse(&mut eval(name), &["--plot", name, "end it in .svg or .png"]);
    }
}

/// Words that a user of series has no use for.
fn of_texts(said: &str) -> Vec<&str> {
    let words = said.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| ["text", "texts", "token", "tokens", "word", "words"].contains(word)).collect()
}

/// What a page shows, without its marks and styles.
fn shown(page: &str) -> String {
    let body = page.split_once("</style>").expect("a page has its styles").1;
    body.split('<').map(|part| part.split_once('>').map_or("", |(_, shown)| shown)).collect::<Vec<_>>().join(" ")
}

#[test]
fn whoever_works_with_series_reads_of_series_and_steps_and_never_of_texts_and_tokens() {
    let place = Place::with_data(20);
    let row = |series: usize, step: usize| {
        let class = ["high", "low"][series % 2];
        format!(
            "{series},{step},{},{class}\n",
            (series % 2 * step * step % 5) as f32 - step as f32 / (8 + series) as f32
        )
    };
    let rows: String = (0..24).flat_map(|series| (0..5).map(move |step| row(series, step))).collect();
    place.write("series.csv", format!("id,time,x,label\n{rows}"));
    let train = ["train", "--data", "series.csv", "--epochs", "2", "--model", "samples 1 > gru 3 > last > dense"];
    let export = ["export", "--run", "run", "--out", "run.latch"];
    let eval = ["eval", "--image", "run.latch", "--data", "series.csv"];
    for more in [&["--out", "run", "--threshold", "f1"][..], &["--out", "folds", "--folds", "3"]] {
        let said = succeed(place.latch(train).args(more));
        assert_eq!(of_texts(&(said.stdout + &said.stderr)), [""; 0]);
    }
    for line in [&export[..], &eval, &["inspect", "run.latch"]] {
        let said = succeed(&mut place.latch(line));
        let all = said.stdout + &said.stderr;
        assert_eq!(of_texts(&all), [""; 0], "{all}");
    }
    for run in ["run", "folds"] {
        succeed(&mut place.latch(["report", run, "--out", "report.html"]));
        let page = shown(&String::from_utf8(place.read("report.html")).expect("UTF-8"));
        assert_eq!(of_texts(&page), [""; 0], "{page}");
        assert!(
            page.contains("From a series") && page.contains("one frame at a time") && page.contains("time of a step")
        );
    }
    for verb in ["train", "eval", "report", "export", "init"] {
        assert!(succeed(&mut place.latch([verb, "--help"])).stdout.contains("series"), "{verb}");
    }
}
