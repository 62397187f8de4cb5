//! Promise: a run's network goes to ONNX, PyTorch, Keras and RTNeural, a file that comes back answers as the run, and what a format cannot hold is refused before anything is
//! written. `interchange/tests/writers.rs` holds the files to what the frameworks compute.

use serde_json::Value;

use crate::support::{Place, succeed};

/// A folder with a run of series: its values are in the unit of labels near 20, its samples are scaled, and one goes around the network.
fn of_series() -> Place {
    let place = Place::with_data(20);
    let mut rows = "a,b,y\n".to_owned();
    for step in 0..240 {
        let time = f64::from(step);
        let (a, b) = ((time / 5.0).sin(), 1.0 + 3.0 * (time / 9.0).cos());
        rows += &format!("{a:.4},{b:.4},{:.4}\n", 20.0 + 2.0 * a + b);
    }
    place.write("series.csv", rows);
    let model = "samples 2 > conv1d 4 k3 s2 relu > gru 5 > dense > skip channel=1 lag=2";
    let data = ["train", "--data", "series.csv", "--label-column", "y", "--task", "regress-each"];
    succeed(&mut place.latch(data.iter().chain(&["--model", model, "--epochs", "2", "--out", "series"])));
    place
}

/// A folder with a run of texts whose network is more than an embedding, recurrent layers and a head.
fn of_texts() -> Place {
    let place = Place::with_data(120);
    let model = "text 60 > embedding 4 > lstm 5 > attention > dense 4 tanh > dense";
    succeed(&mut place.latch(["train", "--data", "data", "--model", model, "--epochs", "2", "--out", "texts"]));
    place
}

fn export(place: &Place, run: &str, format: &str, out: &str) -> Value {
    succeed(&mut place.latch(["export", "--run", run, "--format", format, "--out", out, "--json"])).json()
}

/// What the f32 image of a run answers to some frames.
fn answers(place: &Place, run: &str) -> Vec<f64> {
    let frames: Vec<String> = (0..12).map(|step| format!("{},{}", 0.1 * f64::from(step), 3 - step % 4)).collect();
    place.write("x.csv", frames.join("\n") + "\n");
    succeed(&mut place.latch(["export", "--run", run, "--precision", "f32", "--out", "new.latch"]));
    succeed(&mut place.latch(["run", "--image", "new.latch", "--data", "x.csv", "--out", "y.csv"]));
    let table = String::from_utf8(place.read("y.csv")).expect("text");
    table.split([',', '\n']).filter_map(|number| number.trim().parse().ok()).collect()
}

#[test]
fn integers_of_a_file_that_comes_back_read_samples_far_from_one() {
    let place = Place::with_data(20);
    let mut text = "@univariate true\n@classLabel true fast slow\n@data\n".to_owned();
    for number in 0..60 {
        let (speed, class) = if number % 2 == 0 { (0.9, "fast") } else { (0.3, "slow") };
        let value = |step: i32| 40.0 + 6.0 * (speed * f64::from(step) + f64::from(number)).sin();
        let values: Vec<String> = (0..20).map(|step| format!("{:.3}", value(step))).collect();
        text += &format!("{}:{class}\n", values.join(","));
    }
    place.write("swings.ts", text);
    let model = ["--model", "samples 1 > gru 6 > last > dense", "--epochs", "30", "--lr", "0.02", "--out", "own"];
    succeed(place.latch(["train", "--data", "swings.ts"]).args(model));
    export(&place, "own", "onnx", "net.onnx");
    let said = succeed(&mut place.latch(["import", "net.onnx", "--task", "classify", "--out", "back"])).stdout;
    // The classes come back by their names. A count is worth as much as samples near 46 need.
    assert!(said.contains("assumed: samples of magnitude 4") && said.contains("worth 0.001953125"), "{said}");
    for precision in ["int8", "int16"] {
        let image = ["export", "--run", "back", "--precision", precision, "--no-calibrate", "--out", "back.latch"];
        succeed(&mut place.latch(image));
        let eval = ["eval", "--image", "back.latch", "--data", "swings.ts", "--json"];
        let judged = succeed(&mut place.latch(eval)).json();
        assert!(judged["accuracy"].as_f64().expect("a share") > 0.9, "{precision}: {judged}");
    }
}

