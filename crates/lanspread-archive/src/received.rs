//! The other end of a stream: entries that arrive are written as if an archive had been unpacked.
//!
//! A stream is one more reader that drives the common pass, so that a path, a name or a size that an
//! unpacking would refuse is refused here as well, whatever its sender did or did not check.

use std::path::Path;

use lanspread_disk::Dir;

use crate::control::UnpackControl;
use crate::error::{Damage, UnpackError};
use crate::names::NameTree;
use crate::pass::{EntryPass, OffsetControl, RawKind};
use crate::sink::FileSink;
use crate::stream::{StreamItem, StreamTotals};

/// A stream that is being received.
pub trait StreamSource {
    /// Waits for the next item; `None` at the end, whether or not it should end there.
    fn next_item(&mut self) -> Option<StreamItem<'_>>;

    /// Whether it ended where it should. Asked after the end.
    fn is_complete(&self) -> bool;
}

/// Writes a whole stream below `target` and compares every checksum.
///
/// `announced` is what the stream must bring, neither more nor less: the first entry or byte beyond
/// it ends the unpacking. `name` stands for the stream in errors. `control` hears of the progress
/// over all archives. As with an unpacking, no file is overwritten, no link is followed, nothing is
/// synced, and after a failure `target` holds what was written until then.
///
/// # Errors
/// [`UnpackError`] as for an archive. A stream that ends too early is [`Damage::Truncated`].
pub fn unpack_stream(
    source: &mut dyn StreamSource,
    announced: StreamTotals,
    name: &Path,
    target: &Dir,
    control: &mut dyn UnpackControl,
) -> Result<StreamTotals, UnpackError> {
    let mut sink = FileSink::new(target);
    let mut names = NameTree::default();
    let mut totals = StreamTotals::default();
    let mut written_bytes = 0;
    while totals.archives < announced.archives {
        let mut control = OffsetControl { control, before_bytes: written_bytes };
        let mut pass = EntryPass::new(name, &mut names, &mut sink, &mut control);
        read_archive(source, &mut pass, announced, totals)?;
        totals.add(&pass);
        written_bytes += pass.written_bytes();
    }
    if source.next_item().is_some() {
        return Err(malformed(name, "it goes on after the last announced archive"));
    }
    if totals != announced {
        return Err(malformed(name, "it brought less than it announced"));
    }
    if !source.is_complete() {
        return Err(UnpackError::damaged(name, Damage::Truncated));
    }
    sink.make_copies(&mut OffsetControl { control, before_bytes: written_bytes })?;
    Ok(totals)
}

fn read_archive(
    source: &mut dyn StreamSource,
    pass: &mut EntryPass<'_>,
    announced: StreamTotals,
    before: StreamTotals,
) -> Result<(), UnpackError> {
    let name = pass.archive();
    let mut is_in_file = false;
    let mut hasher = crc32fast::Hasher::new();
    loop {
        let Some(item) = source.next_item() else {
            return Err(pass.damaged_entry(Damage::Truncated));
        };
        let goes_on = matches!(item, StreamItem::Data(_) | StreamItem::EndFile { .. });
        if goes_on != is_in_file {
            return Err(malformed(name, "its items come in an impossible order"));
        }
        match item {
            StreamItem::Directory(path) => pass.begin(path.as_str(), RawKind::Directory)?,
            StreamItem::File { path, size_bytes, modified, executable } => {
                require_announced(pass, announced, before, size_bytes)?;
                let kind = RawKind::File { size_bytes, modified, executable };
                pass.begin(path.as_str(), kind)?;
                is_in_file = true;
            }
            StreamItem::Data(block) => {
                hasher.update(block);
                pass.data(block)?;
            }
            StreamItem::EndFile { crc32 } => {
                if std::mem::take(&mut hasher).finalize() != crc32 {
                    return Err(pass.damaged_entry(Damage::BadCrc));
                }
                pass.end_file()?;
                is_in_file = false;
            }
            StreamItem::Copy { path, from, modified, executable } => {
                // What is not there is refused by the pass.
                let size_bytes = pass.size_of(from).unwrap_or_default();
                require_announced(pass, announced, before, size_bytes)?;
                let from = from.as_str().to_owned();
                let kind = RawKind::Copy { from, size_bytes, modified, executable };
                pass.begin(path.as_str(), kind)?;
            }
            StreamItem::EndArchive => return Ok(()),
        }
        if before.entries + pass.entries() > announced.entries {
            return Err(malformed(name, "it brings more entries than it announced"));
        }
    }
}

/// Refuses a file that would bring more than all files together may.
fn require_announced(
    pass: &EntryPass<'_>,
    announced: StreamTotals,
    before: StreamTotals,
    size_bytes: u64,
) -> Result<(), UnpackError> {
    let bytes = before.bytes.saturating_add(pass.summary().bytes).saturating_add(size_bytes);
    if bytes <= announced.bytes {
        return Ok(());
    }
    Err(malformed(pass.archive(), "it brings more bytes than it announced"))
}

fn malformed(name: &Path, what: &'static str) -> UnpackError {
    UnpackError::damaged(name, Damage::Malformed(what))
}
