use std::io::Write;

use super::super::tests::load_bytes;
use super::*;
use crate::dataset::Part;
use crate::error::exit_code;
use crate::series::{SeriesSet, load};

/// The bytes of an array as `np.save` writes them.
fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    header += &" ".repeat(64 - (10 + header.len() + 1) % 64);
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn floats(shape: &str, values: &[f32]) -> Vec<u8> {
    npy("<f4", false, shape, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

fn npz(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        archive.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn set(name: &str, bytes: &[u8], task: SeriesTask) -> Result<SeriesSet> {
    load_bytes(name, bytes, &SeriesReading::of(task))
}

fn refusal(name: &str, bytes: &[u8], task: SeriesTask) -> String {
    let error = set(name, bytes, task).unwrap_err();
    assert_eq!(exit_code(&error), 2, "{error:?}");
    error.to_string()
}

#[test]
fn an_archive_of_series_and_labels_is_read_by_their_names() {
    let x = floats("(2, 2, 2)", &[1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 4.0, -4.0]);
    let words: Vec<u8> = "b\0ab".chars().flat_map(|letter| (letter as u32).to_le_bytes()).collect();
    let read = set("a.npz", &npz(&[("x", x.clone()), ("y", npy("<U2", false, "(2,)", &words))]), SeriesTask::Classify)
        .unwrap();
    assert_eq!((read.classes.join(" "), read.series[0].frames.to_vec()), ("ab b".into(), vec![1.0, -1.0, 2.0, -2.0]));
    assert_eq!((read.series[0].target.clone(), read.layout.as_str()), (Target::Class(1), "labels in y"));
    let y = npy("<i8", false, "(2,)", &[7_i64.to_le_bytes(), (-3_i64).to_le_bytes()].concat());
    let read = set("a.npz", &npz(&[("X", x.clone()), ("y", y.clone())]), SeriesTask::Classify).unwrap();
    assert_eq!(read.classes, ["-3", "7"]);
    let y = floats("(2, 2)", &[0.5, 1.0, 2.0, 3.0]);
    let read = set("a.npz", &npz(&[("x", x.clone()), ("y", y.clone())]), SeriesTask::Regress).unwrap();
    assert_eq!((read.series[1].target.clone(), read.outputs.len()), (Target::Values(vec![2.0, 3.0]), 2));
    let read = set("a.npz", &npz(&[("x", x.clone()), ("y", y.clone())]), SeriesTask::RegressEach).unwrap();
    assert_eq!((read.series[0].target.clone(), read.outputs.len()), (Target::EachValues(vec![0.5, 1.0]), 1));
    let message = refusal("a.npz", &npz(&[("x", x.clone()), ("y", y)]), SeriesTask::Classify);
    assert!(message.contains("the labels have the shape [2, 2] where --task classify needs [2]"), "{message}");
    assert!(
        refusal("a.npz", &npz(&[("data", x)]), SeriesTask::Classify).contains("has no array x; its arrays are data")
    );
}

#[test]
fn labels_lie_in_a_file_beside_an_array_and_parts_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("X_train.npy", floats("(2, 3)", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    write("y_train.npy", npy("|u1", false, "(2,)", &[1, 0]));
    write("X_test.npy", floats("(1, 3)", &[1.0; 3]));
    write("y_test.npy", npy("|b1", false, "(1,)", &[1]));
    let set = load(folder.path(), Part::Train, &SeriesReading::default()).unwrap();
    assert_eq!((set.series[1].frames.to_vec(), set.layout.as_str()), (vec![4.0, 5.0, 6.0], "labels in y_train.npy"));
    assert_eq!(load(folder.path(), Part::Test, &SeriesReading::default()).unwrap().series.len(), 1);
    let message = refusal("a.npy", &floats("(1, 3)", &[1.0; 3]), SeriesTask::Classify);
    assert!(
        message.contains("there are no labels with the series") && message.contains("--task forecast"),
        "{message}"
    );
    let set = super::super::tests::load_bytes(
        "a.npy",
        &floats("(4,)", &[1.0, 2.0, 3.0, 4.0]),
        &SeriesReading::of(SeriesTask::Forecast),
    )
    .unwrap();
    assert_eq!((set.series.len(), set.series[0].steps()), (1, 4));
}

#[test]
fn every_type_and_order_of_numbers_is_read() {
    let read = |descr: &str, fortran: bool, data: &[u8]| {
        set("a.npy", &npy(descr, fortran, "(1, 2, 2)", data), SeriesTask::Forecast).unwrap().series[0].frames.to_vec()
    };
    let expected = [1.0, 2.0, 3.0, -4.0];
    assert_eq!(read(">f8", false, &[1.0_f64, 2.0, 3.0, -4.0].map(f64::to_be_bytes).concat()), expected);
    assert_eq!(read("<f2", false, &[0x3c00_u16, 0x4000, 0x4200, 0xc400].map(u16::to_le_bytes).concat()), expected);
    assert_eq!(read("<i2", false, &[1_i16, 2, 3, -4].map(i16::to_le_bytes).concat()), expected);
    assert_eq!(read("|i1", true, &[1, 3, 2, 0xfc]), expected);
    assert_eq!(
        (half(0x7c00), half(0x0001), half(0x8000).to_bits()),
        (f64::INFINITY, 2f64.powi(-24), (-0.0_f64).to_bits())
    );
    assert_eq!(in_c_order(&[0, 1, 2, 3, 4, 5], &[3, 2]), [0, 3, 1, 4, 2, 5]);
}

#[test]
fn a_value_that_is_missing_or_infinite_is_named_by_its_place_in_the_array() {
    let x = |value| floats("(1, 2, 2)", &[1.0, 2.0, 3.0, value]);
    let message = refusal("a.npy", &x(f32::NAN), SeriesTask::Forecast);
    assert!(message.contains("the value [0, 1, 1] (series, step, channel from 0) is missing (NaN)"), "{message}");
    assert!(refusal("a.npy", &x(f32::INFINITY), SeriesTask::Forecast).contains("is infinite"));
    let large = npy("<f8", false, "(1, 1)", &1e300_f64.to_le_bytes());
    assert!(refusal("a.npy", &large, SeriesTask::Forecast).contains("is too large"));
    let reading = SeriesReading::of(SeriesTask::Forecast).filling(Missing::Hold);
    assert_eq!(load_bytes("a.npy", &x(f32::NAN), &reading).unwrap().series[0].frames.to_vec(), [1.0, 2.0, 3.0, 2.0]);
}

#[test]
fn every_truncation_and_every_changed_byte_of_a_header_is_read_or_refused() {
    let whole = floats("(1, 2, 2)", &[1.0, 2.0, 3.0, 4.0]);
    for length in 0..whole.len() {
        refusal("a.npy", &whole[..length], SeriesTask::Forecast);
    }
    for at in 0..whole.len() - 16 {
        for change in [0x01, 0x10, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            if let Err(error) = set("a.npy", &bytes, SeriesTask::Forecast) {
                assert_eq!(exit_code(&error), 2, "{error:?}");
            }
        }
    }
    for (descr, shape, words) in [
        ("|O", "(1, 2)", "is not understood"),
        ("<c8", "(1, 2)", "is not understood"),
        ("<f4", "()", "is not understood"),
        ("<f4", "(1, 2, 3, 4)", "has the shape [1, 2, 3, 4]"),
        ("<f4", "(0, 2)", "is empty"),
        ("<f4", "(99999999999, 99999999999)", "more than"),
        ("<U1", "(1, 1)", "holds words"),
    ] {
        let message = refusal("a.npy", &npy(descr, false, shape, &[0; 96]), SeriesTask::Forecast);
        assert!(message.contains(words), "{descr} {shape}: {message}");
    }
    assert!(refusal("a.npy", b"hello, you", SeriesTask::Forecast).contains("no array of NumPy"));
    assert!(refusal("a.npz", b"hello", SeriesTask::Forecast).contains("no zip archive"));
    let whole = npz(&[("x", floats("(1, 2)", &[1.0, 2.0]))]);
    for length in 0..whole.len() {
        refusal("a.npz", &whole[..length], SeriesTask::Forecast);
    }
}
