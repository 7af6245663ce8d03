//! Holds the crates to the directions that ARCHITECTURE.md draws.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// The crates of the workspace, each with the crates of the workspace that it may depend on.
///
/// Development dependencies are free, because no product is built from them.
const ALLOWED: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("disk", &["proto"]),
    ("catalog", &["proto"]),
    ("mdns", &["proto"]),
    ("archive", &["disk", "proto"]),
    ("library", &["catalog", "disk", "proto"]),
    ("net", &["disk", "proto"]),
    ("transfer", &["proto"]),
    ("serve", &["archive", "catalog", "disk", "library", "net", "proto", "transfer"]),
    ("download", &["archive", "catalog", "disk", "library", "net", "proto", "serve", "transfer"]),
    ("install", &["archive", "disk", "net", "proto"]),
    (
        "peer",
        &[
            "archive", "catalog", "disk", "download", "install", "library", "mdns", "net", "proto",
            "serve", "transfer",
        ],
    ),
    ("fixture", &["catalog", "proto"]),
    ("peer-cli", &["archive", "catalog", "fixture", "library", "mdns", "peer", "proto"]),
    ("bench", &[]),
    ("hostile", &["proto"]),
];

/// Crates that decide without effects, and what may not be anywhere in what they are built from.
const PURE: [&str; 2] = ["proto", "transfer"];
const EFFECTS: [&str; 6] = ["tokio", "rustix", "mio", "s2n-quic", "notify", "socket2"];

#[expect(clippy::expect_used, reason = "a test without metadata has failed")]
fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).exec().expect("cargo tells its metadata")
}

/// The name of a crate of the workspace without the common prefix.
fn short(name: &str) -> Option<&str> {
    name.strip_prefix("lanspread-")
}

/// What each package needs to be built without tests.
fn needed(metadata: &Metadata) -> BTreeMap<&PackageId, BTreeSet<&PackageId>> {
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let is_needed = |kind: &DependencyKind| *kind != DependencyKind::Development;
    nodes
        .map(|node| {
            let dependencies = node.deps.iter();
            let dependencies =
                dependencies.filter(|dep| dep.dep_kinds.iter().any(|found| is_needed(&found.kind)));
            (&node.id, dependencies.map(|dep| &dep.pkg).collect())
        })
        .collect()
}

#[test]
fn no_crate_depends_on_one_that_it_may_not_know() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let name = short(&package.name).expect("crates are called lanspread-*");
        let allowed = ALLOWED.iter().find(|(known, _)| *known == name);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{name} is not in the list"));
        let dependencies = package.dependencies.iter();
        let dependencies = dependencies.filter(|found| found.kind != DependencyKind::Development);
        let known = dependencies.filter_map(|found| short(&found.name));
        wrong
            .extend(known.filter(|found| !allowed.contains(found)).map(|to| (name, to.to_owned())));
    }
    assert!(wrong.is_empty(), "arrows that ARCHITECTURE.md does not draw: {wrong:?}");
}

#[test]
fn what_decides_is_built_without_anything_that_acts() {
    let metadata = metadata();
    let needed = needed(&metadata);
    for package in metadata.workspace_packages() {
        if !PURE.iter().any(|pure| short(&package.name) == Some(pure)) {
            continue;
        }
        let (mut found, mut next) = (BTreeSet::new(), vec![&package.id]);
        while let Some(id) = next.pop() {
            if found.insert(id) {
                next.extend(needed.get(id).into_iter().flatten());
            }
        }
        let names: BTreeSet<_> = found.iter().map(|id| metadata[*id].name.as_str()).collect();
        let effects: Vec<_> = EFFECTS.iter().filter(|name| names.contains(**name)).collect();
        assert!(effects.is_empty(), "{} is built from {effects:?}", package.name);
    }
}

#[test]
fn no_crate_turns_failpoints_on_outside_of_tests() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        let defaults = package.features.get("default").into_iter().flatten();
        let turned_on = package
            .dependencies
            .iter()
            .filter(|found| found.kind != DependencyKind::Development)
            .flat_map(|found| &found.features);
        let named: Vec<_> = defaults.chain(turned_on).filter(|name| is_failpoints(name)).collect();
        assert!(named.is_empty(), "{} turns on {named:?}", package.name);
    }
}

fn is_failpoints(feature: &str) -> bool {
    feature.rsplit('/').next() == Some("failpoints")
}

/// What names an operating system, and belongs into the module `platform` of a crate.
const SYSTEM: [&str; 5] = ["std::os::unix", "std::os::fd", "rustix", "libc::", "\"/proc"];

#[test]
fn no_module_but_platform_names_the_system() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut named = Vec::new();
    let mut sources: Vec<_> = entries(&crates).map(|directory| directory.join("src")).collect();
    assert!(sources.len() > 10, "these are not all crates: {sources:?}");
    while let Some(path) = sources.pop() {
        // Tests put on the disk whatever the system has.
        let is_free =
            ["platform", "tests"].iter().any(|name| path.file_stem() == Some(name.as_ref()));
        if is_free {
            continue;
        }
        if path.is_dir() {
            sources.extend(entries(&path));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = code
            .lines()
            .enumerate()
            .filter(|(_, line)| SYSTEM.iter().any(|system| line.contains(system)));
        named.extend(lines.map(|(at, line)| format!("{}:{}: {line}", path.display(), at + 1)));
    }
    assert!(named.is_empty(), "only `platform` may name the system:\n{}", named.join("\n"));
}

/// What is in a directory; nothing where there is none.
fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path())
}
