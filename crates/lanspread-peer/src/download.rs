//! Fetching a game from several sources at once.

mod layout;
mod scheduler;
mod source;
