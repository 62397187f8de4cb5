//! Tables and vectors of FlatBuffers, read in place: each offset is checked before it is followed, and nothing is copied.
//!
//! ```text
//! offset u32 ──> table: i32, how far before it its table of fields lies ──> u16 its bytes, u16 the table's bytes, u16 the place of each field, 0 of none
//! offset u32 ──> vector: u32 how many, then the elements; a text is a vector of bytes
//! ```
//!
//! The format: <https://flatbuffers.dev/internals/>. Offsets to tables and vectors are unsigned, so that what they lead to lies behind them and no path goes in
//! a circle; several may lead to one place.

/// A place in the bytes of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where its table of fields lies, and how many bytes that has.
    fields: usize,
    length: usize,
}

/// The `N` bytes at a place.
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The place to which the offset at a place leads.
fn followed(bytes: &[u8], at: usize) -> Option<usize> {
    let offset = usize::try_from(u32::from_le_bytes(array(bytes, at)?)).ok()?;
    // An offset of nothing leads to itself.
    at.checked_add(offset).filter(|to| offset >= 4 && *to < bytes.len())
}

/// What a field holds; `None` where the file is damaged there.
pub(crate) type Held<T> = Option<T>;

impl<'a> Table<'a> {
    /// The table to which the offset at the beginning of a file leads.
    pub(crate) fn root(bytes: &'a [u8]) -> Held<Self> {
        Self::at(bytes, followed(bytes, 0)?)
    }

    fn at(bytes: &'a [u8], at: usize) -> Held<Self> {
        let before = i64::from(i32::from_le_bytes(array(bytes, at)?));
        let fields = usize::try_from(i64::try_from(at).ok()?.checked_sub(before)?).ok()?;
        let length = usize::from(u16::from_le_bytes(array(bytes, fields)?));
        bytes.get(fields..fields.checked_add(length)?)?;
        Some(Self { bytes, at, fields, length })
    }

    /// The whole file.
    pub(crate) fn file(&self) -> &'a [u8] {
        self.bytes
    }

    /// The place of a field; nothing where the table does not have it.
    fn field(&self, number: usize) -> Held<Option<usize>> {
        let entry = 4 + 2 * number;
        if entry + 2 > self.length {
            return Some(None);
        }
        let place = usize::from(u16::from_le_bytes(array(self.bytes, self.fields + entry)?));
        Some(if place == 0 { None } else { Some(self.at.checked_add(place)?) })
    }

    fn number<const N: usize>(&self, number: usize) -> Held<Option<[u8; N]>> {
        match self.field(number)? {
            Some(at) => array(self.bytes, at).map(Some),
            None => Some(None),
        }
    }

    /// A number of 8 bits, or what it is where the table does not have it.
    pub(crate) fn u8(&self, number: usize, otherwise: u8) -> Held<u8> {
        Some(self.number::<1>(number)?.map_or(otherwise, |[byte]| byte))
    }

    pub(crate) fn bool(&self, number: usize, otherwise: bool) -> Held<bool> {
        Some(self.u8(number, otherwise.into())? != 0)
    }

    pub(crate) fn i32(&self, number: usize, otherwise: i32) -> Held<i32> {
        Some(self.number(number)?.map_or(otherwise, i32::from_le_bytes))
    }

    pub(crate) fn u32(&self, number: usize) -> Held<u32> {
        Some(self.number(number)?.map_or(0, u32::from_le_bytes))
    }

    pub(crate) fn u64(&self, number: usize) -> Held<u64> {
        Some(self.number(number)?.map_or(0, u64::from_le_bytes))
    }

    pub(crate) fn f32(&self, number: usize, otherwise: f32) -> Held<f32> {
        Some(self.number(number)?.map_or(otherwise, f32::from_le_bytes))
    }

    /// A table within this one.
    pub(crate) fn table(&self, number: usize) -> Held<Option<Self>> {
        match self.field(number)? {
            Some(at) => Self::at(self.bytes, followed(self.bytes, at)?).map(Some),
            None => Some(None),
        }
    }

    /// A vector of elements of so many bytes; an empty one where the table does not have it.
    pub(crate) fn vector<const N: usize>(&self, number: usize) -> Held<Vector<'a, N>> {
        let Some(at) = self.field(number)? else { return Some(Vector { file: self.bytes, at: 0, length: 0 }) };
        let to = followed(self.bytes, at)?;
        let length = usize::try_from(u32::from_le_bytes(array(self.bytes, to)?)).ok()?;
        let at = to + 4;
        self.bytes.get(at..at.checked_add(length.checked_mul(N)?)?)?;
        Some(Vector { file: self.bytes, at, length })
    }
}

