"""The lab of one scenario: its games, its peers, and the promise that nothing of them stays.

Inside `open_lab` peers run and everything they print is checked; a broken rule of the protocol ends
the scenario at once, and so does a peer that ends without having been asked to. At the end of a
scenario that holds, every peer that still runs must end cleanly when its input does, and none of
them may have had an incident that the scenario does not expect; in any case all of them are gone
afterwards.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lanspread_harness.checks import expect, expect_clean_exit
from lanspread_harness.client import Peer, PeerOptions
from lanspread_harness.deprecation import warn_deprecated
from lanspread_harness.evidence import mark_failure
from lanspread_harness.faults import FaultInjector
from lanspread_harness.faults.disks import mounted
from lanspread_harness.faults.exfat import ExfatDisk, exfat_mounted
from lanspread_harness.fixtures import (
    MIB,
    Content,
    CopyOf,
    Game,
    Noise,
    content_root,
    make_rar,
    write_catalog,
)
from lanspread_harness.history import History
from lanspread_harness.hostile.program import Hostile
from lanspread_harness.incidents import check_incidents
from lanspread_harness.run_directory import PEERS

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from lanspread_harness.backends import Backend, LabHost
    from lanspread_harness.client import TaskStarter
    from lanspread_harness.fields import JsonObject
    from lanspread_harness.hostile.attacks import Attack
    from lanspread_harness.schema import Schema

DEFAULT_GAME_BYTES = 3 * MIB + 17
"""More than one chunk of the smallest chunk size, and no whole number of them."""


@dataclass(frozen=True, slots=True)
class LabSettings:
    """What a lab is made with: artefacts go to `directory`, peers live in `peers/` below it.

    `minutes` is for how long a long scenario goes on, `is_hostile` whether it is attacked
    meanwhile; `watch` is told of every step; `figures` takes what is measured.
    """

    lab_id: str
    seed: int
    directory: Path
    binary: Path
    minutes: float = 0
    is_hostile: bool = False
    watch: Callable[[str], None] | None = None
    figures: list[str] = field(default_factory=list)


class Lab(FaultInjector):
    """One scenario's world. See the module."""

    def __init__(
        self,
        settings: LabSettings,
        host: LabHost,
        schema: Schema,
        history: History,
        tasks: TaskStarter,
        mounts: AsyncExitStack,
    ) -> None:
        super().__init__(host, history, settings.seed)
        self._settings = settings
        self.host = host
        self._schema = schema
        self._history = history
        self._tasks = tasks
        self._mounts = mounts
        self._games: dict[str, Game] = {}
        self._catalogs: dict[str, dict[str, Game]] = {}
        self._expected: set[str] = set()
        self.exfat_disks: dict[str, ExfatDisk] = {}

    @property
    def seed(self) -> int:
        """What decides every random choice of the scenario."""
        return self._settings.seed

    @property
    def network(self) -> str:
        """The name of the party that its peers are in."""
        return self._settings.lab_id

    @property
    def minutes(self) -> float:
        """For how long a long scenario goes on."""
        return self._settings.minutes

    @property
    def is_hostile(self) -> bool:
        """Whether a scenario that can go either way is to be attacked."""
        return self._settings.is_hostile

    @property
    def directory(self) -> Path:
        """Where the artefacts of the scenario go."""
        return self._settings.directory

    @property
    def peers_dir(self) -> Path:
        """Everything the peers have on disk."""
        return self._settings.directory / PEERS

    @property
    def scratch(self) -> Path:
        """Room for what a scenario makes before it gives it to a peer."""
        path = self.peers_dir / "scratch"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def expects(self, *incidents: str) -> None:
        """Say which incidents belong to what the scenario does, and are no failure.

        Each is a part of the line: of an event such as `source-dropped`, or of a warning or an
        error in the log of a peer. Whether it comes is for the scenario to see.
        """
        self._expected.update(incidents)

    def note(self, text: str) -> None:
        """Write a step into the history."""
        self._history.note(text)

    def mark_failure(self, expectation: str) -> None:
        """Write into the history that something failed, though the lab stays open."""
        self._history.failure(expectation)

    def figure(self, text: str) -> None:
        """Tell something that was measured: in the history, and where the run shows its outcome."""
        self._settings.figures.append(text)
        self._history.note(text)

    def game(
        self, game_id: str, files: dict[str, Content] | None = None, *, catalog: bool = True
    ) -> Game:
        """Plan a game. All games must be planned before the first peer starts.

        Without `files` it is one archive of `DEFAULT_GAME_BYTES`. With `catalog=False` it stays
        out of the lab's catalog.
        """
        if self.peers:
            raise ValueError("games are planned before peers start, which read the catalog")
        if files is None:
            files = {f"{game_id}.eti": Noise(DEFAULT_GAME_BYTES)}
        game = Game(game_id, files, self._settings.seed)
        if catalog:
            self._games[game_id] = game
        return game

    async def state_root(self, game: Game) -> Game:
        """Let the lab's catalog state the content root of a planned game; the game with it.

        Then peers fetch this content and no other, whatever others claim.
        """
        root = await content_root(self._settings.binary, self.scratch, game)
        stated = replace(game, content_root=root)
        self._games[game.id] = stated
        return stated

    async def publish(self, game: Game) -> None:
        """Put a game, or another version of one, into the catalogs of all peers.

        Peers that run read their catalog again; what they have of an older version is outdated
        then. Peers with a catalog of their own (`catalog=…`) get the game as well.
        """
        self._games[game.id] = game
        for peer in self.peers:
            games = {**self._catalogs.get(peer.name, {}), game.id: game}
            self._catalogs[peer.name] = games
            write_catalog(peer.options.catalog, games.values())
            if peer.running and not peer.frozen:
                await peer.command("reload-catalog")

    async def put(self, game: Game, peer: Peer) -> None:
        """Put a game, or another version of one, onto the disk of a peer that may run."""
        await asyncio.to_thread(game.replace_in, peer.games_dir)

    async def rar(
        self,
        name: str,
        entries: Mapping[str, int],
        *,
        executable: Iterable[str] = (),
        directories: Iterable[str] = (),
    ) -> CopyOf:
        """A real RAR archive, as a file of a game, with entries of these sizes."""
        return CopyOf(
            await make_rar(
                self._settings.binary,
                self.scratch,
                name,
                entries,
                self._settings.seed,
                executable=executable,
                directories=directories,
            )
        )

    async def peer(
        self,
        name: str,
        *,
        games: Iterable[Game] = (),
        catalog: Collection[Game] | None = None,
        start: bool = True,
        mdns: bool = False,
        auto_install: bool = False,
        ping_after_s: int = 10,
        peer_timeout_s: int = 30,
        upload_limit: str | None = None,
        max_dictionary: str | None = None,
        state_of: Peer | None = None,
        network: str | None = None,
        network_key: str | None = None,
        disk_mib: int | None = None,
        exfat_mib: int | None = None,
    ) -> Peer:
        """Add a peer that holds `games`, and start it.

        Its catalog is the lab's unless given; as peers refuse an empty one, it has a game that
        nobody holds where none is planned. mDNS is off unless asked for. `state_of` gives it the
        state directory of another peer, `disk_mib` a disk of its own (`Need.DISKS`), `exfat_mib` a
        games directory on exFAT (`Need.EXFAT`). `network` is the lab's own unless given; a peer
        with a `network_key` is in a closed party.
        """
        home = self.peers_dir / name
        if disk_mib is not None:
            self.disks[name] = await self._mounts.enter_async_context(mounted(home, disk_mib))
        options = PeerOptions(
            games_dir=home / "games",
            state_dir=state_of.options.state_dir if state_of else home / "state",
            catalog=home / "catalog.json",
            network=network or self.network,
            network_key=None if network_key is None else home / "network.key",
            mdns=mdns,
            auto_install=auto_install,
            ping_after_s=ping_after_s,
            peer_timeout_s=peer_timeout_s,
            upload_limit=upload_limit,
            max_dictionary=max_dictionary,
        )
        if exfat_mib is None:
            options.games_dir.mkdir(parents=True)
        else:
            mounting = exfat_mounted(options.games_dir, exfat_mib)
            self.exfat_disks[name] = await self._mounts.enter_async_context(mounting)
        if network_key is not None and options.network_key is not None:
            options.network_key.write_text(network_key, encoding="utf-8")
        listed = list(self._games.values() if catalog is None else catalog)
        listed = listed or [Game("unused", {}, self._settings.seed)]
        self._catalogs[name] = {game.id: game for game in listed}
        write_catalog(options.catalog, listed)
        for game in games:
            await asyncio.to_thread(game.write, options.games_dir)
        stderr = self._settings.directory / f"{name}.stderr"
        peer = Peer(
            name,
            options,
            self.host,
            self._schema,
            self._history,
            stderr,
            self._tasks,
            self.links,
        )
        self.peers.append(peer)
        if start:
            await peer.start()
        return peer

    async def sources(self, *names: str, game: Game, upload_limit: str | None = None) -> list[Peer]:
        """Add peers that all hold a game, and start them together."""
        async with asyncio.TaskGroup() as tasks:
            starting = [
                tasks.create_task(self.peer(name, games=[game], upload_limit=upload_limit))
                for name in names
            ]
        return [task.result() for task in starting]

    @asynccontextmanager
    async def hostile(
        self, name: str, attack: Attack, *, cpu: float = 0.5, begin: bool = True
    ) -> AsyncIterator[Hostile]:
        """Attack peers from a place of its own, until the end of the block.

        The attacker may take `cpu` of a core. Without `begin` it waits for `Hostile.begin`, ready:
        several attacks can begin together. What it tells is kept beside the logs of peers, as
        `NAME.jsonl`. One that ends by itself fails the scenario. Needs `Need.HOSTILE`.
        """
        directory = self._settings.directory
        arguments = attack.arguments(self.host.listen_address(name), self.network, cpu)
        stderr = directory / f"{name}.stderr"
        process = await self.host.start_hostile(name, arguments, stderr)

        def reachable(listen_addr: str) -> str:
            return self.host.reachable(name, listen_addr)

        hostile = Hostile(name, process, stderr, directory / f"{name}.jsonl", reachable)
        reading = self._tasks.create_task(hostile.read(), name=f"output of {name}")

        async def undo() -> JsonObject:
            done = await hostile.stop()
            await reading
            return done

        attacked = [peer for peer in self.peers if peer.running and peer.addr in attack.targets]
        detail: JsonObject = {"by": name, "arguments": [*arguments]}
        async with self._fault("attack", attacked, detail, undo):
            await hostile.ready()
            if begin:
                hostile.begin()
            yield hostile

    async def udp_socket(self, beside: Peer) -> socket.socket:
        """A socket that reaches all peers, from the place of one of them; close it yourself."""
        return await self.host.udp_socket(beside.name)

    async def note_ends(self) -> None:
        """Write into the history which peers ended while the scenario failed by something else."""
        for peer in self.peers:
            for session in peer.sessions:
                await session.note_end()

    async def settle(self) -> None:
        """End every peer that runs and hold it to a clean end."""
        async with asyncio.TaskGroup() as tasks:
            for peer in self.peers:
                if peer.running:
                    tasks.create_task(_end(peer))
        for peer in self.peers:
            await peer.settle()

    def check_incidents(self) -> None:
        """Fail where a peer had an incident that the scenario does not expect."""
        check_incidents(self.peers, self._expected)

    def check_troubles(self) -> None:
        """Deprecated name of `check_incidents`."""
        warn_deprecated("Lab.check_troubles", "Lab.check_incidents")
        self.check_incidents()


