//! What the tests of this crate share.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lanspread_archive::{UnpackControl, UnpackError, UnpackSummary, Unpacker};
use lanspread_disk::Dir;
use tempfile::TempDir;

/// A real archive of `tests/data`.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A folder to unpack into, alone in a folder of its own, so that an escape would be seen.
pub struct Target {
    outer: TempDir,
}

impl Target {
    pub fn new() -> Self {
        let outer = TempDir::new().unwrap();
        fs::create_dir(outer.path().join("target")).unwrap();
        Self { outer }
    }

    pub fn path(&self) -> PathBuf {
        self.outer.path().join("target")
    }

    pub fn dir(&self) -> Dir {
        Dir::open(&self.path()).unwrap()
    }

    /// A place beside the target, for an archive.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.outer.path().join(name)
    }

    pub fn unpack(
        &self,
        unpacker: &dyn Unpacker,
        archive: &Path,
    ) -> Result<UnpackSummary, UnpackError> {
        unpacker.unpack(archive, &self.dir(), &mut ())
    }

    /// Writes `bytes` as an archive and unpacks it.
    pub fn unpack_bytes(
        &self,
        unpacker: &dyn Unpacker,
        bytes: &[u8],
    ) -> Result<UnpackSummary, UnpackError> {
        let archive = self.beside("archive.eti");
        fs::write(&archive, bytes).unwrap();
        self.unpack(unpacker, &archive)
    }

    /// Every file and directory (with `/` at the end, and no content) below the target.
    pub fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        let mut tree = BTreeMap::new();
        collect(&self.path(), "", &mut tree);
        tree
    }

    /// The permissions of a file, with setuid, setgid and sticky.
    #[cfg(unix)]
    pub fn mode(&self, name: &str) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(self.path().join(name)).unwrap().permissions().mode() & 0o7777
    }

    /// Whether those may run a file who may read it, and nothing else of a mode is there.
    #[cfg(unix)]
    pub fn is_executable(&self, name: &str) -> bool {
        let mode = self.mode(name);
        assert_eq!(mode & 0o7000, 0, "{name}: {mode:o}");
        assert!(mode & 0o111 == 0 || mode & 0o111 == (mode & 0o444) >> 2, "{name}: {mode:o}");
        mode & 0o111 != 0
    }

    pub fn names(&self) -> Vec<String> {
        self.tree().into_keys().collect()
    }

    /// What stands beside the target, without it.
    pub fn names_beside(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.outer.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "target")
            .collect();
        names.sort();
        names
    }
}

fn collect(directory: &Path, prefix: &str, tree: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            let below = format!("{name}/");
            collect(&entry.path(), &below, tree);
            tree.insert(below, Vec::new());
        } else {
            assert!(kind.is_file(), "{name} is neither file nor directory");
            tree.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

/// Cancels when more than a number of bytes has been delivered, and notes every report.
#[derive(Default)]
pub struct Watch {
    pub cancel_above_bytes: Option<u64>,
    pub reports: Vec<u64>,
}

impl UnpackControl for Watch {
    fn is_cancelled(&mut self) -> bool {
        let delivered = self.reports.last().copied().unwrap_or_default();
        self.cancel_above_bytes.is_some_and(|limit| delivered > limit)
    }

    fn on_progress(&mut self, unpacked_bytes: u64) {
        self.reports.push(unpacked_bytes);
    }
}

/// An entry of [`rar5`]: its name as it is to stand in the archive, and its content.
pub struct RawEntry<'a> {
    pub name: &'a str,
    pub is_directory: bool,
    pub content: &'a [u8],
    /// The kind of a link, where it leads, and the size that stands in its header.
    pub link: Option<(usize, &'a str, usize)>,
    /// Version, method and dictionary of the compression, as RAR 5 packs them: 0 is stored.
    pub compression: usize,
    /// Its mode of Unix; `None` for an entry that was made on Windows.
    pub mode: Option<usize>,
}

pub fn raw_file<'a>(name: &'a str, content: &'a [u8]) -> RawEntry<'a> {
    RawEntry { name, is_directory: false, content, link: None, compression: 0, mode: Some(0) }
}

pub fn raw_directory(name: &str) -> RawEntry<'_> {
    RawEntry { name, is_directory: true, content: b"", link: None, compression: 0, mode: Some(0) }
}

/// What RAR makes of a file that is the same as another one: 5, and 4 for a hard link.
pub fn raw_link<'a>(kind: usize, name: &'a str, to: &'a str, size: usize) -> RawEntry<'a> {
    let link = Some((kind, to, size));
    RawEntry { link, ..raw_file(name, b"") }
}

