"""Standard output that may go away: its reader leaves, its disk is full, its terminal is closed.

What a program does must not depend on it. A run goes on without its display, and its exit status
tells what came of it all the same. A program whose output is the answer itself, such as `trace.py`,
has failed where that could not be written; a reader that left has seen enough.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXIT_UNWRITTEN = 1
"""Exit status of a program whose answer could not be written."""

READER_LEFT = frozenset({errno.EPIPE, errno.ECONNRESET})


class Sink(Protocol):
    """What displays write to."""

    def write(self, text: str, /) -> object:
        """Take text."""
        ...

    def flush(self) -> None:
        """Pass on what was taken."""
        ...


class Output:
    """A stream whose loss ends nothing: what cannot be written is dropped; that is said once."""

    def __init__(self, stream: TextIO | None) -> None:
        self.lost: OSError | None = None
        self._stream = stream

    def write(self, text: str, /) -> int:
        """Write where there is something left to write to."""
        self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Pass on what was written."""
        self._try(lambda stream: stream.flush())

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and self.lost is None and self._stream.isatty()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    @property
    def is_unwritten(self) -> bool:
        """Whether it was lost otherwise than by a reader that left."""
        return self.lost is not None and self.lost.errno not in READER_LEFT

    def _try(self, action: Callable[[TextIO], object]) -> None:
        if self._stream is None or self.lost is not None:
            return
        try:
            action(self._stream)
        except OSError as error:
            self.lost = error
            _discard(self._stream)
            reason = error.strerror or error
            print_stderr(f"standard output cannot be written ({reason}); going on without it")


@contextmanager
def lasting_output() -> Iterator[Output]:
    """Put an `Output` in the place of `sys.stdout` for a time."""
    before = sys.stdout
    with suppress(AttributeError, ValueError, OSError):
        # A terminal of another encoding shows escapes instead of ending the program.
        before.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    output = Output(before)
    sys.stdout = cast("TextIO", output)
    try:
        yield output
    finally:
        output.flush()
        sys.stdout = before


def run_program(main: Callable[[], int]) -> int:
    """The exit status of a program that does something, whatever becomes of its output."""
    with lasting_output():
        return main()


def run_answer(main: Callable[[], int]) -> int:
    """The exit status of a program whose output is its answer: not 0 where that is not written."""
    with lasting_output() as output:
        status = main()
        output.flush()
        return status or (EXIT_UNWRITTEN if output.is_unwritten else 0)


def print_stderr(message: str) -> None:
    """Print a line on standard error, and go on where it cannot be written."""
    try:
        print(message, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Let what a stream still holds go nowhere: the interpreter writes it once more at the end."""
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
