//! JSON of model files: a tree whose nested arrays of numbers are tensors.
//!
//! The bytes may come from anywhere. Arrays of numbers are kept flat, four bytes a number, so that a tree is never much larger than its file; all other
//! values together are at most [`MOST_VALUES`], and arrays and objects lie at most [`DEEPEST`] deep in one another. A key stands once in an object. Order is kept.

use std::cell::Cell;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use crate::Error;
use crate::described::{Matrix, Vector};

/// Most values of a file that are no numbers of a tensor: far more than any model has layers, names and sizes.
const MOST_VALUES: usize = 65_536;

/// Arrays and objects in one another: three more than any model has.
const DEEPEST: usize = 16;

/// Axes of a tensor: those of a two-dimensional convolution.
const MOST_AXES: usize = 4;

/// A rectangle of numbers, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    /// Sizes of its axes, the outermost first.
    pub(crate) shape: Vec<usize>,
    /// As many values as the product of the shape.
    pub(crate) values: Vec<f32>,
}

impl Tensor {
    /// As a value: a number where it has no axis.
    fn json(self) -> Json {
        match (self.shape.as_slice(), self.values.as_slice()) {
            ([], &[number]) => Json::Number(f64::from(number)),
            _ => Json::Tensor(self),
        }
    }
}

/// A value of a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    /// An array that is no tensor: of other values than numbers, or of rows of different shapes.
    Array(Vec<Json>),
    Object(Object),
    /// Numbers, or arrays of them of one shape; not empty.
    Tensor(Tensor),
}

/// An object, its entries in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Object(pub(crate) Vec<(String, Json)>);

impl Object {
    /// The value of a key; nothing where it is null, too.
    pub(crate) fn get(&self, key: &str) -> Option<&Json> {
        let found = self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        found.filter(|value| **value != Json::Null)
    }

    /// Takes the value of a key out.
    pub(crate) fn take(&mut self, key: &str) -> Option<Json> {
        let place = self.0.iter().position(|(name, _)| name == key)?;
        Some(std::mem::replace(&mut self.0[place].1, Json::Null)).filter(|value| *value != Json::Null)
    }

    /// The object of a key.
    pub(crate) fn object(&self, key: &str) -> Option<&Object> {
        match self.get(key) {
            Some(Json::Object(object)) => Some(object),
            _ => None,
        }
    }

    /// The text of a key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Json::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The number of a key.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        match self.get(key) {
            Some(Json::Number(number)) => Some(*number),
            _ => None,
        }
    }
}

impl Json {
    /// What it is, for messages.
    pub(crate) fn shown(&self) -> String {
        match self {
            Json::Null => "null".into(),
            Json::Bool(value) => value.to_string(),
            Json::Number(value) => value.to_string(),
            Json::Text(text) => {
                let text: String = text.chars().take(40).collect();
                format!("{text:?}")
            }
            Json::Array(items) => format!("an array of {} values", items.len()),
            Json::Object(_) => "an object".into(),
            Json::Tensor(tensor) => format!("numbers in the shape {:?}", tensor.shape),
        }
    }

    /// The values of an array, the rows of a tensor among them, where they are no more than the values of a file may be.
    pub(crate) fn into_items(self) -> Option<Vec<Json>> {
        match self {
            Json::Array(items) => Some(items),
            Json::Tensor(Tensor { shape, values }) => {
                let [0..=MOST_VALUES, inner @ ..] = shape.as_slice() else { return None };
                if inner.is_empty() {
                    return Some(values.into_iter().map(|value| Json::Number(f64::from(value))).collect());
                }
                let size = inner.iter().product::<usize>().max(1);
                let row = |values: &[f32]| Json::Tensor(Tensor { shape: inner.to_vec(), values: values.to_vec() });
                Some(values.chunks(size).map(row).collect())
            }
            _ => None,
        }
    }

