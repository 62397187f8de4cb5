//! Promise: `latch export --calibrate` quantizes a network without training and without labels, and says layer by layer what integers cost.

use std::path::Path;

use latch_trainer::dataset::Part;
use latch_trainer::series::{SeriesReading, load};
use serde_json::Value;

use crate::goldens::placed;
use crate::support::{Place, succeed};

/// A folder with an imported GRU of one channel in `run`, and samples like those that it reads in `x.csv` and ten times as large in `large.csv`.
fn gru() -> Place {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interchange/tests/models");
    let place = Place::with_data(200);
    place.write("gru.json", std::fs::read(models.join("gru_torch.json")).expect("a model"));
    let table = std::fs::read_to_string(models.join("gru_torch.csv")).expect("a reference");
    let x: Vec<f32> = table.lines().map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
    for (name, factor) in [("x.csv", 1.0), ("large.csv", 10.0)] {
        let rows: Vec<String> = x.iter().map(|x| (x * factor).to_string()).collect();
        place.write(name, rows.join("\n") + "\n");
    }
    succeed(&mut place.latch(["import", "gru.json", "--out", "run"]));
    place
}

fn export(place: &Place, precision: &str, more: &[&str]) -> Value {
    let out = format!("{precision}.latch");
    let fixed = ["export", "--run", "run", "--precision", precision, "--out", &out, "--json"];
    succeed(place.latch(fixed).args(more)).json()
}

/// The rows of the table by their layers.
fn rows(line: &Value) -> Vec<(String, &Value)> {
    let rows = line["layers"]["rows"].as_array().expect("a table");
    rows.iter().map(|row| (row["layer"].as_str().expect("a name").to_owned(), row)).collect()
}

fn snr(line: &Value, layer: &str) -> f64 {
    let rows = rows(line);
    let (_, row) = rows.iter().find(|(name, _)| name.contains(layer)).expect("the layer");
    row["snr_db"].as_f64().unwrap_or_else(|| panic!("{layer}: {row}"))
}

/// The first 256 answers of an image to a series.
fn answers(place: &Place, image: &str, data: &str) -> Vec<f64> {
    succeed(&mut place.latch(["run", "--image", image, "--data", data, "--out", "y.npy"]));
    let set = load(&place.file("y.npy"), Part::Test, &SeriesReading::one_series()).expect("an array");
    set.series[0].frames.iter().take(256).map(|&value| f64::from(value)).collect()
}

#[test]
fn the_table_of_layers_has_what_the_images_themselves_answer() {
    let place = gru();
    let line = export(&place, "int8", &["--calibrate", "x.csv"]);
    let names: Vec<String> = rows(&line).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["samples", "1 gru 8", "2 gru 8", "3 gru 8", "4 gru 8", "answer"]);
    assert!(line["calibrated_on"].as_str().is_some_and(|on| on.starts_with("1 series of x.csv: ")), "{line}");
    assert!(line["assumed"].is_null(), "{line}");
    export(&place, "f32", &["--calibrate", "x.csv"]);
    let (float, integer) = (answers(&place, "f32.latch", "x.csv"), answers(&place, "int8.latch", "x.csv"));
    let errors: Vec<f64> = float.iter().zip(&integer).map(|(a, b)| (a - b).abs()).collect();
    let noise: f64 = errors.iter().map(|error| error * error).sum();
    let mean = float.iter().sum::<f64>() / float.len() as f64;
    let ratio = 10.0 * (float.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / noise).log10();
    let row = rows(&line)[5].1;
    let close = |key: &str, expected: f64| {
        let found = row[key].as_f64().expect("a number");
        assert!((found - expected).abs() < 1e-3 * expected.abs(), "{key}: {found} {expected}");
    };
    close("snr_db", ratio);
    close("rms_error", (noise / errors.len() as f64).sqrt());
    close("largest_error", errors.iter().copied().fold(0.0, f64::max));
    close("values", errors.len() as f64);
    // A hidden value has 8 bits as the next layer reads it, and 16 of int16.
    let fine = export(&place, "int16", &["--calibrate", "x.csv"]);
    for layer in ["samples", "1 gru", "4 gru", "answer"] {
        assert!(snr(&fine, layer) > snr(&line, layer) + 15.0, "{layer}: {fine} {line}");
    }
    assert!(export(&place, "f32", &[])["layers"].is_null());
}

