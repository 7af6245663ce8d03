"""One attack after the other on peers that come and go, as a background for what goes on for long.

The peers of a storm are killed and started again on other ports, so each attack lasts a few seconds
and is aimed anew. The seed decides which attacks come in which order.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from lanspread_harness.errors import RecordTimeoutError
from lanspread_harness.hostile.attacks import (
    Ask,
    Give,
    Request,
    Say,
    Then,
    Wrong,
    flood,
    join,
    mdns,
    refused,
    silent,
    source,
    unread,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from lanspread_harness.client import Peer
    from lanspread_harness.fixtures import Game
    from lanspread_harness.hostile.attacks import Attack
    from lanspread_harness.lab import Lab

LASTS_MS = (4_000, 15_000)
"""How long one attack goes on."""

NOBODY = "198.51.100.1:4711"
"""An address of no network (RFC 5737)."""

KINDS = ("silent", "refused", "join", "source", "unread", "flood", "mdns")


async def besiege(
    lab: Lab,
    rng: random.Random,
    name: str,
    peers: Sequence[Peer],
    games: Sequence[Game],
    ends: float,
    *,
    cpu: float,
) -> Counter[str]:
    """Attack until a time of `time.monotonic`; how often, by kind.

    The first of the peers has all games, and stays. One that does not let the attacker learn a game
    is not attacked: it is counted as `kept out`.
    """
    made: Counter[str] = Counter()
    while time.monotonic() < ends:
        kind = rng.choice(KINDS)
        targets = [peer for peer in peers if peer.running and not peer.frozen]
        attack = choose_attack(rng, kind, peers[0], targets, rng.choice(games))
        lasts_ms = rng.randint(*LASTS_MS)
        try:
            async with lab.hostile(name, attack, cpu=cpu) as hostile:
                await hostile.goes_on(lasts_ms)
            made[kind] += 1
        except RecordTimeoutError:
            made["kept out"] += 1
    return made


def choose_attack(
    rng: random.Random, kind: str, knows: Peer, targets: Sequence[Peer], game: Game
) -> Attack:
    """An attack of a kind, with what else there is to choose."""
    addrs = [target.addr for target in targets]
    learn_from = knows.addr
    match kind:
        case "silent":
            return silent(addrs, rate=rng.choice((8, 40, 100)), say=rng.choice(list(Say)))
        case "refused":
            return refused(addrs, rate=rng.choice((40, 200)), wrong=rng.choice(list(Wrong)))
        case "join":
            catalog = knows.options.catalog
            then = rng.choice(list(Then))
            return join(addrs, rate=100, identities=64, then=then, catalog=catalog)
        case "source":
            # None that lies consistently: nobody promises what a single honest source is worth.
            give = rng.choice([give for give in Give if give is not Give.FALSE])
            return source(addrs, game, learn_from=learn_from, identities=10, give=give)
        case "unread":
            ask = rng.choice((Ask.HEAD, Ask.PAGES, Ask.LIBRARY, Ask.CHUNKS))
            return unread(addrs, game, learn_from=learn_from, identities=9, ask=ask)
        case "flood":
            request = rng.choice(list(Request))
            return flood(addrs, game, learn_from=learn_from, request=request, identities=4)
        case _:
            goodbyes = rng.choice(([], [target.peer_id for target in targets]))
            pointed = [NOBODY, rng.choice(addrs)] if addrs else [NOBODY]
            return mdns(pointed, rate=2_000, goodbyes=goodbyes)
