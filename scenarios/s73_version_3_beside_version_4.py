"""A peer of the version before gets an answer, however long its hello is, and is told by name."""

from lanspread_harness import Lab, expect, expect_equal
from lanspread_harness.fields import JsonObject, JsonValue
from lanspread_harness.hostile import PROTOCOL_VERSION, say_hello

OLD_VERSION = 3
OLD_GAMES = 20_000
"""As many as make a hello of 3 MiB, which is no hello of this version."""


async def scenario(lab: Lab) -> None:
    lab.expects("peer-rejected", "another version of the protocol")
    alpha = await lab.peer("alpha")
    bravo = await lab.peer("bravo")
    await alpha.connect(bravo)
    old = await lab.peer("old")
    await old.shutdown()
    await old.exited()
    identity = old.options.state_dir / "identity"

    answer = await say_hello(
        alpha.addr,
        sock=await lab.udp_socket(old),
        certificate=identity / "cert.pem",
        key=identity / "key.pem",
        hello=old_hello(lab, old.peer_id),
    )
    answer = answer or {}
    expect_equal(answer.get("code"), "protocol-version", "it is refused for its version")
    message = str(answer.get("message"))
    versions = f"this peer speaks version {PROTOCOL_VERSION} and yours {OLD_VERSION}"
    expect(versions in message, "it is told both versions", message)

    event = await alpha.event("peers-of-other-version", timeout_s=20)
    expect_equal(event.data.integer("own"), PROTOCOL_VERSION, "the own version is told")
    [other] = event.data.children("peers")
    expect_equal(other.text("name"), "old", "the peer is told by its name")
    expect_equal(other.integer("proto_ver"), OLD_VERSION, "with its version")
    expect(other.text("addr").endswith(":4433"), "and with the port on which it listens", event)
    [same] = (await alpha.command("status")).children("peers_of_other_version")
    expect_equal(same.text("addr"), other.text("addr"), "the status tells the same")
    [entry] = await alpha.list_peers()
    expect_equal(entry.name, "bravo", "nobody else is known")
    expect_equal(bravo.events("peers-of-other-version"), [], "bravo has met none")


def old_hello(lab: Lab, peer_id: str) -> JsonObject:
    """What a peer of version 3 says: its whole library is in it."""
    games: list[JsonValue] = [
        {"id": f"game {n}", "version": "1", "size": n, "manifest_hash": "1" * 64}
        for n in range(OLD_GAMES)
    ]
    return {
        "peer_id": peer_id,
        "proto_ver": OLD_VERSION,
        "session": 1,
        "name": "old",
        "network": lab.network,
        "listen_port": 4433,
        "features": [],
        "library": {"rev": 1, "games": games},
    }