#[test]
fn calibration_gives_each_channel_the_range_that_its_samples_have() {
    let place = gru();
    let data = ["--calibrate", "large.csv"];
    let line = export(&place, "int8", &data);
    let on = line["calibrated_on"].as_str().expect("words");
    assert!(on.contains("samples of magnitude 9.") && on.contains("one of 16 bits worth 0.00048828125"), "{on}");
    assert_eq!(rows(&line)[0].1["saturated"], 0.0, "{line}");
    assert!(snr(&line, "samples") > 35.0, "{line}");
    let calibrated = answers(&place, "int8.latch", "large.csv");
    // Without it samples beyond 1 are cut, and the table says so.
    let said = succeed(&mut place.latch(["export", "--run", "run", "--out", "cut.latch"]));
    assert!(said.stdout.contains("assumed: samples of magnitude 1 at most"), "{said:?}");
    export(&place, "f32", &data);
    let float = answers(&place, "f32.latch", "large.csv");
    let cut = answers(&place, "cut.latch", "large.csv");
    let noise = |found: &[f64]| float.iter().zip(found).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    assert!(noise(&calibrated) < 0.1 * noise(&cut), "{} {}", noise(&calibrated), noise(&cut));
}

#[test]
fn a_layer_that_cuts_its_values_or_is_noisy_is_warned_of_with_what_helps() {
    let (place, _) = placed("onnx/onnx.zip", &["torch-stacked.onnx"]);
    succeed(&mut place.latch(["import", "torch-stacked.onnx", "--out", "run"]));
    // Two channels are a thousandth of what the third reaches once: seven bits have nothing left of them but zeros.
    let rows: Vec<String> = (0..200)
        .map(|step| if step == 100 { "9,9,9".to_owned() } else { format!("0.0{},0.0{},0.01", step % 3, step % 5) })
        .collect();
    place.write("spike.csv", rows.join("\n") + "\n");
    let export = |precision: &str| {
        succeed(&mut place.latch([
            "export",
            "--run",
            "run",
            "--calibrate",
            "spike.csv",
            "--precision",
            precision,
            "--out",
            "new.latch",
        ]))
    };
    let said = export("int4");
    assert!(
        said.stdout.contains("layers of int4 against f32, on 1 of spike.csv, up to 256 steps of each:"),
        "{said:?}"
    );
    assert!(said.stderr.contains("warning: layer ") && said.stderr.contains("below 20 dB"), "{said:?}");
    assert!(said.stderr.contains("take --precision int8 or int16"), "{said:?}");
    assert!(!export("int16").stderr.contains("warning: layer "));
}

#[test]
fn labels_are_not_needed_and_change_nothing() {
    let place = Place::with_run();
    succeed(&mut place.latch(["export", "--run", "run", "--format", "safetensors", "--out", "net"]));
    std::fs::remove_dir_all(place.file("run")).expect("a folder");
    succeed(&mut place.latch(["import", "net", "--out", "run"]));
    place.write("texts.txt", "a good film\n\na bad film, and a very bad plot\nnot good\n");
    place.write("table.csv", "label,text\n1,a good film\n0,\"a bad film, and a very bad plot\"\n1,not good\n");
    let line = export(&place, "int4", &["--calibrate", "texts.txt"]);
    let bytes = place.read("int4.latch");
    let on = line["calibrated_on"].as_str().expect("words");
    assert!(on.starts_with("3 texts of texts.txt, one on each line: ") && on.contains("rows of the embedding"), "{on}");
    assert!(line["judged_on"].as_str().is_some_and(|part| part.contains("answers of the f32 image")), "{line}");
    export(&place, "int4", &["--calibrate", "table.csv"]);
    assert!(place.read("int4.latch") == bytes, "labelled texts give the same image");
    let other = export(&place, "int4", &["--calibrate", "data/train.tsv.gz"]);
    assert!(place.read("int4.latch") != bytes, "other texts keep other rows exactly");
    let names: Vec<String> = rows(&other).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[0], "embedding");
    assert!(names[1].starts_with("1 lstm 8"), "{names:?}");
    assert_eq!(names.last().map(String::as_str), Some("answer"));
    // A run keeps its own data for its score.
    let run = ["export", "--run", "run", "--calibrate", "texts.txt", "--data", "data/valid.tsv.gz"];
    let line = succeed(place.latch(run).args(["--out", "new.latch", "--json"])).json();
    assert_eq!(line["judged_on"], "data/valid.tsv.gz");
}

