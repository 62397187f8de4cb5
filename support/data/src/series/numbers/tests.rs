use std::fs;

use super::*;
use crate::dataset::Part;
use crate::error::exit_code;
use crate::series::{Missing, SeriesColumns, SeriesReading, SeriesSet, load, sound_of};

/// A file of that name, as a network of so many channels reads it.
fn read_for(channels: usize, name: &str, bytes: &[u8], reading: SeriesReading) -> Result<SeriesSet> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let SeriesReading { missing, columns, .. } = reading;
    load(&path, Part::Test, &SeriesReading::to_answer(channels).filling(missing).within(columns))
}

/// The values of a file of one series.
fn read(channels: usize, name: &str, bytes: &[u8]) -> Vec<f32> {
    let set = read_for(channels, name, bytes, SeriesReading::default()).unwrap();
    assert_eq!((set.series.len(), set.channels.len()), (1, channels), "{name}");
    set.series[0].frames.to_vec()
}

fn choosing(channels: &[&str]) -> SeriesReading {
    let channels = channels.iter().map(|&name| name.to_owned()).collect();
    SeriesReading::default().within(SeriesColumns { channels, ..SeriesColumns::default() })
}

fn refusal(channels: usize, name: &str, bytes: &[u8]) -> String {
    let error = read_for(channels, name, bytes, SeriesReading::default()).unwrap_err();
    assert_eq!(exit_code(&error), 2, "{error:?}");
    error.to_string()
}

/// What [`write_numbers`] writes, as a file of that name, and how many values it cut.
fn written(name: &str, values: &[f32], shape: &[usize], sound: Option<Sound>) -> (Vec<u8>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let cut = write_numbers(&path, values, shape, sound).unwrap();
    (fs::read(path).unwrap(), cut)
}

const VALUES: [f32; 6] = [0.1, -2.5e-7, 3.0, 1e18, 1.0 / 3.0, -0.0];

#[test]
fn what_is_written_as_an_array_or_a_table_is_read_back_to_the_bit() {
    for name in ["a.npy", "A.CSV"] {
        for (shape, channels) in [(&[3, 2][..], 2), (&[6, 1], 1), (&[2, 3], 3)] {
            let (bytes, cut) = written(name, &VALUES, shape, None);
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!((bits(&read(channels, name, &bytes)), cut), (bits(&VALUES), 0), "{name}");
        }
    }
    assert_eq!(written("a.csv", &[0.5, -1.0, 2.0], &[3], None).0, b"0.5,-1,2\n");
}

#[test]
fn what_a_network_answers_may_have_labels_ids_and_times_that_it_does_not_read() {
    let table = b"id,time,ax,ay,label\nwalk,0,1,2,a\nwalk,1,3,4,b\nrun,0,5,6,a\n";
    let set = read_for(2, "a.csv", table, SeriesReading::default()).unwrap();
    let of = |at: usize| (set.series[at].id.as_str(), set.series[at].frames.to_vec());
    assert_eq!((of(0), of(1)), (("walk", vec![1.0, 2.0, 3.0, 4.0]), ("run", vec![5.0, 6.0])));
    assert_eq!((set.channels.join(" "), set.series.len()), ("ax ay".to_owned(), 2));
    let columns = SeriesColumns { labels: vec!["3".to_owned()], ..SeriesColumns::default() };
    let set = read_for(2, "a.csv", b"1,2,0\n3,4,1\n", SeriesReading::default().within(columns)).unwrap();
    assert_eq!(set.series[0].frames.to_vec(), [1.0, 2.0, 3.0, 4.0]);
    let ts = b"@univariate false\n@classLabel true a b\n@data\n1,2:3,4:a\n5:6:b\n";
    let set = read_for(2, "a.ts", ts, SeriesReading::default()).unwrap();
    assert_eq!((set.series.len(), set.series[0].frames.to_vec()), (2, vec![1.0, 3.0, 2.0, 4.0]));
}

#[test]
fn the_channels_of_a_network_tell_rows_that_are_steps_from_rows_that_are_series() {
    let table = b"1,2,3\n4,5,6\n";
    assert_eq!(read(3, "a.csv", table), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let steps = |channels: usize, name: &str, bytes: &[u8]| {
        let set = read_for(channels, name, bytes, SeriesReading::default()).unwrap();
        set.series.iter().map(|series| series.steps()).collect::<Vec<_>>()
    };
    assert_eq!(steps(1, "a.csv", table), [3, 3]);
    let (array, _) = written("a.npy", &VALUES, &[2, 3], None);
    assert_eq!((steps(1, "a.npy", &array), steps(3, "a.npy", &array)), (vec![3, 3], vec![2]));
    let counted = b"ch1,ch2,ch3\n1,2,3\n4,5,6\n";
    assert_eq!((steps(1, "a.csv", counted), steps(3, "a.csv", counted)), (vec![3, 3], vec![2]));
}

#[test]
fn an_array_begins_as_numpy_writes_it() {
    let (bytes, _) = written("a.npy", &VALUES, &[6], None);
    let header = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }";
    assert!(bytes.starts_with(header) && bytes[127] == b'\n' && bytes.len() == 128 + 24, "{bytes:?}");
    let (bytes, _) = written("a.npy", &VALUES, &[3, 2], None);
    assert!(bytes.windows(15).any(|text| text == b"'shape': (3, 2)"), "{bytes:?}");
}

