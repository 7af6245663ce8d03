"""Legacy files are migrated once, and deleted only after the new ones are written."""

from lanspread_harness import Lab, expect, expect_equal

INDEX = '{"games": {"quake": {"version": "20240131"}}}'
METADATA = '{"intent": "none"}'


async def scenario(lab: Lab) -> None:
    # A file is where a directory of the state must be.
    lab.expects("was not moved into the state directory", "could not be settled")
    game = lab.game("quake")
    alpha = await lab.peer("alpha", games=[game], start=False)
    root, state = alpha.root(game), alpha.options.state_dir
    index = alpha.options.games_dir / ".lanspread" / "index.json"
    metadata = root / ".lanspread.json"
    marker = root / "local" / ".softlan_first_start_done"
    for path, text in ((index, INDEX), (metadata, METADATA), (marker, "")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    # Where the state of games should be there is a file: their replacements cannot be written.
    state.mkdir(parents=True)
    (state / "games").write_text("in the way")
    await alpha.start()
    await alpha.shutdown()
    await alpha.exited()
    expect_equal(
        [path.exists() for path in (index, metadata, marker)],
        [False, True, True],
        "what has no replacement yet stays",
    )
    expect_equal((state / "legacy_index.json").read_text(), INDEX, "the index is kept")

    (state / "games").unlink()
    await alpha.start()
    of_game = state / "games" / game.id
    expect_equal((of_game / "legacy.json").read_text(), METADATA, "the metadata is kept")
    expect((of_game / "setup_done").exists(), "the first start is remembered")
    expect(not metadata.exists() and not marker.exists(), "the old files are gone")
    local = (await alpha.list_games("local"))[game.id]
    expect_equal((local.availability, local.installed), ("ready", True), "the game is what it was")

    changed = (of_game / "legacy.json").stat().st_mtime_ns
    await alpha.restart()
    expect_equal((of_game / "legacy.json").stat().st_mtime_ns, changed, "and it happens once")
