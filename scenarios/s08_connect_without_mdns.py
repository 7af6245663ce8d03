"""`connect` makes two peers know each other and their games with mDNS off."""

from lanspread_harness import Lab, expect_equal


async def scenario(lab: Lab) -> None:
    quake, doom = lab.game("quake"), lab.game("doom")
    alpha = await lab.peer("alpha", games=[quake])
    bravo = await lab.peer("bravo", games=[doom])

    expect_equal(await alpha.connect(bravo), bravo.peer_id, "connect tells whom it reached")

    expect_equal(list(await alpha.list_games("remote")), [doom.id], "the dialler lists the games")
    await bravo.event("peer-discovered", peer_id=alpha.peer_id)
    expect_equal(list(await bravo.list_games("remote")), [quake.id], "the dialled lists them too")
