"""`lanspread-lab attach`: a prompt on an open lab for people, with completion and history.

A line is a call without the name of the lab: `do bravo status`, `look`, `fault freeze alpha`.
"""

from __future__ import annotations

import contextlib
import io
import shlex
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory

from lanspread_lab.errors import LabError, Status
from lanspread_lab.places import place, state_directory
from lanspread_lab.wire import call, is_open, not_open

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

    from lanspread_lab.places import Place

VERBS = ("do", "export", "fault", "game", "heal", "history", "look", "peer", "wait")
LEAVE = ("exit", "quit")

HELP = f"verbs: {', '.join(VERBS)}; Tab completes, exit leaves; the lab stays open"


class Words(Completer):
    """Completes verbs, names of the lab, and what the binary's schema names."""

    def __init__(self, at: Place) -> None:
        self._at = at

    def get_completions(self, document: Document, _: CompleteEvent) -> Iterator[Completion]:
        """What could stand where the cursor is."""
        before = document.text_before_cursor
        words = before.split()
        begun = "" if not before or before.endswith(" ") else words.pop()
        for word in self._candidates(words):
            if word.startswith(begun):
                yield Completion(word, start_position=-len(begun))

    def _candidates(self, words: list[str]) -> Iterable[str]:
        if not words:
            return [*VERBS, *LEAVE, "help"]
        try:
            names = call(self._at, "names", {})
        except LabError:
            return []
        return candidates(words, names)


def candidates(words: list[str], names: dict[str, Any]) -> list[str]:
    """What may follow these words of a line."""
    verb, count = words[0], len(words)
    if verb in ("do", "wait") and count == 1:
        return list(names["peers"])
    if verb == "do" and count == 2:
        return list(names["commands"])
    if verb == "do":
        return [f"{field}=" for field in names["commands"].get(words[2], ()) if field != "cmd"]
    if verb == "wait" and count == 2:
        return list(names["events"])
    if verb == "fault":
        return list(names["kinds"]) if count == 1 else list(names["peers"])
    if verb == "heal":
        return ["all", *names["faults"]]
    if words[-1] == "--game":
        return list(names["games"])
    if words[-1] in ("--peer", "--at", "--connect"):
        return list(names["peers"])
    return []


def main(name: str) -> int:
    """Prompt until the input ends; the exit status."""
    at = place(name)
    if not is_open(at):
        raise not_open(name)
    state_directory().mkdir(parents=True, exist_ok=True)
    session: PromptSession[str] = PromptSession(
        completer=Words(at),
        history=FileHistory(str(state_directory() / "attach-history")),
        complete_while_typing=False,
    )
    print_formatted_text(HELP)
    while True:
        try:
            line = session.prompt(f"{name}> ").strip()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return Status.DONE
        if line in LEAVE:
            return Status.DONE
        if line == "help":
            print_formatted_text(HELP)
        elif line:
            _run(name, line)
        if not is_open(at):
            print_formatted_text(FormattedText([("ansired", f"the lab {name} has ended")]))
            return Status.ENVIRONMENT


def _run(name: str, line: str) -> None:
    from lanspread_lab.cli import run_for_people

    try:
        verb, *rest = shlex.split(line)
    except ValueError as error:
        print_formatted_text(FormattedText([("ansired", f"usage: {error}")]))
        return
    if verb not in VERBS:
        print_formatted_text(FormattedText([("ansired", f"there is no verb {verb}; {HELP}")]))
        return
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
        text = run_for_people([verb, name, *rest])
        print_formatted_text(text)
    if said.getvalue():
        print_formatted_text(FormattedText([("ansired", said.getvalue().rstrip())]))
