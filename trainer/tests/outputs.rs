//! Promise: `latch run` writes every output of an image as the engine gives it, to the bit, or one sentence and
//! nothing.

use std::path::Path;

use latch_engine::Model;
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::kernels::AnyBackend;
use latch_trainer::dataset::Part;
use latch_trainer::series::{self, SeriesReading, Sound, sound_of, write_numbers};

use serde_json::Value;

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
    let set = series::load(path, Part::Test, &SeriesReading::one_series()).expect("numbers");
    (set.channels.len(), set.series[0].frames.iter().map(|value| value.to_bits()).collect())
}

#[test]
fn outputs_are_written_to_the_bit_as_the_engine_gives_them_in_every_format_and_by_every_backend() {
    let place = place();
    for (run, channels, outputs) in [("classes", 2, 3), ("forecast", 1, 1)] {
        let frames: Vec<f32> = swing(40 * channels, 0.7, 1.0);
        for name in ["x.npy", "x.csv"] {
            write_numbers(&place.file(name), &frames, &[40, channels], None).expect("written");
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
    write_numbers(&place.file("x.wav"), &quiet, &[500, 1], Some(Sound { rate: 22_050, bits: 16 })).expect("written");
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
    assert_eq!(sound_of(&place.file("y.wav")).expect("a sound"), Some(Sound { rate: 22_050, bits: 16 }));
    let (_, played) = read(&place.file("y.wav"));
    for (found, expected) in played.into_iter().map(f32::from_bits).zip(&values) {
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
        write_numbers(&place.file(name), values, shape, None).expect("written");
    }
    place.write("ragged.csv", "1,2\n3\n");
    place.write("words.csv", "1,2\n3,high\n");
    place.write("wide.csv", "1,2,3\n4,5,6\n");
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
        ("forecast-int8.latch", "some.ts", "y.npy", &["some.ts: it has 2 channels (1, 2)", "reads 1", "--channels"]),
        ("forecast-int8.latch", "wide.csv", "y.npy", &["--out: ", "wide.csv has 2 series", "--series"]),
        ("classes-int8.latch", "two.npy", "y.wav", &["y.wav: a sound holds values", "classes"]),
        ("forecast-int8.latch", "two.npy", "y.wav", &["y.wav: a sound has a rate"]),
        ("classes-int8.latch", "two.npy", "folder.npy", &["folder.npy"]),
        ("classes-int8.latch", "absent.npy", "y.npy", &["absent.npy"]),
        ("classes-int8.latch", "folder.npy", "y.npy", &["folder.npy: this folder has no test series"]),
        ("classes-int8.latch", "two.npy", "absent/y.npy", &["absent"]),
        ("absent.latch", "two.npy", "y.npy", &["absent.latch"]),
    ] {
        place.refuse(&mut place.latch(["run", "--image", image, "--data", data, "--out", out]), words);
    }
    let run = ["run", "--image", "classes-int8.latch", "--data", "two.npy", "--out", "y.npy"];
    let more = |option: &'static str, value: &'static str| place.latch(run.into_iter().chain([option, value]));
    place.refuse(&mut more("--backend", "abacus"), &["no kernels called \"abacus\"; it has scalar"]);
    place.refuse(&mut more("--channels", "1,7"), &["--channels: ", "two.npy has no channel \"7\""]);
    place.refuse(&mut more("--series", "2"), &["--series: ", "two.npy has no series \"2\"; it has 1 series: 1"]);
    let hold = ["run", "--image", "classes-int8.latch", "--data", "odd.npy", "--out", "y.npy", "--missing", "zero"];
    assert!(succeed(&mut place.latch(hold)).stdout.contains("1 missing value filled with zero"));
}

#[test]
fn the_answer_is_printed_with_its_class_and_probability_or_its_value_whether_or_not_numbers_are_written() {
    let place = place();
    let run = |image: &str, more: &[&str]| {
        succeed(&mut place.latch(["run", "--image", image, "--data", "x.csv"].iter().chain(more)))
    };
    write_numbers(&place.file("x.csv"), &swing(24, 0.9, 1.0), &[12, 2], None).expect("written");
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

    write_numbers(&place.file("x.csv"), &swing(12, 0.9, 1.0), &[12, 1], None).expect("written");
    let line = run("forecast-f32.latch", &["--out", "y.npy", "--json"]).json();
    let (_, values) = read(&place.file("y.npy"));
    let last = f32::from_bits(*values.last().expect("a value"));
    assert_eq!(line["value"].as_f64().map(|value| value as f32), Some(last), "{line}");
    let said = run("forecast-f32.latch", &[]).stdout;
    assert!(said.contains(&format!("after the last step: value {last:.4}")), "{said}");
}

#[test]
fn series_are_answered_in_every_format_that_is_learned_from_all_of_them_or_the_one_that_is_named() {
    let place = place();
    let image = ["run", "--image", "classes-f32.latch", "--data"];
    let run = |more: &[&str]| succeed(&mut place.latch(image.iter().chain(more)));
    let lines = |said: &str| said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<Value>>();
    let all = lines(&run(&["some.ts", "--out", "y.npy", "--json"]).stdout);
    assert_eq!((all.len(), &all[41]["series"], &all[41]["steps"]), (60, &"42".into(), &13.into()));
    let (columns, found) = read(&place.file("y.npy"));
    assert_eq!((columns, found.len()), (3, 180));
    let one = lines(&run(&["some.ts", "--series", "42", "--out", "one.npy", "--json"]).stdout);
    assert_eq!((one.len(), &one[0]["class"]), (1, &all[41]["class"]));
    assert!(
        run(&["some.ts", "--series", "42"]).stdout.contains("\n42: "),
        "the answer has the name that was asked for"
    );
    assert_eq!(read(&place.file("one.npy")).1, found[123..126]);
    assert!(run(&["some.ts"]).stdout.contains("\n42: "));

    place.write("long.csv", "id,time,ay,ax,label\nhop,0,1,2,slow\nhop,1,3,4,slow\nleap,0,5,6,fast\nleap,1,7,8,\n");
    let said = run(&["long.csv", "--series", "leap", "--channels", "ax,ay", "--out", "y.npy"]).stdout;
    assert!(said.contains("series column id") && said.contains("channels in columns ax, ay"), "{said}");
    let leap = engines(&place, "classes-f32.latch", AnyBackend::detect().name(), &[6.0, 5.0, 8.0, 7.0]);
    assert_eq!(read(&place.file("y.npy")).1, leap);
    let said = run(&["long.csv"]).stdout;
    assert!(
        said.contains("channels ay, ax by their order") && said.contains("hop: ") && said.contains("--run"),
        "{said}"
    );
}

#[test]
fn a_run_says_which_columns_are_the_channels_and_what_becomes_of_missing_values() {
    let place = Place::with_data(20);
    let rows = |series: usize| -> String {
        let (class, speed) = if series.is_multiple_of(2) { ("slow", 0.2) } else { ("fast", 0.9) };
        let frames = swing(12, speed, 1.0).into_iter().zip(swing(12, 1.0 - speed, 2.0)).enumerate();
        frames.map(|(step, (ax, ay))| format!("{series},{step},{ax},{ay},{class}\n")).collect()
    };
    place.write("some.csv", "id,time,ax,ay,label\n".to_owned() + &(0..40).map(rows).collect::<String>());
    let train =
        ["train", "--data", "some.csv", "--model", "samples > gru 3 > dense", "--epochs", "2", "--valid", "0.3"];
    succeed(&mut place.latch(train.iter().chain(&["--missing", "zero", "--out", "run"])));
    succeed(&mut place.latch(["export", "--run", "run", "--precision", "f32", "--out", "f32.latch"]));
    // The channels lie in another order, beside one that was not learned from, and a value is missing.
    place.write("new.csv", "ay,extra,ax\n1,9,2\n3,9,\n");
    let run = ["run", "--image", "f32.latch", "--data", "new.csv", "--run", "run", "--out", "y.npy"];
    let said = succeed(&mut place.latch(run)).stdout;
    assert!(said.contains("1 missing value filled with zero") && said.contains("columns ax, ay"), "{said}");
    let widest = AnyBackend::detect().name();
    assert_eq!(read(&place.file("y.npy")).1, engines(&place, "f32.latch", widest, &[2.0, 1.0, 0.0, 3.0]));
    let held = succeed(&mut place.latch(run.iter().chain(&["--missing", "hold"]))).stdout;
    assert!(held.contains("filled with the one before it"), "{held}");
    assert_eq!(read(&place.file("y.npy")).1, engines(&place, "f32.latch", widest, &[2.0, 1.0, 2.0, 3.0]));
    let asked = |data: &str, more: &[&str]| {
        place.latch(["run", "--image", "f32.latch", "--data", data, "--run", "run"].iter().chain(more))
    };
    place.write("other.csv", "ay,az\n1,2\n");
    place.refuse(&mut asked("other.csv", &[]), &["--run: ", "has no column \"ax\"", "learned from ax, ay"]);
    let twice = ["--channels", "ay,ay"];
    place.refuse(&mut asked("new.csv", &twice), &["--channels: the channel \"ay\" is named twice"]);
    place.refuse(&mut asked("new.csv", &["--out", "new.csv"]), &["this file is read"]);
    std::fs::create_dir_all(place.file("some/test/a")).expect("a folder");
    place.write("some/test/a/1.csv", "ax,ay\n1,2\n");
    place.refuse(&mut asked("some", &["--out", "some/test/a/1.csv"]), &["it lies in some, whose files are read"]);
    place.refuse(&mut asked("some", &["--out", "some/new.csv"]), &["it lies in some, whose files are read"]);
    succeed(&mut place.latch(train.iter().chain(&["--missing", "zero", "--seed", "7", "--out", "another"])));
    let other = ["run", "--image", "f32.latch", "--data", "new.csv", "--run", "another"];
    place.refuse(&mut place.latch(other), &["--run: the image was made of another run"]);

    // What judges an image says it too.
    let holes = "id,time,ax,ay,label\n0,0,1,,slow\n0,1,2,3,slow\n1,0,,,fast\n1,1,,3,fast\n";
    place.write("holes.csv", holes);
    let words = "missing values filled with zero";
    for verb in [
        &["eval", "--image", "f32.latch", "--data", "holes.csv", "--run", "run"][..],
        &["export", "--run", "run", "--data", "holes.csv", "--out", "new.latch"],
    ] {
        let said = succeed(&mut place.latch(verb)).stdout.replace('\n', " ");
        assert!(said.contains(&format!("4 {words}")), "{said}");
        let said = succeed(&mut place.latch(verb.iter().chain(&["--missing", "hold"]))).stdout.replace('\n', " ");
        assert!(said.contains("2 missing values filled with zero: their channel has no value in its series"), "{said}");
    }
    succeed(&mut place.latch(["report", "run", "--data", "holes.csv", "--out", "run.html"]));
    assert!(String::from_utf8(place.read("run.html")).expect("text").contains(&format!("4 {words}")));
}
