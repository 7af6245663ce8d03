"""A game of 100,000 files, as many as there may be, is announced, told in pieces, fetched and kept.

Neither end takes more than 200 MiB of memory; after a clean end the receiver hashes nothing anew.
"""

from lanspread_harness import Bytes, Content, Lab, Meta, Peer, expect, expect_equal
from lanspread_harness.process_usage import read_peak_rss_mib

META = Meta(timeout_s=600, expected_s=150, long=True)
"""Long, as a slow disk takes minutes for so many files at both ends."""

FILES = 100_000
"""Most files of a game, docs/wire.md says."""

RSS_MAX_MIB = 200
"""What either end may take at most, with all that is in flight."""

PIECE = 1_000
"""Files of one answer to `get-game`."""


async def scenario(lab: Lab) -> None:
    files: dict[str, Content] = {
        f"data/maps/area{number // 1500:02}/textures/stone_{number:06}.dds": Bytes(b"%d" % number)
        for number in range(FILES)
    }
    game = lab.game("quake", files)
    alpha = await lab.peer("alpha", games=[game])
    root = await alpha.hashed(game)
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)

    lab.note("both ends tell the files in pieces")
    received = await files_of(bravo, game.id)
    expect_equal(len(received), FILES, "the receiver tells all files of the source")
    expect_equal(set(received), set(game.files), "and these are the files of the game")

    lab.note("it is fetched whole")
    result = await bravo.download(game, wait=True, timeout_s=META.timeout_s)
    expect_equal(result.integer("files"), FILES, "every content file is told")
    expect_equal(await bravo.hashed(game), root, "the content is the same")
    for number in (0, 1, FILES // 2, FILES - 1):
        name = f"data/maps/area{number // 1500:02}/textures/stone_{number:06}.dds"
        expect_equal((bravo.root(game) / name).read_bytes(), b"%d" % number, f"bytes of {name}")
    for peer in (alpha, bravo):
        peak = read_peak_rss_mib(peer)
        lab.note(f"{peer.name} took {peak:.0f} MiB at most")
        expect(peak < RSS_MAX_MIB, f"{peer.name} took less than {RSS_MAX_MIB} MiB: {peak:.0f}")

    lab.note("nothing of it is hashed anew after a clean end")
    await bravo.shutdown()
    await bravo.exited()
    await bravo.start()
    answer = await bravo.command("get-game", game_id=game.id, files_max=1)
    known = answer.child("manifest").optional_text("content_root")
    expect_equal(known, root, "the index knows it at once")
    expect(read_peak_rss_mib(bravo) < RSS_MAX_MIB, "a start takes no more than that either")


async def files_of(peer: Peer, game_id: str) -> dict[str, int]:
    """Path and size of all files, piece by piece; the pieces must be of one manifest."""
    files: dict[str, int] = {}
    position: int | None = 0
    seen: set[str] = set()
    while position is not None:
        answer = await peer.command("get-game", game_id=game_id, files_from=position)
        manifest = answer.child("manifest")
        seen.add(manifest.text("manifest_hash"))
        piece = manifest.children("files")
        expect(0 < len(piece) <= PIECE, f"a piece has 1 to {PIECE} files: {len(piece)}")
        files |= {file.text("path"): file.integer("size") for file in piece}
        position = manifest.optional_integer("next_file")
    expect_equal(len(seen), 1, "all pieces are of one manifest")
    return files
