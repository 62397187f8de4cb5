//! The self-test: a fixed run of ids whose digest stands in the image, so that a chip can say before its first text whether it computes
//! what the writer's host computed.

use super::Model;
use crate::error::Error;
use crate::features::SAMPLES;
use crate::input::samples::MAX_CHANNELS;
use crate::logit::Digest;
use crate::session::Session;

/// Steps of a self-test.
pub const SELF_TEST_STEPS: u32 = 32;

/// What a self-test came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum SelfTest {
    /// The digest is the image's.
    Passed,
    /// The image has no digest: it holds floats, which no two machines promise to compute alike.
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

    /// The digest of all outputs after each of [`SELF_TEST_STEPS`] ids, which a multiplicative hash spreads over the embedding, or frames of such numbers. Never 0.
    #[inline(never)] // What it needs shall not lie on the stack of a caller that runs for ever.
    pub(crate) fn self_test_digest(&self, memory: &mut [u8]) -> Result<u64, Error> {
        let mut session = self.session_in(memory)?;
        let mut digest = Digest::default();
        for n in 1..=SELF_TEST_STEPS {
            let hash = n.wrapping_mul(0x9E37_79B9);
            if SAMPLES && self.channels() > 0 {
                push_frame(&mut session, hash)?;
            } else {
                session.push_token(((u64::from(hash) * u64::from(self.ids())) >> 32) as u32);
            }
            session.digest(&mut digest);
        }
        Ok(digest.value().max(1))
    }
}

/// Pushes a frame of counts that follow from a number: the low half of a congruential generator's state is left out.
#[inline(never)] // Its counts shall not lie on the stack of a test by ids.
fn push_frame(session: &mut Session<'_, '_, '_>, mut number: u32) -> Result<(), Error> {
    let mut counts = [0_i16; MAX_CHANNELS as usize];
    let counts = counts.get_mut(..usize::from(session.model().channels())).unwrap_or_default();
    for count in counts.iter_mut() {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *count = (number >> 16) as i16;
    }
    session.push_samples(counts)
}
