//! Checks that imports go one way: the layers of the domain crate are in order, and in no crate do files import
//! each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The layers of the domain crate. Each layer imports only from itself and from layers with a lower number.
const LAYERS: [(&str, u8); 7] = [
    ("values", 0),
    ("policy", 1),
    ("state", 2),
    ("outbox", 3),
    ("feed", 3),
    ("decision", 4),
    ("rules", 5),
];

/// A module path such as `["rules", "invite"]`; empty for the crate's root.
type Module = Vec<String>;

fn source_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Returns the folder of every crate in the workspace.
fn crates() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folders = ["shared", "functions"].map(|parent| root.join(parent).read_dir().unwrap());
    let nested = folders.into_iter().flatten().map(|e| e.unwrap().path());
    let alone = ["infra/local", "tests"].map(|folder| root.join(folder));
    let crates: Vec<_> = nested
        .chain(alone)
        .filter(|f| f.join("Cargo.toml").exists())
        .collect();
    assert!(crates.len() >= 20, "{crates:?}");
    crates
}

/// Returns the text of every source file of a crate except its root and programs, by module.
fn sources(folder: &Path) -> BTreeMap<Module, String> {
    let root = folder.join("src");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    files
        .into_iter()
        .map(|path| {
            let white_box = path.strip_prefix(&root).unwrap().with_extension("");
            let mut module: Module = white_box
                .iter()
                .map(|part| part.to_str().unwrap().to_owned())
                .collect();
            if module.last().is_some_and(|last| last == "mod") {
                module.pop();
            }
            (module, std::fs::read_to_string(&path).unwrap())
        })
        .filter(|(module, _)| *module != ["lib"] && *module != ["main"] && module[0] != "bin")
        .collect()
}

/// Parses a use tree: `a::{b, c::d}` yields `a::b` and `a::c::d`. Returns the remaining text.
fn use_tree<'t>(text: &'t str, before: &[String], paths: &mut Vec<Module>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            if let Some(next) = rest.strip_prefix(',') {
                rest = next;
                continue;
            }
            let after = use_tree(rest, before, paths);
            if after.len() == rest.len() {
                return after;
            }
            rest = after;
        }
    }
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let mut path = before.to_vec();
    if !name.is_empty() {
        path.push(name.to_owned());
    }
    if let Some(rest) = rest.strip_prefix("::") {
        return use_tree(rest, &path, paths);
    }
    paths.push(path);
    // Skip an alias or the star of a glob.
    let rest = rest.strip_prefix('*').unwrap_or(rest);
    match rest.strip_prefix(" as ") {
        Some(alias) => alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
        None => rest,
    }
}

/// Returns each path in a file that starts with `crate`, `super`, `self` or one of its submodules,
/// relative to the crate's root, with its line.
fn named(module: &Module, text: &str, modules: &BTreeSet<Module>) -> Vec<(usize, Module)> {
    let mut found = Vec::new();
    let mut inline: Vec<(String, String)> = Vec::new();
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let start = at;
        at += line.len();
        let code = line.trim();
        let indent = &line[..line.len() - line.trim_start().len()];
        if code.starts_with("//") {
            continue;
        }
        if let Some(name) = code.strip_suffix(" {")
            && let Some(name) = name
                .strip_prefix("pub ")
                .unwrap_or(name)
                .strip_prefix("mod ")
        {
            inline.push((indent.to_owned(), name.to_owned()));
        } else if code == "}" && inline.last().is_some_and(|(i, _)| i == indent) {
            inline.pop();
        }
        let here: Module = module
            .iter()
            .cloned()
            .chain(inline.iter().map(|(_, name)| name.clone()))
            .collect();
        let mut add = |base: &[String], from: usize| {
            let mut paths = Vec::new();
            use_tree(&text[from..], base, &mut paths);
            found.extend(paths.into_iter().map(|path| (number + 1, path)));
        };
        for (i, _) in line.match_indices("crate::") {
            add(&[], start + i + "crate::".len());
        }
        for (i, _) in line.match_indices("self::") {
            add(&here, start + i + "self::".len());
        }
        // In `super::super::`, only the segments before the last one count.
        let mut up = 0;
        for (i, _) in line.match_indices("super::") {
            up += 1;
            let after = start + i + "super::".len();
            if !text[after..].starts_with("super::") {
                add(&here[..here.len().saturating_sub(up)], after);
                up = 0;
            }
        }
        if let Some(i) = line.find("use ")
            && let rest = &line[i + "use ".len()..]
            && let Some((first, _)) = rest.split_once("::")
            && modules.contains(&[module.as_slice(), &[first.to_owned()]].concat())
        {
            add(module, start + i + "use ".len());
        }
    }
    found
}

