//! What the crash tests ask a journal: whether what it claims is there.

use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use lanspread_disk::platform::read_exact_at;
use lanspread_proto::hash::chunk_hash;
use lanspread_proto::{GameId, Manifest};
use lanspread_transfer::layout::Layout;

use crate::journal::{self, journal_path};

/// How many claims a journal has, and which of them the disk does not bear out. `None` when there
/// is no journal with a whole header.
pub fn audit(
    root: &Path,
    state_dir: &Path,
    game_id: &GameId,
    manifest: &Arc<Manifest>,
) -> io::Result<Option<(usize, Vec<String>)>> {
    let Some(contents) = journal::read(&journal_path(state_dir, game_id))? else { return Ok(None) };
    // A cancelled download removes what it claimed.
    if contents.is_discarding {
        return Ok(Some((0, Vec::new())));
    }
    let layout = Layout::new(Arc::clone(manifest));
    let mut lies = Vec::new();
    for (chunk, hash) in &contents.claims {
        let Some((place, file)) = layout.location(*chunk) else { continue };
        let mut bytes = vec![0; place.len as usize];
        let read = fs::File::open(file.path.under(root))
            .and_then(|file| read_exact_at(&file, &mut bytes, place.offset));
        if read.is_err() || chunk_hash(file.size, place.index, &bytes) != *hash {
            lies.push(format!("chunk {} of {}: {read:?}", place.index, file.path));
        }
    }
    Ok(Some((contents.claims.len(), lies)))
}
