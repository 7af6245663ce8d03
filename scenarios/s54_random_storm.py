"""Minutes of random commands and faults under a seed: the invariants hold at the end.

Every command has one terminal record; what is downloaded is byte for byte one version of the game,
what is installed is whole; nothing transient is left; all peers come to the same library; and none
of them panics. The seed decides who does what in which order; when, the machine decides.

With `--hostile` strangers attack them all the while, in every way that is known, on half a core.
The first peer is never restarted then: its memory, threads and open files must not grow.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from lanspread_harness import (
    MIB,
    SENTINEL,
    Bytes,
    CommandError,
    Content,
    Game,
    Lab,
    Meta,
    Need,
    Noise,
    Peer,
    Sparse,
    expect,
    expect_clean_exit,
    expect_equal,
    tree_digest,
)
from lanspread_harness.errors import PeerExitedError, RecordTimeoutError
from lanspread_harness.hostile import HALF_A_CORE
from lanspread_harness.hostile.siege import besiege
from lanspread_harness.soak import Recorder, describe, expect_flat, growth

META = Meta(
    needs=frozenset({Need.MDNS}),
    timeout_s=240,
    expected_s=660,
    cores=2,
    memory_mib=1024,
    peers=7,
    long=True,
)

PEERS = 6
WORKERS = 4
OLD_VERSION = "20230101"
ENTRIES = {"bin/game.exe": 2 * MIB + 5, "data/map.bsp": 70_000, "read me.txt": 12}
MARKER = ".lanspread_owned"

NEVER = {"internal", "content-mismatch", "invalid-params", "bad-json", "unknown-command"}
"""What no command may be answered with here: all are well-formed, and no bytes are ever wrong."""

TRANSIENT = (".local.*", ".version.ini.tmp")
PAUSE_MS = (20, 400)
SETTLES_WITHIN_S = 60.0

MALLORIES = 2
"""Attacks at a time, where there are any."""

Act = Callable[["Storm", random.Random, Peer, Game], Awaitable[object]]


@dataclass(slots=True)
class Storm:
    """What the workers share."""

    lab: Lab
    peers: list[Peer]
    games: list[Game]
    ends: float
    lives: dict[Peer, asyncio.Lock] = field(default_factory=dict)
    """Held by whoever kills, stops or freezes a peer."""
    answers: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


async def scenario(lab: Lab) -> None:
    games = await planned(lab)
    old = [replace(game, version=OLD_VERSION, seed=game.seed + 1) for game in games]
    rng = random.Random(f"{lab.seed}/start")
    peers = [await lab.peer("peer0", games=games, mdns=True)]
    for number in range(1, PEERS):
        held = [game for game in old if rng.random() < 0.3]
        peers.append(await lab.peer(f"peer{number}", games=held, mdns=True))

    storm = Storm(lab, peers, games, time.monotonic() + lab.minutes * 60)
    storm.lives = {peer: asyncio.Lock() for peer in peers}
    async with asyncio.TaskGroup() as tasks:
        for number in range(WORKERS):
            tasks.create_task(work(storm, random.Random(f"{lab.seed}/{number}")))
        if lab.is_hostile:
            tasks.create_task(endure(storm))
    lab.figure(f"answers: {format_counts(storm.answers)}")
    lab.figure(f"faults: {format_counts(storm.faults)}")
    expect(not NEVER & set(storm.answers), "no command is answered as it never may", storm.answers)

    lab.note("the storm is over")
    for peer in peers:
        if not peer.running:
            await peer.start()
    for peer in peers:
        await at_rest(peer)
        await strangers_gone(peer)
        await peer.wait_peers(PEERS - 1, timeout_s=SETTLES_WITHIN_S)
    await expect_one_library(peers)
    for peer in peers:
        for new, outdated in zip(games, old, strict=True):
            await asyncio.to_thread(expect_whole, lab, peer, new, outdated)


async def endure(storm: Storm) -> None:
    """Attack the peers until the time is over, and see that the first one stays as it is."""
    lab, steady = storm.lab, storm.peers[0]
    lab.expects("source-dropped", "peer-rejected", " WARN ")
    recorder = Recorder(steady)
    async with asyncio.TaskGroup() as tasks:
        recording = tasks.create_task(recorder.record())
        sieges = [
            tasks.create_task(
                besiege(
                    lab,
                    random.Random(f"{lab.seed}/mallory{number}"),
                    f"mallory{number}",
                    storm.peers,
                    storm.games,
                    storm.ends,
                    cpu=HALF_A_CORE / MALLORIES,
                )
            )
            for number in range(MALLORIES)
        ]
        made = sum([await siege for siege in sieges], Counter[str]())
        recording.cancel()
    recorder.write(lab.directory / f"{steady.name}.samples.csv")
    lab.figure(f"attacks: {format_counts(made)}")
    grown = growth(recorder.samples)
    lab.figure(f"{steady.name} takes {describe(recorder.samples)}; it grows by {grown}")
    if grown is not None:
        expect_flat(steady.name, grown)


async def strangers_gone(peer: Peer) -> None:
    """Wait until it knows no more peers than there are."""
    while True:
        before = peer.mark()
        if len(await peer.list_peers()) < PEERS:
            return
        await peer.event("peer-lost", since=before, timeout_s=SETTLES_WITHIN_S)


async def planned(lab: Lab) -> list[Game]:
    """Games of all kinds: small, large, of many files, installable."""
    archive = await lab.rar("installable", ENTRIES)
    many: dict[str, Content] = {f"{n % 7}/{n}.txt": Bytes(b"%d" % n) for n in range(200)}
    return [
        lab.game("small"),
        lab.game("large", {"large.eti": Sparse(96 * MIB)}),
        lab.game("many", {**many, "many.eti": Noise(MIB)}),
        lab.game("installable", {"installable.eti": archive}),
    ]


async def work(storm: Storm, rng: random.Random) -> None:
    """Do one random thing after the other until the time is over."""
    acts, weights = zip(*ACTS, strict=True)
    while time.monotonic() < storm.ends:
        [act] = rng.choices(acts, weights)
        # The first holds every game at first, so it removes none: there must be something to fetch.
        spared = (remove, update, kill, stop, freeze) if storm.lab.is_hostile else (remove, update)
        peer = rng.choice(storm.peers[1:] if act in spared else storm.peers)
        game = rng.choice(storm.games)
        try:
            await act(storm, rng, peer, game)
            storm.answers["ok"] += 1
            await pause(rng, rng.choice(storm.peers))
        except CommandError as error:
            storm.answers[error.code] += 1
        except PeerExitedError:
            # Another worker ended the peer meanwhile; a panic fails at the end.
            storm.answers["peer ended"] += 1
            await storm.lives[peer].acquire()
            storm.lives[peer].release()


async def pause(rng: random.Random, peer: Peer) -> None:
    """Let a peer wait for something that does not come."""
    try:
        await peer.command("wait-for", event="runtime-failed", timeout_ms=rng.randint(*PAUSE_MS))
    except CommandError as error:
        if error.code not in ("timeout", "shutting-down"):
            raise


async def download(storm: Storm, rng: random.Random, peer: Peer, game: Game) -> None:
    del storm
    await peer.download(game, install=rng.random() < 0.5, wait=rng.random() < 0.3, timeout_s=120)


async def update(storm: Storm, rng: random.Random, peer: Peer, game: Game) -> None:
    del storm
    await peer.update(game, install=rng.random() < 0.5, wait=rng.random() < 0.3, timeout_s=120)


async def cancel(storm: Storm, rng: random.Random, peer: Peer, game: Game) -> None:
    del storm, rng
    await peer.cancel_download(game)


async def install(storm: Storm, rng: random.Random, peer: Peer, game: Game) -> None:
    del storm, rng
    await peer.install(game)


async def uninstall(storm: Storm, rng: random.Random, peer: Peer, game: Game) -> None:
    del storm, rng
    await peer.uninstall(game)


async def remove(storm: Storm, rng: random.Random, peer: Peer, game: Game) -> None:
    del storm, rng
    await peer.remove_download(game)


async def look(storm: Storm, rng: random.Random, peer: Peer, game: Game) -> None:
    del storm, rng
    await peer.list_games()
    await peer.command("get-game", game_id=game.id)
    await peer.list_peers()


async def kill(storm: Storm, rng: random.Random, peer: Peer, game: Game) -> None:
    del rng, game
    async with storm.lives[peer]:
        storm.faults["kill -9"] += 1
        await peer.kill()
        await peer.start()


async def stop(storm: Storm, rng: random.Random, peer: Peer, game: Game) -> None:
    del rng, game
    async with storm.lives[peer]:
        storm.faults["shutdown"] += 1
        session = peer.session
        # What others send from now on may come when nobody reads any more.
        sent = session.unanswered()
        await peer.shutdown()
        expect_clean_exit(await peer.exited(), peer)
        missing = [command_id for command_id in sent if command_id in session.unanswered()]
        expect_equal(missing, [], f"{peer.name} answers every command before it ends")
        await peer.start()


async def freeze(storm: Storm, rng: random.Random, peer: Peer, game: Game) -> None:
    """Stop it while the others go on."""
    async with storm.lives[peer]:
        storm.faults["freeze"] += 1
        await peer.freeze()
        try:
            for _ in range(rng.randint(1, 6)):
                other = rng.choice([other for other in storm.peers if other is not peer])
                if not storm.lives[other].locked():
                    await pause(rng, other)
        finally:
            await peer.thaw()
    await peer.command("get-game", game_id=game.id)


ACTS: list[tuple[Act, int]] = [
    (download, 30),
    (update, 12),
    (cancel, 8),
    (install, 8),
    (uninstall, 8),
    (remove, 14),
    (look, 8),
    (kill, 4),
    (stop, 3),
    (freeze, 4),
]


async def at_rest(peer: Peer) -> None:
    """Wait until no operation is active."""
    while True:
        before = peer.mark()
        if (await peer.status()).active_operations == 0:
            return
        await peer.event("local-games-updated", since=before, timeout_s=SETTLES_WITHIN_S)


async def expect_one_library(peers: list[Peer]) -> None:
    """Every peer lists of each game as many sources as there are."""
    ready: Counter[str] = Counter()
    own: dict[Peer, set[str]] = {}
    for peer in peers:
        local = await peer.list_games("local")
        own[peer] = {game.id for game in local.values() if game.availability == "ready"}
        ready.update(own[peer])
    for peer in peers:
        wanted = {name: ready[name] - (name in own[peer]) for name in ready}
        wanted = {name: count for name, count in wanted.items() if count}
        while True:
            before = peer.mark()
            seen = {name: g.peer_count for name, g in (await peer.list_games("remote")).items()}
            if seen == wanted:
                break
            try:
                await peer.event("games-list-updated", since=before)
            except RecordTimeoutError:
                expect_equal(seen, wanted, f"{peer.name} has the same library as all others")


def expect_whole(lab: Lab, peer: Peer, game: Game, outdated: Game) -> None:
    """What is there of a game is a whole version of it, and a whole installation."""
    root = peer.root(game)
    left = [path.name for pattern in TRANSIENT for path in root.glob(pattern)]
    expect_equal(left, [], f"{peer.name} leaves nothing transient of {game.id}")
    if (root / SENTINEL).exists():
        found = tree_digest(root)
        versions = [plan_digest(lab, plan) for plan in (game, outdated)]
        expect(
            found in versions,
            f"{peer.name} has one whole version of {game.id}",
            sorted(set(found.items()) - set(versions[0].items())),
            sorted(set(versions[0].items()) - set(found.items())),
        )
    if (root / "local").exists():
        files = [path for path in (root / "local").rglob("*") if path.is_file()]
        sizes = {
            path.relative_to(root / "local").as_posix(): path.stat().st_size
            for path in files
            if path.name != MARKER
        }
        expect_equal(sizes, ENTRIES, f"{peer.name} has a whole installation of {game.id}")


def plan_digest(lab: Lab, game: Game) -> dict[str, str]:
    """The digest of a game as it was planned."""
    place = lab.scratch / f"{game.id} {game.version}"
    if not place.exists():
        game.write(place)
    return tree_digest(place / game.id)


def format_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"
