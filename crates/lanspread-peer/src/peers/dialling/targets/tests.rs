use super::*;

fn addr(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], port))
}

#[tokio::test(start_paused = true)]
async fn an_address_that_does_not_answer_is_dialled_four_times_and_then_every_eight_seconds() {
    let began = Instant::now();
    let mut targets = Targets::new(began);
    let (mut now, mut dials) = (began, Vec::new());
    for n in 0..8 {
        loop {
            match targets.take(&[addr(1, n)], 1, now) {
                Ok(taken) => break assert_eq!(taken, [addr(1, n)]),
                Err(Refusal::Until(at)) => now = at,
                Err(Refusal::Busy) => panic!("none is under way"),
            }
        }
        dials.push((now - began).as_secs());
    }
    assert_eq!(dials, [0, 0, 0, 0, 8, 16, 24, 32]);
}

#[tokio::test(start_paused = true)]
async fn four_dials_to_an_address_are_under_way_at_most_and_one_that_finds_its_peer_costs_nothing()
{
    let now = Instant::now();
    let mut targets = Targets::new(now);
    for n in 0..100 {
        for m in 0..4 {
            let taken = targets.take(&[addr(1, m)], 1, now).unwrap();
            targets.begin(Attempt(4 * n + u64::from(m)), Some(Stranger::VouchedV4), &taken, now);
        }
        assert_eq!(targets.take(&[addr(1, 5)], 1, now), Err(Refusal::Busy));
        for m in 0..4 {
            targets.end(Attempt(4 * n + m), true);
        }
    }
    assert_eq!(targets.ready_at(Stranger::VouchedV4), Some(now));
}

#[tokio::test(start_paused = true)]
async fn an_address_with_a_peer_may_be_dialled_more_for_a_while() {
    let mut now = Instant::now();
    let mut targets = Targets::new(now);
    let count = |targets: &mut Targets, now| {
        (0..200).take_while(|n| targets.take(&[addr(1, *n)], 1, now).is_ok()).count()
    };
    targets.prove(addr(1, 1).ip(), now);
    assert_eq!(count(&mut targets, now), 64);
    now += PROVEN_FOR;
    assert_eq!(count(&mut targets, now), 4);
}

#[tokio::test(start_paused = true)]
async fn strangers_together_keep_to_what_is_allowed() {
    for (stranger, at_once) in
        [(Stranger::VouchedV4, 64), (Stranger::VouchedV6, 64), (Stranger::Unvouched, 8)]
    {
        let now = Instant::now();
        let mut targets = Targets::new(now);
        let mut begun = 0;
        while targets.ready_at(stranger).is_some_and(|at| at <= now) {
            begun += 1;
            let host = u8::try_from(begun).unwrap();
            targets.begin(Attempt(begun), Some(stranger), &[addr(host, 1)], now);
        }
        assert_eq!(begun, at_once);
    }
}

#[tokio::test(start_paused = true)]
async fn addresses_without_end_are_not_remembered() {
    let now = Instant::now();
    let mut targets = Targets::new(now);
    for n in 0..2 * u32::try_from(TARGETS_MAX).unwrap() {
        let _ = targets.take(&[SocketAddr::from((n.to_be_bytes(), 1))], 1, now);
    }
    assert_eq!(targets.targets.len(), TARGETS_MAX);
    let later = now + UNPROVEN.interval;
    assert!(targets.take(&[addr(1, 1)], 1, later).is_ok());
    assert_eq!(targets.targets.len(), 1);
}
