"""Two peers with one identity: they and a third one say so, and the third one keeps the first."""

import shutil

from lanspread_harness import Event, Lab, Meta, Need, expect, expect_equal

META = Meta(needs=frozenset({Need.MDNS}), timeout_s=120, expected_s=25, cores=0.3)

TELL_S = 40
"""Each hears of the other by mDNS within seconds; the rest is for a busy machine."""

QUIET_S = 10
"""Long enough for several changes of mind: mDNS tells of either every two seconds."""


async def scenario(lab: Lab) -> None:
    lab.expects("two running peers have the same identity")
    game = lab.game("quake")
    alpha = await lab.peer("alpha", games=[game], mdns=True)
    bravo = await lab.peer("bravo", mdns=True)
    await bravo.event("peer-discovered", peer_id=alpha.peer_id)

    # The image of a disk on a second machine.
    clone = await lab.peer("clone", start=False, mdns=True)
    shutil.copytree(alpha.options.state_dir, clone.options.state_dir)
    await clone.start()
    expect_equal(clone.peer_id, alpha.peer_id, "it has the same identity")

    for peer, own in ((alpha, True), (clone, True), (bravo, False)):
        conflict = await peer.event("identity-conflict", timeout_s=TELL_S, peer_id=alpha.peer_id)
        expect_equal(conflict.data.flag("own"), own, f"{peer.name} knows whether it is its own")
        hint = conflict.data.text("hint")
        expect("identity" in hint, "it is told what to do", hint)
        status = await peer.command("status")
        conflicts = [entry.text("peer_id") for entry in status.children("identity_conflicts")]
        expect_equal(conflicts, [alpha.peer_id], f"the status of {peer.name} tells the same")

    since = bravo.mark()
    await lab.hold(QUIET_S)
    expect_equal(bravo.events("peer-updated", since=since), [], "bravo does not change its mind")
    listed = [(entry.name, entry.addr) for entry in await bravo.list_peers()]
    expect_equal(listed, [("alpha", alpha.addr)], "it keeps the one that it knew")
    await bravo.download(game, wait=True)
    for peer in (alpha, bravo, clone):
        all_told = peer.events("identity-conflict")
        most = 1 + minutes(all_told)
        expect(len(all_told) <= most, "once a minute at most", f"{len(all_told)} times")

    # A restart is no conflict, also where there was one.
    clone.close_stdin()
    await clone.exited()
    since = bravo.mark()
    await alpha.restart()
    await bravo.event("peer-updated", peer_id=alpha.peer_id, addr=alpha.addr, since=since)


def minutes(conflicts: list[Event]) -> int:
    """How many minutes lie between the first and the last."""
    return int((conflicts[-1].t_us - conflicts[0].t_us) / 60e6) if conflicts else 0
