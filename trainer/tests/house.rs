//! Promise: the house stands as docs/architecture.md draws it. No two modules of a crate need each other; nothing outside the verbs names them; plain
//! configuration and plain scores know nothing else of the trainer; a verb is short; and no file of tests is left out of the test programs.
//!
//! A module is a file. It needs another where a path of a `use`, or one in its code that begins with `crate::`, `super::` or `self::`, leads there. That a
//! module names its own children is no need: they are its parts. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The path of a module in its crate.
type Module = Vec<String>;

/// Most lines of a file of the verbs.
const VERB_LINES: usize = 200;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// The folders of the workspace's crates.
fn crates() -> Vec<PathBuf> {
    fn visit(folder: &Path, found: &mut Vec<PathBuf>) {
        if folder.join("Cargo.toml").is_file() && folder.join("src").is_dir() {
            found.push(folder.to_path_buf());
        }
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if entry.path().is_dir()
                && !is_link
                && !name.starts_with('.')
                && !["target", "src", "node_modules"].contains(&name.as_str())
            {
                visit(&entry.path(), found);
            }
        }
    }
    let mut found = Vec::new();
    visit(root(), &mut found);
    found.sort();
    found
}

/// The source files below a folder but for tests and programs of their own.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            if name != "tests" && name != "bin" {
                found.extend(sources(&path));
            }
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && !name.ends_with("_test.rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn module(src: &Path, file: &Path) -> Module {
    let within = file.strip_prefix(src).expect("a file of the crate").with_extension("");
    let mut module: Module = within.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| ["lib", "main", "mod"].contains(&last.as_str())) {
        module.pop();
    }
    module
}

/// A source without comments, and with nothing in its strings and characters.
fn without_text(source: &str) -> String {
    let bytes = source.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    // Where what began at `at` ends: behind the next `end`.
    let behind = |at: usize, end: &str| source[at..].find(end).map_or(bytes.len(), |found| at + found + end.len());
    while at < bytes.len() {
        let rest = &source.as_bytes()[at..];
        let in_a_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let hashes = rest.iter().skip(1).take_while(|&&byte| byte == b'#').count();
        if rest.starts_with(b"//") {
            at = behind(at, "\n") - 1;
        } else if rest.starts_with(b"/*") {
            at = behind(at, "*/");
        } else if rest[0] == b'r' && !in_a_word && rest.get(1 + hashes) == Some(&b'"') {
            at = behind(at + 2 + hashes, &format!("\"{}", "#".repeat(hashes)));
            out.extend(b"\"\"");
        } else if rest[0] == b'"' {
            at += 1;
            while at < bytes.len() && bytes[at] != b'"' {
                at += if bytes[at] == b'\\' { 2 } else { 1 };
            }
            at += 1;
            out.extend(b"\"\"");
        } else if rest.starts_with(b"'\\") {
            at = behind(at + 3, "'");
        } else if rest[0] == b'\'' && source[at + 1..].chars().nth(1) == Some('\'') {
            at = behind(at + 1 + source[at + 1..].chars().next().map_or(1, char::len_utf8), "'");
        } else {
            out.push(rest[0]);
            at += 1;
        }
        if at > bytes.len() {
            break;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The same without its module of tests.
fn without_tests(source: &str) -> String {
    let mut rest = source;
    let mut out = String::new();
    while let Some(begins) = rest.find("#[cfg(test)]").or_else(|| rest.find("#[cfg(all(test")) {
        let behind = &rest[begins..];
        let head: String =
            behind.chars().skip_while(|&c| c != ']').skip(1).take_while(|&c| c != '{' && c != ';').collect();
        let is_module = head.split_whitespace().any(|word| word == "mod") && !head.contains("fn ");
        let Some(brace) = behind.find('{').filter(|_| is_module) else {
            out += &rest[..begins + 1];
            rest = &rest[begins + 1..];
            continue;
        };
        out += &rest[..begins];
        if behind.find(';').is_some_and(|end| end < brace) {
            rest = &behind[1..];
            continue;
        }
        let mut depth = 0;
        let end = behind[brace..].char_indices().find_map(|(place, c)| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            (depth == 0).then_some(brace + place + 1)
        });
        rest = &behind[end.unwrap_or(behind.len())..];
    }
    out + rest
}

/// The paths of a tree of a `use`, its groups opened.
fn opened(prefix: &str, tree: &str, paths: &mut Vec<Module>) {
    let (mut depth, mut part, mut parts) = (0, String::new(), Vec::new());
    for c in tree.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(c);
        }
    }
    parts.push(part);
    for part in parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()) {
        match part.split_once('{') {
            Some((before, group)) => {
                let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
                opened(&format!("{prefix}{before}"), group, paths);
            }
            None => {
                let path = format!("{prefix}{}", part.split(" as ").next().unwrap_or(part));
                paths.push(
                    path.split("::").map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect(),
                );
            }
        }
    }
}

