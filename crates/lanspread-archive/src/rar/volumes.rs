//! Which files a RAR reader opens as the volumes that follow an archive.
//!
//! A reader opens the next volume by a name that it makes from that of the last one, and takes whatever
//! is there. So every name that it could come to is looked at before: a pipe or a device in its place
//! would make it wait, for ever. What remains is a file that is replaced between the look and the
//! opening.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::UnpackError;
use crate::platform;
use crate::regular::refuse_special;

/// Most names that are followed: more volumes than a set can have.
const VOLUMES_MAX: usize = 65_536;

/// Refuses an archive of which a following volume could be opened that is no regular file.
///
/// # Errors
/// [`UnpackError::Io`] with the path of the volume.
pub(crate) fn refuse_special_volumes(archive: &Path) -> Result<(), UnpackError> {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![archive.to_path_buf()];
    while let Some(volume) = waiting.pop() {
        for next in next_volumes(&volume).into_iter().flatten() {
            if seen.len() >= VOLUMES_MAX || seen.contains(&next) || next == archive {
                continue;
            }
            // Only after what is there comes another one.
            if refuse_special(&next).map_err(UnpackError::io("open", &next))? {
                waiting.push(next.clone());
            }
            seen.insert(next);
        }
    }
    Ok(())
}

/// Refuses a volume after which one could be opened that is no regular file: for a look that comes as late
/// as one can.
///
/// # Errors
/// [`UnpackError::Io`] with the path of the volume.
pub(super) fn refuse_special_after(volume: &Path) -> Result<(), UnpackError> {
    let mut next = next_volumes(volume).into_iter().flatten();
    next.try_for_each(|next| {
        refuse_special(&next).map(drop).map_err(UnpackError::io("open", &next))
    })
}

/// The names under which a reader looks for the volume after `volume`: by the new numbering, and by
/// the old one, which it tries as well.
fn next_volumes(volume: &Path) -> [Option<PathBuf>; 2] {
    [next_by_number, next_by_extension].map(|next| {
        let name = volume.file_name()?;
        // Names that are no text are taken byte by byte.
        let (mut characters, is_text): (Vec<char>, _) = match name.to_str() {
            Some(text) => (text.chars().collect(), true),
            None => (name.as_encoded_bytes().iter().map(|byte| char::from(*byte)).collect(), false),
        };
        complete_extension(&mut characters);
        next(&mut characters)?;
        let name: OsString = match is_text {
            true => characters.into_iter().collect::<String>().into(),
            false => {
                let bytes = characters.iter().map(|character| u8::try_from(*character).ok());
                platform::name_from_bytes(bytes.collect::<Option<_>>()?)
            }
        };
        Some(volume.with_file_name(name))
    })
}

fn dot(name: &[char]) -> Option<usize> {
    name.iter().rposition(|character| *character == '.')
}

/// A name without extension gets `.rar`, and so does that of a program which unpacks itself.
fn complete_extension(name: &mut Vec<char>) {
    let extension: Option<String> =
        dot(name).and_then(|dot| name.get(dot + 1..)).map(|text| text.iter().collect());
    let is_archive = extension.is_some_and(|extension| {
        let own = ["", "exe", "sfx"];
        !own.iter().any(|own| extension.eq_ignore_ascii_case(own))
    });
    if !is_archive {
        name.truncate(dot(name).unwrap_or(name.len()));
        name.extend(".rar".chars());
    }
}

/// `game.part9.rar` to `game.part10.rar`.
fn next_by_number(name: &mut Vec<char>) -> Option<()> {
    let mut at = number_place(name)?;
    loop {
        let digit = name.get_mut(at)?;
        *digit = char::from_u32(u32::from(*digit).checked_add(1)?)?;
        if *digit != ':' {
            return Some(());
        }
        *digit = '0';
        let Some(before) = at.checked_sub(1) else { return Some(()) };
        at = before;
        if !name.get(at)?.is_ascii_digit() {
            name.insert(at + 1, '1');
            return Some(());
        }
    }
}

/// The last digit of the number of a volume, or the beginning of a name without one.
fn number_place(name: &[char]) -> Option<usize> {
    let is_digit = |at: usize| name.get(at).is_some_and(char::is_ascii_digit);
    let mut place = name.len().checked_sub(1)?;
    while !is_digit(place) && place > 0 {
        place -= 1;
    }
    let mut first = place;
    while is_digit(first) && first > 0 {
        first -= 1;
    }
    // In `name.part1of3.rar` it is the first number, if a dot comes before it.
    while first > 0 && name.get(first) != Some(&'.') {
        if is_digit(first) {
            if name.iter().position(|character| *character == '.').is_some_and(|dot| dot < first) {
                place = first;
            }
            break;
        }
        first -= 1;
    }
    Some(place)
}

