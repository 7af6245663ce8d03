use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn hash(n: u8) -> ContentHash {
    [n; 32].into()
}

fn voter(n: u8) -> Option<Voter> {
    (n > 0).then_some(Voter::new([10, 0, 0, n]))
}

/// Sources in a line each: the last byte of the address (0 for none), layout, and content. `?` stands
/// for hashes to come, and `-` for those that never will.
fn claims(sources: &str) -> Vec<Claim> {
    let one = |(n, source): (usize, &str)| {
        let (address, said) = source.split_once(':').unwrap();
        let (layout, content) = said.split_at(1);
        Claim {
            peer: PeerId::from_public_key(&n.to_le_bytes()),
            voter: voter(address.parse().unwrap()),
            layout: hash(layout.parse().unwrap()),
            content: content.parse().ok().map(hash),
            abstains: content == "-",
        }
    };
    sources.split_whitespace().enumerate().map(one).collect()
}

/// Sources at these addresses that have not answered.
fn awaited(addresses: &[u8]) -> Vec<(PeerId, Option<Voter>)> {
    addresses.iter().map(|n| (PeerId::from_public_key(&[99, *n]), voter(*n))).collect()
}

fn consensus(stated: Option<u8>) -> Consensus {
    Consensus::new(stated.map(hash).map(Stated::Catalog))
}

/// The numbers of the claims that cannot be true.
fn outvoted(consensus: &Consensus, claims: &[Claim]) -> Vec<usize> {
    let numbered = claims.iter().enumerate();
    let contradicted = numbered.filter(|(_, claim)| consensus.contradiction(claim).is_some());
    contradicted.map(|(n, _)| n).collect()
}

fn head(content: u8, old_content_roots: &[u8]) -> GameHead {
    GameHead {
        version: "1".parse().unwrap(),
        files: 0,
        chunks: 0,
        path_bytes: 0,
        manifest_hash: hash(1),
        layout_pages: 0,
        content_root: Some(hash(content)),
        old_content_roots: old_content_roots.iter().copied().map(hash).collect(),
        attributes: hash(0),
    }
}

#[test]
fn the_layout_is_what_more_than_half_of_the_addresses_have() {
    use LayoutChoice::{Chosen, Disputed, Open};
    // Sources, addresses that are awaited; the choice while all are waited for, while those that have
    // said something are enough, and at the end.
    let table = [
        ("1:1?", vec![], [Chosen(hash(1)); 3]),
        ("1:1? 2:1?", vec![3], [Chosen(hash(1)); 3]),
        ("1:1? 2:2?", vec![3], [Open, Open, Disputed]),
        ("1:1?", vec![2], [Open, Chosen(hash(1)), Chosen(hash(1))]),
        ("1:1? 2:2? 3:2?", vec![], [Chosen(hash(2)); 3]),
        ("1:1? 2:2?", vec![], [Disputed; 3]),
        // Free ids at one address.
        ("9:1? 9:1? 9:1? 2:2? 3:2?", vec![], [Chosen(hash(2)); 3]),
        ("9:1? 9:1? 9:1? 2:2?", vec![3], [Open, Open, Disputed]),
        ("9:1? 9:2?", vec![], [Disputed; 3]),
        // And where others are slow, ids without an address do not decide before the last call.
        ("0:1? 0:1?", vec![2], [Open, Open, Chosen(hash(1))]),
        ("0:1? 0:1? 2:2?", vec![], [Chosen(hash(2)); 3]),
        ("0:1? 0:2?", vec![], [Disputed; 3]),
        // Others at the same address may contradict it.
        ("1:1?", vec![1], [Open, Chosen(hash(1)), Chosen(hash(1))]),
    ];
    for (sources, unanswered, expected) in table {
        let (claims, awaited) = (claims(sources), awaited(&unanswered));
        let calls = [Call::Everybody, Call::Heard, Call::Last];
        let choices = calls.map(|call| consensus(None).decide_layout(&claims, &awaited, call));
        assert_eq!(choices, expected, "{sources} {unanswered:?}");
    }
}