/// All paths that a source names.
fn paths(source: &str) -> Vec<Module> {
    let mut paths = Vec::new();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut code = String::new();
    let mut rest = source;
    while let Some(found) = rest.find("use ") {
        let alone = !rest[..found].chars().next_back().is_some_and(is_word);
        let end = rest[found..].find(';').map_or(rest.len(), |end| found + end);
        code += &rest[..found];
        if alone {
            opened("", &rest[found + 4..end], &mut paths);
            rest = &rest[end..];
        } else {
            rest = &rest[found + 4..];
        }
    }
    code += rest;
    for start in ["crate", "super", "self"] {
        for (place, _) in code.match_indices(&format!("{start}::")) {
            if !code[..place].chars().next_back().is_some_and(|c| is_word(c) || c == ':') {
                let path: String = code[place..].chars().take_while(|&c| is_word(c) || c == ':').collect();
                paths.push(path.split("::").filter(|word| !word.is_empty()).map(str::to_owned).collect());
            }
        }
    }
    paths
}

/// The module that a path named in `here` leads to.
fn leads_to(here: &Module, path: &[String], modules: &BTreeSet<Module>) -> Option<Module> {
    let mut path = path;
    let mut at = match path.first()?.as_str() {
        "crate" => {
            path = &path[1..];
            Vec::new()
        }
        "super" | "self" => {
            let mut at = here.clone();
            while let Some(first) = path.first().filter(|word| ["super", "self"].contains(&word.as_str())) {
                if first == "super" {
                    at.pop();
                }
                path = &path[1..];
            }
            at
        }
        child if modules.contains(&[here.as_slice(), &[child.to_owned()]].concat()) => here.clone(),
        _ => return None,
    };
    let mut found = None;
    for word in path {
        at.push(word.clone());
        if !modules.contains(&at) {
            break;
        }
        found = Some(at.clone());
    }
    found
}

/// What each module of a crate needs.
fn needs(folder: &Path) -> BTreeMap<Module, BTreeSet<Module>> {
    let src = folder.join("src");
    let files = sources(&src);
    let modules: BTreeSet<Module> = files.iter().map(|file| module(&src, file)).collect();
    let mut needs: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for file in &files {
        let here = module(&src, file);
        let source = without_tests(&without_text(&fs::read_to_string(file).expect("a source")));
        let others = paths(&source).into_iter().filter_map(|path| leads_to(&here, &path, &modules));
        let others = others.filter(|other| !other.is_empty() && !other.starts_with(&here));
        needs.entry(here.clone()).or_default().extend(others);
    }
    needs
}

/// Everything that a module needs, and what that needs in turn.
fn reached<'n>(from: &Module, needs: &'n BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<&'n Module> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Module> = needs.get(from).into_iter().flatten().collect();
    while let Some(module) = open.pop() {
        if reached.insert(module) {
            open.extend(needs.get(module).into_iter().flatten());
        }
    }
    reached
}

#[test]
fn no_two_modules_of_a_crate_need_each_other() {
    let crates = crates();
    assert!(crates.len() > 6, "{crates:?}");
    for folder in crates {
        let name = folder.strip_prefix(root()).expect("a crate of the workspace").to_string_lossy().into_owned();
        let needs = needs(&folder);
        for module in needs.keys() {
            let with: Vec<String> = reached(module, &needs)
                .into_iter()
                .filter(|other| *other != module && reached(other, &needs).contains(module))
                .map(|other| other.join("::"))
                .collect();
            assert!(with.is_empty(), "{name}: {} is in a circle with {}", module.join("::"), with.join(", "));
        }
    }
}

