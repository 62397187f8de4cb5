//! Texts and tensors of an HDF5 file. Its bytes may come from anywhere: what is asked for is opened by its name, its size is held to the [`Budget`] before it is
//! read, and nothing else is looked at.

use std::collections::HashSet;
use std::rc::Rc;

use half::f16;
use hdf5_reader::error::Error as Fault;
use hdf5_reader::group::Group;
use hdf5_reader::messages::datatype::{Datatype, StringSize, VarLenKind};
use hdf5_reader::{Dataset, Hdf5File, OpenOptions, RawAttribute};

use crate::Error;
use crate::budget::Budget;

/// What to do with a file that is damaged.
const AGAIN: &str = "copy it again, or save the model again";

/// Most axes of a tensor: those of the convolutions of Keras 1.
const MOST_AXES: usize = 4;

/// Pieces of an attribute that Keras has divided because it was long.
const MOST_PIECES: usize = 64;

/// An HDF5 file.
pub(super) struct H5 {
    file: Hdf5File,
    place: String,
    budget: Rc<Budget>,
}

/// A tensor of a file that has not been read.
pub(super) struct Stored {
    /// Its name, for messages and descriptions.
    pub(super) name: String,
    /// Its axes, the outermost first.
    pub(super) shape: Vec<usize>,
    dataset: Dataset,
}

/// What is inside an error that says where it was.
fn is_absent(fault: &Fault) -> bool {
    match fault {
        Fault::GroupNotFound(_) | Fault::DatasetNotFound(_) | Fault::AttributeNotFound(_) => true,
        Fault::Context { source, .. } => is_absent(source),
        _ => false,
    }
}

impl H5 {
    /// Opens a file; `place` is its name.
    pub(super) fn open(bytes: Vec<u8>, place: &str, budget: Rc<Budget>) -> Result<Self, Error> {
        let most = budget.left();
        let options = OpenOptions::default()
            .with_chunk_cache_bytes(0)
            .with_chunk_cache_slots(1)
            .with_max_chunk_bytes(most)
            .with_max_read_bytes(most)
            .with_max_object_header_bytes(bytes.len());
        let file = Hdf5File::from_vec_with_options(bytes, options)
            .map_err(|fault| Error::new(place, format!("this is no whole HDF5 file ({fault})"), AGAIN))?;
        Ok(Self { file, place: place.to_owned(), budget })
    }

    /// The place of something in the file.
    pub(super) fn at(&self, what: &str) -> String {
        format!("{}: {}", self.place, what.escape_debug())
    }

    fn broken(&self, what: &str, fault: &Fault) -> Error {
        Error::new(self.at(what), format!("it cannot be read ({fault})"), AGAIN)
    }

    /// The group at this path, where there is one.
    fn group(&self, path: &str) -> Result<Option<Group>, Error> {
        match self.file.group(path) {
            Ok(group) => Ok(Some(group)),
            Err(fault) if is_absent(&fault) => Ok(None),
            Err(fault) => Err(self.broken(path, &fault)),
        }
    }

    /// Whether there is a group at this path.
    pub(super) fn has(&self, path: &str) -> Result<bool, Error> {
        Ok(self.group(path)?.is_some())
    }

    /// The one text of an attribute of a group, where it has that attribute.
    pub(super) fn text(&self, path: &str, name: &str) -> Result<Option<String>, Error> {
        let Some(mut texts) = self.list(path, name)? else { return Ok(None) };
        if texts.len() != 1 {
            let problem = format!("it holds {} texts, and one is needed", texts.len());
            return Err(Error::new(self.at(&format!("{path} {name}")), problem, AGAIN));
        }
        Ok(texts.pop())
    }

    /// The texts of an attribute of a group. Of a long list Keras makes several: `name0`, `name1` …
    pub(super) fn texts(&self, path: &str, name: &str) -> Result<Option<Vec<String>>, Error> {
        if let Some(texts) = self.list(path, name)? {
            return Ok(Some(texts));
        }
        let mut all = Vec::new();
        for piece in 0..MOST_PIECES {
            match self.list(path, &format!("{name}{piece}"))? {
                Some(texts) => all.extend(texts),
                None if piece == 0 => return Ok(None),
                None => break,
            }
        }
        Ok(Some(all))
    }

