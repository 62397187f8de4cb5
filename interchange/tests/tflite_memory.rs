//! Promise: reading a TensorFlow Lite model takes at most six times the file's size, the file among it, and 1 MiB for what every file has, however many things
//! of it lie in one place.

mod memory;
#[expect(dead_code, reason = "no answers are compared here")]
mod support;

use std::time::{Duration, Instant};

use memory::{FREE, measured};
use support::Goldens;

/// Longest that one file may take: far more than any does.
const LONGEST: Duration = Duration::from_secs(10);

/// Tables one behind the other; offsets lead forward.
struct Tables(Vec<u8>);

impl Tables {
    /// A table whose fields are offsets: where it is, and where each offset is.
    fn table(&mut self, fields: &[usize]) -> (usize, Vec<usize>) {
        let most = fields.iter().max().map_or(0, |most| most + 1);
        let list = self.0.len();
        let mut short = |value: usize| self.0.extend((value as u16).to_le_bytes());
        short(4 + 2 * most);
        short(4 + 4 * fields.len());
        for field in 0..most {
            short(fields.iter().position(|other| *other == field).map_or(0, |place| 4 + 4 * place));
        }
        let at = self.0.len();
        self.0.extend(((at - list) as i32).to_le_bytes());
        self.0.resize(at + 4 + 4 * fields.len(), 0);
        (at, (0..fields.len()).map(|place| at + 4 + 4 * place).collect())
    }

    /// A vector to which an offset leads: where each of its elements is.
    fn vector(&mut self, offset: usize, count: usize) -> Vec<usize> {
        self.lead(&[offset], self.0.len());
        self.0.extend((count as u32).to_le_bytes());
        let begin = self.0.len();
        self.0.resize(begin + 4 * count, 0);
        (0..count).map(|place| begin + 4 * place).collect()
    }

    /// Lets offsets lead to a place.
    fn lead(&mut self, offsets: &[usize], place: usize) {
        for &offset in offsets {
            self.0[offset..offset + 4].copy_from_slice(&((place - offset) as u32).to_le_bytes());
        }
    }
}

/// A model with so many tensors and operators, all of which are one; the operator reads and gives so many tensors.
fn one_as_many(tensors: usize, operators: usize, read: usize) -> Vec<u8> {
    let mut file = Tables(b"\0\0\0\0TFL3".to_vec());
    let (root, of_root) = file.table(&[1, 2, 4]);
    file.lead(&[0], root);
    let codes = file.vector(of_root[0], 1);
    let (code, _) = file.table(&[]);
    file.lead(&codes, code);
    let graphs = file.vector(of_root[1], 1);
    let (graph, of_graph) = file.table(&[0, 1, 2, 3]);
    file.lead(&graphs, graph);
    let numbers = |file: &mut Tables, offset: usize, count: usize| {
        for (number, at) in file.vector(offset, count).into_iter().enumerate() {
            file.0[at..at + 4].copy_from_slice(&(number as u32).to_le_bytes());
        }
    };
    let of_tensors = file.vector(of_graph[0], tensors);
    numbers(&mut file, of_graph[1], 1);
    numbers(&mut file, of_graph[2], 1);
    let of_operators = file.vector(of_graph[3], operators);
    let (tensor, of_tensor) = file.table(&[3]);
    file.lead(&of_tensors, tensor);
    file.vector(of_tensor[0], 1_000);
    let (operator, of_operator) = file.table(&[1, 2]);
    file.lead(&of_operators, operator);
    numbers(&mut file, of_operator[0], read);
    numbers(&mut file, of_operator[1], read);
    let buffers = file.vector(of_root[2], 1);
    let (buffer, _) = file.table(&[]);
    file.lead(&buffers, buffer);
    file.0
}

/// One test, because the counters are of the whole program.
#[test]
fn a_model_takes_at_most_six_times_its_size() {
    let mut goldens = Goldens::open("tflite/tflite.zip");
    let files = [
        ("large-float32", goldens.member("large-float32.tflite"), true),
        ("large-float16", goldens.member("large-float16.tflite"), true),
        ("large-int8", goldens.member("large-int8.tflite"), true),
        ("shared", goldens.member("shared.tflite"), false),
        ("one operator as many", one_as_many(64, 200_000, 2), false),
        ("one operator as many as are read", one_as_many(64, 16_000, 2), false),
        ("one operator with many tensors", one_as_many(200_000, 1, 200_000), false),
        ("one operator as many with many tensors", one_as_many(100_000, 16_000, 64), false),
    ];
    for (name, file, is_read) in files {
        let begin = Instant::now();
        let (read, most) = measured(&file);
        assert!(begin.elapsed() < LONGEST, "{name}: {:?}", begin.elapsed());
        println!("{name}: {} bytes take {most} more and {:?}", file.len(), begin.elapsed());
        assert_eq!(read.is_ok(), is_read, "{name}: {read:?}");
        assert!(most + file.len() <= 6 * file.len() + FREE, "{name}: {most} bytes for {}", file.len());
    }
}
