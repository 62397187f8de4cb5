//! What a program was built from, so that it is not built again before something of that changes.
//!
//! Cargo builds again whenever a variable differs from the last build's, and it differs for every variant of a program.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Writes down beside `program` that `command` has built it from the files that cargo lists in `dependencies`, and from `others`. Nothing is written
/// when a file has changed since `begin`: it is not known which text was compiled. Files below `built_in` are made by the build itself.
pub(super) fn keep(
    program: &Path,
    command: &str,
    dependencies: &Path,
    others: &[PathBuf],
    built_in: &Path,
    begin: SystemTime,
) -> io::Result<()> {
    let listed = listed(&fs::read_to_string(dependencies)?);
    let files: BTreeSet<PathBuf> =
        listed.into_iter().filter(|file| !file.starts_with(built_in)).chain(others.iter().cloned()).collect();
    let mut text = format!("{command}\n");
    for file in &files {
        if fs::metadata(file)?.modified()? >= begin {
            return Ok(());
        }
        text += &format!("{:016x} {}\n", hash(file)?, file.display());
    }
    fs::write(recipe(program), text)
}

/// True when the program is there, and `command` would build it from the same bytes again.
pub(super) fn is_current(program: &Path, command: &str) -> bool {
    let Ok(text) = fs::read_to_string(recipe(program)) else { return false };
    let Some(files) = text.strip_prefix(command).and_then(|rest| rest.strip_prefix('\n')) else { return false };
    let is_same = |line: &str| {
        let Some((known, file)) = line.split_once(' ') else { return false };
        hash(Path::new(file)).is_ok_and(|hash| format!("{hash:016x}") == known)
    };
    program.is_file() && !files.is_empty() && files.lines().all(is_same)
}

/// Removes the recipe: the program is about to change.
pub(super) fn forget(program: &Path) {
    // Where there is none, nothing is known either.
    let _ = fs::remove_file(recipe(program));
}

fn recipe(program: &Path) -> PathBuf {
    program.with_extension("recipe")
}

fn hash(file: &Path) -> io::Result<u64> {
    let mut hasher = DefaultHasher::new();
    fs::read(file)?.hash(&mut hasher);
    Ok(hasher.finish())
}

/// The files behind the colon of a rule of make, as cargo writes it; a space in a name has a backslash before it.
fn listed(rule: &str) -> Vec<PathBuf> {
    let Some((_, files)) = rule.lines().next().and_then(|line| line.split_once(": ")) else { return Vec::new() };
    let names = files.replace("\\ ", "\0");
    names.split_whitespace().map(|name| PathBuf::from(name.replace('\0', " "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const COMMAND: &str = "cargo build";

    /// A program that was built from a source, from a file of the build itself and from a manifest.
    fn built(begin: SystemTime) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("target")).expect("a folder");
        for name in ["a source.rs", "target/made.rs", "Cargo.toml", "program.elf"] {
            fs::write(at(name), name).expect("a file");
        }
        let source = at("a source.rs").display().to_string().replace(' ', "\\ ");
        let rule = format!("{}: {source} {}\n", at("program").display(), at("target/made.rs").display());
        fs::write(at("program.d"), rule).expect("a file");
        keep(&at("program.elf"), COMMAND, &at("program.d"), &[at("Cargo.toml")], &at("target"), begin)
            .expect("it is kept");
        folder
    }

    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_program_is_current_until_one_of_its_files_or_its_command_changes() {
        let folder = built(later());
        let at = |name: &str| folder.path().join(name);
        assert!(is_current(&at("program.elf"), COMMAND));
        assert!(!is_current(&at("program.elf"), "cargo build --release"));
        assert!(!is_current(&at("program.elf"), "cargo"));
        fs::write(at("target/made.rs"), "another variant's").expect("a file");
        assert!(is_current(&at("program.elf"), COMMAND));
        for name in ["a source.rs", "Cargo.toml"] {
            fs::write(at(name), "changed").expect("a file");
            assert!(!is_current(&at("program.elf"), COMMAND), "{name}");
            fs::write(at(name), name).expect("a file");
            assert!(is_current(&at("program.elf"), COMMAND), "{name}");
        }
    }

    #[test]
    fn a_program_that_is_gone_or_forgotten_is_not_current() {
        let folder = built(later());
        let program = folder.path().join("program.elf");
        forget(&program);
        assert!(!is_current(&program, COMMAND));
        let folder = built(later());
        let program = folder.path().join("program.elf");
        fs::remove_file(&program).expect("it is there");
        assert!(!is_current(&program, COMMAND));
    }

    #[test]
    fn a_file_that_changed_while_the_program_was_built_leaves_it_unknown() {
        let folder = built(SystemTime::UNIX_EPOCH);
        assert!(!is_current(&folder.path().join("program.elf"), COMMAND));
    }
}
