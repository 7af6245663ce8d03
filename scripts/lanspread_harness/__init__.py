"""Starts many Lanspread peers, drives them, breaks things on purpose and proves what holds.

What a scenario needs is here: a `Lab` gives games and peers, and the `expect…` functions assert.
"""

from typing import TYPE_CHECKING

from lanspread_harness.answers import ListedGame, RemotePeer, Status
from lanspread_harness.archives import (
    METHOD_NORMAL,
    Rar5Entry,
    dictionary,
    rar3,
    rar5,
    sample_rar,
)
from lanspread_harness.backends import ExitStatus, Need
from lanspread_harness.checks import (
    expect,
    expect_clean_exit,
    expect_equal,
    expect_error,
    expect_same_game,
)
from lanspread_harness.client import Peer
from lanspread_harness.deprecation import forward
from lanspread_harness.errors import CommandError
from lanspread_harness.faults import Link
from lanspread_harness.fields import Fields
from lanspread_harness.fixtures import (
    MIB,
    SENTINEL,
    VERSION,
    Bytes,
    Content,
    CopyOf,
    Game,
    Noise,
    Sparse,
    age,
    tree_digest,
)
from lanspread_harness.lab import Lab
from lanspread_harness.records import Event, Failure, Ready, Record, Result
from lanspread_harness.scenario import Meta

if TYPE_CHECKING:
    GameView = ListedGame
else:
    __getattr__ = forward(__name__, {"GameView": "lanspread_harness.answers.ListedGame"})

__all__ = [
    "METHOD_NORMAL",
    "MIB",
    "SENTINEL",
    "VERSION",
    "Bytes",
    "CommandError",
    "Content",
    "CopyOf",
    "Event",
    "ExitStatus",
    "Failure",
    "Fields",
    "Game",
    "Lab",
    "Link",
    "ListedGame",
    "Meta",
    "Need",
    "Noise",
    "Peer",
    "Rar5Entry",
    "Ready",
    "Record",
    "RemotePeer",
    "Result",
    "Sparse",
    "Status",
    "age",
    "dictionary",
    "expect",
    "expect_clean_exit",
    "expect_equal",
    "expect_error",
    "expect_same_game",
    "rar3",
    "rar5",
    "sample_rar",
    "tree_digest",
]
