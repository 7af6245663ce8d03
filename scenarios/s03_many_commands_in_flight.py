"""200 commands in flight at once: each id gets exactly one terminal record, `seq` has no gap."""

import asyncio

from lanspread_harness import Failure, Lab, Result, expect, expect_equal

COMMANDS = 200


async def scenario(lab: Lab) -> None:
    game = lab.game("quake")
    alpha = await lab.peer("alpha", games=[game])
    before = alpha.mark()

    kinds: list[tuple[str, dict[str, str]]] = [
        ("status", {}),
        ("list-peers", {}),
        ("list-games", {"scope": "local"}),
        ("get-game", {"game_id": game.id}),
        ("get-game", {"game_id": "no such game"}),
    ]
    async with asyncio.TaskGroup() as tasks:
        for number in range(COMMANDS):
            cmd, params = kinds[number % len(kinds)]
            command_id = f"command {number}" if number % 2 else number + 1_000_000
            tasks.create_task(alpha.session.terminal(cmd, {**params}, 20, command_id))

    # Every session checks that seq has no gap and that no id is answered twice.
    records = alpha.session.records[before:]
    terminal = [r for r in records if isinstance(r, Result | Failure)]
    expect_equal(len(terminal), COMMANDS, "each command has a terminal record")
    expect_equal(len({r.id for r in terminal}), COMMANDS, "no two share an id")
    codes = {r.code for r in terminal if isinstance(r, Failure)}
    expect(codes <= {"unknown-game"}, "only the unknown game is an error", codes)
