//! A way for bytes in and out: a serial line, a pair of files.

/// Bytes in and bytes out, in order. What a link needs of a chip's peripheral, and all that it needs.
pub trait Port {
    /// What can go wrong. [`core::convert::Infallible`] where nothing can.
    type Error;

    /// Waits for at least one byte and puts what is there at the front of `buffer`, which has room for one or more. Returns how many
    /// bytes that are; 0 says that none will come any more.
    ///
    /// # Errors
    /// When the port fails for good.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error>;

    /// Sends all of the bytes.
    ///
    /// # Errors
    /// When the port fails for good.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}