#[test]
fn a_circle_is_seen_however_it_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, source: &str| {
        let path = folder.path().join("src").join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, source).expect("a file");
    };
    write("lib.rs", "pub mod a; pub mod b; pub mod c;");
    write("a.rs", "use crate::{b::{self, Two}, c as other};\npub mod part;\n// use crate::c;");
    write("a/part.rs", "use super::super::b::Two;");
    write(
        "b.rs",
        "fn f() { let _ = \"crate::a::x\"; }\n#[cfg(test)]\nmod tests {\n    use crate::a;\n}\nuse std::fmt;",
    );
    write("c.rs", "pub fn g() -> u8 { super::a::part::one() }");
    let needs = needs(folder.path());
    let of =
        |name: &str| -> Vec<String> { needs[&vec![name.to_owned()]].iter().map(|other| other.join("::")).collect() };
    assert_eq!((of("a"), of("b"), of("c")), (vec!["b".to_owned(), "c".into()], vec![], vec!["a::part".to_owned()]));
    assert_eq!(
        needs[&vec!["a".to_owned(), "part".to_owned()]].iter().map(|other| other.join("::")).collect::<Vec<_>>(),
        ["b"]
    );
}

#[test]
fn only_the_verbs_and_the_program_name_the_verbs() {
    let needs = needs(&root().join("trainer"));
    for (module, others) in &needs {
        let verb = |module: &Module| module.first().is_some_and(|first| first == "cli");
        assert!(verb(module) || !others.iter().any(verb), "{} names {others:?}", module.join("::"));
    }
    assert!(needs.contains_key(&vec!["cli".to_owned()]));
}

#[test]
fn configuration_and_scores_need_nothing_of_the_trainer() {
    let needs = needs(&root().join("trainer"));
    for leaf in ["config", "metrics"] {
        assert_eq!(needs[&vec![leaf.to_owned()]], BTreeSet::new(), "{leaf}");
    }
}

#[test]
fn a_file_of_the_verbs_has_at_most_two_hundred_lines() {
    for file in sources(&root().join("trainer/src/cli")) {
        let lines = fs::read_to_string(&file).expect("a source").lines().count();
        assert!(lines <= VERB_LINES, "{} has {lines} lines", file.display());
    }
}

#[test]
fn every_public_enum_of_the_engine_can_be_logged_with_defmt() {
    const DERIVE: &str = "#[cfg_attr(latch_defmt, derive(defmt::Format))]";
    let mut enums = 0;
    for file in sources(&root().join("engine/src")) {
        let source = fs::read_to_string(&file).expect("a source");
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        for (index, line) in lines.iter().enumerate() {
            if line.starts_with("pub enum ") {
                let mut attributes = lines[..index].iter().rev().take_while(|line| line.starts_with("#["));
                assert!(attributes.any(|line| *line == DERIVE), "{}:{}: {line}", file.display(), index + 1);
                enums += 1;
            }
        }
    }
    assert!(enums > 20, "{enums}");
}

#[test]
fn the_engine_includes_only_files_that_its_package_holds() {
    let engine = root().join("engine");
    let mut included = 0;
    for file in sources(&engine.join("src")) {
        let source = fs::read_to_string(&file).expect("a source");
        for path in source.split("include_str!(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let path = file.with_file_name(path).canonicalize().expect("a file");
            assert!(path.starts_with(&engine), "{} includes {}", file.display(), path.display());
            included += 1;
        }
    }
    assert!(included > 0);
}

/// Files in the folder of tests of a crate that names its test programs itself, and that neither a program nor a module is.
fn forgotten_tests(folder: &Path) -> Vec<String> {
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
    let Ok(entries) = fs::read_dir(folder.join("tests")) else { return Vec::new() };
    if !manifest.contains("autotests = false") {
        return Vec::new();
    }
    let all = fs::read_to_string(folder.join("tests/all.rs")).expect("the program with all modules");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .filter(|name| {
            !manifest.contains(&format!("path = \"tests/{name}.rs\""))
                && !all.lines().any(|line| line == format!("mod {name};"))
        })
        .collect();
    names.sort();
    names
}

#[test]
fn every_file_of_tests_is_in_a_test_program() {
    // The crate of the promises has no `src`.
    let crates: Vec<PathBuf> = crates().into_iter().chain([root().join("tests")]).collect();
    for folder in &crates {
        assert_eq!(forgotten_tests(folder), [""; 0], "{}: name them in tests/all.rs", folder.display());
    }
    let joined = crates.iter().filter(|folder| folder.join("tests/all.rs").is_file()).count();
    assert!(joined > 2, "{joined}");
}

#[test]
fn a_file_of_tests_that_no_program_holds_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    fs::create_dir(folder.path().join("tests")).expect("a folder");
    write("Cargo.toml", "autotests = false\n[[test]]\npath = \"tests/all.rs\"\n[[test]]\npath = \"tests/own.rs\"\n");
    write("tests/all.rs", "mod one;\n");
    for name in ["one", "own", "two"] {
        write(&format!("tests/{name}.rs"), "");
    }
    assert_eq!(forgotten_tests(folder.path()), ["two"]);
}
