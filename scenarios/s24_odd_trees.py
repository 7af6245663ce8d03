"""Odd trees: an empty file, 3,000 small ones, deep folders, spaces, Unicode, more than 4 GiB."""

from lanspread_harness import (
    MIB,
    Bytes,
    Content,
    Lab,
    Meta,
    Noise,
    Sparse,
    expect,
    expect_equal,
    expect_same_game,
)

META = Meta(timeout_s=240, expected_s=31, cores=0.8)

SMALL_FILES = 3_000
DEEPEST = 32
"""Components of a path at most, docs/wire.md says."""

LONGEST_NAME_BYTES = 255
"""Of one component: what Linux takes."""

LARGE = 4096 * MIB + 7
"""Past the 32 bits that a size or an offset might be kept in."""


async def scenario(lab: Lab) -> None:
    names: dict[str, Content] = {
        "quake.eti": Noise(2 * MIB),
        "empty.eti": Bytes(b""),
        "empty file": Bytes(b""),
        "one chunk.bin": Noise(2 * MIB),
        "two chunks.bin": Noise(4 * MIB),
        "one byte more.bin": Noise(2 * MIB + 1),
        "/".join(["d"] * (DEEPEST - 1)) + "/deep": Bytes(b"deep"),
        "with space/ leading.txt": Bytes(b"1"),
        "Ünï/cödé/名前/🎮.dat": Bytes("ü".encode()),
        "n" * LONGEST_NAME_BYTES: Bytes(b"long"),
        "nested/version.ini": Bytes(b"19990101\n"),
        ".hidden/.file": Bytes(b"hidden"),
        "-rf": Bytes(b"a name like a flag"),
    }
    small: dict[str, Content] = {
        f"small/{number // 100:02}/{number}.txt": Bytes(b"%d" % number)
        for number in range(SMALL_FILES)
    }
    odd = lab.game("odd names", {**names, **small, "small.eti": Bytes(b"an archive")})
    large = lab.game("large", {"large.eti": Sparse(LARGE)})
    alpha = await lab.peer("alpha", games=[odd, large])
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)

    result = await bravo.download(odd, wait=True)
    expect_equal(result.integer("files"), len(odd.files), "every content file is told")
    await expect_same_game(odd, alpha, bravo)

    lab.note("a file of more than 4 GiB")
    listed = (await bravo.list_games("remote"))[large.id]
    expect_equal(listed.size, large.size, "its size is announced right")
    await bravo.download(large, wait=True, timeout_s=META.timeout_s)
    finished = await bravo.event("download-finished", game_id=large.id)
    expect_equal(finished.data.integer("bytes"), large.size, "all bytes arrive")
    source, copy = (peer.root(large) / "large.eti" for peer in (alpha, bravo))
    expect_equal(copy.stat().st_size, LARGE, "the copy is as long")
    expect_equal(await bravo.hashed(large), await alpha.hashed(large), "and has the same content")
    with source.open("rb") as one, copy.open("rb") as other:
        # The content root is the receiver's own word; these places speak for themselves.
        for start in (0, 2048 * MIB, 4095 * MIB, 4096 * MIB):
            one.seek(start)
            other.seek(start)
            expect(one.read(MIB) == other.read(MIB), f"the bytes from {start} are the same")
