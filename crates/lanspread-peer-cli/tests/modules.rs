//! Holds the modules of a crate to one direction: no module imports what imports it.
//!
//! Modules are compared with their siblings. A module stands for everything below it, and may use its
//! ancestors, which declare it. Imports of tests do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The crates whose modules form no circle.
const ORDERED: [&str; 6] = ["archive", "catalog", "fixture", "mdns", "peer", "proto"];

/// A module by the names from the root of its crate.
type Module = Vec<String>;

/// Sources of a crate by module, without its unit tests.
#[expect(clippy::unwrap_used, reason = "a test that cannot read the sources has failed")]
fn sources(dir: &Path, module: &Module, found: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap().to_owned();
        let is_root = module.is_empty() && (name == "lib" || name == "main");
        let below: Module = module.iter().cloned().chain((!is_root).then_some(name)).collect();
        if path.is_dir() {
            sources(&path, &below, found);
        } else if below.last().is_none_or(|name| name != "tests") {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            found.insert(below, text.to_owned());
        }
    }
}

/// Modules that only tests have.
fn test_modules(sources: &BTreeMap<Module, String>) -> BTreeSet<Module> {
    let mut found = BTreeSet::new();
    for (module, text) in sources {
        for (line, next) in text.lines().zip(text.lines().skip(1)) {
            let declared = next.trim_start_matches("pub(crate) ").strip_prefix("mod ");
            if let (true, Some(name)) = (line.contains("cfg(test)"), declared) {
                let name = name.trim_end_matches(';').to_owned();
                found.insert(module.iter().cloned().chain([name]).collect());
            }
        }
    }
    found
}

/// The paths that a file imports.
fn imports(text: &str) -> Vec<Vec<&str>> {
    let mut paths = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("use ") {
        let line = before.rsplit('\n').next().unwrap_or_default().trim();
        rest = after;
        if line.is_empty() || line.starts_with("pub") {
            let (tree, after) = after.split_once(';').unwrap_or_default();
            expand(&[], tree, &mut paths);
            rest = after;
        }
    }
    paths
}

/// Adds the paths of a tree as in `a::{b, c::{d, e}}`.
fn expand<'a>(prefix: &[&'a str], tree: &'a str, paths: &mut Vec<Vec<&'a str>>) {
    let tree = tree.trim();
    let (head, inner) = match tree.split_once('{') {
        Some((head, inner)) => (head, inner.strip_suffix('}')),
        None => (tree, None),
    };
    let segments = head.split("::").map(str::trim).filter(|segment| !segment.is_empty());
    let path: Vec<_> = prefix.iter().copied().chain(segments).collect();
    let Some(inner) = inner else { return paths.push(path) };
    let mut depth = 0;
    let is_comma = |c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    };
    for part in inner.split(is_comma).filter(|part| !part.trim().is_empty()) {
        expand(&path, part, paths);
    }
}

/// Makes a path one from the root of the crate; `None` for a path into another crate.
fn absolute<'a>(from: &'a Module, path: &[&'a str]) -> Option<Vec<&'a str>> {
    let ups = path.iter().take_while(|segment| **segment == "super").count();
    let kept = match *path.first()? {
        "crate" => 0,
        "self" => from.len(),
        "super" => from.len().checked_sub(ups)?,
        _ => return None,
    };
    let base = from.iter().take(kept).map(String::as_str);
    Some(base.chain(path.iter().copied().skip(ups.max(1))).collect())
}

/// Adds an arrow between the siblings above two modules, if there are any.
fn add_arrow(
    from: &Module,
    to: &[&str],
    modules: &BTreeMap<Module, String>,
    arrows: &mut BTreeMap<Module, BTreeSet<Module>>,
) {
    let shared = from.iter().zip(to).take_while(|(one, other)| one == other).count();
    let sibling: Module = to.iter().take(shared + 1).map(|name| (*name).to_owned()).collect();
    if from.len() > shared && to.len() > shared && modules.contains_key(&sibling) {
        let above = from.iter().take(shared + 1).cloned().collect();
        arrows.entry(above).or_default().insert(sibling);
    }
}

/// Whether `to` can be reached from `from`.
fn reaches(arrows: &BTreeMap<Module, BTreeSet<Module>>, from: &Module, to: &Module) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        for found in arrows.get(module).into_iter().flatten() {
            if found == to {
                return true;
            }
            if seen.insert(found) {
                next.push(found);
            }
        }
    }
    false
}

#[test]
fn no_module_imports_what_imports_it() {
    let mut circles = Vec::new();
    for name in ORDERED {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut modules = BTreeMap::new();
        sources(&crates.join(format!("lanspread-{name}/src")), &Vec::new(), &mut modules);
        let tests = test_modules(&modules);
        modules.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        let mut arrows = BTreeMap::new();
        for (from, text) in &modules {
            for path in imports(text) {
                if let Some(to) = absolute(from, &path) {
                    add_arrow(from, &to, &modules, &mut arrows);
                }
            }
        }
        assert!(modules.len() > 1, "{name} has modules");
        let on_circle = arrows.keys().filter(|module| reaches(&arrows, module, module));
        circles.extend(on_circle.map(|module| format!("{name}: {}", module.join("::"))));
    }
    assert!(circles.is_empty(), "modules that import what imports them: {circles:#?}");
}

#[test]
fn imports_are_found_in_trees() {
    let text = "use crate::a::{b, c::{d, e}};\n    pub(super) use self::f;\n// no use here;\n";
    let expected = [
        vec!["crate", "a", "b"],
        vec!["crate", "a", "c", "d"],
        vec!["crate", "a", "c", "e"],
        vec!["self", "f"],
    ];
    assert_eq!(imports(text), expected);
    let from: Module = ["runtime", "operations"].map(str::to_owned).into();
    assert_eq!(absolute(&from, &["super", "handles", "X"]), Some(vec!["runtime", "handles", "X"]));
    assert_eq!(absolute(&from, &["tokio", "sync"]), None);
}
