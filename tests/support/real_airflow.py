"""A real Airflow in a process of its own, that runs one DAG after the other.

To import Airflow and to start its in-process API takes ten seconds and more; to run one more DAG takes one.
Run as a program, this file is that process.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache, partial
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from airflow_provider_adobe_target.concurrency import clock
from airflow_provider_adobe_target.concurrency.file_lock import FOLDER_VARIABLE

if TYPE_CHECKING:
    from airflow_provider_adobe_target.sandbox import Sandbox

EXAMPLES = Path(__file__).parents[2] / "example_dags"
# Before 3.3 Airflow does not put a DataFrame of pandas 3 into XCom: its class has another name.
FRAMES_IN_XCOM = Version(version("apache-airflow")) >= Version("3.3") or Version(version("pandas")) < Version("3")
IS_AIRFLOW_3_0 = version("apache-airflow").startswith("3.0.")
# At this level Airflow's stand-in for the supervisor prints what passes through it, secrets to be masked included; and
# on 3.0, dag.test() shows the local variables of a traceback, in boxes. Airflow's workers do neither.
OF_DAG_TEST = ["loc=supervisor.py"]
if IS_AIRFLOW_3_0:
    OF_DAG_TEST += ["Sending request", "Received message from task runner", "│"]
HEADER = """
import datetime, json, os, pathlib, time
try:
    from airflow.sdk import DAG, ObjectStoragePath, task
except ImportError:
    from airflow.decorators import task
    from airflow.io.path import ObjectStoragePath
    from airflow.models.dag import DAG
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.sensors.adobe_target import BatchStatusSensor

