"""RAR archives with stored entries, written here so that anything in them can be wrong."""

import random
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

METHOD_NORMAL = 3 << 7
"""Compressed, as RAR 5 packs it."""

SOLID_ARCHIVE = 1 << 2
SOLID_ENTRY = 1 << 6
"""Flags of RAR 5: of the archive's header, and in the compression of each entry but the first."""


def dictionary(doubled: int) -> int:
    """Return how RAR 5 packs a dictionary of 128 KiB, doubled so many times."""
    return doubled << 10


@dataclass(frozen=True, slots=True)
class Rar5Entry:
    """A file in a RAR 5 archive made on Unix, or an empty directory if it has no content."""

    name: str
    content: bytes | None
    mode: int = 0
    compression: int = 0
    """Method and dictionary. What is stored is the content, whatever stands here."""


def rar5(entries: Iterable[Rar5Entry], *, solid: bool = False) -> bytes:
    """Make a RAR 5 archive with entries of any names.

    In a `solid` one each entry continues the data of those before it, as far as the headers say.
    """
    blocks = [b"Rar!\x1a\x07\x01\x00", _block(1, _number(SOLID_ARCHIVE if solid else 0))]
    for number, entry in enumerate(entries):
        content, name = entry.content or b"", entry.name.encode()
        is_directory = entry.content is None
        fields = _number(1 if is_directory else 4) + _number(len(content)) + _number(entry.mode)
        if not is_directory:
            fields += zlib.crc32(content).to_bytes(4, "little")
        compression = entry.compression | (SOLID_ENTRY if solid and number else 0)
        fields += _number(compression) + _number(1) + _number(len(name)) + name
        blocks.append(_block(2, fields, content))
    return b"".join([*blocks, _block(5, _number(0))])


SAMPLES = {"plain": (4, 1024 * 1024), "solid": (4, 1024 * 1024), "many": (500, 1024)}
"""Archives for who only needs one: how many entries of which size each kind has."""


def sample_rar(kind: str, seed: str) -> bytes:
    """Make a RAR 5 archive of one of the kinds in `SAMPLES`, with bytes that follow from a seed."""
    count, size = SAMPLES[kind]
    rng = random.Random(seed)
    entries = [Rar5Entry("readme.txt", f"{kind} {seed}\n".encode())]
    entries += [Rar5Entry(f"data/{n:03}.bin", rng.randbytes(size)) for n in range(count)]
    return rar5(entries, solid=kind == "solid")


def rar3(entries: Sequence[tuple[str, bytes]]) -> bytes:
    """Make a RAR 3 archive as Windows does, with names in units of UTF-16."""
    archive = b"Rar!\x1a\x07\x00" + _old_header(0x73, 0, bytes(6))
    for text, content in entries:
        name = _rar3_name(text)
        size, crc32 = len(content), zlib.crc32(content)
        made, windows, version, stored = 0x5A21A000, 2, 29, 0x30
        body = struct.pack("<IIB", size, size, windows)
        body += struct.pack("<IIBBHI", crc32, made, version, stored, len(name), 0x20) + name
        archive += _old_header(0x74, 0x8200, body) + content
    return archive + _old_header(0x7B, 0x4000, b"")


def _rar3_name(text: str) -> bytes:
    """Give one byte for each unit, a zero, a byte, and groups of four units with a byte before."""
    raw = text.encode("utf-16-le")
    units = [raw[at : at + 2] for at in range(0, len(raw), 2)]
    name = bytes(unit[0] if unit[1] == 0 else ord("_") for unit in units) + b"\x00\x00"
    for at in range(0, len(units), 4):
        group = units[at : at + 4]
        name += bytes([sum(2 << (6 - 2 * place) for place in range(len(group)))]) + b"".join(group)
    return name


def _number(value: int) -> bytes:
    """Encode seven bits a byte, the lowest first."""
    low, more = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _number(more) if more else bytes([low])


def _block(kind: int, fields: bytes, data: bytes | None = None) -> bytes:
    size = b"" if data is None else _number(len(data))
    body = _number(kind) + _number(0 if data is None else 2) + size + fields
    checked = _number(len(body)) + body
    return zlib.crc32(checked).to_bytes(4, "little") + checked + (data or b"")


def _old_header(kind: int, flags: int, body: bytes) -> bytes:
    checked = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
    return (zlib.crc32(checked) & 0xFFFF).to_bytes(2, "little") + checked
