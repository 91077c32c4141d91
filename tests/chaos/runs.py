"""One run from its plan to its end, and the record of it."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from airflow_provider_adobe_target.sandbox import Sandbox
from chaos.clock import SharedTime
from chaos.plans import Kill, Plan
from chaos.rows import Expected, Table, write

_MAX_STEP = 300.0  # seconds, these real ones
_RETRY_DELAY = 300.0


@dataclass(frozen=True)
class Step:
    """What one process did.

    :param name: of the step, as in :mod:`chaos.task`.
    :param end: ``green``, ``red``, ``deferred`` or ``killed``.
    :param outcome: what it said at its end.
    :param files: the number of files that had been accepted before it, and after it.
    :param receipts: the checksums of the files for which the operator keeps a batch id, after it.
    :param left: what is in the folder for temporary files after it.
    :param has_little_disk: whether its files could not become large.
    """

    name: str
    end: str
    outcome: dict[str, Any] = field(repr=False)
    files: tuple[int, int]
    receipts: frozenset[str] = field(repr=False)
    left: list[str]
    has_little_disk: bool


@dataclass
class Record:
    """What happened in a run."""

    plan: Plan
    sandbox: Sandbox = field(repr=False)
    folder: Path = field(repr=False)
    steps: list[Step] = field(default_factory=list)
    report: dict[str, Any] | None = None
    batches: list[dict[str, Any]] | None = None
    calls: Counter[str] = field(default_factory=Counter)
    is_changed: bool = False

    @property
    def rows(self) -> Table:
        """What there was to upload at the end."""
        return self.plan.changed if self.is_changed and self.plan.changed else self.plan.rows

    @property
    def expected(self) -> Expected:
        """What was to become of it."""
        return self.plan.expected_after_change if self.is_changed else self.plan.expected

    @property
    def last(self) -> Step:
        """What the run ended with."""
        return self.steps[-1]

    @property
    def is_green(self) -> bool:
        return self.last.end == "green"

    @property
    def kills(self) -> int:
        return sum(step.end == "killed" for step in self.steps)


class Zygote:
    """A process that has imported Airflow, and forks one for each step."""

    def __init__(self, airflow_home: Path) -> None:
        tests = Path(__file__).parents[1]
        environment = {
            **os.environ,
            "AIRFLOW_HOME": str(airflow_home),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")]),
        }
        command = [sys.executable, str(tests / "chaos" / "task.py")]
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> None:
        """End the process."""
        with self._process:
            assert self._process.stdin
            self._process.stdin.close()

    def begin(self, order: dict[str, Any]) -> int:
        """Begin a step, and return its process id."""
        assert self._process.stdin
        self._process.stdin.write(f"{json.dumps(order)}\n".encode())
        self._process.stdin.flush()
        return self._line(_MAX_STEP)

    def end(self, child: int) -> int:
        """Wait for the end of a step, and return its exit code."""
        try:
            return self._line(_MAX_STEP)
        except TimeoutError:
            os.kill(child, signal.SIGABRT)
            self._line(_MAX_STEP)
            raise

    def _line(self, timeout: float) -> int:
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            raise TimeoutError(f"A step has not ended after {timeout:.0f} s.")
        return int(self._process.stdout.readline())


class Watcher:
    """Sees every call in the sandbox, counts those that are in progress, and ends the caller where that is planned."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._under_way = 0
        self._moments: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._kill: Kill | None = None
        self._child: int | None = None
        sandbox.watch(self)

    def __call__(self, call: Any, moment: str) -> None:
        with self._lock:
            self._under_way += {"arrived": 1, "ended": -1}.get(moment, 0)
            self._moments[call.route, moment] += 1
            kill = self._kill
            number = self._moments[call.route, moment]
            if kill and (call.route, moment, number) == (kill.route, kill.moment, kill.number):
                self._end(kill.delay)

    @contextmanager
    def killing(self, child: int, kill: Kill | None) -> Iterator[None]:
        """End a process at the planned moment, while the block lasts."""
        with self._lock:
            self._kill, self._child = kill, child
        if kill and kill.route is None:
            self._end(kill.delay)
        try:
            yield
        finally:
            with self._lock:
                self._kill = self._child = None
                self._moments.clear()

    def _end(self, delay: float) -> None:
        child = self._child

        def end() -> None:
            if self._child == child and child is not None:
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(child, signal.SIGKILL)

        if delay:
            threading.Timer(delay, end).start()
        else:
            end()

    def settle(self) -> None:
        """Wait until the sandbox is done with all calls of a process that has ended."""
        time.sleep(0.01)  # until it has seen what is in the sockets
        end = time.monotonic() + 10
        while self._under_way and time.monotonic() < end:
            time.sleep(0.002)


class Stage:
    """Where all runs take permit, one after the other. A context manager."""

    def __enter__(self) -> Stage:
        with ExitStack() as opened:
            self.folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
            self.time = SharedTime(self.folder / "time")
            self.sandbox = opened.enter_context(Sandbox(clock=self.time.now))
            self.watcher = Watcher(self.sandbox)
            self.zygote = Zygote(self.folder / "airflow")
            opened.callback(self.zygote.close)
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def carry_out(self, plan: Plan) -> Record:
        """Carry out a plan; its record is good until the next one is."""
        folder = self.folder / "run"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.time.begin()
        self.sandbox.reset(**plan.sandbox)
        return _Run(self, plan, folder).carry_out()


