//! Which content decides whatever the sources of a game say.

use lanspread_catalog::CatalogGame;
use lanspread_proto::ContentHash;
use lanspread_transfer::consensus::Stated;

use crate::error::CommandError;

/// Returns the root of the catalog, else the one that a command chose.
///
/// # Errors
/// [`CommandError::OtherContentRoot`] where the catalog states another root than was chosen.
pub(super) fn stated(
    game: &CatalogGame,
    choice: Option<ContentHash>,
) -> Result<Option<Stated>, CommandError> {
    match (game.content_root, choice) {
        (Some(content_root), Some(choice)) if content_root != choice => {
            Err(CommandError::OtherContentRoot { game_id: game.id.clone(), content_root })
        }
        (Some(content_root), _) => Ok(Some(Stated::Catalog(content_root))),
        (None, choice) => Ok(choice.map(Stated::Choice)),
    }
}
