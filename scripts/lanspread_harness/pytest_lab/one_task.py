"""One event loop whose coroutines all run in the same task, called from code that is not async.

Task groups, timeouts and cancel scopes belong to a task, and a fixture with a `yield` is left long
after it was entered, as the lab is. So one task runs them all, one after the other. The loop stands
still in between.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from lanspread_harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")
Ended: TypeAlias = "asyncio.Future[tuple[Any, BaseException | None]]"
"""What a coroutine returned, or what it raised."""


class OneTask:
    """Runs coroutines in one task. Not for use while another loop runs in the thread."""

    def __init__(self) -> None:
        # With a factory the loop does not become that of the thread, which other plugins close.
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._jobs: asyncio.Queue[tuple[Coroutine[Any, Any, Any], Ended]] = asyncio.Queue()
        self._server: asyncio.Task[None] | None = None
        self._stray: BaseException | None = None
        self._closing = False
        self._running = False
        self.cancelled = False
        """Whether the task was cancelled while it had nothing to run."""

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end and return its result, or raise what it raised.

        A signal handler may raise in the middle, as those of Ctrl-C and of pytest-timeout do. The
        coroutine is cancelled then, and has ended when the exception arrives here.
        """
        if _loop_runs():
            coroutine.close()
            raise UsageError("an event loop runs already in this thread")
        self._runner.get_loop().set_exception_handler(self._on_stray)
        ended: Ended = self._runner.get_loop().create_future()
        self._jobs.put_nowait((coroutine, ended))
        self._running = True
        try:
            result, error = self._runner.run(self._until(ended))
        except BaseException:
            if not ended.done():
                self._runner.run(self._abandon(ended))
            raise
        finally:
            self._running = False
        stray, self._stray = self._stray, None
        if (error := stray or error) is not None:
            raise error
        # The future is of any type, as the queue is; what is in it is of the coroutine.
        returned: T = result
        return returned

    def interrupt(self, error: BaseException) -> bool:
        """From another thread, have what runs end with an exception; tells whether something runs.

        It ends when the loop comes to it.
        """
        running = self._running
        if running:
            self._runner.get_loop().call_soon_threadsafe(self._end_with, error)
        return running

    def close(self) -> None:
        """Close the loop, and cancel what is left in it."""
        self._closing = True
        self._runner.close()

    async def _until(self, ended: Ended) -> tuple[Any, BaseException | None]:
        if self._server is None:
            self._server = asyncio.create_task(self._serve())
        await _either(ended, self._server)
        if not ended.done():
            self._server.result()
        return ended.result()

    async def _abandon(self, ended: Ended) -> None:
        if self._server is not None and not self._server.done():
            self._server.cancel()
            await _either(ended, self._server)

    async def _serve(self) -> None:
        while True:
            try:
                coroutine, ended = await self._jobs.get()
            except asyncio.CancelledError:
                if self._closing:
                    raise
                self.cancelled = True
                continue
            try:
                result = await coroutine
            except BaseException as error:  # noqa: BLE001 - `run` raises it
                ended.set_result((None, error))
            else:
                ended.set_result((result, None))

    def _on_stray(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take up what a signal handler raised within a callback, which asyncio would only log."""
        error = context.get("exception")
        if isinstance(error, Exception) or not isinstance(error, BaseException):
            loop.default_exception_handler(context)
            return
        self._end_with(error)

    def _end_with(self, error: BaseException) -> None:
        self._stray = error
        if self._server is not None:
            self._server.cancel()


async def _either(*futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