class _Run:
    def __init__(self, stage: Stage, plan: Plan, folder: Path) -> None:
        self._stage = stage
        self._plan = plan
        self._record = Record(plan, stage.sandbox, folder)
        self._folder = folder
        self._temporary = folder / "temporary"
        self._temporary.mkdir()

    def carry_out(self) -> Record:
        """Do all steps and tries, and return the record."""
        plan, sandbox, record = self._plan, self._stage.sandbox, self._record
        for profile_id, values in plan.seen_before.items():
            sandbox.put_profile(profile_id, values, plan.id_type)  # type: ignore[arg-type]
        sandbox.script("submit", *(fault.answer for fault in plan.submit_faults))
        sandbox.script("status", *(fault.answer for fault in plan.status_faults))
        write(plan.rows, self._folder)
        report = self._tries("execute", None)
        if record.is_green:
            record.report = report
            record.batches = self._tries("sense", report) if plan.wait.endswith("sensor") else report["batches"]
        record.calls = Counter(call.route for call in sandbox.calls)
        return record

    def _tries(self, name: str, given: Any) -> Any:
        """Run a task until it ends permanently, and return its result."""
        retries, clears = self._plan.retries, self._plan.clears
        while True:
            step = self._with_deferral(name, given)
            if step.end == "green":
                return step.outcome["result"]
            if step.end == "killed" or step.outcome["may_be_retried"]:
                if not retries:
                    return None
                retries -= 1
            elif clears:
                clears -= 1
            else:
                return None
            self._stage.time.pass_by(_RETRY_DELAY)
            if name == "execute" and self._plan.changed and not self._record.is_changed:
                self._record.is_changed = True
                write(self._plan.changed, self._folder)

    def _with_deferral(self, name: str, given: Any) -> Step:
        step = self._step(name, given)
        while step.end == "deferred":
            trigger = self._step("trigger", step.outcome["result"])
            while trigger.end == "killed":  # a restarted triggerer restarts its triggers
                trigger = self._step("trigger", step.outcome["result"])
            if trigger.end == "red":
                return trigger
            event, kwargs = trigger.outcome["result"], step.outcome["result"]["resume"]
            resumed = {"event": event, "kwargs": kwargs, "report": given}
            step = self._step({"execute": "resume", "sense": "conclude"}[name], resumed)
        return step

    def _step(self, name: str, given: Any) -> Step:
        number = len(self._record.steps)
        plan = self._plan
        accepted = len(self._record.sandbox.batches)
        outcome_file = self._folder / "outcome.json"
        outcome_file.unlink(missing_ok=True)
        child = self._stage.zygote.begin(
            {
                "seed": plan.seed,
                "run": plan.number,
                "step": number,
                "name": name,
                "given": given,
                "changed": self._record.is_changed,
                "folder": str(self._folder),
                "time": str(self._stage.folder / "time"),
                "environment": self._environment(),
            }
        )
        with self._stage.watcher.killing(child, plan.kills[number] if number < len(plan.kills) else None):
            code = self._stage.zygote.end(child)
        self._stage.watcher.settle()
        if code == 0:
            outcome = json.loads(outcome_file.read_text())
        elif code == -signal.SIGKILL:
            outcome = {"end": "killed"}
        else:
            log = (self._folder / "log.txt").read_text()
            raise RuntimeError(f"The process of the step {name!r} ended with code {code}:\n{log[-4_000:]}")
        step = Step(
            name,
            outcome["end"],
            outcome,
            (accepted, len(self._record.sandbox.batches)),
            self._receipts(),
            sorted(os.listdir(self._temporary)),
            number < len(plan.disk) and plan.disk[number] is not None,
        )
        self._record.steps.append(step)
        return step

    def _receipts(self) -> frozenset[str]:
        kept = [json.loads(path.read_text()) for path in self._folder.glob("receipts-*.json")]
        return frozenset(entry["sha256"] for entry in _entries(kept) if entry.get("batch_id"))

    def _environment(self) -> dict[str, str]:
        connection = {
            "conn_type": "adobe_target",
            "login": "acme",
            "password": self._plan.sandbox["token"],
            "host": self._record.sandbox.url,
            "extra": self._plan.connection,
        }
        return {
            "TMPDIR": str(self._temporary),
            "ADOBE_TARGET_SHARED_FOLDER": str(self._folder / "machine"),
            "AIRFLOW_CONN_ADOBE_TARGET_DEFAULT": json.dumps(connection),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(self._folder / "rows.sqlite")}),
        }


def _entries(kept: Any) -> Iterator[dict[str, Any]]:
    """Find what is kept of a file, wherever it is."""
    if isinstance(kept, dict) and "sha256" in kept:
        yield kept
    elif isinstance(kept, (dict, list)):
        for value in kept.values() if isinstance(kept, dict) else kept:
            yield from _entries(value)
