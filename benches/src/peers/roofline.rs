//! What an LSTM step cannot be faster than on this processor: its weights must be loaded, and multiplied; and what its activations take alone.
//!
//! All three are measured, in the same rounds as the engines and on the same core, and are rows like theirs:
//!
//! | peer | what it takes |
//! | --- | --- |
//! | `load` | reading as many bytes as a step's weights, biases and multipliers have, again and again, with the fastest loads; f16 through the conversion to f32 |
//! | `multiply-add` | as many multiply-adds as a step has, on registers alone: f32 fused multiply-adds, or int8 products; on AVX2, whose products of bytes are not exact by themselves, products of 16 bits added in pairs |
//! | `activations` | three sigmoids and two hyperbolic tangents a unit, by that backend |
//! | `load-L1`, `load-L2`, `load-L3` | reading 1 KiB of a block of half that cache's size |
//!
//! The instructions are those of x86-64 that a backend of ours has, the widest unless one is asked for; other processors get no such rows but
//! `activations`.
//!
//! # Unsafe
//! Intrinsics are `unsafe` where they touch memory or are called from code that does not have their feature. The functions here are
//! private, their callers test for the feature, and loads stay inside a slice.
#![allow(unsafe_code)]

use std::convert::Infallible;
use std::hint::black_box;
use std::path::Path;

use latch_engine::kernels::{AnyBackend, Backend, WithBackend};

use super::cell::{Kind, Shape};
use super::clock::nanoseconds;
use super::rounds::{Key, Row};

/// Reading a step's weights.
pub const LOAD: &str = "load";

/// A step's multiply-adds.
pub const MULTIPLY_ADD: &str = "multiply-add";

/// A step's activations.
pub const ACTIVATIONS: &str = "activations";

/// Reading 1 KiB from a cache, with the cache's level.
pub const CACHES: [(&str, u32); 3] = [("load-L1", 1), ("load-L2", 2), ("load-L3", 3)];

/// Precisions of weights that have a roofline.
pub const PRECISIONS: [&str; 3] = ["f32", "f16", "int8"];

/// True for a name of this module: no engine.
pub fn is_limit(peer: &str) -> bool {
    [LOAD, MULTIPLY_ADD, ACTIVATIONS].contains(&peer) || CACHES.iter().any(|(name, _)| *name == peer)
}

/// Bytes that a step reads: weights, and for each gate a bias of 4 bytes, with int8 a multiplier of 2 as well.
pub fn bytes(precision: &str, shape: Shape) -> usize {
    match precision {
        "f32" => shape.bytes(4, 4),
        "f16" => shape.bytes(2, 4),
        _ => shape.bytes(1, 6),
    }
}

/// The rows of a shape, at the precisions of [`PRECISIONS`], by the instructions of a backend.
pub fn rows(shape: Shape, backend: AnyBackend) -> Vec<Row> {
    let mut rows = Vec::new();
    for precision in PRECISIONS {
        let mut push = |peer: &str, ns: f64| {
            let key = Key { peer: peer.to_owned(), cell: Some(Kind::Lstm), precision: precision.to_owned(), shape };
            rows.push(Row { key, ns, difference: None });
        };
        if let Some(ns) = load_nanoseconds(precision, bytes(precision, shape), backend) {
            push(LOAD, ns);
        }
        if let Some(peak) = multiply_add_nanoseconds(precision, backend) {
            push(MULTIPLY_ADD, peak * shape.multiply_adds() as f64);
        }
        push(ACTIVATIONS, backend.run(Activations { units: shape.units, integers: precision == "int8" }));
    }
    rows
}

/// Nanoseconds for 1 KiB out of each cache whose size the system tells.
pub fn cache_rows(backend: AnyBackend) -> Vec<Row> {
    let row = |name: &str, level: u32| {
        // Half of it, and of the last, which others use too, 8 MiB at most.
        let bytes = (cache_bytes(level)? / 2).min(8 << 20);
        let shape = Shape { inputs: 0, units: 0 };
        let key = Key { peer: name.to_owned(), cell: None, precision: "KiB".to_owned(), shape };
        Some(Row { key, ns: load_nanoseconds("f32", bytes, backend)? * 1024.0 / bytes as f64, difference: None })
    };
    CACHES.iter().filter_map(|&(name, level)| row(name, level)).collect()
}

