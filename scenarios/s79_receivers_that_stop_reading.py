"""Receivers that ask for chunks and streams and do not read: honest ones get theirs."""

import time

from lanspread_harness import MIB, Lab, Meta, Need, Peer, Sparse, expect
from lanspread_harness.fixtures import Game
from lanspread_harness.hostile import (
    HARDER,
    Aimed,
    Ask,
    attacked,
    compare_fetches,
    expect_not_slower,
    expect_small,
    expect_unharmed,
    fetch_s,
    unread,
)

META = Meta(needs=frozenset({Need.HOSTILE}), timeout_s=180, expected_s=40, cores=2, alone=True)

RECEIVERS = 9
"""As many as were enough to hold all slots of a source."""

CHUNKS = 8
"""Chunks that each asks for at a time: as many as a peer may have on the way."""

SLOW_BYTES_PER_S = 50 * 1024
"""Of a stream: enough never to be given up, and hours for a game."""

TURN_S = 40
"""A receiver that takes less than 64 KiB/s for 30 s loses its turn while another one waits."""


async def scenario(lab: Lab) -> None:
    lab.expects("peer-rejected", " WARN ")
    archive = await lab.rar("installable", {"game.exe": 24 * MIB})
    packed = lab.game("packed", {"packed.eti": archive})
    large = lab.game("large", {"large.eti": Sparse(256 * MIB)})
    alpha = await lab.peer("alpha", games=[packed, large])
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)

    def chunks(bytes_per_s: int) -> Aimed:
        return Aimed(
            lambda targets: unread(
                targets,
                large,
                learn_from=alpha.addr,
                identities=RECEIVERS * HARDER,
                ask=Ask.CHUNKS,
                requests=CHUNKS,
                bytes_per_s=bytes_per_s,
            ),
            lambda tally: tally.asked >= RECEIVERS * HARDER * CHUNKS,
        )

    streams = Aimed(
        lambda targets: unread(
            targets,
            packed,
            learn_from=alpha.addr,
            identities=RECEIVERS * HARDER,
            ask=Ask.STREAM,
            requests=2,
            bytes_per_s=SLOW_BYTES_PER_S,
        ),
        # The table of peers lets no more of one address in.
        lambda tally: tally.asked >= RECEIVERS,
    )
    attacks = [chunks(0), chunks(SLOW_BYTES_PER_S), streams]
    lab.note("a download")
    compared = await compare_fetches(lab, lambda: fetch_s(bravo, large), attacks, [alpha])
    expect_not_slower(compared)
    lab.note("a streamed installation, whose turn others hold, those of the attack before as well")
    async with attacked(lab, [streams], [alpha.addr], name="streams"):
        took_s = await stream_s(bravo, packed)
        lab.figure(f"a streamed installation takes {took_s:.1f} s beside receivers that are slow")
    expect(took_s <= TURN_S, "slow receivers lose their turn while another one waits", took_s)
    expect_small(lab, [alpha, bravo])
    expect_unharmed([alpha, bravo])


async def stream_s(peer: Peer, game: Game) -> float:
    """Seconds that a streamed installation takes; it is uninstalled again."""
    began = time.monotonic()
    await peer.stream_install(game, wait=True, timeout_s=2 * TURN_S)
    taken_s = time.monotonic() - began
    await peer.uninstall(game)
    return taken_s
