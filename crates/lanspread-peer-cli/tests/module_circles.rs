//! Holds the modules of each crate to one direction: no top-level module imports one that imports it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, UseTree};

/// Which top-level modules of its crate each one names.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// Gathers the top-level modules that one file names.
struct Gatherer<'a> {
    /// How many `super` lead from the file to the root of the crate.
    depth: usize,
    found: &'a mut BTreeSet<String>,
}

impl Gatherer<'_> {
    fn follow(&mut self, tree: &UseTree, path: &mut Vec<String>) {
        match tree {
            UseTree::Path(part) => {
                path.push(part.ident.to_string());
                self.follow(&part.tree, path);
                path.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.follow(tree, path);
                }
            }
            UseTree::Name(name) => self.note(path, Some(name.ident.to_string())),
            UseTree::Rename(rename) => self.note(path, Some(rename.ident.to_string())),
            UseTree::Glob(_) => self.note(path, None),
        }
    }

    fn note(&mut self, path: &[String], last: Option<String>) {
        let mut parts = path.iter().cloned().chain(last).peekable();
        if parts.next_if(|part| part == "crate").is_none() {
            let mut ups = 0;
            while parts.next_if(|part| part == "super").is_some() {
                ups += 1;
            }
            if ups != self.depth {
                return;
            }
        }
        self.found.extend(parts.next());
    }
}

impl<'ast> Visit<'ast> for Gatherer<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let is_for_tests = |attributes: &[Attribute]| attributes.iter().any(is_test);
        let skipped = match item {
            Item::Mod(item) => is_for_tests(&item.attrs),
            Item::Use(item) => is_for_tests(&item.attrs),
            Item::Fn(item) => is_for_tests(&item.attrs),
            Item::Impl(item) => is_for_tests(&item.attrs),
            _ => false,
        };
        if !skipped {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.follow(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<_> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        if parts.first().is_some_and(|first| first == "crate") {
            self.note(&parts, None);
        }
        visit::visit_path(self, path);
    }
}

/// Whether an attribute leaves an item to tests.
fn is_test(attribute: &Attribute) -> bool {
    let Ok(list) = attribute.meta.require_list() else { return false };
    attribute.path().is_ident("cfg") && list.tokens.to_string().contains("test")
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn parse(file: &Path) -> syn::File {
    let text = fs::read_to_string(file).unwrap_or_default();
    syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The modules that the root of a crate declares for tests alone.
fn test_modules(source_dir: &Path) -> BTreeSet<String> {
    let roots = ["lib.rs", "main.rs"].map(|name| source_dir.join(name));
    let items = roots.iter().filter(|root| root.exists()).flat_map(|root| parse(root).items);
    let modules = items.filter_map(|item| match item {
        Item::Mod(module) => Some(module),
        _ => None,
    });
    let for_tests = modules.filter(|module| module.attrs.iter().any(is_test));
    for_tests.map(|module| module.ident.to_string()).collect()
}

fn imports_of(source_dir: &Path) -> Imports {
    let (mut files, mut imports) = (Vec::new(), Imports::new());
    let test_modules = test_modules(source_dir);
    sources(source_dir, &mut files);
    for file in files {
        let relative = file.strip_prefix(source_dir).into_iter().flatten();
        let parts: Vec<_> = relative.map(|part| part.to_string_lossy().into_owned()).collect();
        let Some((first, below)) = parts.split_first() else { continue };
        let module = first.trim_end_matches(".rs").to_owned();
        let is_root = below.is_empty() && matches!(&*module, "lib" | "main");
        let is_test = test_modules.contains(&module);
        if is_root || is_test || parts.iter().any(|part| part.starts_with("tests")) {
            continue;
        }
        let found = imports.entry(module).or_default();
        Gatherer { depth: parts.len(), found }.visit_file(&parse(&file));
    }
    let modules: BTreeSet<_> = imports.keys().cloned().collect();
    for (module, found) in &mut imports {
        found.retain(|other| other != module && modules.contains(other));
    }
    imports
}

/// All modules that `from` comes to.
fn reached<'a>(imports: &'a Imports, from: &str) -> BTreeSet<&'a str> {
    let (mut found, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(module) = next.pop() {
        for other in imports.get(&module).into_iter().flatten() {
            if found.insert(other.as_str()) {
                next.push(other.clone());
            }
        }
    }
    found
}

#[test]
fn no_module_imports_one_that_imports_it() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut circles = Vec::new();
    for entry in fs::read_dir(crates).unwrap() {
        let directory = entry.unwrap().path();
        let imports = imports_of(&directory.join("src"));
        let in_circle =
            imports.keys().filter(|name| reached(&imports, name).contains(name.as_str()));
        let in_circle: Vec<_> = in_circle.cloned().collect();
        if !in_circle.is_empty() {
            circles.push((directory.file_name().unwrap().to_owned(), in_circle));
        }
    }
    assert!(circles.is_empty(), "modules that import each other: {circles:?}");
}

#[test]
fn a_circle_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod one; mod two; mod three;");
    write("one.rs", "use crate::two::{self, X};");
    write("two/below.rs", "fn f() { crate::three::g(); }");
    write("three.rs", "use super::one; #[cfg(test)] mod tests { use crate::four; }");
    write("four.rs", "use crate::three::{g as h};");
    let imports = imports_of(directory.path());
    assert_eq!(reached(&imports, "one"), BTreeSet::from(["one", "two", "three"]));
    assert!(!reached(&imports, "four").contains("four"));
}
