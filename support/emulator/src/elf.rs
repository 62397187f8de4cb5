//! What is in the files that the linker writes: sections and symbols.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind, elf};

use latch_parts::boards::{BOARDS, Board};

/// A linked program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elf {
    /// The sections that take memory on the chip, by address.
    pub sections: Vec<Section>,
    /// The named symbols, by address.
    pub symbols: Vec<Symbol>,
}

/// A section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// `.text`
    pub name: String,
    /// Where it lies when the program runs.
    pub address: u64,
    /// Bytes that it takes there.
    pub bytes: u64,
    /// Its bytes lie in flash; otherwise they begin as zeros, or as nothing.
    pub is_stored: bool,
    /// The program may write it: it takes RAM.
    pub is_writable: bool,
}

/// A symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Its name as the linker knows it: not demangled.
    pub name: String,
    /// Its value; of a Thumb function the lowest bit is set.
    pub address: u64,
    /// Bytes of what it names; 0 where nobody has said.
    pub bytes: u64,
    /// It names code.
    pub is_code: bool,
}

impl Elf {
    /// Reads a linked program.
    ///
    /// # Errors
    /// When the file cannot be read or is no ELF file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = parse(&bytes, path)?;
        let mut sections = Vec::new();
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags: elf::SectionFlags(flags), .. } = section.flags() else { continue };
            if flags & elf::SHF_ALLOC.0 == 0 || section.size() == 0 {
                continue;
            }
            sections.push(Section {
                name: section.name().unwrap_or_default().to_owned(),
                address: section.address(),
                bytes: section.size(),
                is_stored: section.file_range().is_some(),
                is_writable: flags & elf::SHF_WRITE.0 != 0,
            });
        }
        sections.sort_by_key(|section| section.address);
        let mut symbols: Vec<Symbol> = file
            .symbols()
            .filter(|symbol| symbol.is_definition() || symbol.section() == object::SymbolSection::Absolute)
            .filter_map(|symbol| {
                let name = symbol.name().ok().filter(|name| !name.is_empty() && !name.starts_with('$'))?;
                Some(Symbol {
                    name: name.to_owned(),
                    address: symbol.address(),
                    bytes: symbol.size(),
                    is_code: symbol.kind() == SymbolKind::Text,
                })
            })
            .collect();
        symbols.sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
        Ok(Elf { sections, symbols })
    }

    /// Bytes of the section of that name; 0 when there is none.
    pub fn section_bytes(&self, name: &str) -> u64 {
        self.sections.iter().filter(|section| section.name == name).map(|section| section.bytes).sum()
    }

    /// Bytes of flash: code, constants, and the values that variables begin with.
    pub fn flash_bytes(&self) -> u64 {
        self.sections.iter().filter(|section| section.is_stored).map(|section| section.bytes).sum()
    }

    /// Bytes of RAM, the stack left out. Sections that only stand for the stack or a heap are not counted.
    pub fn ram_bytes(&self) -> u64 {
        self.variables().map(|section| section.bytes).sum()
    }

    /// The address behind the last variable: the stack can grow down to here.
    pub fn ram_end(&self) -> u64 {
        self.variables().map(|section| section.address + section.bytes).max().unwrap_or(0)
    }

    fn variables(&self) -> impl Iterator<Item = &Section> {
        let is_variable = |section: &&Section| {
            section.is_writable && section.bytes > 0 && ![".stack", ".heap"].contains(&&*section.name)
        };
        self.sections.iter().filter(is_variable)
    }

    /// The symbol of that name.
    pub fn symbol(&self, name: &str) -> Option<&Symbol> {
        self.symbols.iter().find(|symbol| symbol.name == name)
    }

    /// The board that a program of `firmware-sim` was built for; `None` for any other program.
    pub fn board(&self) -> Option<&'static Board> {
        BOARDS.iter().find(|board| self.symbol(&format!("latch_board.{}", board.name)).is_some())
    }
}

fn parse<'b>(bytes: &'b [u8], path: &Path) -> Result<object::File<'b>> {
    let file = object::File::parse(bytes).with_context(|| format!("{} is no ELF file", path.display()))?;
    if file.format() != object::BinaryFormat::Elf {
        bail!("{} is no ELF file", path.display());
    }
    Ok(file)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// A symbol whose size is known.
    static LATCH_TEST_ZEROS: [u8; 4321] = [0; 4321];

    #[test]
    fn sections_and_symbols_of_a_linked_program_are_found_with_their_sizes() {
        let zeros = std::hint::black_box(&LATCH_TEST_ZEROS).len() as u64;
        let elf = Elf::read(&std::env::current_exe().expect("this program")).expect("it is an ELF file");
        let symbol = elf.symbols.iter().find(|symbol| symbol.name.contains("LATCH_TEST_ZEROS"));
        assert_eq!(symbol.map(|symbol| symbol.bytes), Some(zeros));
        let section = |name: &str| elf.sections.iter().find(|section| section.name == name).expect("it is there");
        assert!(section(".text").is_stored && !section(".text").is_writable);
        assert!(!section(".bss").is_stored && section(".bss").is_writable);
        assert!(elf.flash_bytes() > elf.section_bytes(".text") && elf.ram_bytes() > elf.section_bytes(".bss"));
        assert!(elf.board().is_none());
    }

    #[test]
    fn a_file_that_is_no_program_is_named() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        let message = Elf::read(path).expect_err("it is text").to_string();
        assert!(message.ends_with("Cargo.toml is no ELF file"), "{message}");
    }
}
