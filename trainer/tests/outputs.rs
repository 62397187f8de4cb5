//! Promise: `latch run` writes every output of an image as the engine gives it, to the bit, or one sentence and
//! nothing.

use std::path::Path;

use latch_engine::Model;
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::kernels::AnyBackend;
use latch_trainer::series::{Missing, Signal, Sound, write_signal};

use crate::support::{Place, answer, succeed};

/// A swing of so many steps with values around `level`.
fn swing(steps: usize, speed: f32, level: f32) -> Vec<f32> {
    (0..steps).map(|step| level + 2.0 * (step as f32 * speed).sin()).collect()
}

/// A folder with images of samples: `classes` of two channels in three classes, and `forecast` of one channel, each as
/// int8 and f32.
fn place() -> Place {
    let place = Place::with_data(20);
    let channel = |values: Vec<f32>| values.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
    let row = |number: usize| {
        let (class, steps) = (number % 3, 12 + number % 5);
        let speed = 0.2 + class as f32 / 3.0 + number as f32 / 1000.0;
        let channels = [channel(swing(steps, speed, 4.0)), channel(swing(steps, 1.0 - speed, -1.0))];
        format!("{}:{}\n", channels.join(":"), ["slow", "middle", "fast"][class])
    };
    let rows: String = (0..60).map(row).collect();
    place.write("some.ts", format!("@univariate false\n@classLabel true slow middle fast\n@data\n{rows}"));
    let months: String =
        swing(120, 0.5, 1.0).iter().enumerate().map(|(step, value)| format!("{step},{value}\n")).collect();
    place.write("long.csv", format!("time,value\n{months}"));
    let train = |data: &str, more: &[&str], out: &str| {
        let fixed = ["train", "--data", data, "--epochs", "4", "--valid", "0.3", "--out", out];
        succeed(&mut place.latch(fixed.iter().chain(more)));
        for precision in ["int8", "f32"] {
            let image = format!("{out}-{precision}.latch");
            succeed(&mut place.latch(["export", "--run", out, "--precision", precision, "--out", &image]));
        }
    };
    train("some.ts", &["--model", "samples > gru 3 > last > dense"], "classes");
    train("long.csv", &["--task", "forecast", "--model", "samples > gru 4 > dense"], "forecast");
    place
}

/// What the engine itself answers: after every step, or after the last one only.
fn engines(place: &Place, image: &str, backend: &str, frames: &[f32]) -> Vec<u32> {
    let bytes = AlignedBytes::new(&place.read(image));
    let image = Image::open(&bytes).expect("an image");
    let model = Model::new(&image).with_backend(AnyBackend::by_name(backend).expect("a backend"));
    let mut state = AlignedBytes::zeroed(model.state_bytes());
    let mut session = model.session_in(&mut state).expect("room");
    let (outputs, each_step) = (usize::from(model.outputs()), model.answer().each_step);
    let mut bits = Vec::new();
    session
        .push_samples_f32_each(frames, |view| {
            let answer = (0..outputs).map(|output| view.logit(output).to_f32().to_bits());
            bits.splice(if each_step { bits.len() } else { 0 }.., answer);
        })
        .expect("whole frames");
    bits
}

fn read(path: &Path) -> (usize, Vec<u32>) {
    let signal = Signal::read(path, &[], Missing::Refuse).expect("numbers");
    (signal.channels.len(), signal.values.iter().map(|value| value.to_bits()).collect())
}

