//! Constants: tensors of the file, and views of them. A slice, a transpose or a new shape moves no number; numbers are read when a layer needs them.

use std::rc::Rc;

use half::{bf16, f16};
use prost::bytes::Bytes;

use super::proto;
use super::weigh::{COPY_AGAIN, varint};
use crate::Error;
use crate::budget::Budget;

/// Most axes of a tensor.
pub(crate) const MOST_AXES: usize = 8;

/// Most numbers of a tensor that says a shape, axes or places.
pub(crate) const MOST_INTS: usize = 64;

/// The type of a tensor's numbers, by its number in `TensorProto.DataType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dtype {
    F32,
    U8,
    I8,
    U16,
    I16,
    I32,
    I64,
    Bool,
    F16,
    F64,
    U32,
    U64,
    Bf16,
}

impl Dtype {
    pub(crate) fn of(number: i64) -> Option<Self> {
        Some(match number {
            1 => Self::F32,
            2 => Self::U8,
            3 => Self::I8,
            4 => Self::U16,
            5 => Self::I16,
            6 => Self::I32,
            7 => Self::I64,
            9 => Self::Bool,
            10 => Self::F16,
            11 => Self::F64,
            12 => Self::U32,
            13 => Self::U64,
            16 => Self::Bf16,
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64 | Self::F16 | Self::Bf16)
    }
}

/// What numbers of 8 bits are worth: `scale · (q - zero)`, a scale for each place of some axes of the tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quantized {
    pub(crate) scale: Vec<f32>,
    pub(crate) zero: Vec<f32>,
    /// Of each axis of the tensor as it lies in the file: its size, and the distance of its scales; 0 where they are the same along it.
    pub(crate) axes: Vec<(usize, usize)>,
}

impl Quantized {
    /// The value of the number at this place of the file's order.
    fn value(&self, number: f64, place: usize) -> f64 {
        let (mut left, mut at) = (place, 0);
        for &(size, distance) in self.axes.iter().rev() {
            at += left % size.max(1) * distance;
            left /= size.max(1);
        }
        let of = |values: &[f32]| values.get(at).copied().map_or(0.0, f64::from);
        of(&self.scale) * (number - of(&self.zero))
    }
}

/// Numbers as they lie in a file: little-endian, in the order of their axes.
#[derive(Debug)]
struct Data {
    name: String,
    dtype: Dtype,
    bytes: Bytes,
    quantized: Option<Quantized>,
}

/// A view of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Const {
    data: Rc<Data>,
    /// The size of each axis, and the distance of its places.
    axes: Vec<(usize, isize)>,
    offset: usize,
}

/// The axes of numbers that lie one behind the other.
fn dense(dims: &[usize]) -> Vec<(usize, isize)> {
    let mut distance = 1_isize;
    let mut axes: Vec<(usize, isize)> = dims
        .iter()
        .rev()
        .map(|&size| {
            let axis = (size, distance);
            distance = distance.saturating_mul(size.max(1) as isize);
            axis
        })
        .collect();
    axes.reverse();
    axes
}

impl Const {
    /// A tensor of the file.
    ///
    /// # Errors
    /// Where its numbers are in another file, of a type that is not read, or not as many as its shape says.
    pub(crate) fn of(tensor: &proto::Tensor, name: &str, place: &str, budget: &Budget) -> Result<Self, Error> {
        let at = format!("{place}: tensor {}", name.escape_debug());
        let refuse = |problem: String, remedy: &str| Err(Error::new(at.as_str(), problem, remedy));
        if tensor.data_location != 0 || !tensor.external_data.is_empty() {
            let location = tensor.external_data.iter().find(|entry| entry.key == "location");
            let other = location.map_or("another file", |entry| entry.value.as_str());
            let problem = format!("its numbers are in {}, beside the model", other.escape_debug());
            return refuse(problem, "save one file: onnx.save(onnx.load(\"model.onnx\"), \"whole.onnx\")");
        }
        let Some(dtype) = Dtype::of(tensor.data_type.into()) else {
            let problem = format!("the type of its numbers ({}) is not read", tensor.data_type);
            return refuse(problem, "save weights as float, float16, bfloat16, double or int8");
        };
        let bytes = numbers(tensor, dtype, &at, budget)?;
        Self::stored(name, dtype, &tensor.dims, bytes, place)
    }

