//! Decides how a game is fetched from several sources at once.
//!
//! Everything here takes facts and the time, and returns what is to be done. Nothing here knows sockets, disks or clocks:
//! times are a [`Duration`](std::time::Duration) since the download began, which the caller measures.
//!
//! [`gathering`] and [`consensus`] settle on what the game is. [`description`], [`part_fetch`] and [`parts`] fetch
//! its layout and its hashes. [`transfer`] joins [`scheduler`], which source is asked for what, with
//! [`ledger`], what is on disk. [`source_retry`] says when a lost source is asked again, [`backoff`] how
//! long to pause after a failure, and [`record`] what a journal says.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod attributes;
pub mod backoff;
pub mod consensus;
pub mod description;
pub mod gathering;
pub mod heads;
pub mod layout;
pub mod ledger;
pub mod part_fetch;
pub mod parts;
pub mod progress;
pub mod record;
pub mod scheduler;
pub mod source_retry;
pub mod transfer;
