use std::path::Path;

use super::super::tests::{fault_of, load_bytes};
use super::*;
use crate::dataset::Part;
use crate::series::{Series, load, looks_like_series};

const HEAD: &str = "# a comment\n@problemName a\n@timeStamps false\n@classLabel true a b\n@data\n";

fn read(text: &str) -> SeriesSet {
    load_bytes("a.ts", text.as_bytes(), &SeriesReading::default()).unwrap()
}

fn refusal(lines: &str) -> String {
    fault_of("a.ts", &format!("{HEAD}{lines}"), &SeriesReading::default())
}

/// Frames and target of each recording.
fn content(set: &SeriesSet) -> Vec<(Vec<f32>, Target)> {
    set.series.iter().map(|series| (series.frames.to_vec(), series.target.clone())).collect()
}

#[test]
fn one_and_many_channels_of_unequal_lengths_are_read_frame_by_frame() {
    let set = read(&format!("{HEAD}1,2,3:b\n4:a\n"));
    assert_eq!(content(&set), [(vec![1.0, 2.0, 3.0], Target::Class(1)), (vec![4.0], Target::Class(0))]);
    let set = read(&format!("{HEAD}1,2,3:-1,-2,-3:a\n4e0: 5.5 :b\n"));
    assert_eq!(content(&set)[0], (vec![1.0, -1.0, 2.0, -2.0, 3.0, -3.0], Target::Class(0)));
    assert_eq!((set.channels.join(" "), set.lengths(), set.series[1].id.as_str()), ("1 2".into(), (1, 3), "2"));
    assert!(set.layout.is_empty() && set.series[1].place.ends_with("a.ts:7"), "{set:?}");
}

#[test]
fn line_ends_of_windows_a_byte_order_mark_blank_lines_and_gzip_change_nothing() {
    let text = format!("{HEAD}1,2:b\n3,4:a\n");
    let plain = read(&text);
    let odd = format!("\u{feff}{}\r\n", text.replace('\n', "\r\n\r\n"));
    assert_eq!(read(&odd).sha256, plain.sha256);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    let packed = load_bytes("a.ts.gz", &encoder.finish().unwrap(), &SeriesReading::default()).unwrap();
    assert_eq!((packed.sha256, packed.name), (plain.sha256, plain.name));
}

#[test]
fn numbers_are_targets_and_a_file_without_labels_can_be_forecast() {
    let text = "@targetlabel true\n@data\n1,2:0.5\n3,4:-1\n";
    let set = load_bytes("a.ts", text.as_bytes(), &SeriesReading::of(SeriesTask::Regress)).unwrap();
    assert_eq!(content(&set)[1], (vec![3.0, 4.0], Target::Values(vec![-1.0])));
    assert_eq!((set.outputs.len(), set.classes.len()), (1, 0));
    assert!(fault_of("a.ts", text, &SeriesReading::default()).contains("--task regress"));
    let text = "@univariate false\n@classLabel false\n@data\n1,2:3,4\n";
    let set = load_bytes("a.ts", text.as_bytes(), &SeriesReading::of(SeriesTask::Forecast)).unwrap();
    assert_eq!(content(&set), [(vec![1.0, 3.0, 2.0, 4.0], Target::None)]);
    let message = fault_of("a.ts", text, &SeriesReading::default());
    assert!(message.contains("no labels (@classLabel false)") && message.contains("--task forecast"), "{message}");
    // A label is no channel where it is not wanted.
    let set =
        load_bytes("a.ts", format!("{HEAD}1,2:b\n").as_bytes(), &SeriesReading::of(SeriesTask::Forecast)).unwrap();
    assert_eq!(content(&set), [(vec![1.0, 2.0], Target::None)]);
    for task in [SeriesTask::Tag, SeriesTask::RegressEach] {
        assert!(fault_of("a.ts", HEAD, &SeriesReading::of(task)).contains("none for each step"));
    }
}

#[test]
fn a_missing_value_is_named_by_file_line_channel_and_step_and_refused_or_filled() {
    for cell in ["?", "NaN", ""] {
        let message = refusal(&format!("1,2:3,4:a\n1,2:3,{cell}:b\n"));
        assert!(message.contains("a.ts:7: the value of channel 2, step 2 is missing"), "{message}");
        assert!(message.contains("--missing hold"), "{message}");
    }
    let fill = |missing| {
        let reading = SeriesReading::default().filling(missing);
        load_bytes("a.ts", format!("{HEAD}?,2,?:a\n5,?,?:b\n").as_bytes(), &reading).unwrap()
    };
    let held = fill(Missing::Hold);
    assert_eq!((held.series[0].frames.to_vec(), held.series[1].frames.to_vec()), (vec![2.0; 3], vec![5.0; 3]));
    assert_eq!(held.notes, ["4 missing values filled with the one before them"]);
    assert_eq!(fill(Missing::Zero).series[1].frames.to_vec(), [5.0, 0.0, 0.0]);
}

