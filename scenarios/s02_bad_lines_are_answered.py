"""Each kind of bad line gets one `error` with the right code, and the next command works.

The kinds: bad JSON, an over-long line, an unknown command, a missing field, a wrong type, an
unknown field.
"""

import json

from lanspread_harness import MIB, Failure, Lab, expect_equal

LINE_LIMIT_BYTES = MIB


def line(**command: object) -> bytes:
    return json.dumps(command).encode()


BAD_LINES: dict[str, tuple[bytes, str, object]] = {
    "no JSON": (b"status, please", "bad-json", None),
    "no object": (b"[1, 2]", "bad-json", None),
    "no UTF-8": (b'{"cmd": "\xff\xfe"}', "bad-json", None),
    "over-long": (
        line(padding="x" * LINE_LIMIT_BYTES, id="too late", cmd="status"),
        "line-too-long",
        None,
    ),
    "unknown command": (line(id="u", cmd="fly"), "unknown-command", "u"),
    "missing field": (line(id="m", cmd="get-game"), "invalid-params", "m"),
    "wrong type": (line(id=2.5, cmd="wait-peers", count="two"), "invalid-params", 2.5),
    "unknown field": (line(id=-7, cmd="status", verbose=True), "invalid-params", -7),
}


async def scenario(lab: Lab) -> None:
    alpha = await lab.peer("alpha")
    for kind, (bad, code, command_id) in BAD_LINES.items():
        lab.note(kind)
        before = alpha.mark()
        await alpha.send_line(bad)
        failure = await alpha.failure(code, since=before)
        expect_equal(failure.id, command_id, f"{kind}: the id is told where it could be read")
        await alpha.status()
        answers = [r for r in alpha.session.records[before:] if isinstance(r, Failure)]
        expect_equal(len(answers), 1, f"{kind}: exactly one error")
