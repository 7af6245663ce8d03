//! Catalogs, which come from elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lanspread_catalog::{Catalog, CatalogFormat, Existing, RootChange, add_content_roots};
use lanspread_proto::ContentHash;

use crate::archives::Place;

/// A JSON catalog, and the one that comes of adding a root to it.
pub fn catalog_json(data: &[u8]) {
    catalog("fuzz.json", data);
}

/// A SQLite catalog, and the one that comes of adding a root to it.
pub fn catalog_sqlite(data: &[u8]) {
    if data.starts_with(b"SQLite format 3\0") {
        catalog("fuzz.db", data);
    }
}

fn catalog(name: &str, data: &[u8]) {
    Place::with(|dir| {
        let path = dir.join(name);
        fs::write(&path, data).expect("the disk takes it");
        if let Ok(catalog) = Catalog::load(&path) {
            hold_to_rules(&path, &catalog);
        }
    });
}

fn hold_to_rules(path: &Path, catalog: &Catalog) {
    assert!(!catalog.is_empty());
    let copy = path.with_extension("copy");
    for format in [CatalogFormat::Json, CatalogFormat::Sqlite] {
        if catalog.save(&copy, format, Existing::Replace).is_ok() {
            let again = Catalog::load(&copy).expect("what is written can be read");
            assert_eq!(again.len(), catalog.len());
            let same = again.iter().zip(catalog.iter());
            assert!(
                same.into_iter().all(|(a, b)| a.id == b.id && a.content_root == b.content_root)
            );
        }
    }
    let Some(game) = catalog.iter().next() else { return };
    let change = RootChange {
        version: game.version.clone(),
        old: game.content_root,
        new: ContentHash::of(b"fuzz"),
    };
    let changes = BTreeMap::from([(game.id.clone(), change)]);
    if add_content_roots(path, &changes).is_err() {
        return;
    }
    let after = Catalog::load(path).expect("a root breaks no catalog");
    assert_eq!(after.len(), catalog.len());
    for (after, before) in after.iter().zip(catalog.iter()) {
        let is_changed = before.id == game.id;
        assert_eq!(
            after.content_root == Some(ContentHash::of(b"fuzz")),
            is_changed || before.content_root == Some(ContentHash::of(b"fuzz"))
        );
        let with_root = |mut game: lanspread_catalog::CatalogGame| {
            game.content_root = None;
            game
        };
        assert_eq!(with_root(after.clone()), with_root(before.clone()));
    }
}
