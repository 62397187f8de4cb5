//! A training that was killed, whenever that was, and resumed ends in the bytes of one that was left alone.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::support::{self, Place, RUN_FILES, names, succeed, tree};

/// A training of a second or two, so that there is a middle to kill it in: dropout, weight decay and a moving average, so that whatever a
/// checkpoint could forget would show.
const SLOW: [&str; 12] = [
    "--model",
    "text 120 > embedding 8 word_dropout=0.1 > lstm 24 dropout=0.2 recurrent_dropout=0.1 > \
     lstm 24 dropout=0.2 recurrent_dropout=0.1 > attention > dense dropout=0.1",
    "--epochs",
    "4",
    "--batch",
    "8",
    "--average",
    "0.99",
    "--weight-decay",
    "0.01",
    "--patience",
    "4",
];

/// Becomes a program that hears SIGINT. What a shell starts in the background ignores that signal and hands it on so, and these tests may
/// run there.
const HEAR_SIGINT: &str =
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])";

/// The slow training of a place, as a command whose output nobody reads.
fn slow(place: &Place, out: &str, more: &[&str]) -> Command {
    let more: Vec<&str> = SLOW.iter().chain(more).copied().collect();
    let training = place.training(out, &more);
    let mut command = Command::new("python3");
    command.args(["-c", HEAR_SIGINT]).arg(training.get_program()).args(training.get_args());
    command.current_dir(place.path()).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Waits until something has happened, or the process has ended.
fn wait(child: &mut Child, mut happened: impl FnMut() -> bool) {
    let began = Instant::now();
    while !happened() && child.try_wait().expect("a process").is_none() {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing happened");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Ends a process by a signal and waits for its end; true when it was the signal that ended it.
fn kill(mut child: Child, signal: &str) -> bool {
    let sent = Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", child.id())).status().expect("a shell");
    let ended = child.wait().expect("an end");
    // Ctrl-C is heard by the program, which says what is kept and ends itself.
    sent.success() && (ended.signal().is_some() || ended.code() == Some(130))
}

/// Starts the slow training and ends it by a signal once something has happened. What is `left` then must be what the test is about; on a
/// busy machine a signal comes too late now and then, and the attempt is repeated.
fn stop(place: &Place, out: &str, more: &[&str], signal: &str, happened: impl Fn() -> bool, left: impl Fn() -> bool) {
    for _ in 0..20 {
        let mut child = slow(place, out, more).spawn().expect("latch starts");
        wait(&mut child, &happened);
        if kill(child, signal) && left() {
            return;
        }
        fs::remove_dir_all(place.file(out)).expect("a run's folder");
    }
    panic!("the training of {out} could not be stopped at the right moment");
}

/// The epochs that are written down so far.
fn epochs(run: &Path) -> usize {
    fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// What a run has come to: its files and the images that are exported from it.
fn results(place: &Place, run: &str) -> Vec<(String, Vec<u8>)> {
    // What an export leaves behind is no part of the training.
    let of_training = |name: &str| name != "calibration.json";
    let found: Vec<String> = names(&place.file(run)).into_iter().filter(|name| of_training(name)).collect();
    assert_eq!(found, RUN_FILES, "{run}");
    let mut results: Vec<_> = tree(&place.file(run)).into_iter().filter(|(name, _)| of_training(name)).collect();
    for precision in ["f32", "f16", "int8"] {
        place.export(run, precision);
        results.push((precision.into(), place.read(&format!("{precision}.latch"))));
    }
    results
}

/// Asserts that two runs have come to the same, file by file.
fn assert_same(place: &Place, run: &str, whole: &str) {
    for ((name, bytes), (_, expected)) in results(place, run).iter().zip(results(place, whole)) {
        assert!(*bytes == expected, "{name} of {run} is not that of {whole}");
    }
}

fn resume(place: &Place, run: &str) {
    succeed(&mut place.latch(["train", "--resume", "--out", run]));
}

#[test]
fn a_training_that_is_killed_after_an_epoch_resumes_to_the_same_bytes() {
    let place = Place::with_data(1200);
    place.train("whole", &SLOW);
    for epoch in 1..=3 {
        let out = format!("killed-{epoch}");
        let done = || epochs(&place.file(&out));
        stop(&place, &out, &[], "KILL", || done() >= epoch, || done() == epoch);
        resume(&place, &out);
        assert_same(&place, &out, "whole");
    }
}

#[test]
fn a_training_that_is_killed_before_its_first_epoch_ended_resumes_to_the_same_bytes() {
    let place = Place::with_data(1200);
    place.train("whole", &SLOW);
    let config = place.file("killed/config.json");
    stop(&place, "killed", &[], "KILL", || config.exists(), || !place.file("killed/checkpoint").exists());
    resume(&place, "killed");
    assert_same(&place, "killed", "whole");
}

#[test]
fn a_training_that_is_interrupted_from_the_keyboard_resumes_to_the_same_bytes() {
    let place = Place::with_data(1200);
    place.train("whole", &SLOW);
    let done = || epochs(&place.file("interrupted"));
    stop(&place, "interrupted", &[], "INT", || done() >= 1, || done() < 4);
    resume(&place, "interrupted");
    assert_same(&place, "interrupted", "whole");
}

#[test]
fn a_training_that_is_killed_within_an_epoch_resumes_to_the_same_bytes() {
    let place = Place::with_data(1200);
    place.train("whole", &SLOW);
    // Every batch is kept, so that the checkpoint is the work of a running epoch.
    let keep = ["--checkpoint-every", "0"];
    let checkpoint = place.file("killed/checkpoint");
    let done = || epochs(&place.file("killed"));
    stop(&place, "killed", &keep, "KILL", || checkpoint.exists(), || done() == 0);
    // Killed a second time, when it has gone on from there into the second epoch.
    let mut again = place.latch(["train", "--resume", "--out", "killed"].iter().chain(&keep));
    let mut child = again.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("latch starts");
    wait(&mut child, || done() >= 1);
    kill(child, "KILL");
    resume(&place, "killed");
    assert_same(&place, "killed", "whole");
}

#[test]
fn a_training_with_integers_that_is_killed_resumes_to_the_same_bytes() {
    let place = Place::with_data(1200);
    let quantize = ["--quantize", "int4", "--quantize-epochs", "2"];
    let keep = [&quantize[..], &["--checkpoint-every", "0"]].concat();
    place.train("whole", &[&SLOW[..], &quantize].concat());
    let run = place.file("killed");
    let checkpoint = run.join("quantized.checkpoint");
    stop(&place, "killed", &keep, "KILL", || checkpoint.exists(), || checkpoint.exists() && epochs(&run) == 4);
    resume(&place, "killed");
    let images = ["whole", "killed"].map(|run| {
        place.export(run, "int4");
        place.read("int4.latch")
    });
    assert!(images[0] == images[1], "the image of the killed run is not that of the whole one");
    assert!(tree(&run) == tree(&place.file("whole")), "the files of the killed run are not those of the whole one");
    assert_eq!(epochs(&run), 6);
    // Nothing of a finished run is written again.
    let written = modified(&checkpoint);
    resume(&place, "killed");
    assert_eq!(modified(&checkpoint), written);
}

#[test]
fn how_often_a_running_epoch_is_kept_does_not_change_the_result() {
    let place = Place::with_data(200);
    place.train("seldom", &[]);
    place.train("often", &["--checkpoint-every", "0", "--batch", "32"]);
    assert_same(&place, "often", "seldom");
}

#[test]
fn no_partial_file_is_left_after_a_run_was_resumed_or_begun() {
    let place = Place::with_run();
    place.write("run/.latch-abc.partial", "half a checkpoint");
    resume(&place, "run");
    assert_eq!(names(&place.file("run")), RUN_FILES);
    fs::create_dir(place.file("new")).unwrap();
    place.write("new/.latch-abc.partial", "half a configuration");
    place.train("new", &[]);
    assert_eq!(names(&place.file("new")), RUN_FILES);
    assert_same(&place, "new", "run");
}

#[test]
fn a_kill_in_the_middle_of_a_write_leaves_a_partial_file_that_the_resumed_run_removes() {
    let place = Place::with_data(1200);
    place.train("whole", &SLOW);
    // With a checkpoint a batch, a temporary file is there most of the time.
    let run = place.file("killed");
    let partial = || run.exists() && names(&run).iter().any(|name| name.ends_with(".partial"));
    stop(
        &place,
        "killed",
        &["--checkpoint-every", "0"],
        "KILL",
        || run.join("checkpoint").exists() && partial(),
        partial,
    );
    resume(&place, "killed");
    assert_same(&place, "killed", "whole");
}

#[test]
fn a_run_that_was_stopped_between_its_first_two_files_resumes() {
    let place = Place::with_run();
    fs::create_dir(place.file("stopped")).unwrap();
    for first in ["data.json", "latch.toml", "config.json"] {
        fs::copy(place.file("run").join(first), place.file("stopped").join(first)).unwrap();
    }
    resume(&place, "stopped");
    assert_same(&place, "stopped", "run");
}

#[test]
fn a_run_that_was_stopped_before_its_configuration_begins_anew_and_files_of_others_are_kept() {
    let place = Place::with_run();
    fs::create_dir(place.file("stopped")).unwrap();
    for (count, first) in ["data.json", "latch.toml"].iter().enumerate() {
        fs::copy(place.file("run").join(first), place.file("stopped").join(first)).unwrap();
        if count == 0 {
            fs::create_dir(place.file("mine")).unwrap();
            place.write("mine/data.json", "{\"texts\":3}");
            place.refuse(&mut place.training("mine", &["--json"]), &["mine: this folder already holds a run"]);
            assert_eq!(place.read("mine/data.json"), b"{\"texts\":3}");
        }
    }
    place.train("stopped", &[]);
    assert_same(&place, "stopped", "run");
    // What a run that goes on from another one writes first; words alone may be anybody's.
    for name in ["occurrences", "characters", "vocabulary.txt"] {
        fs::create_dir_all(place.file("onward")).unwrap();
        fs::copy(place.file("run").join(name), place.file("onward").join(name)).unwrap();
    }
    fs::create_dir(place.file("words")).unwrap();
    fs::copy(place.file("run/vocabulary.txt"), place.file("words/vocabulary.txt")).unwrap();
    place.refuse(&mut place.training("words", &["--json"]), &["words: this folder already holds a run"]);
    place.train("onward", &[]);
    assert_same(&place, "onward", "run");
}

#[test]
fn resuming_a_finished_run_changes_nothing() {
    let place = Place::with_run();
    let before = tree(&place.file("run"));
    let times = || RUN_FILES.map(|name| modified(&place.file("run").join(name)));
    let written = times();
    let answer = succeed(&mut place.latch(["train", "--resume", "--out", "run", "--json"]));
    assert_eq!((answer.json()["epochs"].as_u64(), answer.json()["run"].as_str()), (Some(2), Some("run")));
    assert!(tree(&place.file("run")) == before);
    assert_eq!(times(), written);
}

#[test]
fn two_processes_do_not_train_in_one_folder() {
    let place = Place::with_data(1200);
    let mut child = slow(&place, "run", &["--checkpoint-every", "0"]).spawn().expect("latch starts");
    wait(&mut child, || place.file("run/checkpoint").exists());
    let words = ["run: another process is training in this folder; wait for it to end"];
    support::refuse(&mut place.latch(["train", "--resume", "--out", "run", "--json"]), &words);
    assert!(kill(child, "KILL"), "the first process had ended by then");
    // The system has released what the killed process held.
    resume(&place, "run");
}

/// Starts two commands together and waits for both.
fn together(mut commands: [std::process::Command; 2]) -> [support::Answer; 2] {
    let children = commands.each_mut().map(|command| {
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("latch starts")
    });
    children.map(|child| support::Answer::of(child.wait_with_output().expect("latch ends")))
}

/// One of two commands that were started together is done, or both one after the other where they may; whoever is not says so in one sentence.
fn winner(answers: &[support::Answer; 2]) -> usize {
    let done: Vec<usize> = (0..2).filter(|&number| answers[number].code == Some(0)).collect();
    assert_eq!(done.len(), 1, "{answers:?}");
    support::assert_refused(&answers[1 - done[0]], &["in: "]);
    done[0]
}

#[test]
fn of_two_trainings_that_begin_together_in_one_folder_one_is_refused_and_the_other_is_whole() {
    let place = Place::with_data(200);
    let more: [&[&str]; 2] =
        [&["--json", "--lr", "0.002"], &["--json", "--seed", "7", "--model", "text 60 > embedding 4 > lstm 4"]];
    place.train("whole-0", more[0]);
    place.train("whole-1", more[1]);
    for _ in 0..12 {
        let answers = together([0, 1].map(|number| place.training("in", more[number])));
        let winner = winner(&answers);
        assert_same(&place, "in", &format!("whole-{winner}"));
        fs::remove_dir_all(place.file("in")).unwrap();
    }
}

#[test]
fn of_an_import_and_a_training_that_begin_together_in_one_folder_one_is_refused_and_the_other_is_whole() {
    let place = Place::with_run();
    succeed(&mut place.latch(["export", "--run", "run", "--format", "safetensors", "--out", "net"]));
    let import = |out: &str| {
        let data = ["--data", "data/train.tsv.gz", "--valid", "data/valid.tsv.gz"];
        place.latch(["import", "net", "--json", "--out", out].iter().chain(&data))
    };
    succeed(&mut import("imported"));
    for _ in 0..12 {
        let answers = together([place.training("in", &["--json"]), import("in")]);
        if winner(&answers) == 0 {
            assert_same(&place, "in", "run");
        } else {
            assert!(tree(&place.file("in")) == tree(&place.file("imported")));
        }
        fs::remove_dir_all(place.file("in")).unwrap();
    }
}

#[test]
fn exports_into_a_runs_folder_do_not_disturb_it_while_it_is_resumed() {
    let place = Place::with_run();
    let export = || place.latch(["export", "--run", "run", "--out", "run/own.latch", "--json"]);
    succeed(&mut export());
    let image = place.read("run/own.latch");
    for _ in 0..10 {
        let answers = together([place.latch(["train", "--resume", "--out", "run", "--json"]), export()]);
        assert!(answers.iter().all(|answer| answer.code == Some(0)), "{answers:?}");
        assert!(place.read("run/own.latch") == image);
    }
}

#[test]
fn a_run_goes_on_from_any_folder() {
    let place = Place::with_data(200);
    place.train("whole", &[]);
    fs::create_dir(place.file("elsewhere")).unwrap();
    fs::create_dir(place.file("stopped")).unwrap();
    for first in ["data.json", "latch.toml", "config.json"] {
        fs::copy(place.file("whole").join(first), place.file("stopped").join(first)).unwrap();
    }
    succeed(place.latch(["train", "--resume", "--out", "../stopped"]).current_dir(place.file("elsewhere")));
    assert_same(&place, "stopped", "whole");
}

#[test]
fn what_teachers_say_in_another_shape_than_the_task_has_is_refused_and_panics_nowhere() {
    use latch_trainer::learning::sequences::Targets;
    let place = Place::with_data(200);
    place.train("teacher", &[]);
    place.train("run", &["--teacher", "teacher"]);
    let coded = |targets: &Targets| {
        let mut bytes = postcard::to_stdvec(targets).expect("bytes");
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        bytes.extend(crc.sum().to_le_bytes());
        bytes
    };
    let whole: Targets = postcard::from_bytes(&place.read("run/teachers")).expect("targets");
    assert_eq!(whole.width, 1);
    for wrong in [
        Targets { width: 0, ..whole.clone() },
        Targets { width: 3, ..whole.clone() },
        Targets { ends: vec![1; whole.values.len()], ..whole.clone() },
        Targets { values: vec![f32::NAN; whole.values.len()], ..whole.clone() },
    ] {
        place.write("run/teachers", coded(&wrong));
        let words = ["run/teachers: what stands in it is no answer to this run's task"];
        place.refuse(&mut place.latch(["train", "--resume", "--out", "run", "--json"]), &words);
        place.refuse(&mut place.latch(["export", "--run", "run", "--out", "x.latch"]), &words);
    }
    place.write("run/teachers", coded(&whole));
    succeed(&mut place.latch(["train", "--resume", "--out", "run"]));
}
