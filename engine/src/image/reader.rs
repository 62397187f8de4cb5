//! Postcard, read by hand: the few types that a header has, in a fraction of the code that a general reader takes of a chip's flash.
//!
//! It takes what `postcard::take_from_bytes` takes, bit for bit, and refuses what that refuses; a property test holds it to that.

use heapless::Vec;

#[cfg(feature = "extended")]
use super::manifest::{Answer, AnswerKind, Early, Extended, Hashed, Ngrams, Nibbles, Spelling, Tiers, Units};
use super::manifest::{
    Embedding, Head, Input, Layer, Lstm, Manifest, Preamble, Precision, Provenance, Readout, Text, Unknown,
};

/// The bytes that have not been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    /// A LEB128 varint of a number with so many bits: at most as many bytes as these fill, and no bit beyond them in the last.
    #[inline(never)]
    fn varint(&mut self, bits: u32) -> Option<u64> {
        let mut value = 0;
        let mut shift = 0;
        while shift < bits {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                let room = bits - shift;
                return (room >= 7 || u32::from(byte) >> room == 0).then_some(value);
            }
            shift += 7;
        }
        None
    }

    fn u16(&mut self) -> Option<u16> {
        self.varint(16).map(|value| value as u16)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.varint(32).map(|value| value as u32)
    }

    pub(super) fn bool(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn preamble(&mut self) -> Option<Preamble> {
        Some(Preamble { magic: self.array()?, version: self.u16()? })
    }

    /// The fields that postcard codes.
    pub(super) fn manifest(&mut self) -> Option<Manifest> {
        let precision = match self.u32()? {
            0 => Precision::F32,
            1 => Precision::F16,
            2 => Precision::Int8,
            _ => return None,
        };
        let input = match self.u32()? {
            0 => Input::Text(Text {
                words: self.u32()?,
                unknown: match self.u32()? {
                    0 => Unknown::Skip,
                    1 => Unknown::LastRow,
                    #[cfg(feature = "extended")]
                    2 => Unknown::Hashed(Hashed { rows: self.u32()?, of: self.spelling()? }),
                    _ => return None,
                },
                character_bits: self.byte()?,
                prefix_bits: self.byte()?,
                index_is_wide: self.bool()?,
                text_bytes: self.u32()?,
            }),
            1 => Input::Ids,
            _ => return None,
        };
        let embedding = Embedding { rows: self.u32()?, width: self.u16()? };
        let mut layers = Vec::new();
        for _ in 0..self.varint(usize::BITS)? {
            let 0 = self.u32()? else { return None };
            let lstm = Lstm { inputs: self.u16()?, units: self.u16()?, shift: self.byte()? };
            layers.push(Layer::Lstm(lstm)).ok()?;
        }
        let readout = match self.u32()? {
            0 => Readout::Last,
            1 => Readout::Mean,
            2 => Readout::Max,
            #[cfg(feature = "extended")]
            3 => Readout::Attention,
            _ => return None,
        };
        let head = Head { outputs: self.u16()?, shift: self.byte()? };
        Some(Manifest {
            precision,
            input,
            embedding,
            layers,
            readout,
            head,
            folded: 0,
            #[cfg(feature = "extended")]
            extended: Extended::default(),
        })
    }

    #[cfg(feature = "extended")]
    fn spelling(&mut self) -> Option<Spelling> {
        match self.u32()? {
            0 => Some(Spelling::Whole),
            1 => Some(Spelling::Ending),
            _ => None,
        }
    }

    /// What version 4 added.
    #[cfg(feature = "extended")]
    pub(super) fn extended(&mut self) -> Option<Extended> {
        let nibbles = Nibbles { embedding: self.bool()?, gates: self.bool()? };
        let units = match self.u32()? {
            0 => Units::Words,
            1 => Units::Syllables,
            _ => return None,
        };
        let ngrams = if self.bool()? {
            Some(Ngrams {
                entries: self.u32()?,
                longest: self.byte()?,
                weight_bits: self.byte()?,
                prior: self.u16()?,
                multiplier: self.u32()?,
            })
        } else {
            None
        };
        let kind = match self.u32()? {
            0 => AnswerKind::Classes,
            1 => AnswerKind::Values,
            _ => return None,
        };
        let answer = Answer { kind, each_step: self.bool()? };
        let mut early = Vec::new();
        for _ in 0..self.varint(usize::BITS)? {
            early.push(Early { tokens: self.u32()?, logit: self.u32()? }).ok()?;
        }
        Some(Extended { nibbles, units, ngrams, answer, early, tiers: None })
    }

    /// What version 5 added.
    #[cfg(feature = "extended")]
    pub(super) fn tiers(&mut self) -> Option<Tiers> {
        Some(Tiers { whole: self.u32()?, width: self.u16()?, remainders: self.u32()?, nibbles: self.bool()? })
    }

    /// Passes over the provenance, and says whether it could be read.
    pub(super) fn skip_provenance(&mut self) -> Option<()> {
        let producer = self.varint(usize::BITS)? as usize;
        self.bytes(producer)?;
        self.varint(64)?; // seed
        self.bytes(32)?; // digest of the data
        self.u32()?; // examples
        self.u32()?; // epochs
        self.bytes(4)?; // accuracy
        Some(())
    }

    pub(super) fn provenance(&mut self) -> Option<Provenance<'a>> {
        Some(Provenance {
            producer: {
                let count = self.varint(usize::BITS)? as usize;
                self.bytes(count)?
            },
            seed: self.varint(64)?,
            data_sha256: self.array()?,
            examples: self.u32()?,
            epochs: self.u32()?,
            valid_accuracy: f32::from_bits(u32::from_le_bytes(self.array()?)),
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec as Bytes;

    fn layers() -> impl Strategy<Value = Bytes<(u16, u16, u8)>> {
        prop::collection::vec(any::<(u16, u16, u8)>(), 0..=4)
    }

    fn unknown() -> impl Strategy<Value = Unknown> {
        #[cfg(feature = "extended")]
        let hashed = (any::<u32>(), prop_oneof![Just(Spelling::Whole), Just(Spelling::Ending)])
            .prop_map(|(rows, of)| Unknown::Hashed(Hashed { rows, of }));
        #[cfg(not(feature = "extended"))]
        let hashed = Just(Unknown::Skip);
        prop_oneof![Just(Unknown::Skip), Just(Unknown::LastRow), hashed]
    }

    /// Any manifest and provenance, most of them nonsense: reading does not check.
    fn coded() -> impl Strategy<Value = Bytes<u8>> {
        let text = (any::<u32>(), unknown(), any::<u8>(), any::<u8>(), any::<bool>(), any::<u32>());
        let front = (0..3_u8, any::<Option<()>>(), text, any::<(u32, u16)>(), layers());
        let back = (
            0..3_u8,
            any::<(u16, u8)>(),
            any::<Bytes<u8>>(),
            any::<u64>(),
            any::<[u8; 32]>(),
            any::<(u32, u32, u32)>(),
        );
        (front, back).prop_map(
            |((precision, ids, text, embedding, list), (readout, head, producer, seed, sha, run))| {
                let mut layers = Vec::new();
                for (inputs, units, shift) in list {
                    let _ = layers.push(Layer::Lstm(Lstm { inputs, units, shift }));
                }
                let manifest = Manifest {
                    precision: [Precision::F32, Precision::F16, Precision::Int8][usize::from(precision)],
                    input: match ids {
                        Some(()) => Input::Ids,
                        None => Input::Text(Text {
                            words: text.0,
                            unknown: text.1,
                            character_bits: text.2,
                            prefix_bits: text.3,
                            index_is_wide: text.4,
                            text_bytes: text.5,
                        }),
                    },
                    embedding: Embedding { rows: embedding.0, width: embedding.1 },
                    layers,
                    readout: [Readout::Last, Readout::Mean, Readout::Max][usize::from(readout)],
                    head: Head { outputs: head.0, shift: head.1 },
                    folded: 0,
                    #[cfg(feature = "extended")]
                    extended: Extended::default(),
                };
                let provenance = Provenance {
                    producer: &producer,
                    seed,
                    data_sha256: sha,
                    examples: run.0,
                    epochs: run.1,
                    valid_accuracy: f32::from_bits(run.2),
                };
                postcard::to_stdvec(&(manifest, provenance)).expect("a header can be coded")
            },
        )
    }

    /// What both read of some bytes: its own coding, since a NaN equals nothing, and how much is left.
    fn assert_equal_readings(bytes: &[u8]) {
        let mut reader = Reader(bytes);
        let ours = reader.manifest().and_then(|manifest| Some((manifest, reader.provenance()?)));
        let ours = ours.map(|header| (postcard::to_stdvec(&header).ok(), reader.0.len()));
        let theirs = postcard::take_from_bytes::<(Manifest, Provenance<'_>)>(bytes)
            .map(|(header, rest)| (postcard::to_stdvec(&header).ok(), rest.len()))
            .ok();
        let mut skipping = Reader(bytes);
        let skipped = skipping.manifest().and_then(|_| skipping.skip_provenance()).map(|()| skipping.0.len());
        assert_eq!(skipped, theirs.as_ref().map(|(_, rest)| *rest), "{bytes:?}");
        assert_eq!(ours, theirs, "{bytes:?}");
    }

    proptest! {
        #[test]
        fn a_manifest_reads_as_postcard_reads_it(coded in coded(), behind in any::<[u8; 3]>()) {
            let bytes = [&coded[..], &behind[..]].concat();
            assert_equal_readings(&bytes);
        }

        #[test]
        fn a_manifest_with_a_changed_byte_or_cut_short_is_taken_or_refused_as_by_postcard(
            coded in coded(), place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()
        ) {
            let mut bytes = coded.clone();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            assert_equal_readings(&bytes);
            assert_equal_readings(&coded[..cut.index(coded.len())]);
        }

        #[test]
        fn numbers_of_every_width_are_taken_or_refused_as_by_postcard(bytes in prop::collection::vec(any::<u8>(), 0..12), high in 0..11_usize) {
            // Continuation bits far in: the lengths at which a number ends are what matters.
            let bytes: Bytes<u8> = bytes.iter().enumerate().map(|(at, &byte)| if at < high { byte | 0x80 } else { byte & 0x7F }).collect();
            prop_assert_eq!(Reader(&bytes).u16(), postcard::take_from_bytes::<u16>(&bytes).ok().map(|(value, _)| value));
            prop_assert_eq!(Reader(&bytes).u32(), postcard::take_from_bytes::<u32>(&bytes).ok().map(|(value, _)| value));
            prop_assert_eq!(Reader(&bytes).varint(64), postcard::take_from_bytes::<u64>(&bytes).ok().map(|(value, _)| value));
        }
    }
}
