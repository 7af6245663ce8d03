//! Tells a peer that reaches itself from another one that has the same identity.
//!
//! Both show the same key. But a peer that reaches itself has both ends of the connection, and so knows the
//! same keying material on the side that dialled and on the side that accepted. No address is needed for
//! that, so neither another card nor a translated address looks like a second peer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The connections to this peer's own identity that it dialled and that are shaking hands.
#[derive(Debug, Clone, Default)]
pub struct Echoes {
    /// Their keying material, and whether it came back.
    dialled: Arc<Mutex<BTreeMap<[u8; 32], bool>>>,
}

/// One such connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Call {
    echoes: Echoes,
    exporter: [u8; 32],
}

impl Echoes {
    /// Notes a connection that this peer dialled.
    pub(super) fn call(&self, exporter: &[u8; 32]) -> Call {
        self.change(|dialled| dialled.insert(*exporter, false));
        Call { echoes: self.clone(), exporter: *exporter }
    }

    /// Takes in a connection that this peer accepted; returns whether it dialled that itself.
    pub(super) fn is_own_call(&self, exporter: &[u8; 32]) -> bool {
        self.change(|dialled| match dialled.get_mut(exporter) {
            Some(has_come_back) => {
                *has_come_back = true;
                true
            }
            None => false,
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<[u8; 32], bool>) -> T) -> T {
        // Nothing in here panics half way.
        change(&mut self.dialled.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Call {
    /// Returns whether this peer accepted the connection itself. That is known once it was answered.
    pub(super) fn has_come_back(&self) -> bool {
        self.echoes.change(|dialled| dialled.get(&self.exporter).copied().unwrap_or_default())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.echoes.change(|dialled| dialled.remove(&self.exporter));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_calls_come_back() {
        let (one, other) = (Echoes::default(), Echoes::default());
        let call = one.call(&[1; 32]);
        assert!(!other.is_own_call(&[1; 32]) && !call.has_come_back());
        assert!(!one.is_own_call(&[2; 32]) && !call.has_come_back());
        assert!(one.is_own_call(&[1; 32]) && call.has_come_back());
        drop(call);
        assert!(!one.is_own_call(&[1; 32]), "nothing of it is kept");
    }
}