#[test]
fn a_sound_keeps_its_rate_and_counts_what_is_beyond_its_range() {
    for (bits, tolerance) in [(8, 4e-5), (16, 4e-5), (24, 2e-7), (32, 2e-7)] {
        let values = [0.25, -1.0, 0.999, 1.5, -7.0];
        let (bytes, cut) = written("a.wav", &values, &[5, 1], Some(Sound { rate: 11_025, bits }));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        fs::write(&path, &bytes).unwrap();
        let sound = sound_of(&path).unwrap().expect("a sound");
        assert_eq!((sound.rate, sound.bits, cut), (11_025, if bits > 16 { 24 } else { 16 }, 2));
        for (found, expected) in read(1, "a.wav", &bytes).iter().zip([0.25, -1.0, 0.999, 1.0, -1.0]) {
            assert!((found - expected).abs() <= tolerance, "{found} and {expected} with {bits} bits");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    for (shape, sound) in [(&[3, 2][..], Some(Sound { rate: 1, bits: 16 })), (&[6, 1], None)] {
        let error = write_numbers(&path, &VALUES, shape, sound).unwrap_err();
        assert!(exit_code(&error) == 2 && error.to_string().contains("one value a step"), "{error}");
        assert!(!path.exists());
    }
}

#[test]
fn a_table_may_have_names_a_decimal_comma_and_more_columns_than_are_read() {
    let table = b"time;ax;ay\r\n0;1,5;2\r\n1;2,5;-3\r\n";
    let set = read_for(2, "a.csv", table, choosing(&["ay", "AX"])).unwrap();
    assert_eq!(
        (set.series[0].frames.to_vec(), set.channels.join(" ")),
        (vec![2.0, 1.5, -3.0, 2.5], "ay ax".to_owned())
    );
    let set = read_for(2, "a.csv", b"1,2\n,4\n5,\n", SeriesReading::default().filling(Missing::Hold)).unwrap();
    assert_eq!(set.series[0].frames.to_vec(), [1.0, 2.0, 1.0, 4.0, 5.0, 4.0]);
    assert_eq!(set.filled.values, 2);
    let (bytes, _) = written("a.npy", &[1.0, 2.0, 3.0, 4.0], &[2, 2], None);
    let set = read_for(1, "a.npy", &bytes, choosing(&["2"])).unwrap();
    assert_eq!(set.series[0].frames.to_vec(), [2.0, 4.0]);
}

#[test]
fn what_is_wrong_is_named_by_its_place() {
    for (name, bytes, words) in [
        ("a.csv", &b"ax,ay\n1,2\n3,x\n"[..], &["a.csv:3: the value of column 2 (ay) is no finite number: \"x\""][..]),
        ("a.csv", b"1,2\n3\n", &["a.csv:2: the row has 1 cells where the first one has 2"]),
        ("a.csv", b"1,2\n3,nan\n", &["a.csv:2: the value of column 2 is missing", "--missing hold"]),
        ("a.csv", b"1,2\n1,inf\n", &["a.csv:2: the value of column 2 is no finite number"]),
        ("a.csv", b"ax,ay\n", &["a.csv: there is no series in it"]),
        ("a.csv", b"", &["a.csv"]),
        ("a.npy", b"1,2\n", &["a.npy"]),
        ("a.wav", b"1,2\n", &["a.wav", "WAV"]),
    ] {
        let said = refusal(2, name, bytes);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    let of = |values: &[f32], shape: &[usize]| refusal(2, "a.npy", &written("a.npy", values, shape, None).0);
    assert!(of(&[1.0, f32::NAN], &[1, 2]).contains("the value [0, 1] (step, channel from 0) is missing (NaN)"));
    assert!(of(&[1.0, f32::INFINITY], &[1, 2]).contains("the value [0, 1] (step, channel from 0) is infinite"));
    assert!(of(&[1.0, f32::NAN], &[1, 1, 2]).contains("the value [0, 0, 1] (series, step, channel from 0)"));
    assert!(of(&[], &[0, 3]).contains("the array of the series is empty"));
}
