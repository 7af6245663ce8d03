//! A stream that has arrived already, for tests of what is made of it.

use std::path::Path;

use bytes::Bytes;
use lanspread_proto::stream::StreamExtent;
use lanspread_proto::{GameId, PeerId};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::receive::{ReceivedItem, Reception};
use crate::InstallSummary;
use crate::error::StreamFailure;
use crate::step::Hook;

/// Installs `files` from a stream that brought exactly them.
pub(crate) fn receive(
    root: &Path,
    state_dir: &Path,
    game_id: &GameId,
    files: &[(&str, &str)],
    hook: &mut Hook<'_>,
) -> Result<InstallSummary, StreamFailure> {
    reception(root, state_dir, game_id, files).install_with(hook)
}

/// Returns a reception for which `files` have arrived, and exactly they.
pub(super) fn reception(
    root: &Path,
    state_dir: &Path,
    game_id: &GameId,
    files: &[(&str, &str)],
) -> Reception {
    let mut arrived = Vec::new();
    for (path, text) in files {
        let (path, size) = (path.parse().unwrap(), text.len() as u64);
        arrived.push(ReceivedItem::File { path, size, modified_ms: Some(-1), executable: false });
        arrived.push(ReceivedItem::Data(Bytes::copy_from_slice(text.as_bytes())));
        arrived.push(ReceivedItem::FileEnd { crc32: crc32(text.as_bytes()) });
    }
    arrived.extend([ReceivedItem::ArchiveEnd, ReceivedItem::Complete]);
    let (sender, arriving) = mpsc::channel(arrived.len());
    for item in arrived {
        sender.try_send(item).unwrap();
    }
    let count = files.len() as u64;
    let bytes = files.iter().map(|(_, text)| text.len() as u64).sum();
    Reception {
        root: root.to_path_buf(),
        state_dir: state_dir.to_path_buf(),
        game_id: game_id.clone(),
        peer_id: PeerId::from_public_key(b"source"),
        announced: StreamExtent { archives: 1, entries: count, files: count, bytes },
        arriving,
        written: watch::channel(0).0,
        cancel: CancellationToken::new(),
    }
}

/// CRC-32 as archives use it, bit by bit from its definition.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let fold = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    };
    !bytes.iter().fold(!0, fold)
}