    /// Numbers that lie in a file.
    ///
    /// # Errors
    /// Where they are not as many as the shape says.
    pub(crate) fn stored(name: &str, dtype: Dtype, shape: &[i64], bytes: Bytes, place: &str) -> Result<Self, Error> {
        let at = format!("{place}: tensor {}", name.escape_debug());
        let refuse = |problem: String, remedy: &str| Err(Error::new(at.as_str(), problem, remedy));
        let dims: Option<Vec<usize>> = shape.iter().map(|&size| usize::try_from(size).ok()).collect();
        // A tensor without a number has no long axis either.
        let places = |dims: &Vec<usize>| dims.iter().try_fold(1_usize, |all, &size| all.checked_mul(size.max(1)));
        let is_empty = dims.as_ref().is_some_and(|dims| dims.contains(&0));
        let count = dims.as_ref().and_then(places).filter(|places| !is_empty || *places <= MOST_INTS);
        let count = count.map(|count| if is_empty { 0 } else { count });
        let needed =
            count.and_then(|count| count.checked_mul(dtype.bytes())).filter(|needed| *needed <= isize::MAX as usize);
        let (Some(dims), Some(needed)) = (dims.filter(|dims| dims.len() <= MOST_AXES), needed) else {
            return refuse(format!("its shape is {shape:?}"), COPY_AGAIN);
        };
        if bytes.len() != needed {
            let found = bytes.len() / dtype.bytes();
            let problem = format!("its shape is {dims:?}, but it has {found} numbers ({} bytes)", bytes.len());
            return refuse(problem, COPY_AGAIN);
        }
        let data = Data { name: name.to_owned(), dtype, bytes, quantized: None };
        Ok(Self { data: Rc::new(data), axes: dense(&dims), offset: 0 })
    }

    /// Numbers that were computed.
    fn computed(name: &str, dims: &[usize], dtype: Dtype, bytes: Vec<u8>) -> Self {
        let data = Data { name: name.to_owned(), dtype, bytes: bytes.into(), quantized: None };
        Self { data: Rc::new(data), axes: dense(dims), offset: 0 }
    }