/// `game.rar` to `game.r00`, `game.r99` to `game.s00`.
fn next_by_extension(name: &mut Vec<char>) -> Option<()> {
    let dot = dot(name)?;
    if name.len() - dot < 3 {
        name.truncate(dot + 1);
        name.extend("rar".chars());
    }
    let is_digit = |at: usize| name.get(at).is_some_and(char::is_ascii_digit);
    if !is_digit(dot + 2) || !is_digit(dot + 3) {
        name.truncate(dot + 2);
        name.extend("00".chars());
        return Some(());
    }
    let mut at = name.len() - 1;
    loop {
        let digit = name.get_mut(at)?;
        *digit = char::from_u32(u32::from(*digit).checked_add(1)?)?;
        if *digit != ':' {
            return Some(());
        }
        let before = at.checked_sub(1);
        if before.is_none_or(|before| name.get(before) == Some(&'.')) {
            *name.get_mut(at)? = 'a';
            return Some(());
        }
        *name.get_mut(at)? = '0';
        at = before?;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::platform::testing::make_pipe;

    fn next(name: &str) -> [String; 2] {
        next_volumes(&Path::new("/some.1/dir").join(name)).map(|next| {
            let next = next.unwrap();
            assert_eq!(next.parent(), Some(Path::new("/some.1/dir")));
            next.file_name().unwrap().to_str().unwrap().to_owned()
        })
    }

    #[test]
    fn names_follow_as_the_library_makes_them() {
        let rows = [
            ("game.part1.rar", ["game.part2.rar", "game.part1.r00"]),
            ("game.part9.eti", ["game.part10.eti", "game.part9.e00"]),
            ("game.part099.rar", ["game.part100.rar", "game.part099.r00"]),
            ("game.part1of3.rar", ["game.part2of3.rar", "game.part1of3.r00"]),
            ("doom2.eti", ["doom3.eti", "doom2.e00"]),
            ("game.rar", ["hame.rar", "game.r00"]),
            ("game.r00", ["game.r01", "game.r01"]),
            ("game.r99", ["game.r100", "game.s00"]),
            ("game.z99", ["game.z100", "game.{00"]),
            ("game.999", ["game.1000", "game.a00"]),
            ("game", ["hame.rar", "game.r00"]),
            ("game.exe", ["hame.rar", "game.r00"]),
            ("game.7", ["game.8", "game.r00"]),
            ("Spiel für 日本.part1.eti", ["Spiel für 日本.part2.eti", "Spiel für 日本.part1.e00"]),
        ];
        for (name, expected) in rows {
            assert_eq!(next(name), expected, "{name}");
        }
        let odd = |bytes: &[u8]| PathBuf::from(platform::name_from_bytes(bytes.to_vec()));
        let expected = odd(b"g\xffme.part2.rar");
        assert_eq!(next_volumes(&odd(b"g\xffme.part1.rar"))[0], Some(expected));
    }

    #[test]
    fn a_pipe_anywhere_in_a_set_is_refused_and_one_beside_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        let pipe = |name: &str| make_pipe(&place(name)).unwrap();
        for name in ["game.part1.eti", "game.part2.eti", "old.eti", "old.e00", "old.e01"] {
            fs::write(place(name), "x").unwrap();
        }
        pipe("game.log");
        pipe("game.part4.eti");
        fs::create_dir(place("game.part3.eti")).unwrap();
        refuse_special_volumes(&place("game.part1.eti")).unwrap();
        fs::remove_dir(place("game.part3.eti")).unwrap();
        pipe("game.part3.eti");
        pipe("old.e02");
        for (archive, volume) in [
            ("game.part1.eti", "game.part3.eti"),
            ("game.part2.eti", "game.part3.eti"),
            ("old.eti", "old.e02"),
        ] {
            match refuse_special_volumes(&place(archive)) {
                Err(UnpackError::Io { path, .. }) => assert_eq!(path, place(volume)),
                other => panic!("{other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn any_name_has_an_end(name in "[^/\0]{1,20}") {
            let _ = next_volumes(&Path::new("/dir").join(name));
        }
    }
}
