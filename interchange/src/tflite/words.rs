//! The words of errors that several modules have.

use crate::Error;

/// What to do with a model whose tensors do not fit.
pub(crate) const AGAIN: &str = "convert the model again with tf.lite.TFLiteConverter";

/// What to do with a file that is no whole one.
pub(crate) const COPY_AGAIN: &str = "copy or download it again, or convert the model again";

/// What to do with a recurrence that is a loop: GRU and SimpleRNN, and an LSTM whose batch is open.
pub(crate) const KEEP_KERAS: &str = "keep the .keras file of the model, which is read as it is (latch import model.keras); or convert an LSTM with the batch fixed to 1, which becomes UNIDIRECTIONAL_SEQUENCE_LSTM";

/// The error of a file that is damaged.
pub(crate) fn damaged(place: &str, what: &str) -> Error {
    Error::new(place, format!("this TensorFlow Lite model is cut off or damaged at {what}"), COPY_AGAIN)
}
