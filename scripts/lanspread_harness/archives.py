"""RAR archives with stored entries, written here so that anything in them can be wrong."""

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

METHOD_NORMAL = 3 << 7
"""Compressed, as RAR 5 packs it."""


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


def rar5(entries: Iterable[Rar5Entry]) -> bytes:
    """Make a RAR 5 archive with entries of any names."""
    archive = b"Rar!\x1a\x07\x01\x00" + _block(1, _number(0))
    for entry in entries:
        content, name = entry.content or b"", entry.name.encode()
        is_directory = entry.content is None
        fields = _number(1 if is_directory else 4) + _number(len(content)) + _number(entry.mode)
        if not is_directory:
            fields += zlib.crc32(content).to_bytes(4, "little")
        fields += _number(entry.compression) + _number(1) + _number(len(name)) + name
        archive += _block(2, fields, content)
    return archive + _block(5, _number(0))


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