/// Returns the file that a path leads to: the longest prefix that is a module with a file.
fn file_of<'m>(path: &[String], modules: &'m BTreeSet<Module>) -> Option<&'m Module> {
    (1..=path.len())
        .rev()
        .find_map(|n| modules.get(&path[..n].to_vec()))
}

/// For each file, the files it imports from, with the line of the import.
type Imports = BTreeMap<Module, BTreeMap<Module, usize>>;

fn imports(folder: &Path) -> Imports {
    let sources = sources(folder);
    let modules: BTreeSet<Module> = sources.keys().cloned().collect();
    sources
        .iter()
        .map(|(module, text)| {
            let mut from = BTreeMap::new();
            for (line, path) in named(module, text, &modules) {
                // A name that is not in a file is exported by lib.rs.
                let target = file_of(&path, &modules).cloned().unwrap_or_default();
                if target != *module {
                    from.entry(target).or_insert(line);
                }
            }
            (module.clone(), from)
        })
        .collect()
}

fn layer(module: &Module) -> (&str, u8) {
    let name = module.first().map_or("lib", String::as_str);
    LAYERS
        .into_iter()
        .find(|(layer, _)| *layer == name)
        .unwrap_or((name, u8::MAX))
}

#[test]
fn no_import_runs_against_the_order_of_the_layers() {
    let domain = crates().into_iter().find(|f| f.ends_with("shared/domain"));
    let imports = imports(&domain.unwrap());
    assert!(imports.len() > 40, "{} files", imports.len());
    let mut wrong = Vec::new();
    for (module, from) in &imports {
        let (own, rank) = layer(module);
        assert_ne!(rank, u8::MAX, "{own} is in no layer");
        for (target, line) in from {
            let (other, below) = layer(target);
            if other != own && below >= rank {
                let (module, target) = (module.join("::"), target.join("::"));
                wrong.push(format!(
                    "{module}, line {line}, imports from crate::{target}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the first cycle that starts at the end of `path`.
fn cycle(imports: &Imports, path: &mut Vec<Module>, done: &mut BTreeSet<Module>) -> Option<String> {
    let last = path.last()?.clone();
    for target in imports.get(&last)?.keys() {
        if let Some(start) = path.iter().position(|m| m == target) {
            path.push(target.clone());
            let names: Vec<_> = path[start..].iter().map(|m| m.join("::")).collect();
            return Some(names.join(" -> "));
        }
        if !done.contains(target) {
            path.push(target.clone());
            let found = cycle(imports, path, done);
            if found.is_some() {
                return found;
            }
            path.pop();
        }
    }
    done.insert(last);
    None
}

#[test]
fn no_files_import_each_other() {
    for folder in crates() {
        let imports = imports(&folder);
        let mut done = BTreeSet::new();
        let found = imports
            .keys()
            .find_map(|module| cycle(&imports, &mut vec![module.clone()], &mut done));
        assert_eq!(found, None, "in {}", folder.display());
    }
}

#[test]
fn use_trees_are_read() {
    let mut paths = Vec::new();
    let rest = use_tree(
        "state::{account::{self, Account}, session as s, record::*};",
        &[],
        &mut paths,
    );
    let paths: Vec<_> = paths.iter().map(|p| p.join("::")).collect();
    assert_eq!(
        paths,
        [
            "state::account::self",
            "state::account::Account",
            "state::session",
            "state::record"
        ]
    );
    assert_eq!(rest, ";");
}
