//! The archive of a `.keras` file: a ZIP of `config.json`, `metadata.json`, `model.weights.h5` and `assets/`.

use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use crate::Error;
use crate::budget::Budget;

/// What to do with an archive that is damaged.
const AGAIN: &str = "copy it again, or save the model again";

/// An archive.
pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    place: &'a str,
    budget: &'a Budget,
}

impl<'a> Archive<'a> {
    /// Opens an archive; `place` is its name.
    pub(super) fn open(bytes: &'a [u8], place: &'a str, budget: &'a Budget) -> Result<Self, Error> {
        let zip = ZipArchive::new(Cursor::new(bytes))
            .map_err(|fault| Error::new(place, format!("this is no whole .keras archive ({fault})"), AGAIN))?;
        Ok(Self { zip, place, budget })
    }

    /// The bytes of a member, where it is there.
    pub(super) fn member(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let at = format!("{}: {}", self.place, name.escape_debug());
        let broken = |fault: String| Error::new(&at, format!("it cannot be read ({fault})"), AGAIN);
        let member = match self.zip.by_name(name) {
            Ok(member) => member,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(fault) => return Err(broken(fault.to_string())),
        };
        let size = usize::try_from(member.size()).unwrap_or(usize::MAX);
        self.budget.take(&at, size)?;
        let mut bytes = Vec::with_capacity(size);
        // What unpacks to more than its size says is not read to its end.
        member.take(size as u64 + 1).read_to_end(&mut bytes).map_err(|fault| broken(fault.to_string()))?;
        if bytes.len() != size {
            return Err(broken("it has another size than the archive says".into()));
        }
        Ok(Some(bytes))
    }

    /// The name of the first member that is looked for.
    pub(super) fn find(&self, is: impl Fn(&str) -> bool) -> Option<String> {
        self.zip.file_names().flatten().find(|name| is(name)).map(|name| name.into_owned())
    }
}