#[test]
fn outputs_are_written_to_the_bit_as_the_engine_gives_them_in_every_format_and_by_every_backend() {
    let place = place();
    for (run, channels, outputs) in [("classes", 2, 3), ("forecast", 1, 1)] {
        let frames: Vec<f32> = swing(40 * channels, 0.7, 1.0);
        for name in ["x.npy", "x.csv"] {
            write_signal(&place.file(name), &frames, &[40, channels], None).expect("written");
        }
        for precision in ["int8", "f32"] {
            let image = format!("{run}-{precision}.latch");
            for backend in AnyBackend::all().map(AnyBackend::name) {
                for (data, out) in [("x.npy", "y.npy"), ("x.csv", "y.csv"), ("x.csv", "z.npy")] {
                    let options = ["--data", data, "--out", out, "--backend", backend, "--json"];
                    let line = succeed(&mut place.latch(["run", "--image", &image].iter().chain(&options))).json();
                    assert_eq!((&line["steps"], &line["backend"]), (&40.into(), &backend.into()), "{line}");
                    let (_, found) = read(&place.file(out));
                    assert_eq!(found, engines(&place, &image, backend, &frames), "{image} {data} {out} {backend}");
                    assert_eq!(found.len(), if run == "classes" { outputs } else { 40 * outputs });
                }
            }
        }
    }
    // An answer to the whole is a row in a table, and an array of one axis.
    let image = ["run", "--image", "classes-f32.latch", "--channels", "b,a", "--data", "named.csv", "--out"];
    place.write("named.csv", "a,b,c\n1,2,3\n4,5,\n");
    assert!(succeed(&mut place.latch(image.iter().chain(&["y.csv"]))).stdout.contains("logits [3] to y.csv"));
    let (columns, found) = read(&place.file("y.csv"));
    let widest = AnyBackend::detect().name();
    assert_eq!((columns, found), (3, engines(&place, "classes-f32.latch", widest, &[2.0, 1.0, 5.0, 4.0])));
    succeed(&mut place.latch(image.iter().chain(&["y.npy"])));
    assert!(place.read("y.npy").windows(4).any(|bytes| bytes == b"(3,)"));
}

#[test]
fn a_sound_becomes_a_sound_of_its_rate_and_what_is_cut_is_counted() {
    let place = place();
    let quiet = swing(500, 0.3, 0.0).iter().map(|value| value / 4.0).collect::<Vec<_>>();
    write_signal(&place.file("x.wav"), &quiet, &[500, 1], Some(Sound { rate: 22_050, bits: 16 })).expect("written");
    let run = |out: &str| {
        let said = answer(&mut place.latch(["run", "--image", "forecast-int8.latch", "--data", "x.wav", "--out", out]));
        assert_eq!(said.code, Some(0), "{said:?}");
        said
    };
    run("y.npy");
    let (_, values) = read(&place.file("y.npy"));
    let values: Vec<f32> = values.into_iter().map(f32::from_bits).collect();
    let said = run("y.wav");
    let beyond = values.iter().filter(|value| value.abs() > 1.0).count();
    let words = format!("{beyond} of 500 values lay beyond the range of a sound");
    assert!((1..500).contains(&beyond) && said.stderr.replace('\n', " ").contains(&words), "{beyond}: {said:?}");
    let played = Signal::read(&place.file("y.wav"), &[], Missing::Refuse).expect("a sound");
    assert_eq!(played.sound, Some(Sound { rate: 22_050, bits: 16 }));
    for (found, expected) in played.values.iter().zip(&values) {
        assert!((found - expected.clamp(-1.0, 1.0)).abs() < 4e-5, "{found} and {expected}");
    }
}

