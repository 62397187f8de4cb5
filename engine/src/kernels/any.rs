//! The choice of a backend at run time: which there are, which of them this processor has, and how code runs on one.

use super::Backend;
#[cfg(latch_backend = "dsp")]
use super::Dsp;
#[cfg(latch_backend = "helium")]
use super::Helium;
#[cfg(not(latch_backend))]
use super::Scalar;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use super::Simd128;
#[cfg(latch_backend = "thumb")]
use super::Thumb;
#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512, Avx512Vnni, AvxVnni};
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
use super::{Neon, NeonDot};

/// Code that is generic over the backend, for [`AnyBackend::run`]: a closure cannot be.
pub trait WithBackend {
    /// What it gives.
    type Output;

    /// Runs on a backend.
    fn run<B: Backend>(self, backend: B) -> Self::Output;
}

/// A backend chosen at run time. The choice is made once, around a whole run of tokens, by a `match` on this.
///
/// On a chip the core is known when the firmware is built: there this has one variant, and no code of any other backend is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum AnyBackend {
    /// The reference.
    #[cfg(not(latch_backend))]
    Scalar(Scalar),
    /// 256-bit vectors with fused multiply-add and half-precision loads.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// The same, and products of bytes for integers.
    #[cfg(target_arch = "x86_64")]
    AvxVnni(AvxVnni),
    /// 512-bit vectors for floats.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// The same, and products of bytes for integers.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(Avx512Vnni),
    /// 128-bit vectors of 64-bit Arm.
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    Neon(Neon),
    /// The same with dot products of bytes.
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    NeonDot(NeonDot),
    /// 128-bit vectors of WebAssembly.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128(Simd128),
    /// Cortex-M4, M7 and M33.
    #[cfg(latch_backend = "dsp")]
    Dsp(Dsp),
    /// Cortex-M55.
    #[cfg(latch_backend = "helium")]
    Helium(Helium),
    /// Cortex-M0.
    #[cfg(latch_backend = "thumb")]
    Thumb(Thumb),
}

/// Runs an expression with the backend inside an [`AnyBackend`], compiled once for each.
macro_rules! dispatch {
    ($any:expr, $backend:ident => $run:expr) => {
        match $any {
            #[cfg(not(latch_backend))]
            $crate::kernels::AnyBackend::Scalar($backend) => $run,
            #[cfg(target_arch = "x86_64")]
            $crate::kernels::AnyBackend::Avx2($backend) => $run,
            #[cfg(target_arch = "x86_64")]
            $crate::kernels::AnyBackend::AvxVnni($backend) => $run,
            #[cfg(target_arch = "x86_64")]
            $crate::kernels::AnyBackend::Avx512($backend) => $run,
            #[cfg(target_arch = "x86_64")]
            $crate::kernels::AnyBackend::Avx512Vnni($backend) => $run,
            #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
            $crate::kernels::AnyBackend::Neon($backend) => $run,
            #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
            $crate::kernels::AnyBackend::NeonDot($backend) => $run,
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            $crate::kernels::AnyBackend::Simd128($backend) => $run,
            #[cfg(latch_backend = "dsp")]
            $crate::kernels::AnyBackend::Dsp($backend) => $run,
            #[cfg(latch_backend = "helium")]
            $crate::kernels::AnyBackend::Helium($backend) => $run,
            #[cfg(latch_backend = "thumb")]
            $crate::kernels::AnyBackend::Thumb($backend) => $run,
        }
    };
}
pub(crate) use dispatch;

impl AnyBackend {
    /// The backend that every processor of this kind has.
    pub(crate) const BASE: Self = {
        #[cfg(not(latch_backend))]
        let base = Self::Scalar(Scalar);
        #[cfg(latch_backend = "dsp")]
        let base = Self::Dsp(Dsp::TOKEN);
        #[cfg(latch_backend = "helium")]
        let base = Self::Helium(Helium::TOKEN);
        #[cfg(latch_backend = "thumb")]
        let base = Self::Thumb(Thumb::TOKEN);
        base
    };

    /// The widest backend of this processor; always the scalar one under `--cfg engine_backend="scalar"`.
    pub fn detect() -> Self {
        if cfg!(engine_backend = "scalar") {
            return Self::BASE;
        }
        Self::all().last().unwrap_or(Self::BASE)
    }

    /// The backend of that name, or `None` when nobody has that name or this processor lacks it.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::all().find(|backend| backend.name() == name)
    }

    /// The backends that this processor has, narrowest first. Not narrowed by `engine_backend`, but for chips, whose code it decides.
    pub fn all() -> impl Iterator<Item = Self> {
        [
            Some(Self::BASE),
            #[cfg(target_arch = "x86_64")]
            Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            AvxVnni::detect().map(Self::AvxVnni),
            #[cfg(target_arch = "x86_64")]
            Avx512::detect().map(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            Avx512Vnni::detect().map(Self::Avx512Vnni),
            #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
            Some(Self::Neon(Neon)),
            #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
            NeonDot::detect().map(Self::NeonDot),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Some(Self::Simd128(Simd128::TOKEN)),
        ]
        .into_iter()
        .flatten()
    }

    /// Runs generic code with the backend inside.
    pub fn run<T: WithBackend>(self, task: T) -> T::Output {
        dispatch!(self, backend => task.run(backend))
    }

    /// The name of the backend inside.
    pub fn name(self) -> &'static str {
        dispatch!(self, backend => backend.name())
    }
}