#[test]
fn the_content_is_what_more_than_half_of_the_addresses_have() {
    // Sources with the layout 1 in use; the content, whether it is disputed, and what is settled on when
    // no more sources are waited for.
    let table = [
        ("1:17", Some(7), false, true),
        ("1:17 2:17 3:18", Some(7), false, true),
        ("1:17 2:18", None, true, false),
        ("1:17 2:18 3:19", None, true, false),
        // Three keys at one address against two honest addresses, and against one.
        ("9:18 9:18 9:18 2:17 3:17", Some(7), false, true),
        ("9:18 9:18 9:18 2:17", None, true, false),
        // An address that contradicts itself.
        ("1:17 1:18", None, true, false),
        ("1:17 1:18 2:17", None, true, false),
        ("1:17 1:18 2:17 3:17", Some(7), false, true),
        // Hashes that are to come may change it, and those that never come do not.
        ("1:17 2:18 3:1?", None, false, false),
        ("1:17 2:1? 3:1?", None, false, true),
        ("1:17 2:17 3:1?", Some(7), false, true),
        ("1:17 2:1-", None, false, true),
        ("1:17 2:18 3:1-", None, true, false),
        // Without an IPv4 address.
        ("1:17 0:18 0:18", Some(7), false, true),
        ("0:18 0:18", Some(8), false, true),
        ("0:18 0:17", None, true, false),
        ("0:18 0:1?", None, false, true),
        ("1:1? 0:18", None, false, false),
        // Who has another layout has other content.
        ("1:17 2:17 3:28 4:28", None, true, false),
        ("1:17 2:17 3:17 4:28 5:2?", Some(7), false, true),
        ("1:17 2:17 3:18 4:28 5:2?", None, true, false),
        ("1:17 2:17 3:1? 4:28 5:2?", None, false, false),
    ];
    for (sources, content, is_disputed, is_settled) in table {
        let claims = claims(sources);
        let fresh = || Consensus { layout: Some(hash(1)), ..consensus(None) };
        let mut decided = fresh();
        decided.decide_content(&claims);
        let mut settled = fresh();
        let found = (decided.content(), decided.is_disputed(&claims), settled.settle(&claims));
        assert_eq!(found, (content.map(hash), is_disputed, is_settled), "{sources}");
    }
}

#[test]
fn who_is_not_used_any_more_keeps_its_vote_until_it_leaves() {
    let claims = claims("2:17 3:17 9:28");
    let mut consensus = consensus(None);
    let layout = consensus.decide_layout(&claims, &[], Call::Last);
    assert_eq!(layout, LayoutChoice::Chosen(hash(1)));
    // Two honest sources fail, and the third one has its turn.
    claims[..2].iter().for_each(|claim| consensus.keep_vote(*claim));
    consensus.reopen_layout();
    let layout = consensus.decide_layout(&claims[2..], &[], Call::Last);
    assert_eq!(layout, LayoutChoice::Chosen(hash(1)));
    assert!(consensus.is_disputed(&claims[2..]));
    claims[..2].iter().for_each(|claim| consensus.forget(claim.peer));
    let layout = consensus.decide_layout(&claims[2..], &[], Call::Last);
    assert_eq!(layout, LayoutChoice::Chosen(hash(2)));
    assert!(consensus.decide_content(&claims[2..]));
}

