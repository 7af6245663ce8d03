use std::collections::BTreeMap;

use lanspread_proto::{GameId, PeerId, PeerName};
use proptest::prelude::*;

use super::*;
use crate::event::LostReason;
use crate::event_channel::EventClass;
use crate::info::PeerInfo;

fn game(n: u8) -> GameId {
    GameId::new(format!("game{n}")).unwrap()
}

fn peer(n: u16) -> PeerId {
    PeerId::from_public_key(&n.to_be_bytes())
}

fn count(peer_count: usize) -> PeerEvent {
    PeerEvent::PeerCountUpdated { peer_count }
}

fn progress(n: u8, bytes_done: u64) -> PeerEvent {
    PeerEvent::InstallProgress { game_id: game(n), bytes_done }
}

fn list(changed: impl IntoIterator<Item = u8>) -> PeerEvent {
    PeerEvent::GamesListUpdated { game_count: 9, changed: changed.into_iter().map(game).collect() }
}

fn end(n: u8) -> PeerEvent {
    PeerEvent::InstallFinished { game_id: game(n), files: 1, bytes: 1 }
}

fn lost(n: u16) -> PeerEvent {
    PeerEvent::PeerLost { peer_id: peer(n), reason: LostReason::Goodbye, is_advertised: false }
}

fn updated(n: u16, library_rev: u64) -> PeerEvent {
    let name = PeerName::new("bravo").unwrap();
    let (addr, last_seen) = (([10, 0, 0, 1], 1).into(), std::time::Duration::ZERO);
    let peer_id = peer(n);
    PeerEvent::PeerUpdated(PeerInfo { peer_id, name, addr, library_rev, game_count: 0, last_seen })
}

fn all(queue: &mut EventQueue) -> Vec<PeerEvent> {
    std::iter::from_fn(|| queue.pop()).map(|(_, event)| event).collect()
}

fn shown(events: &[PeerEvent]) -> Vec<String> {
    events.iter().map(|event| format!("{event:?}")).collect()
}

/// A queue in which nobody has taken the first events.
fn behind() -> EventQueue {
    let mut queue = EventQueue::default();
    (0..WHOLE_MAX).for_each(|_| queue.push(end(0)));
    queue
}

/// What follows the events of [`behind`].
fn rest(queue: &mut EventQueue) -> Vec<PeerEvent> {
    all(queue).split_off(WHOLE_MAX)
}

#[test]
fn whoever_keeps_up_sees_every_event() {
    let mut queue = EventQueue::default();
    let events: Vec<_> = (0..WHOLE_MAX).map(count).collect();
    events.iter().cloned().for_each(|event| queue.push(event));
    assert_eq!(shown(&all(&mut queue)), shown(&events));
}

#[test]
fn whoever_falls_behind_sees_the_newest_of_each_subject_at_its_place() {
    let mut queue = behind();
    for event in [progress(1, 1), count(1), progress(2, 1), end(1), progress(1, 2), count(2)] {
        queue.push(event);
    }
    let wanted = [progress(2, 1), end(1), progress(1, 2), count(2)];
    assert_eq!(shown(&rest(&mut queue)), shown(&wanted));
}

#[test]
fn a_list_names_the_games_of_the_lists_whose_place_it_takes() {
    let mut queue = behind();
    [list([3, 5]), list([1, 5]), list([2])].into_iter().for_each(|event| queue.push(event));
    assert_eq!(shown(&rest(&mut queue)), shown(&[list([1, 2, 3, 5])]));
}

#[test]
fn large_lists_are_merged_before_they_are_many() {
    let mut queue = EventQueue::default();
    for _ in 0..WHOLE_MAX {
        let changed = (0..10_000).map(|n| GameId::new(format!("game{n}")).unwrap()).collect();
        queue.push(PeerEvent::GamesListUpdated { game_count: 9, changed });
    }
    assert!(queue.bytes < 3 * WHOLE_MAX_BYTES, "{}", queue.bytes);
}

#[test]
fn what_is_too_much_is_counted_where_it_is_missing() {
    let mut queue = EventQueue::default();
    let many = u16::try_from(DROPPABLE_MAX).unwrap();
    (0..many + 7).for_each(|n| queue.push(lost(n)));
    queue.push(end(1));
    (0..3).for_each(|n| queue.push(lost(n)));
    queue.push(count(4));
    let events = all(&mut queue).split_off(DROPPABLE_MAX);
    let dropped = PeerEvent::EventsDropped { count: 10 };
    assert_eq!(shown(&events), shown(&[dropped, end(1), count(4)]));
    queue.push(lost(1));
    assert_eq!(shown(&all(&mut queue)), shown(&[lost(1)]), "it goes on once that was told");
}

