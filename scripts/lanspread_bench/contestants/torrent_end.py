"""One end of a torrent; runs where libtorrent is installed, apart from the benchmark.

`make ROOT TORRENT` makes a torrent. `seed TORRENT PATH ADDR` and `leech TORRENT PATH ADDR` say
`ready`, take lists of peers as lines of JSON, and a leecher says `done` when it has everything,
checked and written.
"""

import json
import os
import select
import sys
from pathlib import Path

import libtorrent  # type: ignore[import-not-found]

ALERT_BYTES = 64
"""How many notices of alerts are taken off their pipe at a time."""


def make(root: Path, torrent: Path) -> None:
    """Make a torrent of a directory."""
    files = libtorrent.file_storage()
    libtorrent.add_files(files, str(root))
    maker = libtorrent.create_torrent(files)
    libtorrent.set_piece_hashes(maker, str(root.parent))
    torrent.write_bytes(libtorrent.bencode(maker.generate()))


def serve(role: str, torrent: Path, save_path: Path, addr: str) -> None:
    """Seed or leech until input ends."""
    session = libtorrent.session(
        {
            "listen_interfaces": addr,
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_incoming_utp": False,
            "enable_outgoing_utp": False,
            "in_enc_policy": libtorrent.enc_policy.disabled,
            "out_enc_policy": libtorrent.enc_policy.disabled,
            "allow_multiple_connections_per_ip": True,
            # What libtorrent itself recommends for seeding at high speed, and for hosts that know
            # each other: no choking of LAN peers, deep queues, large buffers.
            "unchoke_slots_limit": 64,
            "max_out_request_queue": 2000,
            "max_allowed_in_request_queue": 4000,
            "send_buffer_watermark": 4 * 1024 * 1024,
            "recv_socket_buffer_size": 1024 * 1024,
            "send_socket_buffer_size": 1024 * 1024,
            "alert_mask": libtorrent.alert.category_t.status_notification
            | libtorrent.alert.category_t.storage_notification,
        }
    )
    params = libtorrent.add_torrent_params()
    params.ti = libtorrent.torrent_info(str(torrent))
    params.save_path = str(save_path)
    flags = libtorrent.torrent_flags
    params.flags = flags.update_subscribe | flags.disable_dht | flags.disable_lsd
    if role == "seed":
        # The pieces are known to be there, as the index of a Lanspread peer knows it.
        params.flags |= flags.seed_mode
    alerts, notices = os.pipe()
    session.set_alert_fd(notices)
    handle = session.add_torrent(params)
    print("ready", flush=True)
    is_done = role == "seed"
    while True:
        readable, _, _ = select.select([sys.stdin, alerts], [], [])
        if alerts in readable:
            os.read(alerts, ALERT_BYTES)
        if sys.stdin in readable:
            line = sys.stdin.readline()
            if not line:
                return
            for peer in json.loads(line):
                handle.connect_peer(tuple(peer))
        for alert in session.pop_alerts():
            if isinstance(alert, libtorrent.torrent_finished_alert) and not is_done:
                is_done = True
                # Finished is when all pieces are checked; they may wait for the disk.
                handle.flush_cache()
            elif isinstance(alert, libtorrent.cache_flushed_alert) and is_done and role == "leech":
                print("done", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        serve(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
