//! Models of other tools with what their tools compute, as `interchange/tests/goldens` has them.

use std::io::{Cursor, Read};
use std::path::Path;

use serde_json::Value;
use zip::ZipArchive;

use crate::support::{Place, succeed};

/// A folder with files of an archive of goldens, and what `cases.json` says there.
pub(crate) fn placed(archive: &str, names: &[&str]) -> (Place, Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interchange/tests/goldens").join(archive);
    let mut archive = ZipArchive::new(Cursor::new(std::fs::read(path).expect("the goldens"))).expect("an archive");
    let mut member = |name: &str| {
        let mut bytes = Vec::new();
        archive.by_name(name).expect("a member").read_to_end(&mut bytes).expect("it is whole");
        bytes
    };
    let place = Place::with_data(20);
    names.iter().for_each(|name| place.write(name, member(name)));
    let cases = serde_json::from_slice(&member("cases.json")).expect("JSON");
    (place, cases)
}

/// The numbers of a case.
pub(crate) fn numbers(case: &Value, key: &str) -> Vec<f64> {
    case[key].as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

/// The numbers that the f32 image of a run answers to rows of three samples.
pub(crate) fn answers(place: &Place, run: &str, x: &[f64]) -> Vec<f64> {
    let rows: Vec<String> = x.chunks(3).map(|row| format!("{},{},{}", row[0], row[1], row[2])).collect();
    place.write("x.csv", rows.join("\n") + "\n");
    succeed(&mut place.latch(["export", "--run", run, "--precision", "f32", "--out", "new.latch"]));
    succeed(&mut place.latch(["run", "--image", "new.latch", "--data", "x.csv", "--out", "y.csv"]));
    let table = String::from_utf8(place.read("y.csv")).expect("text");
    table.split([',', '\n']).filter_map(|number| number.trim().parse().ok()).collect()
}
