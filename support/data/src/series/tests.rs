//! What the tests of this module share, and those of a set as a whole.

use super::*;
use crate::error::exit_code;

/// A set of recordings of so many `channels`, called by their numbers from 1.
pub(super) fn set_of(task: SeriesTask, channels: usize, recordings: Vec<(Vec<f32>, Target)>) -> SeriesSet {
    let outputs = match &recordings[0].1 {
        Target::Values(values) => values.len(),
        _ => 0,
    };
    let series = recordings.into_iter().enumerate().map(|(number, (values, target))| Series {
        id: (number + 1).to_string(),
        start: 0,
        frames: Frames::new(values, channels),
        first: 0,
        target,
        place: format!("a.ts:{}", number + 1),
    });
    SeriesSet {
        name: "a".into(),
        task,
        channels: values::numbered(channels),
        classes: if task.has_classes() { vec!["no".into(), "yes".into()] } else { Vec::new() },
        outputs: values::numbered(outputs),
        series: series.collect(),
        sha256: String::new(),
        layout: String::new(),
        filled: Filled::default(),
        notes: Vec::new(),
    }
    .digested()
}

/// `count` different recordings of four steps, every third of the second class.
pub(super) fn numbered(count: usize) -> SeriesSet {
    let recording = |at: usize| {
        let values = (0..4).map(|step| (100 * at + step) as f32).collect();
        (values, Target::Class(u32::from(at.is_multiple_of(3))))
    };
    set_of(SeriesTask::Classify, 1, (0..count).map(recording).collect())
}

pub(super) fn class_of_each(set: &SeriesSet) -> Vec<u32> {
    set.series.iter().map(|series| series.target.stratum()).collect()
}

/// Loads `bytes` as a file called `name`.
pub(super) fn load_bytes(name: &str, bytes: &[u8], reading: &SeriesReading) -> Result<SeriesSet> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    load(&path, Part::Train, reading)
}

/// The fault that loading `text` as a file called `name` gives.
pub(super) fn fault_of(name: &str, text: &str, reading: &SeriesReading) -> String {
    let error = load_bytes(name, text.as_bytes(), reading).expect_err(text);
    assert_eq!(exit_code(&error), 2, "{error:?}");
    error.to_string()
}

#[test]
fn a_constant_channel_is_said_and_has_no_deviation() {
    let set = set_of(
        SeriesTask::Classify,
        2,
        vec![(vec![0.1, 1.0, 0.1, 3.0], Target::Class(0)), (vec![0.1, 2.0], Target::Class(1))],
    );
    let [first, second] = set.statistics()[..] else { panic!("two channels") };
    assert!(first.is_constant() && first.deviation == 0.0, "{first:?}");
    assert_eq!((second.mean, second.low, second.high), (2.0, 1.0, 3.0));
    assert!((second.deviation - (2.0f64 / 3.0).sqrt()).abs() < 1e-12);
    let text = "@classLabel true a b\n@data\n1,2:9,9:a\n3:9:b\n";
    let set = load_bytes("a.ts", text.as_bytes(), &SeriesReading::default()).unwrap();
    assert_eq!(set.notes, ["channel 2 (9) is constant: it tells nothing", "1 of 2 series have one step"]);
}

#[test]
fn recordings_that_take_more_memory_than_permitted_are_a_fault_that_names_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ts");
    let line = "1,".repeat(999) + "1:a\n";
    std::fs::write(&path, format!("@classLabel true a\n@data\n{}", line.repeat(100))).unwrap();
    let error = gather::load(&path, Part::Test, &SeriesReading::default(), 1 << 16).unwrap_err().to_string();
    assert!(error.contains("a.ts:18: with this series 16 series take more than 64 KiB of memory"), "{error}");
    assert!(gather::load(&path, Part::Test, &SeriesReading::default(), 1 << 20).is_ok());
}

#[test]
fn the_digest_is_that_of_the_values_and_targets_and_not_of_the_names() {
    let digest = |text: &str| load_bytes("a.ts", text.as_bytes(), &SeriesReading::default()).unwrap().sha256;
    let one = digest("@classLabel true a b\n@data\n1,2:a\n3:b\n");
    assert_eq!(one.len(), 64);
    assert_eq!(digest("@classLabel true no yes\n@data\n1.0,2.0:no\n3e0:yes\n"), one);
    for other in ["1,2:b\n3:a\n", "1:2:a\n3:3:b\n", "1:a\n2,3:b\n"] {
        assert_ne!(digest(&format!("@classLabel true a b\n@data\n{other}")), one);
    }
}