#[test]
fn words_of_others_count_by_their_bytes() {
    let mut queue = EventQueue::default();
    for _ in 0..64 {
        let (game_id, peer_id) = (game(1), peer(1));
        let reason = "x".repeat(DROPPABLE_MAX_BYTES / 16);
        queue.push(PeerEvent::SourceDropped { game_id, peer_id, reason });
    }
    assert_eq!(queue.waiting.len(), 16);
    assert_eq!(shown(&all(&mut queue).split_off(15)), ["EventsDropped { count: 49 }"]);
}

#[test]
fn what_is_forgotten_still_counts() {
    let mut queue = behind();
    queue.clear();
    assert!(queue.pop().is_none() && queue.has_room());
    queue.push(count(1));
    assert_eq!(queue.next_position(), Some(u64::try_from(WHOLE_MAX).unwrap() + 1));
}

fn any_event() -> impl Strategy<Value = PeerEvent> {
    prop_oneof![
        1 => (0..9_u8).prop_map(end),
        2 => (0..9_u8, 0..99_u64).prop_map(|(n, bytes)| progress(n, bytes)),
        2 => (0..9_usize).prop_map(count),
        1 => proptest::collection::vec(0..9_u8, 0..4).prop_map(list),
        8 => (0..999_u16).prop_map(lost),
        8 => (0..99_u16, 0..99_u64).prop_map(|(n, rev)| updated(n, rev)),
    ]
}

/// What a model of a client knows.
fn subject(event: &PeerEvent) -> Option<String> {
    match event {
        PeerEvent::InstallProgress { game_id, .. } => Some(game_id.to_string()),
        PeerEvent::PeerCountUpdated { .. } => Some("count".to_owned()),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is sent and however slowly it is taken.
    #[test]
    fn nothing_that_counts_is_lost(
        bursts in proptest::collection::vec((proptest::collection::vec(any_event(), 0..400), 0..300_usize), 1..12),
    ) {
        let mut queue = EventQueue::default();
        let (mut sent, mut taken, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        let take = |queue: &mut EventQueue, count: usize, taken: &mut Vec<_>, positions: &mut Vec<_>| {
            for (at, event) in std::iter::from_fn(|| queue.pop()).take(count) {
                positions.push(at);
                taken.push(event);
            }
        };
        for (events, count) in bursts {
            for event in events {
                sent.push(event.clone());
                queue.push(event);
                prop_assert!(queue.droppable <= DROPPABLE_MAX);
                prop_assert!(queue.droppable_bytes <= DROPPABLE_MAX_BYTES);
                let kept_and_dropped = queue.kept + queue.droppable;
                prop_assert!(queue.waiting.len() <= kept_and_dropped + WHOLE_MAX + 9 + 2);
                let gaps = queue.waiting.values().filter(|it| matches!(it.event, PeerEvent::EventsDropped { .. }));
                prop_assert!(gaps.count() <= 1);
            }
            take(&mut queue, count, &mut taken, &mut positions);
        }
        take(&mut queue, usize::MAX, &mut taken, &mut positions);
        prop_assert!(positions.is_sorted_by(|a, b| a < b));
        let is_end = |event: &&PeerEvent| matches!(event, PeerEvent::InstallFinished { .. });
        let ends = |events: &[PeerEvent]| -> Vec<_> { events.iter().filter(is_end).map(|it| format!("{it:?}")).collect() };
        prop_assert_eq!(ends(&sent), ends(&taken));
        let last = |events: &[PeerEvent]| -> BTreeMap<_, _> {
            events.iter().filter_map(|it| Some((subject(it)?, format!("{it:?}")))).collect()
        };
        prop_assert_eq!(last(&sent), last(&taken));
        let lost = |events: &[PeerEvent]| events.iter().filter(|it| matches!(it, PeerEvent::PeerLost { .. })).count();
        let droppable = |events: &[PeerEvent]| events.iter().filter(|it| it.class() == EventClass::Droppable).count();
        let dropped: u64 = taken.iter().map(|it| match it { PeerEvent::EventsDropped { count } => *count, _ => 0 }).sum();
        let missing = u64::try_from(droppable(&sent) - droppable(&taken)).unwrap();
        let missing_lost = u64::try_from(lost(&sent) - lost(&taken)).unwrap();
        // The others are updates of which a newer one is there.
        prop_assert!(missing_lost <= dropped && dropped <= missing);
        prop_assert_eq!((queue.bytes, queue.kept, queue.droppable, queue.droppable_bytes), (0, 0, 0, 0));
        prop_assert!(queue.newest.is_empty() && queue.gap.is_none());
    }
}
