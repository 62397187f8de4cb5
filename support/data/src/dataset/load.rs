//! All examples of a file or folder in memory, read on one core while another works on what was read.

use std::path::Path;

use anyhow::Result;
use rayon::prelude::*;

use super::{
    Dataset, Example, Examples, Labels, Part, Place, Reading, Row, Source, composed_row, formats, in_units, kept_bytes,
    list, memory_limit, open_for, quoted,
};
use crate::error::{Fault, fault};

/// Bytes of text that are read at a time.
const BLOCK: usize = 1 << 20;

/// How far reading has come: how much was read, and how much there is, in bytes or files.
pub type Watch<'w> = &'w mut dyn FnMut(u64, u64);

/// Rows that stand together, and why there is no next one, if that is not the end.
#[derive(Default)]
struct Block {
    rows: Vec<Row>,
    error: Option<anyhow::Error>,
}

impl Block {
    /// Reads the next rows; without one at the end.
    fn read(source: &mut dyn Source) -> Self {
        let (mut block, mut bytes) = (Block::default(), 0);
        while bytes < BLOCK && block.error.is_none() {
            match source.next() {
                Some(Ok(row)) => {
                    bytes += row.text.len() + size_of::<Row>();
                    block.rows.push(row);
                }
                Some(Err(error)) => block.error = Some(error),
                None => break,
            }
        }
        block
    }

    fn is_end(&self) -> bool {
        self.rows.is_empty() && self.error.is_none()
    }
}

/// What is done with the examples of a block and their places.
type WithPlaces<'w, L> = dyn FnMut(Vec<Example<L>>, &[Place]) -> Result<()> + Send + 'w;

/// The examples so far.
struct Kept<L> {
    examples: Vec<Example<L>>,
    bytes: u64,
    most: u64,
}

impl<L: Labels> Kept<L> {
    fn push(&mut self, example: Example<L>, place: &Place) -> Result<(), Fault> {
        self.bytes += kept_bytes(&example);
        // The list itself grows in steps, and is the largest piece of memory where texts are short.
        if self.bytes > self.most || self.examples.try_reserve(1).is_err() {
            let (texts, most) = (self.examples.len() + 1, in_units(self.most));
            let problem = format!("with this text {texts} texts take more than {most} of memory");
            return Err(fault(place, problem, "divide the file, or permit more with --max-memory"));
        }
        self.examples.push(example);
        Ok(())
    }
}

impl<L: Labels> Examples<L> {
    /// Takes the rest of the examples in pieces of about a mebibyte, each of which is read while `each` works on the one before it.
    ///
    /// # Errors
    /// As the stream, and those of `each`. What stands first in the file is refused first.
    pub fn for_each_piece(
        &mut self,
        watch: Watch<'_>,
        each: &mut (dyn FnMut(Vec<Example<L>>) -> Result<()> + Send),
    ) -> Result<()> {
        self.for_each_placed(watch, &mut |examples, _| each(examples))
    }

    /// The same with the place of each example.
    fn for_each_placed(&mut self, watch: Watch<'_>, each: &mut WithPlaces<'_, L>) -> Result<()> {
        let Examples { source, coder, seen, .. } = self;
        let source = &mut **source;
        let mut work = |Block { rows, error }: Block| -> Result<()> {
            let rows = rows.into_par_iter().map(composed_row).collect::<Vec<_>>();
            let places: Vec<Place> = rows.iter().map(|row| row.place.clone()).collect();
            let (mut examples, mut wrong) = (Vec::with_capacity(rows.len()), error);
            for row in rows {
                match seen.example(row, coder) {
                    Ok(example) => examples.push(example),
                    Err(error) => {
                        wrong = Some(error);
                        break;
                    }
                }
            }
            each(examples, &places)?;
            wrong.map_or(Ok(()), Err)
        };
        let mut block = Block::read(source);
        while !block.is_end() {
            let (next, worked) = match block.error {
                Some(_) => (Block::default(), work(block)),
                None => rayon::join(|| Block::read(source), || work(block)),
            };
            worked?;
            let (read, all) = source.progress();
            watch(read, all);
            block = next;
        }
        self.ended = true;
        self.verdict()
    }

    /// Takes the rest of the examples.
    fn take_all(&mut self, most: u64, watch: Watch<'_>) -> Result<Vec<Example<L>>> {
        let mut kept = Kept { examples: Vec::new(), bytes: 0, most };
        self.for_each_placed(watch, &mut |examples, places| {
            examples.into_iter().zip(places).try_for_each(|(example, place)| Ok(kept.push(example, place)?))
        })?;
        Ok(kept.examples)
    }
}

impl<L: Labels> Dataset<L> {
    /// Loads all examples of `path`, with the classes that are known or else with those that occur; of a folder with several parts, `part`.
    ///
    /// # Errors
    /// As [`open`](super::open) and its stream; a [`Fault`] also names a label of the map that no example of a part to train on has.
    pub fn load_for(path: &Path, part: Part, reading: &Reading) -> Result<Self> {
        Self::load_watched(path, part, reading, &mut |_, _| {})
    }

    /// As [`Dataset::load_for`]; says how far it has come.
    ///
    /// # Errors
    /// As [`Dataset::load_for`].
    pub fn load_watched(path: &Path, part: Part, reading: &Reading, watch: Watch<'_>) -> Result<Self> {
        Self::load_up_to(path, part, reading, memory_limit(), watch)
    }

    /// As [`Dataset::load_for`], with examples of at most `most` bytes in memory, in place of [`memory_limit`].
    ///
    /// # Errors
    /// As [`Dataset::load_for`]; a [`Fault`] names the line whose example is one too many.
    pub fn load_within(path: &Path, part: Part, reading: &Reading, most: u64) -> Result<Self> {
        Self::load_up_to(path, part, reading, most, &mut |_, _| {})
    }

    fn load_up_to(path: &Path, part: Part, reading: &Reading, most: u64, watch: Watch<'_>) -> Result<Self> {
        let mut stream: Examples<L> = open_for(path, part, reading)?;
        let mut examples = stream.take_all(most, watch)?;
        if let Some(label) = stream.coder.unused()
            && part == Part::Train
        {
            let (place, names) = (path.display(), list(&stream.coder.names));
            let problem = format!("no label of {place} is {}; its classes are {names}", quoted(label));
            return Err(fault("--label-map", problem, "correct the label's name, or leave it out").into());
        }
        let numbers = stream.coder.sort();
        if !reading.task.has_values() {
            examples.par_iter_mut().for_each(|example| example.label.renumber(&numbers));
        }
        let layout = stream.layout();
        Ok(Self { layout, ..Self::new(formats::name(path), examples).named(stream.coder.names) })
    }
}
