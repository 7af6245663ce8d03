"""Sources disagree on content: the majority wins, or the catalog's content root if it has one."""

from dataclasses import replace

from lanspread_harness import MIB, Game, Lab, Meta, Noise, Peer, expect_equal, expect_same_game

META = Meta(timeout_s=90, peers=7)


async def scenario(lab: Lab) -> None:
    lab.expects("source-dropped")
    game = lab.game("quake", {"quake.eti": Noise(9 * MIB + 3)})
    altered = replace(game, seed=game.seed + 1)
    extended = replace(game, files={**game.files, "bonus.eti": Noise(MIB)})
    first, second = await lab.sources("first", "second", game=game)
    other = await lab.peer("other", games=[altered])
    further = await lab.peer("further", games=[extended])
    roots = {peer: await peer.hashed(game) for peer in (first, second, other, further)}
    expect_equal(len(set(roots.values())), 3, "there are three contents")

    lab.note("the majority wins")
    bravo = await lab.peer("bravo")
    await fetch(bravo, game, [other, first, further, second])
    await expect_same_game(game, first, bravo)
    expect_equal(await bravo.hashed(game), roots[first], "its own hashes say the same")

    for wanted in (other, further, first):
        lab.note(f"the catalog says that {wanted.name} is right")
        stated = replace(game, content_root=roots[wanted])
        reader = await lab.peer(f"reader-of-{wanted.name}", catalog=[stated])
        await fetch(reader, game, [first, second, other, further])
        await expect_same_game(game, wanted, reader)


async def fetch(peer: Peer, game: Game, sources: list[Peer]) -> None:
    """Download from whoever of these turns out to be right, and from nobody else."""
    for source in sources:
        await peer.connect(source)
    await peer.download(game, wait=True)
    finished = await peer.event("download-finished", game_id=game.id)
    served = {s.text("peer_id") for s in finished.data.children("sources") if s.integer("bytes")}
    root = await peer.hashed(game)
    right = {source.peer_id for source in sources if await source.hashed(game) == root}
    expect_equal(served - right, set(), "nothing came from who has other content")
