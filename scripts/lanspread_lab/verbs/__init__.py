"""What a core can be asked to do: one function for each verb, in `VERBS`.

Each takes the core and the arguments of the call, and returns the data of its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from lanspread_lab.verbs.commands import do, wait
from lanspread_lab.verbs.faults import fault, heal
from lanspread_lab.verbs.games import game
from lanspread_lab.verbs.looking import history, look
from lanspread_lab.verbs.peers import peer

if TYPE_CHECKING:
    from lanspread_lab.core import Core

Verb = Callable[["Core", dict[str, Any]], Coroutine[Any, Any, dict[str, Any]]]

VERBS: dict[str, Verb] = {
    "do": do,
    "fault": fault,
    "game": game,
    "heal": heal,
    "history": history,
    "look": look,
    "peer": peer,
    "wait": wait,
}