#[test]
fn who_had_not_answered_when_the_layout_was_chosen_counts_until_it_has() {
    let claims = claims("1:17 2:17 3:18");
    for answers in [true, false] {
        let mut consensus = consensus(None);
        let late = awaited(&[4]);
        let layout = consensus.decide_layout(&claims, &late, Call::Everybody);
        assert_eq!(layout, LayoutChoice::Chosen(hash(1)));
        assert!(!consensus.decide_content(&claims) && !consensus.is_disputed(&claims));
        consensus.heard(late[0].0);
        if answers {
            let other = Claim { peer: late[0].0, voter: voter(4), ..claims[2] };
            let all: Vec<_> = claims.iter().copied().chain([other]).collect();
            assert!(!consensus.decide_content(&all) && consensus.is_disputed(&all));
        } else {
            assert!(consensus.decide_content(&claims));
        }
    }
}

#[test]
fn the_count_of_a_vote_names_both_sides() {
    let claims = claims("3:17 1:17 2:18 4:17 5:1? 0:18");
    let mut consensus = Consensus { layout: Some(hash(1)), ..consensus(None) };
    assert!(consensus.decide_content(&claims));
    let count = consensus.vote_count().unwrap();
    let sides = [&count.voters, &count.others];
    let last = sides.map(|side| side.iter().map(|it| it.octets()[3]).collect::<Vec<_>>());
    assert_eq!((count.content, last), (Some(hash(7)), [vec![1, 3, 4], vec![2, 5]]));
}

#[test]
fn what_is_stated_decides_against_any_number_of_addresses() {
    let claims = claims("1:17 2:17 3:19");
    for stated in [Stated::Catalog(hash(9)), Stated::Choice(hash(9))] {
        let mut consensus = Consensus::new(Some(stated));
        let layout = consensus.decide_layout(&claims, &awaited(&[4, 5]), Call::Everybody);
        assert_eq!(layout, LayoutChoice::Chosen(hash(1)));
        assert!(consensus.decide_content(&claims) && !consensus.is_disputed(&claims));
        assert_eq!(consensus.content(), Some(hash(9)));
        assert_eq!(outvoted(&consensus, &claims), [0, 1]);
        assert_eq!(consensus.vote_count(), None);
    }
}

#[test]
fn content_that_is_not_stated_gives_no_layout() {
    let claims = claims("1:17");
    let mut consensus = consensus(Some(9));
    let mut choose = |awaited: &[_]| consensus.decide_layout(&claims, awaited, Call::Heard);
    assert_eq!(choose(&awaited(&[2])), LayoutChoice::Open);
    assert_eq!(choose(&[]), LayoutChoice::NoneFits);
    assert_eq!(outvoted(&consensus, &claims), [0]);
}

#[test]
fn one_hashed_source_of_three_does_not_decide_the_content() {
    let mut all = claims("1:17 2:1? 3:1?");
    let mut consensus = consensus(None);
    consensus.decide_layout(&all, &[], Call::Last);
    assert!(!consensus.decide_content(&all));
    all[1].content = Some(hash(8));
    assert!(!consensus.decide_content(&all));
    all[2].content = Some(hash(8));
    assert!(consensus.decide_content(&all));
    assert_eq!(consensus.content(), Some(hash(8)));
    assert_eq!(outvoted(&consensus, &all), [0]);
}

#[test]
fn what_is_fetched_is_judged_by_what_is_known_after_a_wait() {
    // Sources; what is said of 7 at once and after the wait.
    use Verdict::{Agreed, Decided, Disputed, Open};
    let open = Open(CONTENT_WAIT);
    let table = [
        ("1:1? 2:1?", [open, Agreed]),
        ("1:1- 2:1-", [Agreed; 2]),
        ("", [Agreed; 2]),
        ("1:17 2:1? 3:1?", [open, Decided]),
        ("1:17 2:1- 3:1-", [Decided; 2]),
        // What the silent ones sent contradicts what one has hashed.
        ("1:18 2:1? 3:1?", [open, Disputed]),
        ("1:18 2:1- 3:1-", [Disputed; 2]),
        ("1:18 2:17 3:1?", [open, Disputed]),
        ("0:17 2:1?", [open, Decided]),
        ("0:18 2:1?", [open, Disputed]),
    ];
    for (sources, expected) in table {
        let claims = claims(sources);
        let verdicts = [SECOND, CONTENT_WAIT].map(|waited| {
            let mut consensus = Consensus { layout: Some(hash(1)), ..consensus(None) };
            consensus.judge(&claims, hash(7), false, waited)
        });
        assert_eq!(verdicts, expected, "{sources}");
    }
}

