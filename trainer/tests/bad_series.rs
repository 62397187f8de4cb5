//! Promise: each thing that can be odd or wrong in recordings either goes from the file to an image that is judged, or
//! ends in one sentence with place and remedy, and then nothing is written.

use crate::support::{Place, succeed};

/// What a model of these recordings is: small, and with an answer for each.
const SMALL: &str = "samples > gru 2 > last > dense";

/// Two classes of short recordings with one channel, a row a time step; `change` gives the text that is written.
fn table(change: impl Fn(String) -> String) -> String {
    let row = |series: usize, step: usize| {
        let (class, value) = (["high", "low"][series % 2], 1.5 - (series % 2) as f32 + step as f32 / 8.0);
        format!("{series},{step},{value},{class}\n")
    };
    let rows: String = (0..12).flat_map(|series| (0..5).map(move |step| row(series, step))).collect();
    change(format!("id,step,ax,label\n{rows}"))
}

/// The command that learns from a file.
fn training<'a>(data: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["train", "--data", data, "--epochs", "2", "--valid", "0.3", "--out", "run"];
    let model: &[&str] = if more.contains(&"--model") { &[] } else { &["--model", SMALL] };
    [&fixed[..], model, more].concat()
}

/// Trains on a file, makes an int8 image, and judges it on the same file; all of it must succeed. What training said.
fn goes_through(name: &str, content: impl AsRef<[u8]>, more: &[&str]) -> String {
    let place = Place::with_data(20);
    place.write(name, content);
    let said = succeed(&mut place.latch(training(name, more)));
    succeed(&mut place.latch(["export", "--run", "run", "--out", "int8.latch"]));
    let eval = ["eval", "--image", "int8.latch", "--data", name, "--run", "run", "--json"];
    let line = succeed(&mut place.latch(eval)).json();
    assert!(line["n"].as_u64() > Some(0), "{line}");
    said.stdout + &said.stderr
}

/// Trains on a file, which must be refused with these words, and leave nothing behind.
fn refused(name: &str, content: impl AsRef<[u8]>, more: &[&str], words: &[&str]) {
    let place = Place::with_data(20);
    place.write(name, content);
    place.refuse(&mut place.latch(training(name, &[&["--json"], more].concat())), words);
}

#[test]
fn ragged_frames_are_refused_with_their_line() {
    refused("a.csv", table(|text| text.replace("3,2,0.75,low", "3,2,low")), &[], &["a.csv:19: the row has 3 cells"]);
    let ts = "@univariate false\n@classLabel true a b\n@data\n1,2,3:4,5,6:a\n1,2,3:4,5:b\n";
    refused("a.ts", ts, &[], &["a.ts:5", "channel"]);
}

#[test]
fn a_constant_channel_is_learned_from_and_said() {
    let said = goes_through(
        "a.csv",
        table(|text| text.replace(",high", ",7,high").replace(",low", ",7,low").replace("ax,", "ax,ay,")),
        &[],
    );
    assert!(said.contains("ay") && said.contains("constant"), "{said}");
}

#[test]
fn recordings_of_one_sample_are_learned_from_and_said() {
    let rows: String = (0..12).map(|id| format!("{id},{},{}\n", id % 2, ["a", "b"][id % 2])).collect();
    let said = goes_through("a.csv", format!("id,ax,label\n{rows}"), &[]);
    assert!(said.contains("12 of 12 series have one step"), "{said}");
}

#[test]
fn a_million_steps_are_learned_from_in_windows() {
    let rows: String = (0..1_000_000).map(|step| format!("{step},{}\n", step % 97)).collect();
    let more = ["--task", "forecast", "--model", "samples > rnn 1 > dense", "--epochs", "1", "--batch", "256"];
    let place = Place::with_data(20);
    place.write("a.csv", format!("time,load\n{rows}"));
    let mut args = training("a.csv", &more);
    let twice = args.iter().position(|&word| word == "--epochs").expect("it is there");
    args.drain(twice..twice + 2);
    args.extend(["--window", "1000", "--stride", "1000"]);
    let said = succeed(&mut place.latch(args));
    assert!((said.stdout + &said.stderr).contains("1000000 steps"));
}

#[test]
fn a_value_that_is_missing_or_infinite_is_named_and_the_former_may_be_filled() {
    let with = |value: &str| table(|text| text.replace("3,2,0.75,low", &format!("3,2,{value},low")));
    let place = ["a.csv:19: the value of column 3 (ax)", "missing", "--missing hold"];
    refused("a.csv", with("NaN"), &[], &place);
    refused("a.csv", with("inf"), &[], &["a.csv:19: the value of column 3 (ax) is no finite number"]);
    goes_through("a.csv", with("NaN"), &["--missing", "hold"]);
}