#[test]
fn a_run_of_series_answers_the_same_behind_another_frameworks_file() {
    let place = of_series();
    let own = answers(&place, "series");
    assert_eq!(own.len(), 12);
    for (format, file) in [("safetensors", "net.safetensors")] {
        let line = export(&place, "series", format, file);
        assert_eq!(line["bytes"].as_u64(), Some(place.read(file).len() as u64));
        succeed(&mut place.latch(["import", file, "--out", format]));
        let found = answers(&place, format);
        assert_eq!(found.len(), own.len());
        for (found, own) in found.iter().zip(&own) {
            assert!((found - own).abs() < 1e-4, "{format}: {found} {own}");
        }
    }
    // What goes around is a second branch, which the reader of ONNX refuses by its node.
    let line = export(&place, "series", "onnx", "net.onnx");
    let reads = line["reads"].as_str().expect("what goes in");
    assert!(reads.starts_with("input frames [batch, time, 2], f32"), "{reads}");
    assert!(reads.ends_with("output values [batch, time, 1], f32"), "{reads}");
    place.refuse(&mut place.latch(["import", "net.onnx", "--out", "never"]), &["net.onnx: node skip/Gather"]);
    for file in ["net.weights.h5", "net.h5"] {
        let lines = export(&place, "series", "keras-h5-weights", file)["python"].as_str().expect("lines").to_owned();
        assert!(lines.contains("layers.Conv1D(4, 3, strides=2, padding=\"causal\", activation=\"relu\")"), "{lines}");
        assert!(lines.ends_with(&format!("model.load_weights(\"{file}\")\n")), "{lines}");
        assert!(place.read(file).starts_with(b"\x89HDF\r\n\x1a\n"));
    }
    let refused = ["export", "--run", "series", "--format", "rtneural", "--out", "net.json"];
    place.refuse(&mut place.latch(refused), &["skip: channel 1 goes around the network", "export it as ONNX"]);
}

#[test]
fn a_run_of_texts_comes_back_with_its_layers_and_words() {
    let place = of_texts();
    let line = export(&place, "texts", "safetensors", "net.safetensors");
    assert!(
        line["python"].as_str().is_some_and(|lines| lines.contains("self.lstm_1 = nn.LSTM(4, 5, batch_first=True)"))
    );
    let imported = succeed(&mut place.latch(["import", "net.safetensors", "--out", "back", "--json"])).json();
    assert_eq!((imported["readout"].as_str(), imported["format"].as_str()), (Some("attention"), Some("safetensors")));
    assert_eq!(place.read("back/vocabulary.txt"), place.read("texts/vocabulary.txt"));
    let of = |run: &str| {
        let image = ["export", "--run", run, "--precision", "f32", "--no-calibrate", "--data", "data/test.tsv.gz"];
        succeed(&mut place.latch(image.iter().chain(&["--out", "new.latch"])));
        let line = succeed(&mut place.latch(["predict", "--image", "new.latch", "--json", "a good film"])).json();
        line["probability"].as_f64().expect("a probability")
    };
    let (own, back) = (of("texts"), of("back"));
    assert!((own - back).abs() < 1e-6, "{own} {back}");
    let reads = export(&place, "texts", "onnx", "net.onnx")["reads"].as_str().expect("what goes in").to_owned();
    assert!(
        reads.starts_with("input ids [batch, time], int64") && reads.contains("output logits [batch, 1]"),
        "{reads}"
    );
    let shown =
        succeed(&mut place.latch(["export", "--run", "texts", "--format", "keras-h5-weights", "--out", "a.h5"]));
    assert!(shown.stdout.contains("wrote a.h5 (weights of Keras") && shown.stdout.contains("layers.Embedding("));
}

#[test]
fn what_cannot_be_exported_is_refused_with_what_to_do_and_nothing_is_written() {
    let place = of_texts();
    let run = ["export", "--run", "texts", "--out"];
    for (more, words) in [
        (
            &["a.json", "--format", "rtneural"][..],
            &["it reads texts, and RTNeural reads samples", "export it as ONNX"][..],
        ),
        (
            &["a.keras", "--format", "keras-h5-weights"],
            &["a.keras: Keras knows a file of weights by its name", "net.h5"],
        ),
        (&["a.onnx", "--format", "onnx", "--layout", "keras"], &["--layout: ONNX has no layout to choose"]),
        (&["a.onnx", "--format", "onnx", "--precision", "f32"], &["--precision: it is for images, and ONNX holds f32"]),
        (&["a.onnx", "--format", "onnx", "--early-error", "1%"], &["--early-error: it is for images"]),
        (&["a.safetensors", "--format", "safetensors", "--layout", "keras"], &["one dense layer, the last"]),
    ] {
        place.refuse(&mut place.latch(run.iter().chain(more)), words);
    }
}