/// The size of the first core's cache of that level that holds data, as Linux tells it.
fn cache_bytes(level: u32) -> Option<usize> {
    (0..8).find_map(|index| {
        let folder = format!("/sys/devices/system/cpu/cpu0/cache/index{index}");
        let read = |name: &str| std::fs::read_to_string(Path::new(&folder).join(name)).ok();
        let is_it = read("level")?.trim().parse() == Ok(level) && read("type")?.trim() != "Instruction";
        let kib = read("size")?.trim().strip_suffix('K')?.parse::<usize>().ok()?;
        is_it.then_some(kib * 1024)
    })
}

/// A step's activations: sigmoid of i, f and o; tanh of g and of the new cell.
struct Activations {
    units: usize,
    integers: bool,
}

impl WithBackend for Activations {
    type Output = f64;

    fn run<B: Backend>(self, backend: B) -> f64 {
        let lanes = self.units.next_multiple_of(8);
        let time = if self.integers {
            let mut gates: Vec<i16> = (0..5 * lanes).map(|n| (n * 7919 % 20_000) as i16 - 10_000).collect();
            nanoseconds(|_| {
                let (sigmoids, tangents) = gates.split_at_mut(3 * lanes);
                backend.sigmoid_q15(black_box(sigmoids));
                backend.tanh_q15(black_box(tangents));
                Ok::<(), Infallible>(())
            })
        } else {
            let mut gates: Vec<f32> = (0..5 * lanes).map(|n| (n * 7919 % 1000) as f32 / 125.0 - 4.0).collect();
            nanoseconds(|_| {
                let (sigmoids, tangents) = gates.split_at_mut(3 * lanes);
                backend.sigmoid_f32(black_box(sigmoids));
                backend.tanh_f32(black_box(tangents));
                Ok::<(), Infallible>(())
            })
        };
        match time {
            Ok(time) => time,
        }
    }
}

/// Nanoseconds to read so many bytes of weights of a precision once: by the instructions that do it fastest, which need not be the widest.
fn load_nanoseconds(precision: &str, bytes: usize, backend: AnyBackend) -> Option<f64> {
    Reader::all(precision, backend).into_iter().map(|reader| reader.nanoseconds(bytes)).min_by(f64::total_cmp)
}

/// True for a backend with vectors of 512 bits, on a processor that has them.
#[cfg(target_arch = "x86_64")]
fn is_wide(backend: AnyBackend) -> bool {
    matches!(backend, AnyBackend::Avx512(_) | AnyBackend::Avx512Vnni(_)) && is_x86_feature_detected!("avx512f")
}

/// A block of memory for loads of 64 bytes.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// One way to read memory.
#[derive(Clone, Copy)]
struct Reader(fn(Passes<'_>) -> u64);

/// Lines, and how often to read them all.
type Passes<'a> = (&'a [Line], usize);

impl Reader {
    /// Those that this processor has for weights of a precision.
    fn all(precision: &str, backend: AnyBackend) -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            let halves = precision == "f16";
            let wide = is_wide(backend);
            let narrow = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c");
            [
                wide.then_some(Reader(if halves { x86_64::halves_512 } else { x86_64::load_512 })),
                narrow.then_some(Reader(if halves { x86_64::halves_256 } else { x86_64::load_256 })),
            ]
            .into_iter()
            .flatten()
            .collect()
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = (precision, backend);
            Vec::new()
        }
    }

    /// Nanoseconds to read so many bytes once, when they have just been read before. Rounded up to whole lines.
    fn nanoseconds(self, bytes: usize) -> f64 {
        let lines: Vec<Line> = (0..bytes.div_ceil(64)).map(|n| Line([n as u8 & 0x3B; 64])).collect();
        // So many that calling and adding up is nothing beside it.
        let passes = (1 << 16) / bytes + 1;
        let time = nanoseconds(|_| {
            black_box(self.0((&lines, passes)));
            Ok::<(), Infallible>(())
        });
        match time {
            Ok(time) => time / passes as f64,
        }
    }
}

