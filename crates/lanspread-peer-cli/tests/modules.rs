//! Holds the modules of each crate to one direction: no module imports one that imports it.
//!
//! Modules are compared with their siblings, at every depth. A module stands for everything below it. It may
//! use its ancestors, which declare it, and what is below it. Imports of tests do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, UseTree};

/// A module or an item by the names from the root of its crate.
type Names = Vec<String>;

/// What the modules of a crate name.
type Imports = BTreeMap<Names, BTreeSet<Names>>;

/// Gathers what one module names.
struct Gatherer<'a> {
    module: &'a Names,
    found: &'a mut BTreeSet<Names>,
}

impl Gatherer<'_> {
    fn follow(&mut self, tree: &UseTree, path: &mut Names) {
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

    /// Notes a path that begins with `crate` or `super`, by the names from the root.
    fn note(&mut self, path: &[String], last: Option<String>) {
        let mut parts = path.iter().cloned().chain(last).peekable();
        let mut names = Names::new();
        if parts.next_if(|part| part == "crate").is_none() {
            let mut ups = 0;
            while parts.next_if(|part| part == "super").is_some() {
                ups += 1;
            }
            match self.module.len().checked_sub(ups) {
                Some(kept) if ups > 0 => names.extend(self.module.iter().take(kept).cloned()),
                _ => return,
            }
        }
        names.extend(parts.filter(|part| part != "self"));
        self.found.insert(names);
    }
}

impl<'ast> Visit<'ast> for Gatherer<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !attributes.iter().any(is_test) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.follow(&item.tree, &mut Names::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Names = path.segments.iter().map(|part| part.ident.to_string()).collect();
        self.note(&parts, None);
        visit::visit_path(self, path);
    }
}

/// Whether an attribute leaves an item to tests.
fn is_test(attribute: &Attribute) -> bool {
    let Ok(list) = attribute.meta.require_list() else { return false };
    attribute.path().is_ident("cfg") && list.tokens.to_string().contains("test")
}

fn list(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn imports_of(source_dir: &Path) -> Imports {
    let (mut files, mut parsed) = (Vec::new(), BTreeMap::new());
    list(source_dir, &mut files);
    for file in files {
        let relative = file.with_extension("");
        let relative = relative.strip_prefix(source_dir).into_iter().flatten();
        let mut module: Names = relative.map(|part| part.to_string_lossy().into_owned()).collect();
        if matches!(&*module.join("/"), "lib" | "main") {
            module.clear();
        }
        let text = fs::read_to_string(&file).unwrap_or_default();
        let syntax = syn::parse_file(&text);
        parsed.insert(module, syntax.unwrap_or_else(|error| panic!("{}: {error}", file.display())));
    }
    let for_tests: Vec<Names> = parsed
        .iter()
        .flat_map(|(module, syntax)| {
            let modules = syntax.items.iter().filter_map(|item| match item {
                Item::Mod(item) if item.attrs.iter().any(is_test) => Some(item.ident.to_string()),
                _ => None,
            });
            modules.map(|name| [module.as_slice(), &[name]].concat())
        })
        .collect();
    parsed.retain(|module, _| !for_tests.iter().any(|tests| module.starts_with(tests)));
    let gather = |(module, syntax): (&Names, &syn::File)| {
        let mut found = BTreeSet::new();
        Gatherer { module, found: &mut found }.visit_file(syntax);
        (module.clone(), found)
    };
    parsed.iter().map(gather).collect()
}

/// Which module uses which of its siblings, each for all that is below it.
fn siblings(imports: &Imports) -> Imports {
    let mut uses = Imports::new();
    for (from, names) in imports {
        for name in names {
            let mut to = name.clone();
            while !to.is_empty() && !imports.contains_key(&to) {
                to.pop();
            }
            let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
            if shared < from.len().min(to.len()) {
                let sibling = |module: &Names| module.iter().take(shared + 1).cloned().collect();
                uses.entry(sibling(from)).or_default().insert(sibling(&to));
            }
        }
    }
    uses
}

/// The modules that come back to themselves.
fn circles(imports: &Imports) -> Vec<String> {
    let uses = siblings(imports);
    let is_in_circle = |module: &&Names| {
        let (mut found, mut next) = (BTreeSet::new(), vec![*module]);
        while let Some(other) = next.pop() {
            next.extend(uses.get(other).into_iter().flatten().filter(|it| found.insert(*it)));
        }
        found.contains(module)
    };
    uses.keys().filter(is_in_circle).map(|module| module.join("::")).collect()
}

#[test]
fn no_module_imports_one_that_imports_it() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(crates).unwrap() {
        let directory = entry.unwrap().path();
        let circles = circles(&imports_of(&directory.join("src")));
        if !circles.is_empty() {
            found.insert(directory.file_name().unwrap().to_owned(), circles);
        }
    }
    assert!(found.is_empty(), "modules that import each other: {found:#?}");
}

#[test]
fn circles_are_found_at_every_depth_and_tests_make_none() {
    let directory = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod one; mod two; mod three; mod four; #[cfg(test)] mod five;");
    write("one.rs", "use crate::two::{self, X}; use crate::five;");
    write("two.rs", "mod below; mod deep; use super::four; use self::below::Y;");
    write("two/below.rs", "fn f() { super::deep::g(); }");
    write("two/deep.rs", "use crate::two::{below::f, Z};");
    write("four.rs", "#[cfg(test)] mod tests { use crate::two; } use std::io::one;");
    write("five.rs", "use crate::one;");
    assert_eq!(circles(&imports_of(directory.path())), ["two::below", "two::deep"]);
    write("four.rs", "fn f() { crate::one::f() }");
    let expected = ["four", "one", "two", "two::below", "two::deep"];
    assert_eq!(circles(&imports_of(directory.path())), expected);
}
