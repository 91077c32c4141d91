"""A trigger that records how late the triggerer's event loop calls it, which affects all other triggers as well."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

STEP = 0.05


class LoopWatch(BaseTrigger):
    """Sleep 50 ms repeatedly. After each sleep, write a line with the time and the delay in seconds."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "loop_watch.LoopWatch", {"path": self.path}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        with Path(self.path).open("w", buffering=1) as file:
            while True:
                due = time.perf_counter() + STEP
                await asyncio.sleep(STEP)
                file.write(f"{time.time()} {time.perf_counter() - due}\n")
        yield TriggerEvent("never")
