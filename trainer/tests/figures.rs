//! Promise: what training and export print says what it is a figure of: of weighted classes, of numbers in their unit, of what was tried, of texts that were learned from.

use serde_json::Value;

use crate::support::{Place, succeed};

fn messages(count: usize) -> String {
    let row = |number: usize| {
        let (kind, word) = [("ham", "lunch"), ("spam", "prize"), ("ham", "home"), ("ham", "claim")][number % 4];
        format!("{kind}\tmessage {} about {word} number {}\n", number % 7, number % 31)
    };
    (0..count).map(row).collect()
}

#[test]
fn the_loss_of_weighted_classes_is_called_so_and_what_chooses_a_model_stands_in_its_table() {
    let place = Place::with_data(20);
    place.write("few.tsv", messages(120));
    let model = "text 30 > embedding 4 > gru 4 > last > dense";
    let train = |out: &str, more: &[&str]| {
        let fixed = ["train", "--data", "few.tsv", "--epochs", "2", "--out", out];
        succeed(place.latch(fixed).args(more)).stdout
    };
    let weighted = ["--class-weights", "balanced"];
    let run = train("run", &[&weighted[..], &["--model", model, "--valid", "0.2"]].concat());
    let lines: Vec<&str> = run.lines().filter(|line| line.contains("epoch ")).collect();
    assert!(lines.len() == 3 && lines.iter().all(|line| line.contains("weighted loss ")), "{run}");
    succeed(&mut place.latch(["report", "run", "--out", "run.html"]));
    assert!(String::from_utf8(place.read("run.html")).expect("UTF-8").contains("with a weighted loss of"));
    let tried = train("tried", &weighted);
    let is_heading = |line: &&str| line.ends_with(" model") || line.ends_with("macro F1");
    let headings = tried.lines().filter(is_heading).filter(|line| line.contains("weighted loss"));
    assert_eq!(headings.count(), 2, "the trials and the folds: {tried}");
    assert!(tried.contains("within one standard error of the least loss"), "{tried}");
    let selected = train("selected", &["--select", "macro-f1", "--threshold", "f1"]);
    let heading = selected.lines().find(|line| line.ends_with(" model")).expect("a table of trials");
    assert!(heading.contains("macro F1") && selected.contains("standard error of the highest macro F1"), "{selected}");
    let plain = train("plain", &["--model", model, "--valid", "0.2"]);
    assert!(plain.contains("train loss ") && !plain.contains("weighted"), "{plain}");
}

#[test]
fn a_regression_says_rmse_and_r2_after_each_epoch_and_at_its_end_as_an_evaluation_does() {
    let place = Place::with_data(20);
    let line = |number: usize| {
        format!(
            "{}\t{} film {}\n",
            100 * (number % 5),
            ["bad", "dull", "fair", "good", "great"][number % 5],
            number % 9
        )
    };
    place.write("stars.tsv", (0..90).map(line).collect::<String>());
    place.write("others.tsv", (0..40).map(line).collect::<String>());
    let model = "text 20 > embedding 4 > gru 4 > last > dense";
    let train = |out: &str, more: &[&str]| {
        let fixed = ["train", "--data", "stars.tsv", "--task", "regress", "--epochs", "3", "--average", "0"];
        succeed(place.latch(fixed).args(["--model", model, "--out", out]).args(more))
    };
    let said = train("run", &["--valid", "others.tsv"]).stdout;
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("epoch ")).collect();
    assert!(lines.len() == 4 && lines.iter().all(|line| line.contains("RMSE ") && line.contains("R² ")), "{said}");
    let trained = train("again", &["--valid", "others.tsv", "--json"]).json();
    succeed(&mut place.latch(["export", "--run", "again", "--precision", "f32", "--out", "f32.latch"]));
    let judged = succeed(&mut place.latch(["eval", "--image", "f32.latch", "--data", "others.tsv", "--json"])).json();
    let rmse = |line: &Value, key: &str| line[key].as_f64().unwrap_or_else(|| panic!("{key}: {line}"));
    let (said, found) = (rmse(&trained, "best_valid_rmse"), rmse(&judged, "rmse"));
    assert!(said > 10.0 && (said / found - 1.0).abs() < 1e-3, "{said} {found}");
    let folds = train("folds", &["--folds", "2"]).stdout;
    assert!(folds.lines().any(|line| line.ends_with("RMSE") && line.contains("R²")), "{folds}");
}

#[test]
fn what_was_tried_stands_in_the_report_and_in_the_line_of_json_beside_the_model_and_the_time_of_all_runs() {
    let place = Place::with_data(20);
    place.write("few.tsv", messages(100));
    let began = std::time::Instant::now();
    let line =
        succeed(&mut place.latch(["train", "--data", "few.tsv", "--epochs", "2", "--out", "run", "--json"])).json();
    let (seconds, all) = (line["seconds"].as_f64().expect("seconds"), began.elapsed().as_secs_f64());
    let of_the_last = succeed(&mut place.latch(["train", "--resume", "--out", "run", "--json"])).json();
    assert!(seconds < all && seconds > of_the_last["seconds"].as_f64().expect("seconds"), "{line} {of_the_last}");
    let trials: Value = serde_json::from_slice(&place.read("run/trials.json")).expect("JSON");
    assert_eq!(line["trials"], trials);
    let models = trials["models"].as_array().expect("models");
    let taken = models.iter().find(|row| row["taken"] == true).expect("one is taken");
    assert_eq!(line["model"], taken["model"]);
    succeed(&mut place.latch(["report", "run", "--out", "run.html"]));
    let page = String::from_utf8(place.read("run.html")).expect("UTF-8");
    let section = page.split("<section id=\"trials\">").nth(1).expect("the section");
    let section = section.split("</section>").next().expect("its end");
    assert_eq!(section.matches("<tr>").count(), 1 + models.len(), "{section}");
    assert_eq!(section.matches("<td>taken</td>").count(), 1, "{section}");

    // A run without a validation part leads with what its folds answer to texts that they have not learned from.
    let export = ["export", "--run", "run", "--precision", "int8", "--out", "int8.latch"];
    let said = succeed(&mut place.latch(export)).stdout;
    let first = said.lines().next().expect("a line");
    assert!(
        first.starts_with("accuracy ") && first.ends_with(" of the folds, each on texts that it has not learned from")
    );
    assert!(said.contains("100 texts of those that the run has learned from, through the engine:"), "{said}");
    let line = succeed(place.latch(export).arg("--json")).json();
    let inspected = succeed(&mut place.latch(["inspect", "int8.latch", "--json"])).json();
    assert_eq!(line["judged_on"], "those that the run has learned from");
    let [folds, said] = [&line["folds_accuracy"], &inspected["valid_accuracy"]].map(|figure| figure.as_f64());
    assert!(folds.is_some_and(|folds| said.is_some_and(|said| (folds - said).abs() < 1e-6)), "{line} {inspected}");
}
