//! Promise: reading an ONNX model takes at most six times the file's size, the file among it, and 1 MiB for what every file has, however large the file says
//! that its parts are.

mod memory;

use std::io::{Cursor, Read};
use std::path::Path;

use memory::{FREE, measured};
use zip::ZipArchive;

/// A field of Protocol Buffers that has a length.
fn field(number: u8, held: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = held.len();
    while length > 0x7f {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(held);
    bytes
}

/// A model with this graph.
fn model(graph: &[u8]) -> Vec<u8> {
    [&[0x08, 8][..], &field(7, graph)].concat()
}

/// One test, because the counters are of the whole program.
#[test]
fn a_model_takes_at_most_six_times_its_size() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/onnx/onnx.zip");
    let goldens = std::fs::read(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    let mut archive = ZipArchive::new(Cursor::new(goldens)).expect("it is an archive");
    let mut golden = |name: &str| {
        let mut bytes = Vec::new();
        archive.by_name(name).unwrap_or_else(|_| panic!("no {name}")).read_to_end(&mut bytes).expect("it is whole");
        bytes
    };
    // A list of small things: nodes, inputs of a node, attributes, dimensions, numbers, names.
    let many = |number: u8, held: &[u8]| field(number, held).repeat(400_000);
    let node = |held: &[u8]| model(&field(1, held));
    let files = [
        ("large-f32", golden("large-f32.onnx"), true),
        ("large-f16", golden("large-f16.onnx"), true),
        ("large-double", golden("large-double.onnx"), true),
        ("large-int8", golden("large-int8.onnx"), true),
        ("large-concat", golden("large-concat.onnx"), true),
        ("expanded", golden("expanded.onnx"), false),
        ("shared", golden("shared.onnx"), false),
        ("nodes", model(&many(1, &[])), false),
        ("initializers", model(&many(5, &[])), false),
        ("inputs", model(&many(11, &[])), false),
        ("inputs of a node", node(&many(1, b"")), false),
        ("attributes", node(&many(5, &[])), false),
        ("packed numbers", node(&field(5, &field(8, &[1; 400_000]))), false),
        ("numbers", node(&field(5, &[0x40, 1].repeat(400_000))), false),
        ("dimensions", model(&field(11, &field(2, &field(1, &field(2, &many(1, &[])))))), false),
        ("packed floats of eight bytes", model(&field(5, &field(7, &[1; 400_000]))), false),
    ];
    for (name, file, is_read) in files {
        let (read, most) = measured(&file);
        println!("{name}: {} bytes take {most} more, {read:?}", file.len());
        assert_eq!(read.is_ok(), is_read, "{name}: {read:?}");
        assert!(most + file.len() <= 6 * file.len() + FREE, "{name}: {most} bytes for {}", file.len());
    }
}
