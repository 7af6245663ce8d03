//! The command loop's part about mDNS: whether it works, told once when that changes.

use super::Membership;
use crate::event::PeerEvent;
use crate::info::MdnsStatus;
use crate::runtime::handles::Handles;

impl Membership {
    pub(in crate::runtime) fn on_mdns_status(
        &mut self,
        told: Result<(), String>,
        handles: &Handles,
    ) {
        if let Some(event) = news(&mut self.mdns, told) {
            handles.emit(event);
        }
    }
}

/// Takes in what mDNS is like; returns what is to be told of that.
fn news(status: &mut MdnsStatus, told: Result<(), String>) -> Option<PeerEvent> {
    let before = std::mem::replace(
        status,
        match &told {
            Ok(()) => MdnsStatus::Working,
            Err(reason) => MdnsStatus::Failed(reason.clone()),
        },
    );
    match told {
        Ok(()) if matches!(before, MdnsStatus::Failed(_)) => Some(PeerEvent::MdnsRecovered),
        Ok(()) => None,
        Err(reason) if before == MdnsStatus::Failed(reason.clone()) => None,
        Err(message) => Some(PeerEvent::MdnsFailed { message }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_once_for_each_reason_and_so_is_its_end() {
        let mut status = MdnsStatus::Starting;
        let mut told =
            |outcome: Result<(), &str>| match news(&mut status, outcome.map_err(str::to_owned)) {
                None => String::new(),
                Some(PeerEvent::MdnsFailed { message }) => message,
                Some(PeerEvent::MdnsRecovered) => "recovered".to_owned(),
                Some(other) => panic!("{other:?}"),
            };
        assert_eq!([Ok(()), Ok(())].map(&mut told), ["", ""]);
        assert_eq!([Err("port"), Err("port"), Err("card")].map(&mut told), ["port", "", "card"]);
        assert_eq!([Ok(()), Ok(()), Err("port")].map(&mut told), ["recovered", "", "port"]);
        assert_eq!(status, MdnsStatus::Failed("port".to_owned()));
    }
}
