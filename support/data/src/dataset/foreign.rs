//! Files that hold tables but no text: named, and refused with what converts them.

use std::path::Path;

use crate::error::{Fault, fault};
use crate::shown::for_shell;

/// What begins a file, what that file is, and how it becomes text.
const KINDS: [(&[u8], &str, How); 9] = [
    (b"PAR1", "a Parquet file", How::Pandas("read_parquet", "pandas pyarrow")),
    (b"ARROW1", "an Arrow file", How::Pandas("read_feather", "pandas pyarrow")),
    (b"PK\x03\x04", "a zip archive", How::Zip),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet or document", How::Pandas("read_excel", "pandas xlrd")),
    (b"BZh", "compressed with bzip2", How::Command("bunzip2 --keep")),
    (b"\xfd7zXZ\0", "compressed with xz", How::Command("unxz --keep")),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", How::Command("unzstd")),
    (b"SQLite format 3\0", "an SQLite database", How::Other("export the table as CSV")),
    (b"%PDF-", "a PDF document", How::Other("name a file of text")),
];

/// How a file becomes text.
#[derive(Clone, Copy)]
enum How {
    /// A function of pandas, and what it needs.
    Pandas(&'static str, &'static str),
    /// A spreadsheet or an archive, by its members.
    Zip,
    /// A program that is given the file.
    Command(&'static str),
    Other(&'static str),
}

/// Refuses a file that begins as no text does.
///
/// # Errors
/// A fault that says what it is, and gives the line that converts it.
pub(super) fn refuse(path: &Path, start: &[u8]) -> Result<(), Fault> {
    // A text may begin with the same letters.
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    if start.iter().take(512).all(is_text) {
        return Ok(());
    }
    let Some((_, what, how)) = KINDS.iter().find(|(magic, ..)| start.starts_with(magic)) else { return Ok(()) };
    let is_sheet = || {
        let has = |part: &[u8]| start.windows(part.len()).any(|window| window == part);
        has(b"[Content_Types].xml") && has(b"xl/")
            || path.extension().is_some_and(|name| name.eq_ignore_ascii_case("xlsx"))
    };
    let (what, remedy) = match *how {
        How::Pandas(function, needs) => (*what, pandas(path, function, needs)),
        How::Zip if is_sheet() => ("an Excel spreadsheet", pandas(path, "read_excel", "pandas openpyxl")),
        How::Zip => {
            let (from, to) = (path.display(), path.with_extension("unzipped"));
            (
                *what,
                format!(
                    "unpack it: python3 -m zipfile -e {} {}",
                    for_shell(&from.to_string()),
                    for_shell(&to.display().to_string())
                ),
            )
        }
        How::Command(program) => {
            (*what, format!("decompress it: {program} {}", for_shell(&path.display().to_string())))
        }
        How::Other(remedy) => (*what, remedy.to_owned()),
    };
    Err(fault(path.display(), format!("this is {what}, and not text"), remedy))
}

/// The line of Python that writes the same table as CSV.
fn pandas(path: &Path, function: &str, needs: &str) -> String {
    let python = |path: &Path| format!("{:?}", path.display().to_string());
    let is_csv = path.extension().is_some_and(|name| name.eq_ignore_ascii_case("csv"));
    let csv = path.with_extension(if is_csv { "text.csv" } else { "csv" });
    let program = format!("import pandas; pandas.{function}({}).to_csv({}, index=False)", python(path), python(&csv));
    format!("convert it (pip install {needs}): python3 -c {}", for_shell(&program))
}

#[cfg(test)]
mod tests {
    use super::super::tests::fault_of;

    #[test]
    fn a_file_that_is_no_text_is_refused_by_name_with_the_line_that_converts_it() {
        for (name, bytes, what, remedy) in [
            ("x.parquet", &b"PAR1\x15\x04"[..], "a Parquet file", "pandas.read_parquet("),
            // Whatever its name says.
            ("x.csv", b"PAR1\x15\x04", "a Parquet file", "/x.text.csv\", index=False)'"),
            ("x.feather", b"ARROW1\0\0", "an Arrow file", "pandas.read_feather("),
            ("x.xlsx", b"PK\x03\x04\x14\0", "an Excel spreadsheet", "pandas.read_excel("),
            ("x.csv", b"PK\x03\x04..[Content_Types].xml..xl/workbook.xml", "an Excel spreadsheet", "pandas openpyxl"),
            ("x.zip", b"PK\x03\x04\x14\0", "a zip archive", "python3 -m zipfile -e "),
            ("x.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", "an old spreadsheet", "pandas.read_excel("),
            ("x.csv.bz2", b"BZh91AY&SY\x8e", "compressed with bzip2", "bunzip2 --keep "),
            ("x.csv.xz", b"\xfd7zXZ\0\0", "compressed with xz", "unxz --keep "),
            ("x.csv.zst", b"\x28\xb5\x2f\xfd\x04", "compressed with zstd", "unzstd "),
            ("x.db", b"SQLite format 3\0\x10", "an SQLite database", "as CSV"),
        ] {
            let message = fault_of(name, bytes);
            assert!(message.contains(what) && message.contains(remedy), "{message}");
        }
    }
}
