"""What the program `lanspread-hostile` is told to do: one function an attack.

Rates are of the whole attack. They are reached as far as the program's share of a core goes.
Scenarios attack with `HARDER` times what did harm (docs/security.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lanspread_harness.fixtures import Game

HARDER = 5
"""How many times the measured rate an attack is made with."""


class Say(StrEnum):
    """What comes on a connection instead of a hello."""

    NOTHING = "nothing"
    WINDOWS = "windows"
    """Bytes on every stream, as many as the other side takes."""
    SLOWLY = "slowly"
    """A hello, one byte a second."""
    DEAF = "deaf"
    """What the other side says is not heard, so that the handshake stays half open."""


class Wrong(StrEnum):
    """What is wrong with a hello that is refused."""

    NETWORK = "network"
    VERSION = "version"
    IDENTITY = "identity"
    ORDER = "order"


class Then(StrEnum):
    """What a peer does that has joined."""

    STAY = "stay"
    GOODBYE = "goodbye"
    """It says goodbye, and another one joins."""
    VANISH = "vanish"
    """It leaves without a word, and another one joins."""
    RENAME = "rename"
    """It joins anew under another name."""


class Give(StrEnum):
    """What a source gives of the game that it announces."""

    FALSE = "false"
    """Another content, consistent from the library to the chunks."""
    NOTHING = "nothing"
    """No answer to the question what the game is."""
    HEAD = "head"
    """All but chunks."""
    WRONG = "wrong"
    """The right claims, and wrong bytes."""
    TRICKLE = "trickle"
    """The right claims, and a few bytes a second."""
    BUSY = "busy"
    """The right claims, and the refusal of every chunk as busy."""


class Ask(StrEnum):
    """What is asked for and not read."""

    HEAD = "head"
    PAGES = "pages"
    LIBRARY = "library"
    CHUNKS = "chunks"
    STREAM = "stream"


class Request(StrEnum):
    """What a flood consists of."""

    RESET = "reset"
    """Half a header, and a reset."""
    SLOW = "slow"
    """A header, one byte a second."""
    COMPLAINT = "complaint"
    """The complaint that a right chunk came wrong."""
    DELTA = "delta"
    FETCHING = "fetching"
    """The claim to fetch the game, and to have all of it."""
    PING = "ping"
    HEAD = "head"


@dataclass(frozen=True, slots=True)
class Attack:
    """A subcommand of the program with its options.

    `targets` are the addresses that it is made on. The lab adds the address that it comes from, as
    `place`, and the party where it is `in_party`.
    """

    name: str
    targets: tuple[str, ...]
    options: tuple[str, ...] = ()
    in_party: bool = False
    place: str = "--bind"

    def arguments(self, listen: str, network: str, cpu: float) -> list[str]:
        """The arguments of the program, for a place that could listen on an address like this."""
        host, _, _ = listen.rpartition(":")
        return [
            self.name,
            *(part for target in self.targets for part in ("--target", target)),
            *(self.place, listen if self.place == "--listen" else host),
            *(("--network", network) if self.in_party else ()),
            *("--cpu", f"{cpu:g}", "--wait"),
            *self.options,
        ]


def silent(
    targets: Sequence[str], *, rate: float, say: Say = Say.NOTHING, hold: int = 2000
) -> Attack:
    """Connections without a hello, `rate` a second; `hold` of them are kept at a time."""
    options = ("--rate", f"{rate:g}", "--say", say, "--hold", str(hold))
    return Attack("silent", tuple(targets), options)


def refused(targets: Sequence[str], *, rate: float, wrong: Wrong = Wrong.NETWORK) -> Attack:
    """Hellos that are refused, `rate` a second, each of another peer."""
    options = ("--rate", f"{rate:g}", "--wrong", wrong)
    return Attack("refused", tuple(targets), options, in_party=True)


def join(
    targets: Sequence[str],
    *,
    rate: float,
    identities: int,
    then: Then = Then.STAY,
    catalog: Path | None = None,
) -> Attack:
    """Peers that join, `rate` a second and `identities` at a time.

    Each announces all games of a `catalog`, with contents that nobody else tells.
    """
    options = ("--rate", f"{rate:g}", "--identities", str(identities), "--then", then)
    announced = () if catalog is None else ("--catalog", str(catalog))
    return Attack("join", tuple(targets), (*options, *announced), in_party=True)


def source(
    targets: Sequence[str],
    game: Game,
    *,
    learn_from: str,
    identities: int,
    give: Give,
    bytes_per_s: int = 1024,
    rate: float = 200,
) -> Attack:
    """Peers that announce a game, which they learn from a peer that has it."""
    options = (
        *("--game", game.id, "--learn-from", learn_from, "--identities", str(identities)),
        *("--give", give, "--bytes-per-s", str(bytes_per_s), "--rate", f"{rate:g}"),
    )
    return Attack("source", tuple(targets), options, in_party=True)


def unread(
    targets: Sequence[str],
    game: Game,
    *,
    learn_from: str,
    identities: int,
    ask: Ask,
    requests: int = 60,
    bytes_per_s: int = 0,
    rate: float = 1000,
) -> Attack:
    """Peers that leave `requests` answers each unread, or read some bytes a second of each."""
    options = (
        *("--game", game.id, "--learn-from", learn_from, "--identities", str(identities)),
        *("--ask", ask, "--requests", str(requests), "--bytes-per-s", str(bytes_per_s)),
        *("--rate", f"{rate:g}"),
    )
    return Attack("unread", tuple(targets), options, in_party=True)


def flood(
    targets: Sequence[str],
    game: Game,
    *,
    learn_from: str,
    request: Request,
    identities: int = 1,
    rate: float = 1000,
) -> Attack:
    """Requests of one kind, `rate` a second."""
    options = (
        *("--game", game.id, "--learn-from", learn_from, "--identities", str(identities)),
        *("--request", request, "--rate", f"{rate:g}"),
    )
    return Attack("flood", tuple(targets), options, in_party=True)


def mdns(
    points_to: Sequence[str],
    *,
    rate: float,
    goodbyes: Sequence[str] = (),
    names: int = 0,
    port: int = 5353,
) -> Attack:
    """Records of peers that are not there, `rate` a second, which name these addresses.

    With `goodbyes` they say instead that the peers of these ids are gone. After `names` peers the
    same come again. To another `port` than that of mDNS they reach nobody.
    """
    options = (
        *("--rate", f"{rate:g}", "--names", str(names), "--port", str(port)),
        *(part for address in points_to for part in ("--points-to", address)),
        *(part for peer_id in goodbyes for part in ("--goodbye", peer_id)),
    )
    return Attack("mdns", (), options, in_party=True)


def sink() -> Attack:
    """Whatever comes is accepted and discarded: what an attack on it costs, it costs the machine.

    The sink itself takes as much of a core as it needs.
    """
    return Attack("sink", (), in_party=True, place="--listen")