with DAG(pathlib.Path(__file__).stem, schedule=None, start_date=datetime.datetime(2026, 1, 1)) as dag:
"""


def connection(sandbox: Sandbox, **fields: Any) -> str:
    """Return an Airflow connection to a sandbox, as the text that an environment variable holds."""
    extra = {"calls_per_minute": 50, **fields.pop("extra", {})}
    return json.dumps(
        {
            "conn_type": "adobe_target",
            "login": "acme",
            "password": sandbox.settings.token,
            "host": sandbox.url,
            "extra": extra,
            **fields,
        }
    )


@dataclass(frozen=True)
class DagRun:
    """The outcome of one run.

    :param states: by task id, or ``(task id, map index)`` of mapped tasks.
    :param xcoms: by task (as in ``states``), then key.
    :param output: all that was printed and logged.
    """

    dag_id: str
    states: dict[Any, str]
    xcoms: dict[Any, dict[str, Any]]
    output: str = field(repr=False)

    @property
    def logged(self) -> str:
        """What a worker would have logged."""
        return "\n".join(line for line in self.output.splitlines() if not any(word in line for word in OF_DAG_TEST))

    def result(self, task: Any) -> Any:
        """Return what a task returned."""
        return self.xcoms[task]["return_value"]

    def log(self, task_id: str) -> str:
        """Return what was logged while a task ran, at each of its starts."""
        parts = self.output.split("[DAG TEST] starting task_id=")
        return "".join(part for part in parts if part.startswith(f"{task_id} "))


class RealAirflow:
    """Airflow's process, its home and its metadata database.

    :param home: an empty folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.output = home / "output.txt"
        self.database = home / "airflow.db"
        self._dags = home / "dags"
        self._count = 0

    @contextmanager
    def started(self, **settings: str) -> Iterator[RealAirflow]:
        """Make the database and run the process for as long as the ``with`` block lasts."""
        self._dags.mkdir(parents=True)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self._dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
            "AIRFLOW__CORE__FERNET_KEY": "",  # tests read what Airflow would encrypt
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            **settings,
        }
        airflow = [sys.executable, "-m", "airflow"]
        quiet = {**environment, "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING"}
        subprocess.run([*airflow, "db", "migrate"], env=quiet, check=True, capture_output=True)
        with (
            self.output.open("ab") as output,
            subprocess.Popen(
                [sys.executable, "-m", __spec__.name],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            ) as process,
        ):
            self._process = process
            try:
                yield self
            finally:
                process.stdin.close()
                process.wait(120)

    def run(self, source: str, **environment: str) -> DagRun:
        """Run a DAG to its end.

        :param source: what stands in its ``with DAG`` block.
        :param environment: variables that it, its tasks and its connections need.
        """
        self._count += 1
        file = self._dags / f"dag_{self._count:03}.py"
        file.write_text(HEADER + textwrap.indent(textwrap.dedent(source), "    "))
        try:
            return self._run(file, None, environment)
        finally:
            file.unlink()

    def run_file(self, source: str, day: str, **environment: str) -> DagRun:
        """Run the DAG of a file. The clock of the provider does not wait.

        :param source: Text of the file.
        :param day: Logical date, such as ``1998-01-01``.
        """
        (dag_id,) = re.findall(r'DAG\(\s*"(\w+)"', source)
        file = self._dags / f"{dag_id}.py"
        file.write_text(source)
        try:
            return self._run(file, day, environment)
        finally:
            file.unlink()

    def run_example(self, name: str, day: str, **environment: str) -> DagRun:
        """Run one of the example DAGs. The clock of the provider does not wait.

        :param name: the file, without its ending, which is also the DAG's id.
        :param day: the logical date, ``1998-01-01``.
        """
        folder = self._dags / "examples"
        if not folder.exists():
            shutil.copytree(EXAMPLES, folder)
        try:
            return self._run(folder / f"{name}.py", day, environment)
        finally:
            shutil.rmtree(folder)  # so that no other run parses it

    def _run(self, file: Path, day: str | None, environment: dict[str, str]) -> DagRun:
        begin = self.output.stat().st_size
        shared = {name: value for name, value in os.environ.items() if name == FOLDER_VARIABLE}
        order = {"file": str(file), "day": day, "environment": shared | environment}
        print(json.dumps(order), file=self._process.stdin, flush=True)
        reply = self._process.stdout.readline()
        with self.output.open("rb") as stream:
            stream.seek(begin)
            output = stream.read().decode("utf-8", "replace")
        assert reply, f"Airflow's process ended:\n{output[-5000:]}"
        assert not (error := json.loads(reply)["error"]), f"{error}\n{output[-5000:]}"
        return self._read(file.stem, output)

    def _read(self, dag_id: str, output: str) -> DagRun:
        states: dict[Any, str] = {}
        xcoms: dict[Any, dict[str, Any]] = {}
        for task_id, map_index, state in self.query(
            "SELECT task_id, map_index, state FROM task_instance WHERE dag_id = ?", dag_id
        ):
            states[task_id if map_index < 0 else (task_id, map_index)] = state
        for task_id, map_index, key, value in self.query(
            "SELECT task_id, map_index, key, value FROM xcom WHERE dag_id = ?", dag_id
        ):
            task = task_id if map_index < 0 else (task_id, map_index)
            xcoms.setdefault(task, {})[key] = _decoded(value)
        return DagRun(dag_id, states, xcoms, output)

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask the metadata database."""
        connection = sqlite3.connect(self.database)
        try:
            return connection.execute(statement, parameters).fetchall()
        finally:
            connection.close()

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Keep each version of each row, also of those that are removed, such as triggers, in a table ``ever_…``."""
        tables = [name for (name,) in self.query("SELECT name FROM sqlite_master WHERE type = 'table'")]
        tables = [name for name in tables if not name.startswith(("sqlite_", "ever_"))]
        for table in tables:
            self.query(f'DROP TABLE IF EXISTS "ever_{table}"')
            self.query(f'CREATE TABLE "ever_{table}" AS SELECT * FROM "{table}"')
            for event in ("INSERT", "UPDATE"):
                self.query(
                    f'CREATE TRIGGER "ever_{event}_{table}" AFTER {event} ON "{table}" BEGIN '
                    f'INSERT INTO "ever_{table}" SELECT * FROM "{table}" WHERE rowid = new.rowid; END'
                )
        try:
            yield
        finally:
            for table in tables:
                for event in ("INSERT", "UPDATE"):
                    self.query(f'DROP TRIGGER "ever_{event}_{table}"')

    def tables(self) -> Iterator[tuple[str, str]]:
        """Return all that stands in the metadata database: the name of each table, and a row of it as text."""
        for (table,) in self.query("SELECT name FROM sqlite_master WHERE type = 'table'"):
            for row in self.query(f'SELECT * FROM "{table}"'):
                yield table, " ".join(_text(value) for value in row)

    def files(self) -> Iterator[tuple[str, str]]:
        """Return all that is in Airflow's home but the database: logs above all."""
        for file in self.home.rglob("*"):
            if file.is_file() and not file.name.startswith(self.database.name):
                yield str(file), file.read_bytes().decode("utf-8", "replace")


