"""What a worker and a triggerer do with a task, each step in a process of its own.

Run as a program, this file imports Airflow once, and then forks a process for each step it is told to do.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import signal
import stat
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_adobe_target import version_compat
from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.ledger import ProfileLedger
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.sensors.adobe_target import BatchStatusSensor
from chaos.clock import SharedTime, TaskClock
from chaos.plans import Plan, make_plan
from chaos.rows import Table, arguments

# What is imported late is imported here, or each process would have to do it.
_LATE_IMPORTS = (
    "airflow.providers.sqlite.hooks.sqlite",
    "airflow.sdk.execution_time.cache",
    "airflow.sdk.execution_time.supervisor",
    "airflow_provider_adobe_target.profiles.sources.cursors",
    "airflow_provider_adobe_target.profiles.sources.files",
    "airflow_provider_adobe_target.profiles.pipeline",
    "airflow_provider_adobe_target.client.call",
    "airflow_provider_adobe_target.client.transports.requests",
    "airflow_provider_adobe_target.triggers.adobe_target",
    "anyio._backends._asyncio",
    "asgiref.sync",
    "encodings.idna",
    "pandas",
)
FINAL_ERRORS = (version_compat.AirflowFailException, version_compat.AirflowSensorTimeout)


class StateStore:
    """What a task of Airflow 3.3 finds in its context to keep things over its tries."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, key: str, default: Any = None) -> Any:
        return self._read().get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        if value is None or len(json.dumps(value)) > 65_535:
            raise ValueError("The state store takes no null, and no more than 65,535 bytes.")
        self._write({**self._read(), key: value})

    def delete(self, key: str) -> None:
        self._write({name: value for name, value in self._read().items() if name != key})

    def clear(self) -> None:
        self._write({})

    def _read(self) -> dict[str, Any]:
        return dict(json.loads(self._path.read_text())) if self._path.exists() else {}

    def _write(self, content: dict[str, Any]) -> None:
        partial = self._path.with_suffix(".partial")  # a database takes all or nothing
        with _disk_of(None):
            partial.write_text(json.dumps(content))
        partial.rename(self._path)


class Step:
    """One step of a run, in the process that does it.

    :param plan: the run.
    :param number: of the step, from 0 on.
    :param folder: of the run.
    :param table: what there is to upload.
    """

    def __init__(self, plan: Plan, number: int, folder: Path, table: Table) -> None:
        self._plan = plan
        self._folder = folder
        self._table = table
        ids = {"dag_id": "chaos", "task_id": "upload", "run_id": "run", "map_index": -1, "try_number": number + 1}
        self.context: Any = {"ti": SimpleNamespace(xcom_push=self._push, xcom_pull=self._pull, **ids)}
        self.context["data_interval_end"] = datetime(2026, 1, 1, tzinfo=timezone.utc)
        if plan.receipts == "store":
            self.context["task_state_store"] = StateStore(folder / "receipts-store.json")

    def _push(self, *, key: str, value: Any) -> None:
        with _disk_of(None):  # this is Airflow's database
            (self._folder / f"xcom-{key}.json").write_text(json.dumps(value))

    def _pull(self, *, key: str, **_: Any) -> Any:
        file = self._folder / f"xcom-{key}.json"
        return json.loads(file.read_text()) if file.exists() else None

    def execute(self, _: Any) -> Any:
        return self._upload().execute(self.context)

    def trigger(self, deferred: Any) -> Any:
        module, _, name = deferred["classpath"].rpartition(".")
        trigger = getattr(import_module(module), name)(**deferred["kwargs"])

        async def first_event() -> Any:
            async for event in trigger.run():
                return event.payload

        return asyncio.run(first_event())

    def resume(self, given: Any) -> Any:
        return self._upload().execute_complete(self.context, given["event"], **given["kwargs"])

    def sense(self, report: Any) -> Any:
        return self._sensor(report).execute(self.context)

    def conclude(self, given: Any) -> Any:
        return self._sensor(given["report"]).execute_complete(self.context, given["event"], **given["kwargs"])

    def _upload(self) -> BulkProfileUpdateOperator:
        kept = {"checkpoint_path": str(self._folder / "receipts-file.json")} if self._plan.receipts == "file" else {}
        return BulkProfileUpdateOperator(
            task_id="upload",
            **kept,
            **arguments(self._table, self._folder),
            **self._plan.arguments,
            wait_for_completion=self._plan.wait in ("worker", "deferred"),
            deferrable=self._plan.wait == "deferred",
            ledger=self._ledger(),
        )

    def _ledger(self) -> ProfileLedger | None:
        return ProfileLedger(str(self._folder / "ledger")) if self._plan.has_ledger else None

    def _sensor(self, report: Any) -> BatchStatusSensor:
        names = ("timeout", "max_failed_pct", "max_not_found_pct")
        return BatchStatusSensor(
            task_id="landed",
            batches=report,
            deferrable=self._plan.wait == "deferred sensor",
            poke_interval=self._plan.arguments["poll_interval"],
            ledger=self._ledger(),
            **{name: self._plan.arguments[name] for name in names},
        )