    /// The tensor of this shape, or what is there in its place; `at` is its place.
    pub(crate) fn into_tensor(self, at: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        match self {
            Json::Tensor(tensor) if tensor.shape == shape => Ok(tensor.values),
            other => {
                let found = match &other {
                    Json::Tensor(tensor) => format!("its shape is {:?}", tensor.shape),
                    Json::Array(items) => match uneven(items) {
                        Some((row, found, first)) => {
                            format!("its rows differ: row {row} has the shape {found:?}, and the first has {first:?}")
                        }
                        None => format!("it is {}", other.shown()),
                    },
                    _ => format!("it is {}", other.shown()),
                };
                let problem = format!("{found}, but {shape:?} is declared");
                Err(Error::new(at, problem, "save all tensors of one network"))
            }
        }
    }
}

/// The first row of another shape than the first, with both shapes.
fn uneven(items: &[Json]) -> Option<(usize, &[usize], &[usize])> {
    let shape = |item: &'_ Json| match item {
        Json::Tensor(tensor) => Some(tensor.shape.clone()),
        _ => None,
    };
    let first = shape(items.first()?)?;
    let row = items.iter().position(|item| shape(item).is_some_and(|shape| shape != first))?;
    match (&items[row], &items[0]) {
        (Json::Tensor(found), Json::Tensor(first)) => Some((row, &found.shape, &first.shape)),
        _ => None,
    }
}

/// A matrix of this shape; `at` is the file, `source` the tensor.
pub(crate) fn matrix(
    at: &str,
    source: String,
    json: Option<Json>,
    [rows, columns]: [usize; 2],
) -> Result<Matrix, Error> {
    let values = present(at, &source, json)?.into_tensor(&place_of(at, &source), &[rows, columns])?;
    Ok(Matrix { source, rows, columns, values })
}

/// A vector of this length; `at` is the file, `source` the tensor.
pub(crate) fn vector(at: &str, source: String, json: Option<Json>, length: usize) -> Result<Vector, Error> {
    let values = present(at, &source, json)?.into_tensor(&place_of(at, &source), &[length])?;
    Ok(Vector { source, values })
}

/// The value, or that it is missing.
fn present(at: &str, source: &str, json: Option<Json>) -> Result<Json, Error> {
    json.ok_or_else(|| Error::new(place_of(at, source), "it is missing", "save all tensors of the network"))
}

/// The place of a tensor.
pub(crate) fn place_of(at: &str, source: &str) -> String {
    format!("{at}: tensor {}", source.escape_debug())
}

/// A size that an entry says: a whole number from 1 to `most`. `name` is the entry's place in the file.
pub(crate) fn size(at: &str, name: &str, value: Option<&Json>, most: usize) -> Result<usize, Error> {
    let remedy = "export the model again";
    let refuse = |problem: String| Error::new(format!("{at}: {}", name.escape_debug()), problem, remedy);
    match value {
        Some(Json::Number(number)) if number.fract() == 0.0 && (1.0..=most as f64).contains(number) => {
            Ok(*number as usize)
        }
        Some(other) => Err(refuse(format!("it is {}, but a whole number from 1 to {most} is needed", other.shown()))),
        None => Err(refuse("it is missing".into())),
    }
}

/// Reads the bytes of a file that holds one object; `at` is the file.
///
/// # Errors
/// Says where the text is no JSON, is too deep, has too many values, or a key twice in one object.
pub(crate) fn parse(bytes: &[u8], at: &str) -> Result<Object, Error> {
    let broken = |error: serde_json::Error| {
        let remedy = "copy it again, or export it again";
        Error::new(at, format!("this is no whole JSON of a model ({error})"), remedy)
    };
    // What some editors put before the first character.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let left = Cell::new(MOST_VALUES);
    let value = Seed { left: &left, depth: DEEPEST }.deserialize(&mut reader).map_err(broken)?;
    reader.end().map_err(broken)?;
    match value {
        Json::Object(object) => Ok(object),
        other => {
            let problem = format!("it holds {}, and a model is an object", other.shown());
            Err(Error::new(at, problem, "export the model again"))
        }
    }
}

