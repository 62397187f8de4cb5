//! The self-test: a fixed run of ids whose digest stands in the image, so that a chip can say before its first text whether it computes
//! what the writer's host computed.

use super::{Digest, Model};
use crate::image::error::Error;

/// Tokens of a self-test.
pub const SELF_TEST_TOKENS: u32 = 32;

/// What a self-test came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfTest {
    /// The digest is the image's.
    Passed,
    /// The image has no digest: it holds floats, which no two machines promise to compute alike, or is of format version 1.
    Absent,
    /// This machine computes something else than the machine that wrote the image.
    Failed {
        /// The image's digest.
        expected: u64,
        /// This machine's.
        found: u64,
    },
}

impl Model<'_> {
    /// Runs the self-test in the memory of a stream's state, whose content is lost, with the model's backend.
    ///
    /// # Errors
    /// Those of [`Model::session_in`].
    pub fn self_test(&self, memory: &mut [u8]) -> Result<SelfTest, Error> {
        let Some(expected) = self.self_test else { return Ok(SelfTest::Absent) };
        let found = self.self_test_digest(memory)?;
        Ok(if found == expected { SelfTest::Passed } else { SelfTest::Failed { expected, found } })
    }

    /// The digest of all logits after each of [`SELF_TEST_TOKENS`] ids, which a multiplicative hash spreads over the embedding. Never 0.
    #[inline(never)] // What it needs shall not lie on the stack of a caller that runs for ever.
    fn self_test_digest(&self, memory: &mut [u8]) -> Result<u64, Error> {
        let mut session = self.session_in(memory)?;
        let mut digest = Digest::default();
        for n in 1..=SELF_TEST_TOKENS {
            let hash = n.wrapping_mul(0x9E37_79B9);
            session.push_token(((u64::from(hash) * u64::from(self.rows)) >> 32) as u32);
            for output in 0..usize::from(self.shape.outputs) {
                digest.push(session.logit(output));
            }
        }
        Ok(digest.value().max(1))
    }
}

/// Puts the self-test's digest into the image of an integer model, computed with the scalar backend, which defines it. Leaves the image of
/// a float model as it is.
///
/// # Errors
/// Those of [`crate::image::Image::open`]; [`Error::Manifest`] for an image of format version 1, whose header has no room for a digest.
#[cfg(feature = "std")]
pub fn certify(bytes: &mut crate::image::encode::AlignedBytes) -> Result<(), Error> {
    use crate::image::manifest::Precision;
    use crate::image::{Image, encode};
    use crate::kernels::AnyBackend;

    let digest = {
        let image = Image::open(bytes)?;
        let mut model = Model::new(&image);
        if model.shape.precision != Precision::Int8 {
            return Ok(());
        }
        if let Some(scalar) = AnyBackend::by_name("scalar") {
            model = model.with_backend(scalar);
        }
        model.self_test_digest(&mut encode::AlignedBytes::zeroed(model.state_bytes()))?
    };
    encode::set_self_test(bytes, digest)
}