#[test]
fn what_run_cannot_use_is_refused_with_its_place_and_a_remedy_and_nothing_is_written() {
    let place = place();
    place.train("run", &[]);
    place.export("run", "int8");
    let files: [(&str, &[f32], &[usize]); 4] = [
        ("three.npy", &[0.0; 9], &[3, 3]),
        ("turned.npy", &[0.0; 10], &[2, 5]),
        ("two.npy", &[0.0; 8], &[4, 2]),
        ("odd.npy", &[0.0, 1.0, f32::NAN, 2.0], &[2, 2]),
    ];
    for (name, values, shape) in files {
        write_signal(&place.file(name), values, shape, None).expect("written");
    }
    place.write("ragged.csv", "1,2\n3\n");
    place.write("words.csv", "1,2\n3,high\n");
    place.write("old.npy", "kept");
    std::fs::create_dir(place.file("folder.npy")).expect("a folder");
    for (image, data, out, words) in [
        ("int8.latch", "two.npy", "y.npy", &["int8.latch: this image reads texts", "latch predict"][..]),
        ("classes-int8.latch", "three.npy", "old.npy", &["three.npy: it has 3 channels", "reads 2", "--channels"]),
        ("classes-int8.latch", "turned.npy", "y.npy", &["turned.npy: it has 5 channels", "the other way round"]),
        ("classes-int8.latch", "odd.npy", "old.npy", &["odd.npy: the value [1, 0]", "NaN", "--missing hold"]),
        ("classes-int8.latch", "ragged.csv", "y.csv", &["ragged.csv:2: the row has 1 cells"]),
        ("classes-int8.latch", "words.csv", "y.csv", &["words.csv:2: the value of column 2", "high"]),
        ("classes-int8.latch", "two.npy", "y.png", &["y.png: its name ends in none of .npy, .csv and .wav"]),
        ("classes-int8.latch", "some.ts", "y.npy", &["some.ts: its name ends in none of"]),
        ("classes-int8.latch", "two.npy", "y.wav", &["y.wav: a sound holds values", "classes"]),
        ("forecast-int8.latch", "two.npy", "y.wav", &["y.wav: a sound has a rate"]),
        ("classes-int8.latch", "two.npy", "folder.npy", &["folder.npy"]),
        ("classes-int8.latch", "absent.npy", "y.npy", &["absent.npy"]),
        ("classes-int8.latch", "folder.npy", "y.npy", &["folder.npy: it is a folder"]),
        ("classes-int8.latch", "two.npy", "absent/y.npy", &["absent"]),
        ("absent.latch", "two.npy", "y.npy", &["absent.latch"]),
    ] {
        place.refuse(&mut place.latch(["run", "--image", image, "--data", data, "--out", out]), words);
    }
    let run = ["run", "--image", "classes-int8.latch", "--data", "two.npy", "--out", "y.npy"];
    let more = |option: &'static str, value: &'static str| place.latch(run.into_iter().chain([option, value]));
    place.refuse(&mut more("--backend", "abacus"), &["no kernels called \"abacus\"; it has scalar"]);
    place.refuse(&mut more("--channels", "1,7"), &["--channels: ", "two.npy has no channel \"7\""]);
    let hold = ["run", "--image", "classes-int8.latch", "--data", "odd.npy", "--out", "y.npy", "--missing", "zero"];
    assert!(succeed(&mut place.latch(hold)).stdout.contains("1 missing value filled with zero"));
}

#[test]
fn the_answer_is_printed_with_its_class_and_probability_or_its_value_whether_or_not_numbers_are_written() {
    let place = place();
    let run = |image: &str, more: &[&str]| {
        succeed(&mut place.latch(["run", "--image", image, "--data", "x.csv"].iter().chain(more)))
    };
    write_signal(&place.file("x.csv"), &swing(24, 0.9, 1.0), &[12, 2], None).expect("written");
    let before = place.path().read_dir().expect("a folder").count();
    let line = run("classes-f32.latch", &["--json"]).json();
    assert_eq!(place.path().read_dir().expect("a folder").count(), before);
    let probabilities = line["probabilities"].as_object().expect("one for each class");
    let probability = |name: &str| probabilities[name].as_f64().expect("a number");
    let class = line["class"].as_str().expect("a name");
    let sum: f64 = ["slow", "middle", "fast"].into_iter().map(probability).sum();
    assert!((sum - 1.0).abs() < 1e-6, "{line}");
    assert!(["slow", "middle", "fast"].into_iter().all(|other| probability(other) <= probability(class)), "{line}");
    let said = run("classes-f32.latch", &[]).stdout;
    assert!(said.contains(&format!("answer: {class}, probabilities {class} {:.3}", probability(class))), "{said}");

    write_signal(&place.file("x.csv"), &swing(12, 0.9, 1.0), &[12, 1], None).expect("written");
    let line = run("forecast-f32.latch", &["--out", "y.npy", "--json"]).json();
    let (_, values) = read(&place.file("y.npy"));
    let last = f32::from_bits(*values.last().expect("a value"));
    assert_eq!(line["value"].as_f64().map(|value| value as f32), Some(last), "{line}");
    let said = run("forecast-f32.latch", &[]).stdout;
    assert!(said.contains(&format!("after the last step: value {last:.4}")), "{said}");
}