/// Reads one value, so many arrays and objects deep at most.
#[derive(Clone, Copy)]
struct Seed<'a> {
    /// Values that may still come.
    left: &'a Cell<usize>,
    depth: usize,
}

impl Seed<'_> {
    /// Counts values that are no numbers of a tensor.
    fn count<E: serde::de::Error>(self, values: usize) -> Result<(), E> {
        match self.left.get().checked_sub(values) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(E::custom(format!("it has more than {MOST_VALUES} values beside its tensors"))),
        }
    }

    /// The seed of what lies within.
    fn within<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => Err(E::custom(format!("arrays and objects lie more than {DEEPEST} deep"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Json, A::Error> {
        let seed = self.within()?;
        let mut items = Items::Nothing;
        while let Some(item) = sequence.next_element_seed(seed)? {
            items = items.with(item, seed)?;
        }
        Ok(items.json())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let seed = self.within()?;
        let mut object = Object::default();
        let mut keys = std::collections::HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            seed.count(1)?;
            if !keys.insert(key.clone()) {
                return Err(A::Error::custom(format!("the key {key:?} stands twice in one object")));
            }
            object.0.push((key, map.next_value_seed(seed)?));
        }
        Ok(Json::Object(object))
    }
}

/// The values of an array while it is read.
enum Items {
    Nothing,
    /// So many rows of one shape, flat.
    Rows {
        shape: Vec<usize>,
        rows: usize,
        values: Vec<f32>,
    },
    Mixed(Vec<Json>),
}

/// Puts values behind others. A `Vec` doubles its memory when it is full; this one takes a quarter more, so that all memory stays within that of the file.
fn extend(values: &mut Vec<f32>, more: &[f32]) {
    if values.capacity() - values.len() < more.len() {
        values.reserve_exact(more.len().max(values.len() / 4).max(16));
    }
    values.extend_from_slice(more);
}

impl Items {
    fn with<E: serde::de::Error>(self, item: Json, seed: Seed<'_>) -> Result<Self, E> {
        let row = match item {
            Json::Number(number) => Ok(Tensor { shape: Vec::new(), values: vec![number as f32] }),
            Json::Tensor(tensor) if tensor.shape.len() < MOST_AXES => Ok(tensor),
            other => Err(other),
        };
        match (self, row) {
            (Items::Nothing, Ok(Tensor { shape, values })) => Ok(Items::Rows { shape, rows: 1, values }),
            (Items::Rows { shape, rows, mut values }, Ok(row)) if row.shape == shape => {
                extend(&mut values, &row.values);
                Ok(Items::Rows { shape, rows: rows + 1, values })
            }
            (Items::Nothing, Err(item)) => {
                seed.count::<E>(1)?;
                Ok(Items::Mixed(vec![item]))
            }
            (Items::Mixed(mut items), row) => {
                seed.count::<E>(1)?;
                items.push(row.map_or_else(|item| item, Tensor::json));
                Ok(Items::Mixed(items))
            }
            (Items::Rows { shape, rows, values }, row) => {
                // Rows that are no tensor together count one by one.
                seed.count::<E>(rows + 1)?;
                let mut items = Items::Rows { shape, rows, values }.json().into_items().unwrap_or_default();
                items.push(row.map_or_else(|item| item, Tensor::json));
                Ok(Items::Mixed(items))
            }
        }
    }

    fn json(self) -> Json {
        match self {
            Items::Nothing => Json::Array(Vec::new()),
            Items::Mixed(items) => Json::Array(items),
            Items::Rows { shape, rows, mut values } => {
                values.shrink_to_fit();
                Json::Tensor(Tensor { shape: std::iter::once(rows).chain(shape).collect(), values })
            }
        }
    }
}

#[cfg(test)]
mod tests;