/// A RAR 5 archive with any names, restating the format on its own.
pub fn rar5(entries: &[RawEntry<'_>]) -> Vec<u8> {
    fn number(value: usize) -> Vec<u8> {
        match value {
            0..0x80 => vec![value as u8],
            _ => [vec![(value & 0x7f) as u8 | 0x80], number(value >> 7)].concat(),
        }
    }
    fn block(fields: &[Vec<u8>]) -> Vec<u8> {
        let body = fields.concat();
        let checked = [number(body.len()), body].concat();
        [crc32fast::hash(&checked).to_le_bytes().to_vec(), checked].concat()
    }
    let mut archive = b"Rar!\x1a\x07\x01\x00".to_vec();
    archive.extend(block(&[number(1), number(0), number(0)]));
    for entry in entries {
        let size = entry.link.map_or(entry.content.len(), |(_, _, size)| size);
        let extra = entry.link.map(|(kind, to, _)| {
            let record = [number(5), number(kind), number(0), number(to.len())].concat();
            let record = [record, to.as_bytes().to_vec()].concat();
            [number(record.len()), record].concat()
        });
        let has_data = !entry.is_directory && entry.link.is_none();
        let flags = usize::from(extra.is_some()) | usize::from(has_data) << 1;
        let mut fields = vec![number(2), number(flags)];
        fields.extend(extra.iter().map(|extra| number(extra.len())));
        fields.extend(has_data.then(|| number(size)));
        let file_flags = if entry.is_directory { 1 } else { usize::from(has_data) << 2 };
        // As Windows marks a file that is to be archived.
        let attributes = entry.mode.unwrap_or(0x20);
        fields.extend([number(file_flags), number(size), number(attributes)]);
        if has_data {
            fields.push(crc32fast::hash(entry.content).to_le_bytes().to_vec());
        }
        let host = usize::from(entry.mode.is_some());
        fields.extend([number(entry.compression), number(host), number(entry.name.len())]);
        fields.push(entry.name.as_bytes().to_vec());
        fields.extend(extra);
        archive.extend(block(&fields));
        archive.extend(entry.content);
    }
    archive.extend(block(&[number(5), number(0), number(0)]));
    archive
}

/// A RAR 3 archive of stored files as it is made on Windows, with names in units of UTF-16.
pub fn rar3(entries: &[(&[u16], &[u8])]) -> Vec<u8> {
    const UNICODE_WITH_DATA: u16 = 0x8200;
    const WINDOWS: u8 = 2;
    const VERSION: u8 = 29;
    const STORED: u8 = 0x30;
    const TIME: u32 = 0x5a21_a000;
    let mut archive = b"Rar!\x1a\x07\x00".to_vec();
    archive.extend(rar3_header(0x73, 0, &[0; 6]));
    for (units, content) in entries {
        // One byte each, for old programs; a zero; then a high byte that is not used, and groups of
        // four units behind a byte which says that both halves of each follow.
        let mut name: Vec<u8> =
            units.iter().map(|unit| u8::try_from(*unit).unwrap_or(b'_')).collect();
        name.extend([0, 0]);
        for group in units.chunks(4) {
            name.push(0b1010_1010 << (8 - 2 * group.len()));
            name.extend(group.iter().flat_map(|unit| unit.to_le_bytes()));
        }
        let size = u32::try_from(content.len()).unwrap().to_le_bytes();
        let mut body = [size, size].concat();
        body.push(WINDOWS);
        body.extend(crc32fast::hash(content).to_le_bytes());
        body.extend(TIME.to_le_bytes());
        body.extend([VERSION, STORED]);
        body.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        body.extend(0x20_u32.to_le_bytes());
        body.extend(name);
        archive.extend(rar3_header(0x74, UNICODE_WITH_DATA, &body));
        archive.extend(*content);
    }
    archive.extend(rar3_header(0x7b, 0x4000, &[]));
    archive
}

/// A header of RAR 1.5 to 4.
pub fn rar3_header(kind: u8, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut checked = vec![kind];
    checked.extend(flags.to_le_bytes());
    checked.extend(u16::try_from(7 + body.len()).unwrap().to_le_bytes());
    checked.extend(body);
    let crc = crc32fast::hash(&checked) as u16;
    [&crc.to_le_bytes()[..], &checked].concat()
}

pub fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// A fixture archive with any names, restating the format on its own.
pub fn fixture(entries: &[RawEntry<'_>]) -> Vec<u8> {
    let mut archive = b"LSPFIX1\n".to_vec();
    for entry in entries {
        archive.push(if entry.is_directory { 1 } else { 2 });
        archive.extend((entry.name.len() as u16).to_le_bytes());
        archive.extend(entry.name.as_bytes());
        if !entry.is_directory {
            archive.extend((entry.content.len() as u64).to_le_bytes());
            archive.extend(entry.content);
            archive.extend(crc32fast::hash(entry.content).to_le_bytes());
        }
    }
    archive.push(0);
    archive.extend((entries.len() as u64).to_le_bytes());
    archive
}
