"""A peer that shows another's id is refused, and nothing that it says is kept."""

import shutil
from collections.abc import Coroutine
from pathlib import Path

from lanspread_harness import Event, Failure, Lab, Peer, expect, expect_equal
from lanspread_harness.fields import JsonObject
from lanspread_harness.hostile import PROTOCOL_VERSION, Announced, library, say_hello

LIBRARY_REV = 1_000_000


async def scenario(lab: Lab) -> None:
    lab.expects("peer-rejected", "another version of the protocol", "the same identity")
    game = lab.game("quake")
    alpha = await lab.peer("alpha")
    victim = await lab.peer("victim")
    mallory = await lab.peer("mallory")
    await alpha.connect(victim)
    victims, own = identity(victim), identity(mallory)
    await mallory.shutdown()
    await mallory.exited()

    lab.note("another version of the protocol, of which only the version can be read")
    answer = await say_hello(
        alpha.addr,
        sock=await lab.udp_socket(mallory),
        certificate=own / "cert.pem",
        key=own / "key.pem",
        hello={"proto_ver": PROTOCOL_VERSION + 1, "from": "the future"},
    )
    expect_equal((answer or {}).get("code"), "protocol-version", "it is refused for its version")
    event = await alpha.event("peers-of-other-version")
    [other] = event.data.children("peers")
    expect_equal(other.integer("proto_ver"), PROTOCOL_VERSION + 1, "its version is told")
    await expect_unmoved(alpha, victim)

    lab.note("its own certificate, the victim's id")
    before = alpha.mark()
    answer = await say_hello(
        alpha.addr,
        sock=await lab.udp_socket(mallory),
        certificate=own / "cert.pem",
        key=own / "key.pem",
        hello=hello(lab, victim),
    )
    expect(answer is not None, "the liar is answered")
    expect_equal((answer or {}).get("type"), "refused", "it is refused")
    expect_equal((answer or {}).get("code"), "identity", "for its identity")
    rejected = await alpha.event("peer-rejected", since=before, reason="identity")
    expect_equal(rejected.data.text("peer_id"), mallory.peer_id, "alpha tells who it really was")
    expect_equal(rejected.data.text("reason"), "identity", "and why")
    await expect_unmoved(alpha, victim)

    lab.note("the victim's certificate, without its key")
    answer = await say_hello(
        alpha.addr,
        sock=await lab.udp_socket(mallory),
        certificate=victims / "cert.pem",
        key=own / "key.pem",
        hello=hello(lab, victim),
    )
    expect_equal(answer, None, "the connection does not come about")
    await expect_unmoved(alpha, victim)

    lab.note("a peer does not start with a certificate that is not its key's")
    shutil.copy(victims / "cert.pem", own / "cert.pem")
    await mallory.launch()
    expect_equal(str(await mallory.exited()), "status 1", "startup fails")
    [refusal] = mallory.session.records
    expect(
        isinstance(refusal, Failure) and refusal.code == "identity-broken",
        "the identity is broken",
        refusal,
    )

    lab.note("the victim's own key counts for nothing while the victim itself answers")
    answer = await say_hello(
        alpha.addr,
        sock=await lab.udp_socket(mallory),
        certificate=victims / "cert.pem",
        key=victims / "key.pem",
        hello=hello(lab, victim),
    )
    expect_equal((answer or {}).get("type"), "hello_ack", "the key is the victim's")
    await alpha.event("identity-conflict", peer_id=victim.peer_id)
    await expect_unmoved(alpha, victim)

    lab.note("the same words are believed when the victim is gone, as of a restart")
    await victim.kill()
    before = alpha.mark()

    def updated() -> Coroutine[None, None, Event]:
        return alpha.event("games-list-updated", since=before)

    answer = await say_hello(
        alpha.addr,
        sock=await lab.udp_socket(mallory),
        certificate=victims / "cert.pem",
        key=victims / "key.pem",
        hello=hello(lab, victim),
        served=library(LIBRARY_REV, [Announced(game.id, game.version, game.size)]),
        until=updated,
    )
    expect_equal((answer or {}).get("type"), "hello_ack", "it is let in")
    await updated()
    expect(game.id in await alpha.list_games("remote"), "and its games are listed")


def identity(peer: Peer) -> Path:
    """Where a peer keeps key and certificate."""
    return peer.options.state_dir / "identity"


def hello(lab: Lab, peer: Peer) -> JsonObject:
    """What a peer with a library says, which this one does not have."""
    return {
        "proto_ver": PROTOCOL_VERSION,
        "peer_id": peer.peer_id,
        "session": 1,
        "name": "mallory",
        "network": lab.network,
        "listen_port": 9,
        "features": [],
        "library_rev": LIBRARY_REV,
    }


async def expect_unmoved(peer: Peer, victim: Peer) -> None:
    """The peer knows the victim as before, and nobody else."""
    listed = [(entry.name, entry.addr) for entry in await peer.list_peers()]
    expect_equal(listed, [(victim.name, victim.addr)], "alpha knows the victim and where it is")
    expect_equal(await peer.list_games("remote"), {}, "no game of the liar is listed")
