"""Sources disagree on content: somebody chooses, or a content root in the catalog does."""

from dataclasses import replace

from lanspread_harness import (
    MIB,
    Game,
    Lab,
    Meta,
    Noise,
    Peer,
    expect_equal,
    expect_error,
    expect_same_game,
)

META = Meta(timeout_s=90, peers=7)


async def scenario(lab: Lab) -> None:
    lab.expects("source-dropped")
    game = lab.game("quake", {"quake.eti": Noise(9 * MIB + 3)})
    altered = replace(game, seed=game.seed + 1)
    extended = replace(game, files={**game.files, "bonus.eti": Noise(MIB)})
    first, second = await lab.sources("first", "second", game=game)
    other = await lab.peer("other", games=[altered])
    further = await lab.peer("further", games=[extended])
    sources = [first, second, other, further]
    roots = {peer: await peer.hashed(game) for peer in sources}
    expect_equal(len(set(roots.values())), 3, "there are three contents")

    lab.note("no content has more than half of the addresses")
    bravo = await lab.peer("bravo")
    for source in sources:
        await bravo.connect(source)
    with expect_error("content-disputed"):
        await bravo.download(game, wait=True)
    failed = await bravo.event("download-failed", game_id=game.id)
    candidates = failed.data.child("error").children("candidates")
    told = {
        (candidate.text("content_root"), source.text("peer_id"))
        for candidate in candidates
        for source in candidate.children("sources")
    }
    claimed = {(root, peer.peer_id) for peer, root in roots.items()}
    expect_equal(told, claimed, "all contents are told, with their sources")
    expect_equal(bravo.events("content-voted"), [], "nothing is fetched on votes")

    for wanted in (other, first):
        lab.note(f"somebody chooses what {wanted.name} has")
        await fetch(bravo, game, sources, content_root=roots[wanted])
        await expect_same_game(game, wanted, bravo)
        expect_equal(await bravo.hashed(game), roots[wanted], "its own hashes say the same")
        await bravo.remove_download(game)

    for wanted in (other, further, first):
        lab.note(f"the catalog says that {wanted.name} is right")
        stated = replace(game, content_root=roots[wanted])
        reader = await lab.peer(f"reader-of-{wanted.name}", catalog=[stated])
        for source in sources:
            await reader.connect(source)
        await fetch(reader, game, sources)
        await expect_same_game(game, wanted, reader)


async def fetch(
    peer: Peer, game: Game, sources: list[Peer], *, content_root: str | None = None
) -> None:
    """Download from whoever of these turns out to be right, and from nobody else."""
    before = peer.mark()
    await peer.download(game, content_root=content_root, wait=True)
    finished = await peer.event("download-finished", game_id=game.id, since=before)
    served = {s.text("peer_id") for s in finished.data.children("sources") if s.integer("bytes")}
    root = await peer.hashed(game)
    right = {source.peer_id for source in sources if await source.hashed(game) == root}
    expect_equal(served - right, set(), "nothing came from who has other content")
