"""What honest peers lose while somebody attacks: time, memory, and each other.

The machine of a test is one machine: an attacker takes its share of the processor and of the
network from everybody. So an honest download is held against the same download beside the same
attacker with another aim, a sink. What it takes longer, the attacked peer loses.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lanspread_harness.checks import expect
from lanspread_harness.errors import RecordTimeoutError
from lanspread_harness.hostile.attacks import sink
from lanspread_harness.process_usage import read_peak_rss_mib

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from lanspread_harness.client import Peer
    from lanspread_harness.fixtures import Game
    from lanspread_harness.hostile.attacks import Attack
    from lanspread_harness.hostile.program import Hostile, Tally
    from lanspread_harness.lab import Lab

HALF_A_CORE = 0.5
"""What an attacker may take of the machine."""

SLOWER_MOST = 2.0
"""How many times as long an honest download may take as beside the sink."""

RSS_MOST_MIB = 250
"""Most memory that a peer may ever take under attack."""

MET_WITHIN_S = 5.0
"""From `ready` until an honest newcomer knows all honest peers, and they know it."""

SINK_CORES = 1.0
"""What a sink may take of a core: what an attacked peer may take as well."""

FETCH_TIMEOUT_S = 20.0
"""Downloads that are compared take a few seconds; one that is kept from its source is given up."""

HARM_EVENTS = ("source-dropped", "peer-rejected", "peer-lost")
"""Each names a peer, which is never an honest one that did nothing."""


@dataclass(frozen=True, slots=True)
class Aimed:
    """An attack on whatever addresses, and how its tally shows that it is under way."""

    attack: Callable[[Sequence[str]], Attack]
    under_way: Callable[[Tally], bool]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How long the same download took beside an attack on a sink, and beside one on peers."""

    sink_s: float
    attack_s: float

    @property
    def ratio(self) -> float:
        """How many times as long it took."""
        return self.attack_s / self.sink_s


async def fetch_s(peer: Peer, game: Game) -> float:
    """Seconds that a download takes; what came is removed again."""
    began = time.monotonic()
    await peer.download(game, wait=True, timeout_s=FETCH_TIMEOUT_S)
    taken_s = time.monotonic() - began
    await peer.remove_download(game)
    return taken_s


async def compare_fetches(
    lab: Lab,
    fetch: Callable[[], Coroutine[None, None, float]],
    attacks: Sequence[Aimed],
    targets: Sequence[Peer],
    *,
    cpu: float = HALF_A_CORE,
) -> Comparison:
    """Fetch beside the attacks on a sink, then beside the same attacks on peers.

    Each attack is under way before a download begins. Together they may take `cpu` of a core.
    """
    async with (
        lab.hostile("sink", sink(), cpu=SINK_CORES) as drain,
        attacked(lab, attacks, [drain.addr], name="calm", cpu=cpu),
    ):
        sink_s = await fetch()
    async with attacked(lab, attacks, [peer.addr for peer in targets], name="mallory", cpu=cpu):
        try:
            attack_s = await fetch()
        except RecordTimeoutError:
            lab.figure(f"an honest download takes {sink_s:.2f} s beside the attack on a sink")
            tell_peaks(lab, targets)
            raise
    compared = Comparison(sink_s, attack_s)
    lab.figure(
        f"an honest download takes {attack_s:.2f} s beside the attack, "
        f"{sink_s:.2f} s beside it on a sink: {compared.ratio:.2f} times as long"
    )
    return compared


@asynccontextmanager
async def attacked(
    lab: Lab,
    attacks: Sequence[Aimed],
    targets: Sequence[str],
    *,
    name: str = "mallory",
    cpu: float = HALF_A_CORE,
) -> AsyncIterator[list[Hostile]]:
    """Make attacks on addresses, each from a place of its own, until the end of the block.

    They are under way when the block begins.
    """
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(
                lab.hostile(
                    f"{name}{number}", aimed.attack(targets), cpu=cpu / len(attacks), begin=False
                )
            )
            for number, aimed in enumerate(attacks)
        ]
        for hostile in running:
            hostile.begin()
        for hostile, aimed in zip(running, attacks, strict=True):
            await hostile.until("to be under way", aimed.under_way)
        yield running


async def expect_met(lab: Lab, newcomer: Peer, others: Sequence[Peer]) -> None:
    """Fail unless a newcomer that has just started and all others know each other in time."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for other in others:
            for seer, seen in ((newcomer, other), (other, newcomer)):
                tasks.create_task(
                    seer.event("peer-discovered", timeout_s=MET_WITHIN_S, peer_id=seen.peer_id)
                )
    met_s = time.monotonic() - began
    lab.figure(f"{newcomer.name} and {len(others)} others know each other after {met_s:.2f} s")


async def expect_connected(lab: Lab, caller: Peer, other: Peer) -> None:
    """Fail unless a peer that dials another one is let in in time."""
    began = time.monotonic()
    await caller.command("connect", addr=other.addr, timeout_s=MET_WITHIN_S)
    lab.figure(f"{other.name} lets {caller.name} in after {time.monotonic() - began:.2f} s")


def expect_not_slower(compared: Comparison) -> None:
    """Fail where an honest download took more than twice as long for the attack."""
    expect(
        compared.ratio <= SLOWER_MOST,
        f"an honest download takes at most {SLOWER_MOST:g} times as long as beside a sink",
        f"{compared.ratio:.2f} times: {compared.attack_s:.2f} s, not {compared.sink_s:.2f} s",
    )


def expect_small(lab: Lab, peers: Sequence[Peer]) -> None:
    """Fail where a peer ever took more memory than it may."""
    peaks = tell_peaks(lab, peers)
    expect(max(peaks.values()) < RSS_MOST_MIB, f"each peer stays below {RSS_MOST_MIB} MiB", peaks)


def tell_peaks(lab: Lab, peers: Sequence[Peer]) -> dict[str, int]:
    """Tell the most memory that each peer has taken so far, in MiB, and return it."""
    peaks = {peer.name: round(read_peak_rss_mib(peer)) for peer in peers}
    lab.figure(f"most memory (VmHWM): {', '.join(f'{n} {mib} MiB' for n, mib in peaks.items())}")
    return peaks


def expect_unharmed(honest: Sequence[Peer]) -> None:
    """Fail where an honest peer lost another one, or took it for a liar."""
    ids = {peer.peer_id: peer.name for peer in honest}
    for peer in honest:
        for name in HARM_EVENTS:
            harmed = [event for event in peer.events(name) if event.data.text("peer_id") in ids]
            expect(not harmed, f"{peer.name} tells no {name} of an honest peer", harmed)
