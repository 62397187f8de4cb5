//! Promise: reading a Keras file takes at most six times the file's size, the file among it, and 1 MiB for what every file has, however large the file says
//! that its parts are.

mod memory;

use std::io::{Cursor, Read, Write};
use std::path::Path;

use memory::{FREE, measured};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

fn member(archive: &[u8], name: &str) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).expect("it is an archive");
    let mut bytes = Vec::new();
    archive.by_name(name).unwrap_or_else(|_| panic!("no {name}")).read_to_end(&mut bytes).expect("it is whole");
    bytes
}

fn packed(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        writer.start_file(*name, options).expect("memory");
        writer.write_all(bytes).expect("memory");
    }
    writer.finish().expect("memory").into_inner()
}

/// One test, because the counters are of the whole program.
#[test]
fn a_file_takes_at_most_six_times_its_size() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/keras/sizes.zip");
    let goldens = std::fs::read(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    // Of each the layers fit; what is said of sizes is made up in those that are refused.
    for (name, is_read) in [
        ("large.h5", true),
        ("large.keras", true),
        ("large-f16.h5", true),
        ("zeros-gzip.h5", false),
        ("zeros-chunked.h5", false),
        ("names.h5", false),
    ] {
        let file = member(&goldens, name);
        let (read, most) = measured(&file);
        println!("{name}: {} bytes take {most} more, {read:?}", file.len());
        assert_eq!(read.is_ok(), is_read, "{name}: {read:?}");
        assert!(most + file.len() <= 6 * file.len() + FREE, "{name}: {most} bytes for {}", file.len());
    }
    let file = member(&goldens, "large.keras");
    let weights = member(&file, "model.weights.h5");
    let objects = format!("[{}1]", r#"{"a":1},"#.repeat(200_000));
    let numbers = format!("[{}1]", "1,".repeat(1_000_000));
    for config in [objects, numbers] {
        let file = packed(&[("config.json", config.as_bytes()), ("model.weights.h5", &weights[..1000])]);
        let (read, most) = measured(&file);
        assert!(read.is_err() && most + file.len() <= 6 * file.len() + FREE, "{most} bytes for {}", file.len());
    }
}