#[test]
fn whoever_has_not_answered_at_all_is_waited_for_a_shorter_time() {
    let judge = |sources, waited| {
        let silent = awaited(&[9]).into_iter().collect();
        let mut consensus = Consensus { layout: Some(hash(1)), silent, ..consensus(None) };
        consensus.judge(&claims(sources), hash(7), false, waited)
    };
    assert_eq!(judge("1:17", SECOND), Verdict::Open(SILENT_WAIT));
    assert_eq!(judge("1:17", SILENT_WAIT), Verdict::Decided);
    assert_eq!(judge("1:18", SILENT_WAIT), Verdict::Disputed);
    assert_eq!(judge("1:17 2:1?", SILENT_WAIT), Verdict::Open(CONTENT_WAIT));
}

#[test]
fn what_was_decided_by_the_count_is_held_against_what_was_fetched() {
    let mut consensus = consensus(None);
    let claims = claims("1:17");
    consensus.decide_content(&claims);
    assert_eq!(consensus.judge(&claims, hash(7), false, SECOND), Verdict::Agreed);
    assert_eq!(consensus.judge(&claims, hash(8), false, SECOND), Verdict::Differs);
}

#[test]
fn a_content_that_is_stated_in_the_old_form_counts_once_a_source_tells_so() {
    let mut consensus = consensus(Some(9));
    let claims = claims("1:17 2:16");
    assert_eq!(outvoted(&consensus, &claims), [0, 1]);
    consensus.recognise(&head(7, &[8, 9]));
    consensus.recognise(&head(6, &[8]));
    assert_eq!(outvoted(&consensus, &claims), [1]);
    let layout = consensus.decide_layout(&claims, &awaited(&[3]), Call::Everybody);
    assert_eq!(layout, LayoutChoice::Chosen(hash(1)));
    assert!(consensus.decide_content(&claims));
    let mut judge = |is_stated| consensus.judge(&claims, hash(7), is_stated, Duration::ZERO);
    assert_eq!(judge(true), Verdict::Agreed);
    // This source sent a false head.
    assert_eq!(judge(false), Verdict::Differs);
}

#[test]
fn the_stated_content_needs_no_source_to_confirm_it() {
    let mut consensus = consensus(Some(9));
    let hashing = claims("1:1?");
    let mut judge =
        |claims: &[Claim], own, waited| consensus.judge(claims, hash(own), own == 9, waited);
    assert_eq!(judge(&hashing, 9, Duration::ZERO), Verdict::Agreed);
    assert_eq!(judge(&hashing, 7, Duration::ZERO), Verdict::Open(CONTENT_WAIT));
    assert_eq!(judge(&hashing, 7, CONTENT_WAIT), Verdict::Differs);
    assert_eq!(judge(&[], 7, Duration::ZERO), Verdict::Differs);
}

#[test]
fn the_candidates_begin_with_what_most_addresses_are_for() {
    let liars: Vec<_> = (0..40).map(|n| format!("9:1{}", n + 50)).collect();
    let all = claims(&format!("{} 2:1200 3:1200 4:1201 5:2? 2:1?", liars.join(" ")));
    let found = consensus(None).candidates(&all);
    let contents: Vec<_> = found.iter().map(|it| it.content).collect();
    assert_eq!(contents.len(), 16);
    assert_eq!(contents[0], Some(hash(200)));
    assert!(contents[..4].contains(&Some(hash(201))) && contents[..4].contains(&None));
    let mut both = [all[40].peer, all[41].peer];
    both.sort();
    assert_eq!(found[0].sources, both);
}