    /// Computed floats; there are as many as the sizes say.
    pub(crate) fn floats(name: &str, dims: &[usize], values: &[f32]) -> Self {
        Self::computed(name, dims, Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// Computed integers; there are as many as the sizes say.
    pub(crate) fn integers(name: &str, dims: &[usize], values: &[i64]) -> Self {
        Self::computed(name, dims, Dtype::I64, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// The same with what its numbers are worth; nothing of a view that is not the whole tensor in its own order.
    pub(crate) fn quantized(&self, quantized: Quantized) -> Option<Self> {
        if self.offset != 0 || self.axes != dense(&self.dims()) || self.data.quantized.is_some() {
            return None;
        }
        let Data { name, dtype, bytes, .. } = &*self.data;
        let (name, bytes) = (name.clone(), bytes.clone());
        let data = Data { name, dtype: *dtype, bytes, quantized: Some(quantized) };
        Some(Self { data: Rc::new(data), axes: self.axes.clone(), offset: 0 })
    }

    pub(crate) fn name(&self) -> &str {
        &self.data.name
    }

    pub(crate) fn dims(&self) -> Vec<usize> {
        self.axes.iter().map(|(size, _)| *size).collect()
    }

    /// How many numbers it has; the largest number where they are more than can be counted.
    pub(crate) fn len(&self) -> usize {
        self.axes.iter().fold(1, |all: usize, (size, _)| all.saturating_mul(*size))
    }

    /// Whether a layer may compute with its numbers.
    pub(crate) fn is_float(&self) -> bool {
        self.data.dtype.is_float() || self.data.quantized.is_some()
    }

    pub(crate) fn is_bool(&self) -> bool {
        self.data.dtype == Dtype::Bool
    }

    /// The numbers of a view one after the other, each as its place in the data.
    fn places(&self) -> impl Iterator<Item = usize> + '_ {
        let mut at = vec![0_usize; self.axes.len()];
        let mut next = (self.len() > 0).then_some(self.offset as isize);
        std::iter::from_fn(move || {
            let place = next?;
            next = None;
            let mut moved = place;
            for (axis, &(size, distance)) in self.axes.iter().enumerate().rev() {
                at[axis] += 1;
                moved += distance;
                if at[axis] < size {
                    next = Some(moved);
                    break;
                }
                moved -= distance * size as isize;
                at[axis] = 0;
            }
            usize::try_from(place).ok()
        })
    }

    fn number(&self, place: usize) -> f64 {
        let Data { dtype, bytes, quantized, .. } = &*self.data;
        let number = match dtype {
            Dtype::F32 => f32::from_le_bytes(chunk(bytes, place)).into(),
            Dtype::F64 => f64::from_le_bytes(chunk(bytes, place)),
            Dtype::F16 => f16::from_le_bytes(chunk(bytes, place)).into(),
            Dtype::Bf16 => bf16::from_le_bytes(chunk(bytes, place)).into(),
            _ => self.integer(place) as f64,
        };
        quantized.as_ref().map_or(number, |quantized| quantized.value(number, place))
    }

    fn integer(&self, place: usize) -> i64 {
        let Data { dtype, bytes, .. } = &*self.data;
        match dtype {
            Dtype::U8 | Dtype::Bool => chunk::<1>(bytes, place)[0].into(),
            Dtype::I8 => i8::from_le_bytes(chunk(bytes, place)).into(),
            Dtype::U16 => u16::from_le_bytes(chunk(bytes, place)).into(),
            Dtype::I16 => i16::from_le_bytes(chunk(bytes, place)).into(),
            Dtype::I32 => i32::from_le_bytes(chunk(bytes, place)).into(),
            Dtype::U32 => u32::from_le_bytes(chunk(bytes, place)).into(),
            Dtype::I64 => i64::from_le_bytes(chunk(bytes, place)),
            Dtype::U64 => i64::try_from(u64::from_le_bytes(chunk(bytes, place))).unwrap_or(i64::MAX),
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => self.number(place) as i64,
        }
    }

    /// Its numbers as f32, in the order of its axes.
    ///
    /// # Errors
    /// Where they would take more memory than a file of this size may.
    pub(crate) fn values(&self, place: &str, budget: &Budget) -> Result<Vec<f32>, Error> {
        let mut values = Vec::new();
        self.append(&mut values, place, budget)?;
        Ok(values)
    }

    /// Puts its numbers behind others, without more memory than they need.
    ///
    /// # Errors
    /// Where they would take more memory than a file of this size may.
    pub(crate) fn append(&self, values: &mut Vec<f32>, place: &str, budget: &Budget) -> Result<(), Error> {
        let bytes = self.len().saturating_mul(size_of::<f32>());
        budget.take(&format!("{place}: tensor {}", self.name().escape_debug()), bytes)?;
        values.reserve_exact(self.len());
        values.extend(self.places().map(|place| self.number(place) as f32));
        Ok(())
    }

    /// Its numbers as integers, where they are few.
    pub(crate) fn ints(&self) -> Option<Vec<i64>> {
        (self.len() <= MOST_INTS).then(|| self.places().map(|place| self.integer(place)).collect())
    }

    /// Its numbers as floats, where they are few.
    pub(crate) fn few(&self) -> Option<Vec<f64>> {
        (self.len() <= MOST_INTS).then(|| self.places().map(|place| self.number(place)).collect())
    }

    /// With its axes in another order, a permutation of all.
    pub(crate) fn transposed(&self, order: &[usize]) -> Option<Self> {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..self.axes.len()) {
            return None;
        }
        let axes = order.iter().map(|&axis| self.axes[axis]).collect();
        Some(Self { data: Rc::clone(&self.data), axes, offset: self.offset })
    }

    /// `count` places of an axis from `start`, `step` apart.
    pub(crate) fn sliced(&self, axis: usize, start: usize, step: isize, count: usize) -> Option<Self> {
        let mut view = self.clone();
        let (size, distance) = view.axes.get_mut(axis)?;
        let last = start as isize + step.checked_mul(count.saturating_sub(1) as isize)?;
        if count > 0 && (start >= *size || last < 0 || last as usize >= *size) {
            return None;
        }
        if count > 0 {
            view.offset = usize::try_from(view.offset as isize + *distance * start as isize).ok()?;
        }
        *distance = distance.checked_mul(step)?;
        *size = count;
        Some(view)
    }

    /// One place of an axis, which is gone then.
    pub(crate) fn picked(&self, axis: usize, place: usize) -> Option<Self> {
        let mut view = self.sliced(axis, place, 1, 1)?;
        view.axes.remove(axis);
        Some(view)
    }

    /// With an axis of one place before this one.
    pub(crate) fn unsqueezed(&self, axis: usize) -> Option<Self> {
        let mut view = self.clone();
        if axis > view.axes.len() || view.axes.len() >= MOST_AXES {
            return None;
        }
        view.axes.insert(axis, (1, 0));
        Some(view)
    }

    /// With axes of one place as large as these; more axes may stand in front.
    pub(crate) fn expanded(&self, dims: &[usize]) -> Option<Self> {
        let mut view = self.clone();
        while view.axes.len() < dims.len() {
            view = view.unsqueezed(0)?;
        }
        let front = view.axes.len() - dims.len();
        if self.len() == 0 {
            return None;
        }
        for (axis, &size) in view.axes[front..].iter_mut().zip(dims) {
            match (axis.0, size) {
                (from, to) if from == to || to == 1 => {}
                (1, to) => *axis = (to, 0),
                _ => return None,
            }
        }
        Some(view)
    }

    /// With other sizes of as many numbers.
    ///
    /// # Errors
    /// Where numbers must move, and there is no memory for that.
    pub(crate) fn reshaped(&self, dims: &[usize], place: &str, budget: &Budget) -> Result<Option<Self>, Error> {
        let count = dims.iter().try_fold(1_usize, |all, &size| all.checked_mul(size));
        if count != Some(self.len()) || dims.len() > MOST_AXES {
            return Ok(None);
        }
        let long = |axes: &[(usize, isize)]| axes.iter().copied().filter(|(size, _)| *size != 1).collect::<Vec<_>>();
        if long(&self.axes) == long(&dense(&self.dims())) {
            let data = Rc::clone(&self.data);
            return Ok(Some(Self { data, axes: dense(dims), offset: self.offset }));
        }
        Ok(Some(Self::floats(self.name(), dims, &self.values(place, budget)?)))
    }
}

/// The bytes of the number at a place; zeros behind the last, which no view reaches.
fn chunk<const N: usize>(bytes: &[u8], place: usize) -> [u8; N] {
    bytes.get(place * N..place * N + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

/// The bytes of a tensor's numbers, little-endian, from the field in which they are.
fn numbers(tensor: &proto::Tensor, dtype: Dtype, at: &str, budget: &Budget) -> Result<Bytes, Error> {
    if let Some(raw) = &tensor.raw_data {
        return Ok(raw.clone());
    }
    let joined = |parts: &[Bytes]| -> Result<Bytes, Error> {
        if let [one] = parts {
            return Ok(one.clone());
        }
        budget.take(at, parts.iter().map(Bytes::len).sum())?;
        Ok(parts.concat().into())
    };
    match dtype {
        // Packed floats and doubles lie as in memory.
        Dtype::F32 => joined(&tensor.float_data),
        Dtype::F64 => joined(&tensor.double_data),
        Dtype::I64 => unpacked(&tensor.int64_data, dtype, at, budget),
        Dtype::U32 | Dtype::U64 => {
            let problem = "its numbers are in uint64_data, which is not read";
            Err(Error::new(at, problem, "save it with raw_data, as onnx.numpy_helper.from_array does"))
        }
        _ => unpacked(&tensor.int32_data, dtype, at, budget),
    }
}

/// The little-endian bytes of packed numbers of 7 bits a byte: those of a float of 16 bits are its bits.
fn unpacked(parts: &[Bytes], dtype: Dtype, at: &str, budget: &Budget) -> Result<Bytes, Error> {
    let numbers = || parts.iter().flat_map(|part| part.iter()).filter(|byte| *byte & 0x80 == 0).count();
    budget.take(at, numbers().saturating_mul(dtype.bytes()))?;
    let mut bytes = Vec::with_capacity(numbers() * dtype.bytes());
    for part in parts {
        let mut rest: &[u8] = part;
        while !rest.is_empty() {
            let (number, behind) =
                varint(rest).ok_or_else(|| Error::new(at, "its numbers are cut off or damaged", COPY_AGAIN))?;
            bytes.extend_from_slice(&number.to_le_bytes()[..dtype.bytes()]);
            rest = behind;
        }
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        Budget::of(1 << 10, (4, 1 << 18), "save it again")
    }

    fn of(tensor: &proto::Tensor) -> Result<Const, Error> {
        Const::of(tensor, &tensor.name, "net", &budget())
    }

    fn tensor(dims: &[i64], data_type: i32) -> proto::Tensor {
        proto::Tensor { dims: dims.to_vec(), data_type, name: "w".into(), ..proto::Tensor::default() }
    }

    #[test]
    fn numbers_of_every_type_and_field_are_read() {
        let raw = |data_type, bytes: &[u8]| proto::Tensor {
            raw_data: Some(Bytes::copy_from_slice(bytes)),
            ..tensor(&[2], data_type)
        };
        let (one, two) = (f16::from_f32(1.5), f16::from_f32(-2.0));
        let packed = |number: u16| vec![number as u8 | 0x80, (number >> 7) as u8 | 0x80, (number >> 14) as u8];
        let sixteen = [packed(one.to_bits()), packed(two.to_bits())].concat();
        let cases = [
            raw(1, &[1.5_f32.to_le_bytes(), (-2.0_f32).to_le_bytes()].concat()),
            raw(11, &[1.5_f64.to_le_bytes(), (-2.0_f64).to_le_bytes()].concat()),
            raw(10, &[one.to_le_bytes(), two.to_le_bytes()].concat()),
            raw(16, &[bf16::from_f32(1.5).to_le_bytes(), bf16::from_f32(-2.0).to_le_bytes()].concat()),
            proto::Tensor {
                float_data: vec![1.5_f32.to_le_bytes().to_vec().into(), (-2.0_f32).to_le_bytes().to_vec().into()],
                ..tensor(&[2], 1)
            },
            proto::Tensor { int32_data: vec![sixteen.into()], ..tensor(&[2], 10) },
        ];
        for case in cases {
            assert_eq!(of(&case).unwrap().values("net", &budget()).unwrap(), [1.5, -2.0], "{case:?}");
        }
        let minus = [vec![5], vec![0xff; 9], vec![1]].concat();
        let ints = proto::Tensor { int64_data: vec![minus.clone().into()], ..tensor(&[2], 7) };
        assert_eq!(of(&ints).unwrap().ints(), Some(vec![5, -1]));
        let bytes = proto::Tensor { int32_data: vec![minus.into()], ..tensor(&[2], 3) };
        assert_eq!(of(&bytes).unwrap().ints(), Some(vec![5, -1]));
    }

    #[test]
    fn a_tensor_that_is_not_what_it_declares_is_refused_by_its_name() {
        let entry = proto::Entry { key: "location".into(), value: "w.bin".into() };
        for (tensor, words) in [
            (tensor(&[2], 1), "net: tensor w: its shape is [2], but it has 0 numbers (0 bytes)"),
            (tensor(&[-2], 1), "net: tensor w: its shape is [-2]"),
            (tensor(&[1 << 40, 1 << 40], 1), "net: tensor w: its shape is [1099511627776, 1099511627776]"),
            (tensor(&[2], 8), "net: tensor w: the type of its numbers (8) is not read"),
            (
                proto::Tensor { external_data: vec![entry], ..tensor(&[2], 1) },
                "net: tensor w: its numbers are in w.bin, beside the model; save one file",
            ),
        ] {
            let error = of(&tensor).expect_err(words).to_string();
            assert!(error.starts_with(words), "{error}");
        }
    }

    #[test]
    fn views_are_those_of_numpy() {
        let all: Vec<f32> = (0..6).map(|value| value as f32).collect();
        let matrix = Const::floats("w", &[2, 3], &all);
        let values = |view: Option<Const>| view.expect("a view").values("net", &budget()).expect("small");
        assert_eq!(values(matrix.transposed(&[1, 0])), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(values(matrix.sliced(1, 2, -2, 2)), [2.0, 0.0, 5.0, 3.0]);
        assert_eq!(values(matrix.picked(0, 1)), [3.0, 4.0, 5.0]);
        assert_eq!(values(matrix.picked(0, 1).and_then(|row| row.expanded(&[2, 3]))), [3.0, 4.0, 5.0, 3.0, 4.0, 5.0]);
        let turned = matrix.transposed(&[1, 0]).expect("a view");
        assert_eq!(values(turned.reshaped(&[6], "net", &budget()).expect("small")), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert!(matrix.sliced(1, 1, 2, 2).is_none() && matrix.transposed(&[0, 0]).is_none());
        let quantized = Quantized { scale: vec![0.5, 2.0], zero: vec![1.0, 0.0], axes: vec![(2, 1), (3, 0)] };
        let ints = Const::integers("q", &[2, 3], &[1, 2, 3, 4, 5, 6]).quantized(quantized).expect("whole");
        assert_eq!(values(ints.transposed(&[1, 0])), [0.0, 8.0, 0.5, 10.0, 1.0, 12.0]);
    }
}