#[test]
fn a_value_that_no_network_can_compute_with_is_refused_with_its_place() {
    for value in ["3e38", "-1e19", "1e99"] {
        let content = table(|text| text.replace("3,2,0.75,low", &format!("3,2,{value},low")));
        refused("a.csv", content, &[], &["a.csv:19: the value of column 3 (ax) is too large", "at most 1e18"]);
    }
}

#[test]
fn missing_values_of_other_data_are_filled_where_an_option_says_so() {
    let place = Place::with_data(20);
    place.write("whole.csv", table(|text| text));
    place.write("holes.csv", table(|text| text.replace("3,2,0.75,low", "3,2,?,low")));
    succeed(&mut place.latch(training("whole.csv", &[])));
    let export = ["export", "--run", "run", "--out", "int8.latch", "--data", "holes.csv"];
    place.refuse(&mut place.latch([&export[..], &["--json"]].concat()), &["holes.csv:19", "--missing zero"]);
    succeed(&mut place.latch([&export[..], &["--missing", "hold"]].concat()));
    let eval = ["eval", "--image", "int8.latch", "--data", "holes.csv", "--json"];
    place.refuse(&mut place.latch(eval), &["holes.csv:19", "--missing zero"]);
    succeed(&mut place.latch([&eval[..], &["--missing", "zero"]].concat()));
    succeed(&mut place.latch(["report", "run", "--data", "holes.csv", "--missing", "hold"]));
}

