//! Decides how a game is fetched from several sources at once.
//!
//! Everything here takes facts and the time, and returns what is to be done. Nothing here knows sockets, disks or clocks:
//! times are a [`Duration`](std::time::Duration) since the download began, which the caller measures.
//!
//! Two sources give the pieces of a small game, and one of them leaves on the way:
//!
//! ```
//! use std::collections::VecDeque;
//! use std::time::Duration;
//!
//! use lanspread_proto::PeerId;
//! use lanspread_transfer::scheduler::{Arrival, Order, Scheduler};
//!
//! let (alpha, bravo) = (PeerId::from_public_key(b"alpha"), PeerId::from_public_key(b"bravo"));
//! let (pieces, mut now) = (5, Duration::ZERO);
//! let mut scheduler = Scheduler::new(pieces, Order::File);
//! scheduler.join(alpha, now);
//! scheduler.join(bravo, now);
//!
//! // Each of them is asked for two pieces at first.
//! let mut asked: VecDeque<_> = std::iter::from_fn(|| scheduler.ask(now)).collect();
//! assert_eq!(asked.iter().filter(|ask| ask.peer == alpha).count(), 2);
//! assert_eq!(asked.iter().filter(|ask| ask.peer == bravo).count(), 2);
//!
//! // What was asked of the one that leaves is asked of the other one.
//! scheduler.leave(bravo);
//! asked.retain(|ask| ask.peer == alpha);
//!
//! let mut written = 0;
//! while let Some(ask) = asked.pop_front() {
//!     now += Duration::from_millis(20);
//!     let arrival = scheduler.on_arrival(ask.peer, ask.piece, now);
//!     assert_eq!(arrival, Arrival::Wanted { abandon: Vec::new() });
//!     // Here the caller verifies the piece and writes it to the disk.
//!     scheduler.on_written(ask.piece);
//!     written += 1;
//!     asked.extend(std::iter::from_fn(|| scheduler.ask(now)));
//! }
//! assert!(scheduler.is_complete());
//! assert_eq!(written, pieces);
//! ```
//!
//! [`gathering`] and [`consensus`] settle on what the game is, by the [`heads`] of the sources and by
//! the [`votes`] of their addresses.
//! [`description`], [`part_fetch`] and [`parts`] fetch its layout and its hashes. [`transfer`] joins
//! [`scheduler`], which decides which source is asked for what, with [`ledger`], which knows what is on
//! disk, and [`attributes`], which knows what sources have beside the content. [`source_choice`] says
//! which sources a game may be streamed from, and [`reference`](mod@reference) what a copy is held
//! against. [`source_retry`] says when a lost source is asked again, [`backoff`] how long to pause after a
//! failure, and [`record`] what a journal says.

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
pub mod reference;
pub mod scheduler;
pub mod source_choice;
pub mod source_retry;
pub mod transfer;
pub mod votes;