    fn list(&self, path: &str, name: &str) -> Result<Option<Vec<String>>, Error> {
        let Some(group) = self.group(path)? else { return Ok(None) };
        let what = format!("{path} {name}");
        let attributes = group.raw_attributes().map_err(|fault| self.broken(&what, &fault))?;
        let Some(attribute) = attributes.into_iter().find(|attribute| attribute.name() == name) else {
            return Ok(None);
        };
        self.decoded(&group, &attribute, &what).map(Some)
    }

    /// The texts of an attribute, be they of one length or each of its own.
    fn decoded(&self, group: &Group, attribute: &RawAttribute, what: &str) -> Result<Vec<String>, Error> {
        let message = attribute.message();
        let raw = &message.raw_data;
        let refuse = |problem: &str| Error::new(self.at(what), problem, AGAIN);
        let elements = message.dataspace.num_elements().map_err(|fault| self.broken(what, &fault.into()))?;
        if elements == 0 {
            return Ok(Vec::new());
        }
        let width = match &message.datatype {
            Datatype::String { size: StringSize::Fixed(width), .. } => *width as usize,
            Datatype::String { size: StringSize::Variable, .. } | Datatype::VarLen { kind: VarLenKind::String, .. } => {
                8 + usize::from(group.offset_size())
            }
            _ => return Err(refuse("it holds no text")),
        };
        let is_fixed = matches!(message.datatype, Datatype::String { size: StringSize::Fixed(_), .. });
        let size = usize::try_from(elements).ok().and_then(|elements| elements.checked_mul(width));
        let Some(raw) = size.filter(|_| width > 0).and_then(|size| raw.get(..size)) else {
            return Err(refuse("it is shorter than it says"));
        };
        let mut heaps = HashSet::new();
        let mut texts = Vec::new();
        for element in raw.chunks_exact(width) {
            let bytes = if is_fixed {
                self.budget.take(&self.at(what), width + size_of::<String>())?;
                element.to_vec()
            } else {
                self.take_reference(element, group.offset_size(), what, &mut heaps)?;
                group.resolve_vlen_reference_bytes(element, 1).map_err(|fault| self.broken(what, &fault))?
            };
            // Texts of one length are filled with zeros, or with blanks.
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let text = std::str::from_utf8(&bytes[..end]).map_err(|_| refuse("it is no text in UTF-8"))?;
            texts.push(text.to_owned());
        }
        Ok(texts)
    }

    /// Takes memory for what a reference points to: its bytes, and the heap that they lie in, once for each heap.
    fn take_reference(&self, reference: &[u8], offset: u8, what: &str, heaps: &mut HashSet<u64>) -> Result<(), Error> {
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        let length = number(&reference[..4]) as usize;
        let address = number(&reference[4..4 + usize::from(offset)]);
        self.budget.take(&self.at(what), length.saturating_add(size_of::<String>()))?;
        if length > 0 && heaps.insert(address) {
            // A collection begins with its signature, its version and, from byte 8 on, its size: "HDF5 File Format Specification", III.E.
            let head = self.file.storage().read_range(address, 16).map_err(|fault| self.broken(what, &fault))?;
            let size = usize::try_from(number(&head[8..16])).unwrap_or(usize::MAX);
            self.budget.take(&self.at(what), size)?;
        }
        Ok(())
    }

    /// The tensor at this path, where there is one.
    pub(super) fn stored(&self, path: &str, name: &str) -> Result<Option<Stored>, Error> {
        let dataset = match self.file.dataset(path) {
            Ok(dataset) => dataset,
            Err(fault) if is_absent(&fault) => return Ok(None),
            Err(fault) => return Err(self.broken(path, &fault)),
        };
        let shape: Option<Vec<usize>> = dataset.shape().iter().map(|&size| usize::try_from(size).ok()).collect();
        let shape = shape.filter(|shape| shape.len() <= MOST_AXES);
        let Some(shape) = shape else {
            let problem = format!("its shape {:?} is that of no tensor", dataset.shape());
            return Err(Error::new(self.at(path), problem, AGAIN));
        };
        Ok(Some(Stored { name: name.to_owned(), shape, dataset }))
    }

