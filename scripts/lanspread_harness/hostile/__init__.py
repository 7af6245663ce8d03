"""Peers that mean harm: what they do, and what honest peers lose by it.

`attacks` says what the program `lanspread-hostile` does, and a `Lab` starts it where a peer could
run (`lab.hostile`); `program` is how a scenario sees it. `harm` measures honest peers beside it.
`liar` is a peer over aioquic that says hello as somebody else.
"""

from lanspread_harness.hostile.attacks import (
    HARDER,
    Ask,
    Attack,
    Give,
    Request,
    Say,
    Then,
    Wrong,
    flood,
    join,
    mdns,
    refused,
    silent,
    sink,
    source,
    unread,
)
from lanspread_harness.hostile.harm import (
    HALF_A_CORE,
    Aimed,
    Comparison,
    attacked,
    compare_fetches,
    expect_connected,
    expect_met,
    expect_not_slower,
    expect_small,
    expect_unharmed,
    fetch_s,
)
from lanspread_harness.hostile.liar import (
    ALPN,
    PROTOCOL_VERSION,
    Announced,
    Library,
    LibraryServer,
    library,
    say_hello,
)
from lanspread_harness.hostile.program import Hostile, Tally

__all__ = [
    "ALPN",
    "HALF_A_CORE",
    "HARDER",
    "PROTOCOL_VERSION",
    "Aimed",
    "Announced",
    "Ask",
    "Attack",
    "Comparison",
    "Give",
    "Hostile",
    "Library",
    "LibraryServer",
    "Request",
    "Say",
    "Tally",
    "Then",
    "Wrong",
    "attacked",
    "compare_fetches",
    "expect_connected",
    "expect_met",
    "expect_not_slower",
    "expect_small",
    "expect_unharmed",
    "fetch_s",
    "flood",
    "join",
    "library",
    "mdns",
    "refused",
    "say_hello",
    "silent",
    "sink",
    "source",
    "unread",
]