def _decoded(value: Any) -> Any:
    """Return an XCom's value: Airflow 3 stores JSON within JSON."""
    for _ in range(2):
        if isinstance(value, (str, bytes)):
            try:
                value = json.loads(value)
            except ValueError:
                break
    return value


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _serve() -> None:
    """Run the DAGs that standard input names, one a line, and answer with a line each."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what tasks print goes where the log goes
    # Else Airflow 2 cannot remove an earlier run of the same day: it looks for its author.
    with suppress(ImportError):
        import airflow.providers.fab.auth_manager.models  # noqa: F401
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        from airflow.models.dagbag import DagBag
    _refuse_what_is_deprecated()
    _make_the_api_once()
    for line in sys.stdin:
        order = json.loads(line)
        error = _in_environment(order["environment"], partial(_run, DagBag, order["file"], order["day"]))
        sys.stdout.flush()
        sys.stderr.flush()
        print(json.dumps({"error": error}), file=replies, flush=True)


def _refuse_what_is_deprecated() -> None:
    """Raise what warns of a deprecation that the provider or a DAG file uses; after Airflow has set its own filters."""
    for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
        warnings.filterwarnings("error", category=category, module="airflow_provider_adobe_target|unusual_prefix_")


def _make_the_api_once() -> None:
    """Share one in-process API between all tasks, as Airflow 3.3 does: the others spend seconds on each task's own."""
    with suppress(ImportError):  # Airflow 2
        from airflow.sdk.execution_time import supervisor

        supervisor.in_process_api_server = cache(supervisor.in_process_api_server)


def _in_environment(environment: dict[str, str], do: Callable[[], str]) -> str:
    before = dict(os.environ)
    os.environ.update(environment)
    tempfile.tempdir = None  # TMPDIR may be among them
    try:
        return do()
    except BaseException as error:
        # What ends one task at its execution_timeout comes through the dag.test() of Airflow 2.
        return "" if type(error).__name__ == "AirflowTaskTimeout" else traceback.format_exc()
    finally:
        tempfile.tempdir = None
        os.environ.clear()
        os.environ.update(before)


def _run(bag_of: Any, file: str, day: str | None) -> str:
    bag = bag_of(file)
    if bag.import_errors:
        return "\n".join(bag.import_errors.values())
    for dag in bag.dags.values():
        _store_as_the_parser_of_airflow_2_would(dag)
        if day is None:
            dag.test()
        else:
            with _impatient():
                argument = "logical_date" if "logical_date" in signature(dag.test).parameters else "execution_date"
                dag.test(**{argument: datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=timezone.utc)})
    return ""


@contextmanager
def _impatient() -> Iterator[None]:
    """Let the provider's own waiting pass at once."""
    system, clock.SYSTEM = clock.SYSTEM, _ImpatientClock()
    try:
        yield
    finally:
        clock.SYSTEM = system


class _ImpatientClock(clock.SystemClock):
    def sleep(self, seconds: float) -> None:
        super().sleep(min(seconds, 0.05))

    async def asleep(self, seconds: float) -> None:
        await super().asleep(min(seconds, 0.05))


def _store_as_the_parser_of_airflow_2_would(dag: Any) -> None:
    """Write the serialised DAG, which dag.test() does by itself in Airflow 3."""
    from airflow import __version__ as airflow_version
    from airflow.models.serialized_dag import SerializedDagModel

    if airflow_version.startswith("2."):
        SerializedDagModel.write_dag(dag)
        dag.sync_to_db()  # adds the datasets, without which there are no events


if __name__ == "__main__":
    _serve()
