"""A library of 100,000 games is read in pages; a peer that tells none never appears."""

from collections.abc import Callable, Coroutine

from lanspread_harness import Event, Game, Lab, Meta, Peer, expect, expect_equal
from lanspread_harness.fields import JsonObject
from lanspread_harness.hostile import PROTOCOL_VERSION, Announced, library, say_hello

META = Meta(expected_s=25, timeout_s=120, cores=1, memory_mib=600)

GAMES = 100_000
"""As many as a library and a catalog may have."""

VERSION = "20240131"
LIBRARY_REV = 7


async def scenario(lab: Lab) -> None:
    lab.expects("peer-rejected")
    catalog = [Game(game_id(number), {}, lab.seed, VERSION) for number in range(GAMES)]
    alpha = await lab.peer("alpha", catalog=catalog)
    bravo = await lab.peer("bravo")
    await bravo.shutdown()
    await bravo.exited()

    lab.note("a peer that is let in and tells no library does not appear")
    answer = await greet(lab, alpha, bravo, games=None)
    expect_equal(answer.get("type"), "hello_ack", "it is let in")
    expect_equal(await alpha.list_peers(), [], "it is not listed")
    expect_equal(alpha.events("peer-discovered"), [], "and was not told of")

    lab.note("every game of the catalog is announced, and one more that it does not have")
    before = alpha.mark()

    def refused() -> Coroutine[None, None, Event]:
        return alpha.event("peer-rejected", since=before, reason="protocol")

    answer = await greet(lab, alpha, bravo, games=GAMES + 1, until=refused)
    expect_equal(answer.get("type"), "hello_ack", "it is let in")
    await refused()

    lab.note("as many as there may be")
    before = alpha.mark()

    def discovered() -> Coroutine[None, None, Event]:
        return alpha.event("peer-discovered", since=before, timeout_s=30)

    answer = await greet(lab, alpha, bravo, games=GAMES, until=discovered)
    expect_equal(answer.get("type"), "hello_ack", "it is let in")
    found = await discovered()
    expect_equal(found.data.integer("game_count"), GAMES, "all of its games are known")
    listed = await alpha.list_games("remote")
    expect_equal(len(listed), GAMES, "all of its games are listed")
    expect(listed[game_id(GAMES - 1)].size == GAMES, "with their sizes")


def game_id(number: int) -> str:
    """The id of a game."""
    return f"game {number:06}"


async def greet(
    lab: Lab,
    peer: Peer,
    other: Peer,
    *,
    games: int | None,
    until: Callable[[], Coroutine[None, None, object]] | None = None,
) -> JsonObject:
    """Say hello as a peer that has so many games, and tell them until something happens."""
    served = None
    if games is not None:
        announced = (Announced(game_id(n), VERSION, n + 1) for n in range(games))
        served = library(LIBRARY_REV, announced)
    identity = other.options.state_dir / "identity"
    answer = await say_hello(
        peer.addr,
        sock=await lab.udp_socket(other),
        certificate=identity / "cert.pem",
        key=identity / "key.pem",
        hello={
            "proto_ver": PROTOCOL_VERSION,
            "peer_id": other.peer_id,
            "session": 1,
            "name": "mallory",
            "network": lab.network,
            "listen_port": 9,
            "features": [],
            "library_rev": LIBRARY_REV,
        },
        served=served,
        until=until,
    )
    return answer or {}
