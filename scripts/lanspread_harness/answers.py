"""The answers of `status`, `list-peers` and `list-games`, as types.

`Peer` returns them. Fields that scenarios do not use are left out: `Peer.command` has them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lanspread_harness.fields import Fields


@dataclass(frozen=True, slots=True)
class Status:
    """The answer of `status`."""

    peer_id: str
    name: str
    listen_addr: str
    library_rev: int
    peer_count: int
    active_operations: int
    outbound_transfers: int

    @classmethod
    def read(cls, data: Fields) -> Status:
        """Read it from a result's data."""
        return cls(
            peer_id=data.text("peer_id"),
            name=data.text("name"),
            listen_addr=data.text("listen_addr"),
            library_rev=data.integer("library_rev"),
            peer_count=data.integer("peer_count"),
            active_operations=len(data.items("active_operations")),
            outbound_transfers=len(data.items("outbound_transfers")),
        )


@dataclass(frozen=True, slots=True)
class RemotePeer:
    """One entry of `list-peers`."""

    peer_id: str
    name: str
    addr: str
    game_count: int

    @classmethod
    def read(cls, data: Fields) -> RemotePeer:
        """Read it from one object of the list."""
        return cls(
            peer_id=data.text("peer_id"),
            name=data.text("name"),
            addr=data.text("addr"),
            game_count=data.integer("game_count"),
        )


@dataclass(frozen=True, slots=True)
class ListedGame:
    """One entry of `list-games`."""

    id: str
    title: str
    version: str | None
    expected_version: str | None
    size: int
    downloaded: bool
    installed: bool
    availability: str | None
    peer_count: int
    operation: str | None
    partial_bytes: int | None
    problems: tuple[tuple[str, str], ...]
    """What keeps it from being whole: paths and reasons, at most the first 100."""

    @classmethod
    def read(cls, data: Fields) -> ListedGame:
        """Read it from one object of the list."""
        return cls(
            id=data.text("id"),
            title=data.text("title"),
            version=data.optional_text("version"),
            expected_version=data.optional_text("expected_version"),
            size=data.integer("size"),
            downloaded=data.flag("downloaded"),
            installed=data.flag("installed"),
            availability=data.optional_text("availability"),
            peer_count=data.integer("peer_count"),
            operation=data.optional_text("operation"),
            partial_bytes=data.optional_integer("partial_bytes"),
            problems=tuple(
                (problem.text("path"), problem.text("reason"))
                for problem in data.children("problems")
            ),
        )
