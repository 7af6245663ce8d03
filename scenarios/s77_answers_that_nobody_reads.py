"""Hundreds of answers about a game of 10,000 files that nobody reads: memory stays small."""

from lanspread_harness import MIB, Bytes, Content, Lab, Meta, Need, Sparse
from lanspread_harness.hostile import (
    Aimed,
    Ask,
    attacked,
    compare_fetches,
    expect_connected,
    expect_not_slower,
    expect_small,
    expect_unharmed,
    fetch_s,
    unread,
)

META = Meta(needs=frozenset({Need.HOSTILE}), timeout_s=120, expected_s=25, cores=2, alone=True)

FILES = 10_000
"""Their layout has several pages of 256 KiB, so that many answers are full pages."""

REQUESTS = 60
"""Answers that each identity leaves unread: one identity was enough for a gigabyte."""

IDENTITIES = 5


async def scenario(lab: Lab) -> None:
    lab.expects("peer-rejected", " WARN ")
    files: dict[str, Content] = {
        f"data/maps/area{number // 500:02}/textures/of/walls/stone_{number:06}.dds": Bytes(b"x")
        for number in range(FILES)
    }
    many = lab.game("many", files)
    large = lab.game("large", {"large.eti": Sparse(256 * MIB)})
    alpha = await lab.peer("alpha", games=[many, large])
    bravo = await lab.peer("bravo")
    await bravo.connect(alpha)
    await alpha.hashed(many)

    def asking(ask: Ask) -> Aimed:
        return Aimed(
            lambda targets: unread(
                targets,
                many,
                learn_from=alpha.addr,
                identities=IDENTITIES,
                ask=ask,
                requests=REQUESTS,
            ),
            lambda tally: tally.asked >= REQUESTS * IDENTITIES,
        )

    attacks = [asking(ask) for ask in (Ask.PAGES, Ask.HEAD, Ask.LIBRARY)]
    compared = await compare_fetches(lab, lambda: fetch_s(bravo, large), attacks, [alpha])
    expect_not_slower(compared)
    lab.note("a newcomer is let in while it goes on, and fetches")
    async with attacked(lab, attacks, [alpha.addr], name="again"):
        charlie = await lab.peer("charlie")
        await expect_connected(lab, charlie, alpha)
        await charlie.download(large, wait=True)
    expect_small(lab, [alpha, bravo, charlie])
    expect_unharmed([alpha, bravo, charlie])