#[test]
fn a_value_that_is_no_number_is_named_by_file_line_channel_and_step() {
    for (cell, words) in [
        ("x", "is no finite number: \"x\""),
        ("inf", "is no finite number"),
        ("1e60", "is too large"),
        ("1;5", "no finite number"),
    ] {
        let message = refusal(&format!("1,2:{cell},4:a\n"));
        assert!(message.contains("a.ts:6: the value of channel 2, step 1 ") && message.contains(words), "{message}");
    }
}

#[test]
fn channels_of_unequal_length_within_a_series_are_refused() {
    let message = refusal("1,2:1,2:a\n1,2,3:1,2:b\n");
    assert!(message.contains("a.ts:7: channel 1 has 3 values and channel 2 has 2"), "{message}");
    let message = refusal("1,2:1,2:a\n1,2:b\n");
    assert!(message.contains("a.ts:7: the number of channels is 1 where the first series has 2"), "{message}");
}

#[test]
fn a_header_that_the_lines_belie_is_refused() {
    let with = |header: &str, lines: &str| {
        fault_of("a.ts", &format!("{header}\n@classLabel true a b\n@data\n{lines}"), &SeriesReading::default())
    };
    let message = with("@dimensions 3", "1:2:a\n");
    assert!(message.contains("a.ts:4: the number of channels is 2 where the header says 3"), "{message}");
    assert!(with("@univariate true", "1:2:a\n").contains("the header says 1"));
    assert!(
        with("@equalLength true\n@seriesLength 2", "1,2:a\n1,2,3:b\n")
            .contains("a.ts:6: the series has 3 steps where @seriesLength says 2")
    );
    assert!(with("@timeStamps maybe", "").contains("@timeStamps is \"maybe\"; write true or false"));
    assert!(with("@dimensions 0", "").contains("write a whole number from 1"));
    assert!(with("hello", "").contains("a.ts:1: this line stands in front of @data"));
    assert!(refusal("1,2:c\n").contains("a.ts:6: the label \"c\" is none of those that @classLabel names (a, b)"));
    assert!(refusal("1,2\n").contains("a.ts:6: the line has no : between values and a label"));
    let set = read("@author me\n@classLabel true a b\n@data\n1:a\n2:b\n");
    assert_eq!(set.layout, "header lines @author ignored");
}

#[test]
fn an_empty_file_and_one_without_series_are_refused() {
    let reading = SeriesReading::default();
    assert!(fault_of("a.ts", "", &reading).contains("ends without a line @data"));
    assert!(
        fault_of("a.ts", "@classLabel true a b\n1,2:a\n", &reading)
            .contains("a.ts:2: this line stands in front of @data")
    );
    assert!(fault_of("a.ts", HEAD, &reading).contains("there is no series in it"));
    assert!(refusal("1:a\n2:a\n").contains("all 2 labels are \"a\""));
    assert!(fault_of("a.ts", "\0\0", &reading).contains("not a text file"));
}

#[test]
fn time_stamps_are_left_out_and_that_is_said() {
    let text = "@timeStamps true\n@classLabel true 1 2\n@data\n(2007-01-01 00:00:00,241.5),(2007-01-01 00:01:00,2):(0,1),(1,2):1\n(2,3):(5,?):2\n";
    let message = fault_of("a.ts", text, &SeriesReading::default());
    assert!(message.contains("a.ts:5: the value of channel 2, step 1 is missing"), "{message}");
    let set = read(&text.replace('?', "4"));
    assert_eq!(
        (set.series[0].frames.to_vec(), set.layout.as_str()),
        (vec![241.5, 1.0, 2.0, 2.0], "time stamps left out")
    );
    let message = fault_of("a.ts", "@timeStamps true\n@data\n(1,2),3:1\n", &SeriesReading::default());
    assert!(message.contains("channel 1, step 2 is \"3\", and @timeStamps true promises (time,value)"), "{message}");
}

#[test]
fn classes_are_those_of_texts_sorted_mapped_known_and_limited() {
    let set = read("@data\n1:10\n2:9\n3:10\n");
    assert_eq!(set.classes, ["9", "10"]);
    let map = crate::dataset::Columns::parse_map("a=rest,b=move").unwrap();
    let reading = SeriesReading::default().within(crate::series::SeriesColumns { map, ..Default::default() });
    let set = load_bytes("a.ts", format!("{HEAD}1:a\n2:b\n").as_bytes(), &reading).unwrap();
    assert_eq!((set.classes.join(" "), content(&set)[0].1.clone()), ("move rest".into(), Target::Class(1)));
    let known = SeriesReading::default().among(&["b".into()]);
    let message = fault_of("a.ts", &format!("{HEAD}1:b\n2:a\n"), &known);
    assert!(message.contains("a.ts:7: the label \"a\" is none of the known classes (b)"), "{message}");
    let many: String = (0..257).map(|class| format!("1:{class}\n")).collect();
    assert!(
        fault_of("a.ts", &format!("@data\n{many}"), &SeriesReading::default())
            .contains("more than 256 different labels")
    );
}