    /// The place of a tensor.
    pub(super) fn at_tensor(&self, tensor: &Stored) -> String {
        format!("{}: tensor {}", self.place, tensor.name.escape_debug())
    }

    /// The values of a tensor, in the file's order.
    pub(super) fn values(&self, tensor: &Stored) -> Result<Vec<f32>, Error> {
        let (raw, read) = self.raw(tensor)?;
        Ok(raw.chunks_exact(read.width).map(|bytes| (read.value)(bytes)).collect())
    }

    /// The values of a matrix of so many columns, its columns one after the other.
    pub(super) fn turned(&self, tensor: &Stored, columns: usize) -> Result<Vec<f32>, Error> {
        let (raw, read) = self.raw(tensor)?;
        let rows = tensor.shape.iter().product::<usize>() / columns.max(1);
        let value = |place: usize| (read.value)(&raw[place * read.width..(place + 1) * read.width]);
        let mut values = Vec::with_capacity(rows * columns);
        (0..columns).for_each(|column| values.extend((0..rows).map(|row| value(row * columns + column))));
        Ok(values)
    }

    fn raw(&self, tensor: &Stored) -> Result<(Vec<u8>, Read), Error> {
        let at = self.at_tensor(tensor);
        let read = self.read_of(tensor)?;
        let count = tensor.shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        let bytes = count.and_then(|count| count.checked_mul(size_of::<f32>().max(read.width)));
        self.budget.take(&at, bytes.unwrap_or(usize::MAX))?;
        if let Some(chunks) = tensor.dataset.chunks() {
            let within = chunks.iter().zip(&tensor.shape).map(|(&chunk, &size)| size.div_ceil(chunk.max(1) as usize));
            let number = within.fold(1_usize, usize::saturating_mul);
            if number > self.budget.file() / 8 + 64 {
                let problem = format!("it is cut into {number} pieces, more than its file can hold");
                return Err(Error::new(at, problem, AGAIN));
            }
        }
        let raw = tensor
            .dataset
            .read_native_bytes()
            .map_err(|fault| Error::new(&at, format!("it cannot be read ({fault})"), AGAIN))?;
        if Some(raw.len()) != count.and_then(|count| count.checked_mul(read.width)) {
            return Err(Error::new(at, format!("it has {} bytes, and another number by its shape", raw.len()), AGAIN));
        }
        Ok((raw, read))
    }

    /// How a tensor's values are read. The library names a float by its bytes alone, so its fields are looked at here: bit 0 and 6 say the order of bytes.
    fn read_of(&self, tensor: &Stored) -> Result<Read, Error> {
        let at = self.at_tensor(tensor);
        let raw = tensor.dataset.raw_datatype();
        let raw = raw.map_err(|fault| Error::new(&at, format!("it cannot be read ({fault})"), AGAIN))?;
        let is_float = raw.first().is_some_and(|class| class & 15 == 1);
        // Behind class and size: bits before the number, its bits, then place and length of exponent and mantissa, then the exponent's bias.
        let fields: Option<[u8; 4]> = raw.get(12..16).and_then(|fields| fields.try_into().ok());
        let number = |bytes: &[u8]| bytes.try_into().map_or(f32::NAN, f32::from_ne_bytes);
        match (is_float, fields, tensor.dataset.raw_element_size()) {
            (true, Some([10, 5, 0, 10]), Ok(2)) => Ok(Read {
                width: 2,
                value: |bytes| bytes.try_into().map_or(f32::NAN, |bytes| f16::from_ne_bytes(bytes).to_f32()),
            }),
            (true, Some([23, 8, 0, 23]), Ok(4)) => Ok(Read { width: 4, value: number }),
            (true, Some([52, 11, 0, 52]), Ok(8)) => Ok(Read {
                width: 8,
                value: |bytes| bytes.try_into().map_or(f32::NAN, |bytes| f64::from_ne_bytes(bytes) as f32),
            }),
            _ => {
                let problem = format!("it holds {:?}, and weights are of f16, f32 or f64", tensor.dataset.dtype());
                Err(Error::new(at, problem, "save the weights as floats, without quantization"))
            }
        }
    }
}

/// How many bytes a value has, and which number they are.
struct Read {
    width: usize,
    value: fn(&[u8]) -> f32,
}
