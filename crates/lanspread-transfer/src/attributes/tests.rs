use lanspread_proto::ManifestFile;

use super::*;

fn peer(n: u8) -> PeerId {
    PeerId::from_public_key(&[n])
}

fn at(n: u8) -> Option<Voter> {
    Some(Voter::new([10, 0, 0, n]))
}

fn manifest() -> Manifest {
    let file = |path: &str| ManifestFile { path: path.parse().unwrap(), size: 0, hashes: None };
    let files = ["bin/tool", "bin/tools.dat", "readme.txt"].map(file);
    Manifest::new("20240131".parse().unwrap(), files.into()).unwrap()
}

fn bits(files: &[usize]) -> Option<FileBits> {
    let mut bits = FileBits::new(3);
    files.iter().for_each(|file| bits.set(*file));
    Some(bits)
}

fn paths(paths: &[&str]) -> Vec<RelPath> {
    paths.iter().map(|path| path.parse().unwrap()).collect()
}

/// What is claimed when all of these have come, in an order that `seed` picks.
fn claims(all: &[Attributes], seed: usize) -> AttributeClaims {
    let mut claims = AttributeClaims::default();
    let pages: Vec<_> = all.iter().map(|it| it.encode().unwrap()).collect();
    for (n, page) in (0..).zip(&pages) {
        claims.claim(peer(n), at(n), Attributes::identity(page));
    }
    let mut parts: Vec<_> = std::iter::from_fn(|| claims.ask(|_| true, Duration::ZERO)).collect();
    assert!(claims.is_awaited());
    let len = parts.len();
    parts.rotate_left(seed % len);
    for part in parts {
        let page = pages.iter().find(|page| Attributes::identity(page) == part.of).unwrap();
        claims.on_page(part, page, &manifest()).unwrap();
    }
    assert!(!claims.is_awaited());
    claims
}

#[test]
fn one_source_that_tells_a_bit_or_a_directory_is_enough_in_any_order() {
    let of = |executable, directories: &[&str]| Attributes {
        executable,
        directories: paths(directories),
        version_ini: None,
    };
    let all = [
        of(bits(&[0]), &["saves/slot1"]),
        of(None, &[]),
        of(bits(&[]), &["logs"]),
        of(bits(&[2]), &["logs/old", "saves/slot1"]),
    ];
    for seed in 0..all.len() {
        let agreed = claims(&all, seed).agree(&manifest(), None);
        assert_eq!(agreed.executable, bits(&[0, 2]));
        assert_eq!(agreed.directories, Some(paths(&["logs/old", "saves/slot1"])));
        assert_eq!(&*agreed.sentinel, b"20240131\n");
    }
    assert_eq!(claims(&all[1..2], 0).agree(&manifest(), None).executable, None);
}

#[test]
fn the_union_of_directories_stays_within_the_bounds() {
    let of = |name: &str, count: usize| {
        let directories = (0..count).map(|n| format!("{name}{n:04}").parse().unwrap());
        Attributes { directories: directories.collect(), ..Attributes::default() }
    };
    let agreed = claims(&[of("b", 3000), of("a", 3000)], 0).agree(&manifest(), None);
    let directories = agreed.directories.unwrap();
    assert_eq!(directories.len(), 4096);
    Attributes { directories, ..Attributes::default() }.encode().unwrap();
}

#[test]
fn the_sentinel_is_what_most_tell_unless_the_catalog_wants_another() {
    let of = |bytes: &'static [u8]| Attributes {
        version_ini: Some(Bytes::from_static(bytes)),
        ..Attributes::default()
    };
    let (crlf, own) = (of(b"20240131\r\n"), of(b"20240131 \nfinal\n"));
    let other = of(b"20250101\n");
    let all = [own.clone(), crlf.clone(), other.clone(), crlf.clone(), other.clone(), other];
    let all_claims = claims(&all, 0);
    let manifest = manifest();
    assert_eq!(all_claims.agree(&manifest, None).sentinel, crlf.version_ini.clone().unwrap());
    // Among equals the lowest.
    let two = claims(&[own.clone(), crlf.clone()], 0).agree(&manifest, None);
    assert_eq!(Some(two.sentinel), crlf.version_ini);
    let hashes = manifest.files().iter().map(|file| ManifestFile {
        hashes: Some(lanspread_proto::FileHashes::from_chunks(Vec::new())),
        ..file.clone()
    });
    let hashed = Manifest::new(manifest.version().clone(), hashes.collect()).unwrap();
    let stated = hashed.old_content_roots(own.version_ini.as_deref())[0];
    assert!(all_claims.hold(&hashed, stated) && !claims(&[crlf], 0).hold(&hashed, stated));
    assert_eq!(Some(all_claims.agree(&hashed, Some(stated)).sentinel), own.version_ini);
}

#[test]
fn the_sentinel_is_counted_by_address() {
    let pages = [b"20240131\n\n", b"20240131\r\n"].map(|bytes| {
        let version_ini = Some(Bytes::from_static(bytes));
        Attributes { version_ini, ..Attributes::default() }.encode().unwrap()
    });
    // Three keys at one address tell the first one.
    let sources = [(9, 0), (9, 0), (9, 0), (2, 1), (3, 1)];
    let mut claims = AttributeClaims::default();
    for (n, (address, page)) in (0..).zip(sources) {
        claims.claim(peer(n), at(address), Attributes::identity(&pages[page]));
    }
    while let Some(part) = claims.ask(|_| true, Duration::ZERO) {
        let page = pages.iter().find(|page| Attributes::identity(page) == part.of).unwrap();
        claims.on_page(part, page, &manifest()).unwrap();
    }
    assert_eq!(&*claims.agree(&manifest(), None).sentinel, b"20240131\r\n");
}

#[test]
fn attributes_that_break_a_rule_are_refused() {
    let manifest = manifest();
    for directory in [
        "readme.txt",
        "bin",
        "readme.txt/below",
        "local/saves",
        "LOCAL",
        "VERSION.ini",
        "lost+found",
        "data/$recycle.bin/x",
    ] {
        let directories = paths(&[directory]);
        let page = Attributes { directories, ..Attributes::default() }.encode().unwrap();
        let of = Attributes::identity(&page);
        let mut claims = AttributeClaims::default();
        claims.claim(peer(1), None, of);
        let part = claims.ask(|_| true, Duration::ZERO).unwrap();
        assert!(claims.on_page(part, &page, &manifest).unwrap_err().contains(directory));
        let other = AttributesPart { of: [1; 32].into(), ..part };
        assert!(claims.on_page(other, &page, &manifest).is_err());
    }
}

#[test]
fn a_source_that_fails_again_and_again_is_not_asked_any_more() {
    let mut claims = AttributeClaims::default();
    for _ in 0..FAILURES_MAX {
        claims.claim(peer(1), None, [1; 32].into());
        let part = claims.ask(|_| true, Duration::ZERO).unwrap();
        assert_eq!(claims.ask(|_| true, Duration::ZERO), None);
        claims.failed(part);
    }
    claims.claim(peer(1), None, [1; 32].into());
    assert_eq!(claims.ask(|_| true, Duration::ZERO), None);
    // Another one that tells the same takes its place.
    claims.claim(peer(2), None, [1; 32].into());
    assert_eq!(claims.ask(|_| true, Duration::ZERO).unwrap().peer, peer(2));
}