#[test]
fn missing_is_refused_where_texts_are_read() {
    let place = Place::with_images();
    let with = |args: &[&'static str]| [args, &["--missing", "hold", "--data", "data"]].concat();
    let words = ["--missing: texts have no missing values"];
    place.refuse(&mut place.latch(with(&["eval", "--image", "int8.latch", "--json"])), &words);
    place.refuse(&mut place.latch(with(&["export", "--run", "run", "--out", "x.latch", "--json"])), &words);
    place.refuse(&mut place.latch(with(&["report", "run", "--json"])), &words);
}

#[test]
fn a_class_that_only_the_validation_part_has_is_refused_with_its_line() {
    let place = Place::with_data(20);
    place.write("train.csv", table(|text| text));
    place.write("valid.csv", table(|text| text.replace("11,4,1,low", "11,4,1,other").replace(",low", ",high")));
    let args = ["train", "--data", "train.csv", "--valid", "valid.csv", "--model", SMALL, "--out", "run", "--json"];
    place.refuse(&mut place.latch(args), &["valid.csv:61", "other"]);
    place.write("valid.csv", "id,step,ax,label\n0,0,1,other\n1,0,1,low\n");
    place
        .refuse(&mut place.latch(args), &["valid.csv:2: the label \"other\" is none of the known classes (high, low)"]);
}

#[test]
fn series_that_are_learned_from_are_no_validation_part_and_a_search_is_of_texts() {
    let place = Place::with_data(20);
    for name in ["train.csv", "copy.csv"] {
        place.write(name, table(|text| text));
    }
    for valid in ["train.csv", "copy.csv"] {
        let args = ["train", "--data", "train.csv", "--valid", valid, "--model", SMALL, "--out", "run"];
        place.refuse(&mut place.latch(args), &["--valid: ", "holds the series that the network learns from"]);
    }
    let search = ["search", "--data", "train.csv", "--flash", "8KiB", "--out", "found"];
    place.refuse(&mut place.latch(search), &["train.csv: it holds series", "latch train"]);
}

#[test]
fn labels_in_the_first_and_in_the_last_column_with_a_header_or_without_one_are_read() {
    let row = |id: usize| (["a", "b"][id % 2], format!("{},0.25,0.{id}", id % 2));
    let rows = |first: bool| -> String {
        let text = |(label, values)| if first { format!("{label},{values}\n") } else { format!("{values},{label}\n") };
        (1..13).map(|id| text(row(id))).collect()
    };
    for (content, said) in [
        (rows(true), "label column 1"),
        (rows(false), "label column 4"),
        (format!("label,t0,t1,t2\n{}", rows(true)), "label column label"),
        (format!("t0,t1,t2,label\n{}", rows(false)), "label column label"),
    ] {
        let found = goes_through("a.csv", &content, &[]);
        assert!(found.contains(said), "{content}{found}");
    }
}

#[test]
fn a_decimal_comma_is_read_between_semicolons_and_refused_between_commas() {
    let comma = |text: String| text.replace(',', ";").replace('.', ",");
    let said = goes_through("a.csv", table(comma), &[]);
    assert!(said.contains("decimal comma"), "{said}");
    let words = ["a.csv:2: the value of column 3 (ax) is no finite number", "semicolons"];
    refused("a.csv", table(|text| text.replace("0,0,1.5,", "0,0,\"1,5\",")), &[], &words);
}

#[test]
fn line_ends_of_windows_give_the_same_image() {
    let image = |content: String| {
        let place = Place::with_data(20);
        place.write("a.csv", content);
        succeed(&mut place.latch(training("a.csv", &[])));
        succeed(&mut place.latch(["export", "--run", "run", "--out", "int8.latch"]));
        place.read("int8.latch")
    };
    assert_eq!(image(table(|text| text.replace('\n', "\r\n"))), image(table(|text| text)));
}

#[test]
fn an_empty_file_and_a_header_alone_are_refused() {
    for (task, model) in [("classify", SMALL), ("forecast", "samples > gru 2 > dense")] {
        let more = ["--task", task, "--model", model];
        refused("a.ts", "", &more, &["a.ts:1: the file ends without a line @data"]);
        refused("a.csv", "id,step,ax,label\n", &more, &["a.csv: there is no "]);
    }
}

#[test]
fn two_series_with_one_id_are_refused_with_both_lines() {
    let again = table(|text| text + "0,0,1,high\n");
    refused("a.csv", again, &[], &["a.csv:62: the series \"0\" comes again: its rows from line 2 on have ended"]);
}

#[test]
fn what_is_read_is_never_written_over() {
    let place = Place::with_data(20);
    place.write("a.csv", table(|text| text));
    place.write("one.csv", "ax\n1\n2\n3\n");
    succeed(&mut place.latch(training("a.csv", &[])));
    succeed(&mut place.latch(["export", "--run", "run", "--out", "int8.latch"]));
    let words = ["this file is read, and would be written over"];
    let run = ["run", "--image", "int8.latch", "--data", "one.csv", "--json", "--out"];
    for out in ["one.csv", "./one.csv"] {
        place.refuse(&mut place.latch([&run[..], &[out]].concat()), &words);
    }
    let export = ["export", "--run", "run", "--data", "a.csv", "--out", "a.csv", "--json"];
    place.refuse(&mut place.latch(export), &words);
    place.refuse(&mut place.latch(["report", "run", "--image", "int8.latch", "--out", "int8.latch", "--json"]), &words);
}

#[test]
fn a_forecast_is_judged_beside_its_run_and_whoever_leaves_the_run_out_is_told_to_add_it() {
    let place = Place::with_data(20);
    let rows: String = (0..60).map(|month| format!("{},{}\n", month + 1, 100 + month + 20 * (month % 12))).collect();
    place.write("sales.csv", format!("month,sales\n{rows}"));
    let model = ["--model", "samples 1 > gru 3 > dense", "--epochs", "1", "--out", "run"];
    succeed(place.latch(["train", "--data", "sales.csv", "--task", "forecast"]).args(model));
    succeed(&mut place.latch(["export", "--run", "run", "--out", "sales.latch"]));
    let eval = ["eval", "--image", "sales.latch", "--data", "sales.csv", "--json"];
    let told = ["sales.csv: ", "if the image forecasts, add --run FOLDER", "else say it with --label-column"];
    place.refuse(&mut place.latch(eval), &told);
    assert!(succeed(place.latch(eval).args(["--run", "run"])).json()["rmse"].is_number());
}

#[test]
fn series_that_end_before_the_first_answer_of_an_image_are_warned_of() {
    let place = Place::with_data(20);
    place.write("long.csv", table(|table| table));
    let model = ["--model", "samples > conv1d 3 k4 valid > gru 2 > last > dense"];
    succeed(&mut place.latch(training("long.csv", &model)));
    succeed(&mut place.latch(["export", "--run", "run", "--out", "int8.latch"]));
    let cut = |table: String| {
        table.lines().filter(|line| !line.starts_with("3,3") && !line.starts_with("3,4")).collect::<Vec<_>>().join("\n")
    };
    place.write("short.csv", table(cut));
    let warning = "1 of 12 series have fewer steps than the 4 of the image's first answer";
    for (verb, more) in [("eval", &["--run", "run"][..]), ("run", &[])] {
        let said = |data: &str| succeed(place.latch([verb, "--image", "int8.latch", "--data", data]).args(more)).stderr;
        assert!(said("short.csv").contains(warning), "{verb}: {}", said("short.csv"));
        assert!(!said("long.csv").contains("first answer"), "{verb}: {}", said("long.csv"));
    }
}