#[test]
fn what_cannot_be_calibrated_on_is_refused_by_name() {
    let place = gru();
    let export = |more: &[&str]| {
        let mut command = place.latch(["export", "--run", "run", "--out", "new.latch", "--json"]);
        command.args(more);
        command
    };
    place.write("two.csv", "1,2\n3,4\n5,6\n");
    place.refuse(&mut export(&["--calibrate", "two.csv"]), &["two.csv: "]);
    place.refuse(&mut export(&["--calibrate", "none.csv"]), &["none.csv: "]);
    place.refuse(&mut export(&["--missing", "zero"]), &["--missing: ", "add --data or --calibrate"]);
    let safetensors = ["--calibrate", "x.csv", "--format", "safetensors"];
    place.refuse(&mut export(&safetensors), &["--calibrate: it is for images"]);
    let same = ["export", "--run", "run", "--out", "x.csv", "--calibrate", "x.csv"];
    place.refuse(&mut place.latch(same), &["x.csv"]);
    place.train("texts", &[]);
    let of_texts = |data: &str| {
        let data = data.to_owned();
        place.latch(["export", "--run", "texts", "--out", "new.latch", "--json", "--calibrate", &data])
    };
    place.write("empty.txt", "\n\n");
    place.write("strange.txt", "qqq www\n");
    place.write("bare.csv", "text\na film\n");
    place.refuse(&mut of_texts("empty.txt"), &["empty.txt: there is nothing to calibrate on"]);
    place.refuse(&mut of_texts("bare.csv"), &["bare.csv", "texts without labels stand in a .txt file"]);
    let strange = succeed(&mut of_texts("strange.txt")).json();
    assert!(strange["calibrated_on"].as_str().is_some_and(|on| on.contains("1 of ")), "{strange}");
}

#[test]
fn samples_beyond_the_range_are_counted_and_what_helps_is_a_range_that_reaches_as_far() {
    let place = gru();
    let warned = |more: &[&str]| {
        let fixed = ["export", "--run", "run", "--out", "new.latch"];
        let said = succeed(place.latch(fixed).args(more)).stderr;
        said.lines().filter(|line| line.starts_with("warning: layer")).map(str::to_owned).collect::<Vec<_>>()
    };
    let place_of = |name: &str| place.file(name).display().to_string();
    let import = ["import", "gru.json", "--probe", &place_of("large.csv"), "--full-scale", "1", "--out", "small"];
    succeed(&mut place.latch(import));
    let said = succeed(&mut place.latch(["export", "--run", "small", "--out", "small.latch"])).stderr;
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("warning: layer")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(
        lines[0].contains("layer samples: 9") && lines[0].contains("lie beyond the range of its integers"),
        "{said}"
    );
    assert!(lines[0].contains("--calibrate") && lines[0].contains("--full-scale"), "{said}");
    assert!(!lines[0].contains("--precision int16"), "{said}");
    // A sample that equals the largest one is none that was cut.
    place.write("edge.csv", (0..200).map(|step| if step % 2 == 0 { "1\n" } else { "-1\n" }).collect::<String>());
    assert!(warned(&["--calibrate", "edge.csv"]).iter().all(|line| !line.contains("beyond")), "no value is cut");

    // Nor is a value of a convolution that equals the largest one of its range, though its integer is the last one.
    let conv = r#"{"type":"conv1d","activation":"relu","shape":[null,null,1],"kernel_size":[3],"dilation":[1],"groups":1,
        "weights":[[[[0.5]],[[0.5]],[[0.5]]],[0.0]]}"#;
    let head = r#"{"type":"dense","activation":"","shape":[null,null,1],"weights":[[[1.0]],[0.0]]}"#;
    place.write("conv.json", format!(r#"{{"in_shape":[null,null,1],"layers":[{conv},{head}]}}"#));
    place.write("half.csv", "0.5\n".repeat(200));
    succeed(&mut place.latch(["import", "conv.json", "--probe", "half.csv", "--out", "conv"]));
    let said = succeed(&mut place.latch(["export", "--run", "conv", "--out", "conv.latch", "--json"]));
    let line = said.json();
    let (_, row) = &rows(&line)[1];
    assert!(row["saturated"].as_f64() > Some(0.9) && row["beyond"] == 0.0, "{row}");
    assert!(!said.stderr.contains("warning: layer"), "{said:?}");
}
