"""Calls that take longer than their caller waits: each goes on under a handle.

A call whose caller is gone goes on as well where it has begun something at a peer; its outcome is
kept for `wait LAB HANDLE`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lanspread_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Coroutine

KEPT_MAX = 256
"""How many outcomes that nobody asked for are kept; the oldest go first."""

Data = dict[str, Any]


@dataclass(slots=True)
class Call:
    """A call that goes on."""

    handle: str
    what: str
    task: asyncio.Task[Data]

    @property
    def state(self) -> str:
        """`running`, `done` or `failed`."""
        if not self.task.done():
            return "running"
        return "failed" if self.task.cancelled() or self.task.exception() else "done"


class Calls:
    """The calls of one lab."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self._begun = 0

    async def run(
        self, what: str, work: Coroutine[Any, Any, Data], timeout_s: float, *, is_reading: bool
    ) -> Data:
        """Do it; after `timeout_s` it goes on, and the `LabError` names its handle.

        Whoever calls may be gone before the end. What only reads ends then.
        """
        self._begun += 1
        task = asyncio.create_task(work, name=what)
        # An outcome that nobody asks for is no fault of the core.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        call = Call(f"c{self._begun}", what, task)
        try:
            return await self._wait(call, timeout_s)
        except asyncio.CancelledError:
            if is_reading:
                task.cancel()
            else:
                self._keep(call)
            raise

    async def wait(self, handle: str, timeout_s: float) -> Data:
        """Wait for a call that goes on; its data, once."""
        call = self._calls.get(handle)
        if call is None:
            known = ", ".join(self._calls) or "none"
            raise LabError("lab-no-call", f"there is no call {handle}", f"calls are: {known}")
        data = await self._wait(call, timeout_s)
        self._calls.pop(handle, None)
        return data

    def go_on(self) -> bool:
        """Whether any call is not done."""
        return any(not call.task.done() for call in self._calls.values())

    def as_json(self) -> list[Data]:
        """What goes on, and what is done and not asked for."""
        return [
            {"handle": call.handle, "call": call.what, "state": call.state}
            for call in self._calls.values()
        ]

    async def end(self) -> None:
        """Cancel what goes on."""
        tasks = [call.task for call in self._calls.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait(self, call: Call, timeout_s: float) -> Data:
        await asyncio.wait([call.task], timeout=timeout_s)
        if not call.task.done():
            self._keep(call)
            raise LabError(
                "lab-timeout",
                f"{call.what} is not done within {timeout_s:g} s; it goes on",
                f"`wait LAB {call.handle}` waits for it again",
                handle=call.handle,
            )
        if call.task.cancelled():
            raise LabError("lab-cancelled", f"{call.what} was cancelled")
        return call.task.result()

    def _keep(self, call: Call) -> None:
        self._calls[call.handle] = call
        done = [handle for handle, kept in self._calls.items() if kept.task.done()]
        for handle in done[: max(0, len(self._calls) - KEPT_MAX)]:
            del self._calls[handle]