/// Nanoseconds of one multiply-add at the peak of one core: of f32, also for f16 storage, or of int8. Nothing where it is not measured.
pub fn multiply_add_nanoseconds(precision: &str, backend: AnyBackend) -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    {
        let (kernel, lanes) = x86_64::multiply_add(precision == "int8", backend)?;
        let rounds = 256;
        let time = nanoseconds(|_| {
            black_box(kernel(black_box(rounds)));
            Ok::<(), Infallible>(())
        });
        match time {
            Ok(time) => Some(time / (rounds * x86_64::CHAINS * lanes) as f64),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (precision, backend);
        None
    }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::*;

    use std::hint::black_box;

    use latch_engine::kernels::AnyBackend;

    use super::{Line, Passes, is_wide};

    /// Sums that do not wait for each other: more than a multiply-add's latency times the units that do it.
    pub(super) const CHAINS: usize = 12;

    /// Does so many rounds of [`CHAINS`] instructions.
    type Kernel = fn(usize) -> u64;

    /// A kernel, and the multiply-adds of one of its instructions.
    pub(super) fn multiply_add(integers: bool, backend: AnyBackend) -> Option<(Kernel, usize)> {
        let wide = is_wide(backend);
        match integers {
            true if wide && is_x86_feature_detected!("avx512vnni") => Some((products_512, 64)),
            true if matches!(backend, AnyBackend::AvxVnni(_)) => Some((products_256, 32)),
            true if is_x86_feature_detected!("avx2") => Some((products_16, 16)),
            false if wide => Some((floats_512, 16)),
            false if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") => Some((floats_256, 8)),
            _ => None,
        }
    }

    /// Makes a safe function that panics where the processor lacks the feature, of one that needs it.
    macro_rules! with_feature {
        ([$($features:tt)+], $name:ident($argument:ident: $type:ty) => $inner:ident) => {
            pub(super) fn $name($argument: $type) -> u64 {
                assert!($(is_x86_feature_detected!($features))&&+);
                // SAFETY: the processor has the features, as the line above has just asked.
                unsafe { $inner($argument) }
            }
        };
    }
    with_feature!(["avx512f"], load_512(lines: Passes<'_>) => load_512_inner);
    with_feature!(["avx512f"], halves_512(lines: Passes<'_>) => halves_512_inner);
    with_feature!(["avx2"], load_256(lines: Passes<'_>) => load_256_inner);
    with_feature!(["avx2" "f16c"], halves_256(lines: Passes<'_>) => halves_256_inner);
    with_feature!(["avx512f"], floats_512(rounds: usize) => floats_512_inner);
    with_feature!(["avx2" "fma"], floats_256(rounds: usize) => floats_256_inner);
    with_feature!(["avx512f" "avx512vnni"], products_512(rounds: usize) => products_512_inner);
    with_feature!(["avx2" "avxvnni"], products_256(rounds: usize) => products_256_inner);
    with_feature!(["avx2"], products_16(rounds: usize) => products_16_inner);

    /// Lines that are read before the first sum is used again.
    const ABREAST: usize = 8;

    #[target_feature(enable = "avx512f")]
    fn load_512_inner((lines, passes): Passes<'_>) -> u64 {
        let mut sums = [_mm512_setzero_si512(); ABREAST];
        // SAFETY: a line has 64 bytes and starts on a multiple of 64.
        let load = |line: &Line| unsafe { _mm512_load_si512(line.0.as_ptr().cast()) };
        for _ in 0..passes {
            let (blocks, rest) = black_box(lines).as_chunks::<ABREAST>();
            for block in blocks {
                for (sum, line) in sums.iter_mut().zip(block) {
                    *sum = _mm512_or_si512(*sum, load(line));
                }
            }
            for (sum, line) in sums.iter_mut().zip(rest) {
                *sum = _mm512_or_si512(*sum, load(line));
            }
        }
        sums.iter().map(|&sum| _mm512_reduce_or_epi64(sum) as u64).fold(0, |all, sum| all | sum)
    }

    #[target_feature(enable = "avx512f")]
    fn halves_512_inner((lines, passes): Passes<'_>) -> u64 {
        let mut sums = [_mm512_setzero_si512(); ABREAST];
        // SAFETY: a line has two halves of 32 bytes, each on a multiple of 32.
        let load = |line: &Line, half: usize| unsafe { _mm256_load_si256(line.0[32 * half..][..32].as_ptr().cast()) };
        let widen = |halves: __m256i| _mm512_castps_si512(_mm512_cvtph_ps(halves));
        for _ in 0..passes {
            let (blocks, rest) = black_box(lines).as_chunks::<{ ABREAST / 2 }>();
            for block in blocks {
                for (pair, line) in sums.as_chunks_mut::<2>().0.iter_mut().zip(block) {
                    pair[0] = _mm512_or_si512(pair[0], widen(load(line, 0)));
                    pair[1] = _mm512_or_si512(pair[1], widen(load(line, 1)));
                }
            }
            for (pair, line) in sums.as_chunks_mut::<2>().0.iter_mut().zip(rest) {
                pair[0] = _mm512_or_si512(pair[0], widen(load(line, 0)));
                pair[1] = _mm512_or_si512(pair[1], widen(load(line, 1)));
            }
        }
        sums.iter().map(|&sum| _mm512_reduce_or_epi64(sum) as u64).fold(0, |all, sum| all | sum)
    }

    #[target_feature(enable = "avx2")]
    fn any(sums: &[__m256i]) -> u64 {
        let all = sums.iter().fold(_mm256_setzero_si256(), |all, &sum| _mm256_or_si256(all, sum));
        let halves = _mm_or_si128(_mm256_castsi256_si128(all), _mm256_extracti128_si256::<1>(all));
        (_mm_extract_epi64::<0>(halves) | _mm_extract_epi64::<1>(halves)) as u64
    }

    #[target_feature(enable = "avx2")]
    fn load_256_inner((lines, passes): Passes<'_>) -> u64 {
        let mut sums = [_mm256_setzero_si256(); ABREAST];
        // SAFETY: a line has two halves of 32 bytes, each on a multiple of 32.
        let load = |line: &Line, half: usize| unsafe { _mm256_load_si256(line.0[32 * half..][..32].as_ptr().cast()) };
        for _ in 0..passes {
            let (blocks, rest) = black_box(lines).as_chunks::<{ ABREAST / 2 }>();
            for block in blocks {
                for (pair, line) in sums.as_chunks_mut::<2>().0.iter_mut().zip(block) {
                    pair[0] = _mm256_or_si256(pair[0], load(line, 0));
                    pair[1] = _mm256_or_si256(pair[1], load(line, 1));
                }
            }
            for (pair, line) in sums.as_chunks_mut::<2>().0.iter_mut().zip(rest) {
                pair[0] = _mm256_or_si256(pair[0], load(line, 0));
                pair[1] = _mm256_or_si256(pair[1], load(line, 1));
            }
        }
        any(&sums)
    }

    #[target_feature(enable = "avx2,f16c")]
    fn halves_256_inner((lines, passes): Passes<'_>) -> u64 {
        let mut sums = [_mm256_setzero_si256(); ABREAST];
        // SAFETY: a line has four quarters of 16 bytes, each on a multiple of 16.
        let load = |line: &Line, part: usize| unsafe { _mm_load_si128(line.0[16 * part..][..16].as_ptr().cast()) };
        for _ in 0..passes {
            let (blocks, rest) = black_box(lines).as_chunks::<2>();
            for block in blocks {
                for (number, sum) in sums.iter_mut().enumerate() {
                    let wide = _mm256_cvtph_ps(load(&block[number / 4], number % 4));
                    *sum = _mm256_or_si256(*sum, _mm256_castps_si256(wide));
                }
            }
            for line in rest {
                for (number, sum) in sums.iter_mut().take(4).enumerate() {
                    *sum = _mm256_or_si256(*sum, _mm256_castps_si256(_mm256_cvtph_ps(load(line, number))));
                }
            }
        }
        any(&sums)
    }

    #[target_feature(enable = "avx512f")]
    fn floats_512_inner(rounds: usize) -> u64 {
        let mut sums = [_mm512_set1_ps(1.0); CHAINS];
        let (a, b) = (_mm512_set1_ps(0.5), _mm512_set1_ps(rounds as f32));
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, a, b);
            }
        }
        sums.iter().map(|&sum| _mm512_reduce_add_ps(sum)).sum::<f32>().to_bits().into()
    }

    #[target_feature(enable = "avx2,fma")]
    fn floats_256_inner(rounds: usize) -> u64 {
        let mut sums = [_mm256_set1_ps(1.0); CHAINS];
        let (a, b) = (_mm256_set1_ps(0.5), _mm256_set1_ps(rounds as f32));
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, a, b);
            }
        }
        any(&sums.map(|sum| _mm256_castps_si256(sum)))
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn products_512_inner(rounds: usize) -> u64 {
        let mut sums = [_mm512_setzero_si512(); CHAINS];
        let (a, b) = (_mm512_set1_epi8(3), _mm512_set1_epi8(rounds as i8));
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, a, b);
            }
        }
        sums.iter().map(|&sum| _mm512_reduce_add_epi32(sum) as u64).fold(0, |all, sum| all ^ sum)
    }

    #[target_feature(enable = "avx2,avxvnni")]
    fn products_256_inner(rounds: usize) -> u64 {
        let mut sums = [_mm256_setzero_si256(); CHAINS];
        let (a, b) = (_mm256_set1_epi8(3), _mm256_set1_epi8(rounds as i8));
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_dpbusd_avx_epi32(*sum, a, b);
            }
        }
        any(&sums)
    }

    /// Without an instruction for int8: products of 16 bits, added in pairs.
    #[target_feature(enable = "avx2")]
    fn products_16_inner(rounds: usize) -> u64 {
        let mut sums = [_mm256_setzero_si256(); CHAINS];
        let b = _mm256_set1_epi16(rounds as i16);
        for _ in 0..rounds {
            for sum in &mut sums {
                // The product depends on the sum, so that it is not taken out of the loop.
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(*sum, b));
            }
        }
        any(&sums)
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn a_reader_reads_every_byte() {
        for precision in PRECISIONS {
            for (Reader(read), count) in Reader::all(precision, AnyBackend::detect())
                .into_iter()
                .flat_map(|r| [1, 2, 3, 7, 8, 9, 17].map(|n| (r, n)))
            {
                let mut lines = vec![Line([0; 64]); count];
                assert_eq!(read((&lines, 1)), 0);
                for (line, byte) in (0..count).flat_map(|line| [0, 31, 32, 63].map(|byte| (line, byte))) {
                    lines[line].0[byte] = 0x3B;
                    assert_ne!(read((&lines, 1)), 0, "{precision}: byte {byte} of line {line} of {count}");
                    lines[line].0[byte] = 0;
                }
            }
        }
    }

    #[test]
    fn a_step_of_64_units_in_f32_reads_its_weights_and_biases() {
        let shape = Shape { inputs: 64, units: 64 };
        assert_eq!(bytes("f32", shape), 4 * 64 * 128 * 4 + 4 * 64 * 4);
        assert_eq!(bytes("f16", shape), 4 * 64 * 128 * 2 + 4 * 64 * 4);
        assert_eq!(bytes("int8", shape), 4 * 64 * 128 + 4 * 64 * 6);
    }

    #[test]
    fn every_limit_of_a_shape_is_a_time() {
        let rows = rows(Shape { inputs: 16, units: 16 }, AnyBackend::detect());
        assert!(rows.len() >= 3);
        for row in rows {
            assert!(row.ns.is_finite() && row.ns > 0.0 && is_limit(&row.key.peer), "{}", row.line());
        }
    }
}
