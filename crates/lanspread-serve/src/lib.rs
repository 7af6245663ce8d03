//! The sessions between this peer and others: what is answered, and what is told.
//!
//! A [`session`] answers the requests of one peer and tells it what changes here. A [`Server`] gives out what the published
//! [`view`] allows, and what a [`swarm`] shares of games that are being fetched. [`outbound`] counts what others fetch, so
//! that nothing touches files that are being read.

mod admission;
mod chunk_reader;
mod contradictions;
mod layout_pages;
pub mod library_fetch;
mod library_pages;
pub mod outbound;
mod reply;
mod server;
pub mod session;
pub mod swarm;
#[cfg(test)]
mod tests;
mod unpacking;
pub mod view;

pub use contradictions::Contradiction;
pub use server::Server;
pub use unpacking::StreamService;