#[test]
fn channels_are_chosen_by_number() {
    let of = |channels: &[&str]| {
        let channels = channels.iter().map(|&name| name.to_owned()).collect();
        SeriesReading::default().within(crate::series::SeriesColumns { channels, ..Default::default() })
    };
    let text = format!("{HEAD}1,2:3,4:5,6:a\n1,2:3,4:5,6:b\n");
    let set = load_bytes("a.ts", text.as_bytes(), &of(&["3", "1"])).unwrap();
    assert_eq!((set.channels.join(" "), set.series[0].frames.to_vec()), ("3 1".into(), vec![5.0, 1.0, 6.0, 2.0]));
    assert!(fault_of("a.ts", &text, &of(&["4"])).contains("has no channel \"4\"; its channels are 1, 2, 3"));
}

#[test]
fn a_million_steps_are_read_and_a_longer_line_than_that_of_texts() {
    let mut line = "0.12345,".repeat(1_000_000);
    line.pop();
    let text = format!("@data\n{line}:a\n0.5:b\n");
    assert!(text.len() > crate::dataset::MAX_LINE);
    assert_eq!(read(&text).lengths(), (1, 1_000_000));
}

#[test]
fn what_is_written_is_read_again_and_twice_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.ts.gz");
    for (text, task) in [
        ("@classLabel true a b\n@data\n0.1,2e-30:3,-4.25:b\n16777217:0.3:a\n", SeriesTask::Classify),
        ("@targetLabel true\n@data\n1,2:0.7\n3,4:-2\n", SeriesTask::Regress),
        ("@classLabel false\n@data\n1,2:0.7,3\n", SeriesTask::Forecast),
    ] {
        let reading = SeriesReading::of(task);
        let set = load_bytes("a.ts", text.as_bytes(), &reading).unwrap();
        write_ts_gz(&path, &set).unwrap();
        let first = std::fs::read(&path).unwrap();
        write_ts_gz(&path, &set).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first);
        let again = load(folder.path(), Part::Train, &reading).unwrap();
        assert_eq!(
            (again.sha256, again.classes, content(&load(&path, Part::Train, &reading).unwrap())),
            (set.sha256.clone(), set.classes.clone(), content(&set))
        );
    }
}

#[test]
fn a_part_is_found_by_the_names_of_the_archives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let write = |name: &str, value: u32| std::fs::write(path.join(name), format!("{HEAD}{value}:a\n0:b\n")).unwrap();
    write("Basic_TRAIN.ts", 1);
    write("Basic_TEST.ts", 2);
    let first = |part| load(path, part, &SeriesReading::default()).map(|set| set.series[0].frames[0]);
    assert_eq!((first(Part::Train).unwrap(), first(Part::Test).unwrap()), (1.0, 2.0));
    assert!(looks_like_series(path, Part::Train) && !looks_like_series(path, Part::Valid));
    let message = first(Part::Valid).unwrap_err().to_string();
    assert!(message.contains("this folder has no valid series"), "{message}");
    write("train.ts", 3);
    let message = first(Part::Train).unwrap_err().to_string();
    assert!(message.contains("Basic_TRAIN.ts and train.ts could each be the train part"), "{message}");
}

/// The published files, where this workspace has them beside it.
fn published(name: &str) -> Option<[SeriesSet; 2]> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/series");
    if !folder.is_dir() {
        eprintln!("{} is not there: the published sets are not read", folder.display());
        return None;
    }
    let load = |part| load(&folder.join(format!("{name}_{part}.ts")), Part::Train, &SeriesReading::default()).unwrap();
    Some(["TRAIN", "TEST"].map(load))
}

#[test]
fn the_published_sets_have_the_channels_steps_and_classes_that_are_published() {
    for (name, channels, lengths, classes, counts) in [
        ("JapaneseVowels", 12, [(7, 26), (7, 29)], 9, [270, 370]),
        ("BasicMotions", 6, [(100, 100); 2], 4, [40, 40]),
        ("ItalyPowerDemand", 1, [(24, 24); 2], 2, [67, 1029]),
    ] {
        let Some(sets) = published(name) else { return };
        for ((set, lengths), count) in sets.iter().zip(lengths).zip(counts) {
            assert_eq!((set.channels.len(), set.lengths(), set.classes.len()), (channels, lengths, classes), "{name}");
            assert_eq!(set.series.len(), count, "{name}");
            assert!(set.notes.is_empty() && set.layout.is_empty(), "{:?} {}", set.notes, set.layout);
        }
        assert_eq!(sets[0].classes, sets[1].classes);
    }
    let Some([train, _]) = published("JapaneseVowels") else { return };
    let Series { frames, .. } = &train.series[0];
    assert_eq!((frames.steps(), frames[0], frames[1]), (20, 1.860_936, -0.207_383));
}