/// Elements that lie one behind the other, all of them within the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vector<'a, const N: usize> {
    file: &'a [u8],
    at: usize,
    length: usize,
}

impl<'a, const N: usize> Vector<'a, N> {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Where its bytes lie in the file.
    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        self.at..self.at + self.length * N
    }

    fn element(&self, place: usize) -> Option<[u8; N]> {
        if place < self.length { array(self.file, self.at + place * N) } else { None }
    }
}

impl Vector<'_, 4> {
    pub(crate) fn i32(&self, place: usize) -> Option<i32> {
        self.element(place).map(i32::from_le_bytes)
    }

    pub(crate) fn f32(&self, place: usize) -> Option<f32> {
        self.element(place).map(f32::from_le_bytes)
    }
}

impl<'a> Vector<'a, 4> {
    /// The table to which an element leads.
    pub(crate) fn table(&self, place: usize) -> Held<Table<'a>> {
        if place >= self.length {
            return None;
        }
        Table::at(self.file, followed(self.file, self.at + place * 4)?)
    }
}

impl Vector<'_, 8> {
    pub(crate) fn i64(&self, place: usize) -> Option<i64> {
        self.element(place).map(i64::from_le_bytes)
    }
}

impl<'a> Vector<'a, 1> {
    /// A text, cut off behind so many bytes.
    pub(crate) fn text(&self, most: usize) -> std::borrow::Cow<'a, str> {
        let range = self.at..self.at + self.length.min(most);
        String::from_utf8_lossy(self.file.get(range).unwrap_or_default())
    }

    /// Whether it is this text.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.length == text.len() && self.file.get(self.range()) == Some(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose root has the number 7 as field 0, no field 1, itself as field 2 by an offset back, and a vector of two numbers as field 3.
    fn file() -> Vec<u8> {
        let mut bytes = vec![0; 48];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &20_u32.to_le_bytes());
        // The fields, at 8.
        for (place, value) in [12_u16, 16, 4, 0, 8, 12].into_iter().enumerate() {
            put(8 + 2 * place, &value.to_le_bytes());
        }
        put(20, &12_i32.to_le_bytes());
        put(24, &7_i32.to_le_bytes());
        put(28, &0xffff_fff8_u32.to_le_bytes());
        put(32, &4_u32.to_le_bytes());
        put(36, &2_u32.to_le_bytes());
        put(40, &1.5_f32.to_le_bytes());
        put(44, &(-2.0_f32).to_le_bytes());
        bytes
    }

    #[test]
    fn fields_are_found_by_their_table_and_others_are_what_they_are_without_one() {
        let bytes = file();
        let root = Table::root(&bytes).expect("a table");
        assert_eq!((root.i32(0, 1), root.i32(1, 5), root.i32(9, 6)), (Some(7), Some(5), Some(6)));
        let vector = root.vector::<4>(3).expect("a vector");
        assert_eq!((vector.len(), vector.f32(1), vector.f32(2)), (2, Some(-2.0), None));
        assert_eq!(vector.range(), 40..48);
        assert_eq!(root.vector::<1>(1).expect("an empty one").text(9), "");
    }

    #[test]
    fn an_offset_that_leads_out_of_the_file_or_back_is_damage() {
        let bytes = file();
        assert!(Table::root(&bytes).expect("a table").table(2).is_none(), "it leads back");
        for end in 0..bytes.len() {
            let cut = &bytes[..end];
            assert!(Table::root(cut).and_then(|root| root.vector::<4>(3)).is_none(), "{end}");
        }
        let mut to_itself = bytes.clone();
        to_itself[32..36].fill(0);
        assert!(Table::root(&to_itself).expect("a table").vector::<4>(3).is_none());
        let mut long = bytes;
        long[36..40].fill(0xff);
        assert!(Table::root(&long).expect("a table").vector::<4>(3).is_none());
    }
}