@asynccontextmanager
async def open_lab(settings: LabSettings, backend: Backend, schema: Schema) -> AsyncIterator[Lab]:
    """A lab on a backend. Failures of its peers arrive as an exception group."""
    peers_dir = settings.directory / PEERS
    peers_dir.mkdir(parents=True)
    with History(settings.directory / "history.jsonl", settings.watch) as history:
        # Disks are taken away last, when nobody uses them any more.
        async with AsyncExitStack() as mounts, backend.open(settings.lab_id, peers_dir) as host:
            with mark_failure(history):
                lab: Lab | None = None
                try:
                    async with asyncio.TaskGroup() as tasks:
                        lab = Lab(settings, host, schema, history, tasks, mounts)
                        try:
                            yield lab
                        finally:
                            await lab.mend_all()
                        await lab.settle()
                        lab.check_incidents()
                finally:
                    if lab is not None:
                        await lab.note_ends()


async def _end(peer: Peer) -> None:
    if peer.frozen:
        await peer.thaw()
    peer.close_stdin()
    expect_clean_exit(await peer.exited(), peer)
    unanswered = peer.session.unanswered()
    expect(
        not unanswered,
        f"{peer.name} answers every command before it ends",
        f"no answer to {', '.join(map(str, unanswered))}",
    )
