use std::fs;

use super::*;
use crate::error::exit_code;

fn read(name: &str, bytes: &[u8], wanted: &[&str], missing: Missing) -> Result<Signal> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    Signal::read(&path, &wanted.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(), missing)
}

fn refusal(name: &str, bytes: &[u8]) -> String {
    let error = read(name, bytes, &[], Missing::Refuse).unwrap_err();
    assert_eq!(exit_code(&error), 2, "{error:?}");
    error.to_string()
}

/// What [`write_signal`] writes, as a file of that name, and how many values it cut.
fn written(name: &str, values: &[f32], shape: &[usize], sound: Option<Sound>) -> (Vec<u8>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let cut = write_signal(&path, values, shape, sound).unwrap();
    (fs::read(path).unwrap(), cut)
}

const VALUES: [f32; 6] = [0.1, -2.5e-7, 3.0, 1e18, 1.0 / 3.0, -0.0];

#[test]
fn what_is_written_as_an_array_or_a_table_is_read_back_to_the_bit() {
    for name in ["a.npy", "A.CSV"] {
        for (shape, channels) in [(&[3, 2][..], 2), (&[6, 1], 1), (&[2, 3], 3)] {
            let (bytes, cut) = written(name, &VALUES, shape, None);
            let signal = read(name, &bytes, &[], Missing::Refuse).unwrap();
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!((bits(&signal.values), signal.channels.len(), cut), (bits(&VALUES), channels, 0), "{name}");
        }
    }
    assert_eq!(written("a.csv", &[0.5, -1.0, 2.0], &[3], None).0, b"0.5,-1,2\n");
}

#[test]
fn a_table_of_several_series_is_no_signal_and_words_beside_the_channels_are_pointed_at() {
    let error = read("a.csv", b"id,x\n1,0.5\n1,1\n2,3\n", &["x"], Missing::Refuse).unwrap_err();
    assert!(
        error.to_string().contains("a.csv:4: another series begins: column 1 (id) is \"2\" and was \"1\""),
        "{error}"
    );
    let one = read("a.csv", b"id,x\n1,0.5\n1,1\n", &["x"], Missing::Refuse).unwrap();
    assert_eq!(one.values, [0.5, 1.0]);
    assert!(refusal("a.csv", b"x,label\n1,walk\n").contains("name the columns with --channels"));
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
        let signal = read("a.wav", &bytes, &[], Missing::Refuse).unwrap();
        let sound = signal.sound.expect("a sound");
        assert_eq!((sound.rate, sound.bits, cut), (11_025, if bits > 16 { 24 } else { 16 }, 2));
        for (found, expected) in signal.values.iter().zip([0.25, -1.0, 0.999, 1.0, -1.0]) {
            assert!((found - expected).abs() <= tolerance, "{found} and {expected} with {bits} bits");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    for (shape, sound) in [(&[3, 2][..], Some(Sound { rate: 1, bits: 16 })), (&[6, 1], None)] {
        let error = write_signal(&path, &VALUES, shape, sound).unwrap_err();
        assert!(exit_code(&error) == 2 && error.to_string().contains("one value a step"), "{error}");
        assert!(!path.exists());
    }
}

#[test]
fn a_table_may_have_names_a_decimal_comma_and_more_columns_than_are_read() {
    let table = b"time;ax;ay\r\n0;1,5;2\r\n1;2,5;-3\r\n";
    let signal = read("a.csv", table, &["ay", "AX"], Missing::Refuse).unwrap();
    assert_eq!((signal.values.clone(), signal.channels.join(" ")), (vec![2.0, 1.5, -3.0, 2.5], "ay ax".to_owned()));
    assert_eq!(signal.steps(), 2);
    let signal = read("a.csv", b"1,2\n,4\n5,\n", &[], Missing::Hold).unwrap();
    assert_eq!((signal.values, signal.filled), (vec![1.0, 2.0, 1.0, 4.0, 5.0, 4.0], 2));
    let (bytes, _) = written("a.npy", &[1.0, 2.0, 3.0, 4.0], &[2, 2], None);
    assert_eq!(read("a.npy", &bytes, &["2"], Missing::Refuse).unwrap().values, [2.0, 4.0]);
}

#[test]
fn what_is_wrong_is_named_by_its_place() {
    for (name, bytes, words) in [
        ("a.csv", &b"ax,ay\n1,2\n3,x\n"[..], &["a.csv:3: the value of column 2 (ay) is no finite number: \"x\""][..]),
        ("a.csv", b"1,2\n3\n", &["a.csv:2: the row has 1 cells where the first one has 2"]),
        ("a.csv", b"1,2\n3,nan\n", &["a.csv:2: the value of column 2 is missing", "--missing hold"]),
        ("a.csv", b"1,inf\n", &["a.csv:1: the value of column 2 is no finite number"]),
        ("a.csv", b"ax,ay\n", &["a.csv: there is no step in it"]),
        ("a.csv", b"", &["a.csv"]),
        ("a.npy", b"1,2\n", &["a.npy"]),
        ("a.wav", b"1,2\n", &["a.wav", "WAV"]),
        ("a.png", b"1,2\n", &["a.png: its name ends in none of .npy, .csv and .wav"]),
    ] {
        let said = refusal(name, bytes);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    let of = |values: &[f32], shape: &[usize]| refusal("a.npy", &written("a.npy", values, shape, None).0);
    assert!(of(&[1.0, f32::NAN], &[2, 1]).contains("the value [1, 0] (step, channel from 0) is missing (NaN)"));
    assert!(of(&[1.0, f32::INFINITY], &[1, 2]).contains("the value [0, 1] (step, channel from 0) is infinite"));
    assert!(of(&VALUES, &[1, 3, 2]).contains("the shape [1, 3, 2], and one series is [steps, channels]"));
    assert!(of(&[], &[0, 3]).contains("there is no step in it"));
}
