//! Archives, which a game root is full of.

use std::fs;
use std::path::Path;

use lanspread_archive::{
    AutoUnpacker, MaxDictionary, StreamInstallProvider, UnpackControl, Unpacker,
};
use lanspread_disk::Dir;

/// Most bytes that one archive may unpack: what a fuzzer finds in more it finds in less.
const UNPACKED_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A directory in memory that is emptied after each use.
pub(crate) struct Place;

impl Place {
    pub(crate) fn with(act: impl FnOnce(&Path)) {
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("lanspread-fuzz-").tempdir_in(root);
        act(dir.expect("the disk takes it").path());
    }
}

/// How the library and an external program spell names.
pub fn rar_names(data: &[u8]) {
    lanspread_archive::fuzzing::names(data);
    lanspread_archive::fuzzing::listing(data);
}

struct Bounded(u64);

impl UnpackControl for Bounded {
    fn is_cancelled(&mut self) -> bool {
        self.0 > UNPACKED_MAX_BYTES
    }

    fn on_progress(&mut self, unpacked_bytes: u64) {
        self.0 = unpacked_bytes;
    }
}

/// A whole archive: unpacked, and listed for a stream. Checksums of headers are made right where the first byte is
/// odd, since a fuzzer would never guess them.
pub fn rar(data: &[u8]) {
    let Some((mode, archive)) = data.split_first() else { return };
    let mut archive = archive.to_vec();
    if mode & 1 == 1 {
        correct_headers(&mut archive);
    }
    Place::with(|dir| {
        let (path, target) = (dir.join("game.eti"), dir.join("target"));
        fs::write(&path, &archive).expect("the disk takes it");
        fs::create_dir(&target).expect("the disk takes it");
        let largest = MaxDictionary::new(16 << 20).expect("it is a power of two");
        let unpacker = AutoUnpacker::default().with_max_dictionary(largest);
        let opened = Dir::open(&target).expect("it was made");
        let unpacked = unpacker.unpack(&path, &opened, &mut Bounded(0));
        if unpacked.is_ok() {
            let stream = unpacker.open(&[path], &mut Bounded(0));
            assert!(stream.is_ok(), "what can be unpacked can be streamed");
        }
        let mut names: Vec<_> = fs::read_dir(dir)
            .expect("it was made")
            .map(|entry| entry.expect("it is listed").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["game.eti", "target"], "nothing is written outside of the target");
        assert!(!target.join(".lanspread_owned").exists());
    });
}

const RAR5: &[u8] = b"Rar!\x1a\x07\x01\x00";
const RAR4: &[u8] = b"Rar!\x1a\x07\x00";

/// Gives each header the checksum that it should have. Source: "RAR 5.0 archive format", and technote.txt of RAR 4.
fn correct_headers(archive: &mut [u8]) {
    if archive.starts_with(RAR5) {
        let mut at = RAR5.len();
        while let Some(next) = correct_rar5(archive, at) {
            at = next;
        }
    } else if archive.starts_with(RAR4) {
        let mut at = RAR4.len();
        while let Some(next) = correct_rar4(archive, at) {
            at = next;
        }
    }
}

fn correct_rar5(archive: &mut [u8], at: usize) -> Option<usize> {
    let begin = at + 4;
    let (header_bytes, size_len) = vint(archive.get(begin..)?)?;
    let end = begin.checked_add(size_len)?.checked_add(usize::try_from(header_bytes).ok()?)?;
    let header = archive.get(begin..end)?;
    let crc = crc32fast::hash(header);
    let fields = archive.get(begin + size_len..end)?;
    let (_, type_len) = vint(fields)?;
    let (flags, flags_len) = vint(fields.get(type_len..)?)?;
    let mut place = type_len + flags_len;
    if flags & 1 != 0 {
        place += vint(fields.get(place..)?)?.1;
    }
    let data_bytes = if flags & 2 != 0 { vint(fields.get(place..)?)?.0 } else { 0 };
    archive.get_mut(at..begin)?.copy_from_slice(&crc.to_le_bytes());
    end.checked_add(usize::try_from(data_bytes).ok()?)
}

fn correct_rar4(archive: &mut [u8], at: usize) -> Option<usize> {
    let header = archive.get(at..at + 7)?;
    let flags = u16::from_le_bytes([header[3], header[4]]);
    let header_bytes = usize::from(u16::from_le_bytes([header[5], header[6]]));
    let whole = archive.get(at + 2..at.checked_add(header_bytes)?)?;
    let crc = crc32fast::hash(whole).to_le_bytes();
    let added = match flags & 0x8000 {
        0 => 0,
        _ => {
            let size = archive.get(at + 7..at + 11)?;
            u32::from_le_bytes([size[0], size[1], size[2], size[3]]) as usize
        }
    };
    archive.get_mut(at..at + 2)?.copy_from_slice(&crc[..2]);
    (header_bytes >= 7).then_some(at.checked_add(header_bytes)?.checked_add(added)?)
}

fn vint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}
