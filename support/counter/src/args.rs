//! The plugin's arguments: `out=FILE`, `stack=LOW:HIGH` and `flash=LOW:HIGH`, the addresses hexadecimal with or without `0x`.

use std::path::PathBuf;

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args {
    /// The file that gets the log.
    pub out: PathBuf,
    /// First address of the stack's memory, and the address behind it. Empty when none was given.
    pub stack: (u64, u64),
    /// The same of the flash.
    pub flash: (u64, u64),
}

impl Args {
    /// Reads arguments of the form `name=value`.
    ///
    /// # Errors
    /// A sentence that names the argument which cannot be understood, is unknown or is missing.
    pub fn parse<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Args, String> {
        let (mut out, mut stack, mut flash) = (None, (0, 0), (0, 0));
        for argument in arguments {
            let region = |text| {
                addresses(text).ok_or_else(|| format!("`{argument}` should be LOW:HIGH in hexadecimal, LOW below HIGH"))
            };
            match argument.split_once('=') {
                Some(("out", file)) if !file.is_empty() => out = Some(PathBuf::from(file)),
                Some(("stack", text)) => stack = region(text)?,
                Some(("flash", text)) => flash = region(text)?,
                _ => return Err(format!("`{argument}` is none of out=FILE, stack=LOW:HIGH and flash=LOW:HIGH")),
            }
        }
        Ok(Args { out: out.ok_or("out=FILE is missing: it names the file for the log")?, stack, flash })
    }
}

/// `20000000:20004000` as numbers, or `None` when they are none or empty.
fn addresses(region: &str) -> Option<(u64, u64)> {
    let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok();
    let (low, high) = region.split_once(':')?;
    let (low, high) = (number(low)?, number(high)?);
    (low < high).then_some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hexadecimal_with_or_without_a_prefix() {
        let args = Args::parse(["out=counts.txt", "stack=20000000:0x20004000", "flash=0:400000"]).expect("valid");
        let (stack, flash) = ((0x2000_0000, 0x2000_4000), (0, 0x40_0000));
        assert_eq!(args, Args { out: "counts.txt".into(), stack, flash });
    }

    #[test]
    fn without_a_region_none_is_watched() {
        let args = Args::parse(["out=a"]).expect("valid");
        assert_eq!((args.stack, args.flash), ((0, 0), (0, 0)));
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        for (arguments, named) in [
            (&["out=a", "stack=20:10"][..], "stack=20:10"),
            (&["out=a", "stack=xyz:20"], "stack=xyz:20"),
            (&["out=a", "flash=20"], "flash=20"),
            (&["out=a", "colour=red"], "colour=red"),
            (&["out="], "out="),
            (&["stack=10:20"], "out=FILE is missing"),
        ] {
            let error = Args::parse(arguments.iter().copied()).expect_err("refused");
            assert!(error.contains(named), "{error}");
        }
    }
}