def do(step: Step, name: str, given: Any, disk: int | None) -> dict[str, Any]:
    """Do one step, and return what came of it and what it left behind."""
    sensor = sys.modules[version_compat.BaseSensorOperator.__module__]
    sensor.time = clock.SYSTEM  # type: ignore[attr-defined]
    gc.collect()
    before = _open_sockets()
    try:
        with _disk_of(disk):
            outcome = {"end": "green", "result": getattr(step, name)(given)}
    except BaseException as error:
        outcome = _ended_by(error)
    gc.collect()  # urllib3 drops a broken connection's last reference in a cycle
    threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    return {**outcome, "threads": threads, "sockets": _open_sockets() - before}


def _ended_by(error: BaseException) -> dict[str, Any]:
    if type(error).__name__ == "TaskDeferred":
        deferred: Any = error
        classpath, kwargs = deferred.trigger.serialize()
        result = {"classpath": classpath, "kwargs": kwargs, "resume": deferred.kwargs or {}}
        return {"end": "deferred", "result": result}
    traceback.print_exception(error)
    return {
        "end": "red",
        "result": None,
        "error": type(error).__name__,
        "errno": getattr(error, "errno", None),
        "message": str(error),
        "may_be_retried": not isinstance(error, FINAL_ERRORS),
    }


@contextmanager
def _disk_of(limit: int | None) -> Iterator[None]:
    """Let no file grow beyond so many bytes: what a full disk is, for a process without rights."""
    former, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most if limit is None else limit, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (former, most))


def _open_sockets() -> int:
    return sum(map(_is_socket, os.listdir("/dev/fd")))


def _is_socket(number: str) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(int(number)).st_mode)
    except OSError:  # the folder that is being listed
        return False


def _in_child(order: dict[str, Any]) -> None:
    folder = Path(order["folder"])
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(order["environment"])
    tempfile.tempdir = None  # it was requested before
    plan, number = make_plan(order["seed"], order["run"]), order["step"]
    clock.SYSTEM = TaskClock(SharedTime(Path(order["time"])), plan.jumps)
    disk = plan.disk[number] if number < len(plan.disk) else None
    table = plan.changed if order["changed"] and plan.changed else plan.rows
    outcome = do(Step(plan, number, folder, table), order["name"], order["given"], disk)
    (folder / "outcome.partial").write_text(json.dumps(outcome))
    (folder / "outcome.partial").rename(folder / "outcome.json")


def main() -> None:
    """Do steps, each in a fork, one at a time: an order a line comes in, a line goes out at its start and its end."""
    for module in _LATE_IMPORTS:
        with suppress(ImportError):
            import_module(module)
    gc.collect()
    gc.freeze()  # so that the processes share these pages for long
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process ends it
    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                _in_child(json.loads(line))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        os.write(1, f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
