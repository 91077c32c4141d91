"""Airflow as it runs in production, on one machine: all its processes, PostgreSQL, and where wanted Celery and Redis.

Everything listens on the loopback interface only, and is ended by its process id.
"""

# ruff: noqa: T201 - the logs explain a failure

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
from airflow import __version__ as airflow_version

from support.postgres_programs import postgres_programs

LOOPBACK = "127.0.0.1"
WORKERS = ("w1", "w2")
START_SECONDS = 300  # the machine may be slow, and all of Airflow starts at once
RUN_SECONDS = 600
IS_AIRFLOW_2 = airflow_version.startswith("2.")


@dataclass(frozen=True)
class Process:
    """Something that runs, and where it says what it does."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


class AirflowProcesses:
    """All processes of an Airflow, for as long as :meth:`started` lasts.

    :param home: an empty folder.
    :param redis_server: the program; where it is given, two Celery workers run the tasks, else the scheduler does.
    """

    def __init__(self, home: Path, redis_server: str | None = None) -> None:
        self.home = home
        self.dags = home / "dags"
        self.logs = home / "process_logs"
        self.dags.mkdir(parents=True)
        self.logs.mkdir()
        self._redis_server = redis_server
        self._processes: list[Process] = []
        self._environment: dict[str, str] = {}

    @contextmanager
    def started(self, **environment: str) -> Iterator[AirflowProcesses]:
        """Start everything and wait until it is healthy; at the end nothing is left of it.

        :param environment: variables that DAGs and connections need, or Airflow's own.
        """
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a kill tidies up as well
        try:
            with ExitStack() as stack:
                self._start(stack, environment)
                yield self
        finally:
            signal.signal(signal.SIGTERM, before)

    def _start(self, stack: ExitStack, environment: dict[str, str]) -> None:
        self._socket_folder = stack.enter_context(_folder_of_postgres())
        redis_port, api_port = _free_ports(2)
        self._broker = f"redis://{LOOPBACK}:{redis_port}/0"
        self._api = f"http://{LOOPBACK}:{api_port}"
        self._environment = self._settings() | environment
        stack.callback(self._stop)

        self._run_postgres()
        self.command("db", "migrate")
        if not IS_AIRFLOW_2:  # where the scheduler does also what these do
            self.run_airflow("api-server", "--host", LOOPBACK, "--port", str(api_port), "--workers", "1")
            self.run_airflow("dag-processor")
            self.wait_for("the API server", START_SECONDS, self._api_answers)  # without which every task fails
        self.run_airflow("scheduler", "--skip-serve-logs")
        self.run_airflow("triggerer", "--skip-serve-logs")
        if self._redis_server:
            self._run_redis(self._redis_server, redis_port)
            for name in WORKERS:
                command = ("celery", "worker", "--celery-hostname", name, "--concurrency", "2", "--skip-serve-logs")
                self.run_airflow(*command, name=name)
            self.wait_for("two Celery workers", START_SECONDS, self._workers_answer)
        self.wait_for("a healthy Airflow", START_SECONDS, self._is_healthy)

    def _settings(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        return inherited | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CELERY__BROKER_URL": self._broker,
            "AIRFLOW__CELERY__RESULT_BACKEND": self._broker,
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self._api}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor" if self._redis_server else "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://airflow@/postgres?host={self._socket_folder}",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",  # seconds; the default of 5 is for machines with time
            "C_FORCE_ROOT": "1",  # Celery asks for it where root runs the test
            "NO_PROXY": LOOPBACK,
        }

    def _run_redis(self, program: str, port: int) -> None:
        self._run("redis", [program, "--bind", LOOPBACK, "--port", str(port), "--save", ""], cwd=self.home)

        def answers() -> bool:
            with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7) == b"+PONG\r\n"

        self.wait_for("Redis", 30, answers)

    def _run_postgres(self) -> None:
        """Run a server that only a socket in its own folder leads to, and that only its own user may own."""
        folder = self._socket_folder
        programs = postgres_programs(folder)
        options: dict[str, Any] = {"cwd": folder, "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            nobody = pwd.getpwnam("nobody")  # check-language: ignore
            options |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        initdb = [programs / "initdb", "-D", folder / "data", "-U", "airflow", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, **options)
        settings = [f"-cunix_socket_directories={folder}", "-clisten_addresses=", "-cfsync=off", "-ctimezone=UTC"]
        self._run("postgres", [programs / "postgres", "-D", "data", *settings], **options)
        self.wait_for("PostgreSQL", 30, lambda: self.query("SELECT 1") == [(1,)])

    def run_airflow(self, *arguments: str, name: str = "") -> None:
        """Start a process of Airflow's.

        :param arguments: what follows ``airflow`` on the command line.
        :param name: of the process; default: the first argument.
        """
        command = [sys.executable, "-m", "airflow", *arguments]
        self._run(name or arguments[0], command, cwd=self.home, env=self._environment)

    def _run(self, name: str, command: list[Any], **options: Any) -> None:
        log = self.logs / f"{name}.log"
        with log.open("ab") as output:
            # A session of its own: Ctrl-C reaches the test only, which then ends all in order.
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **options
            )
        self._processes.append(Process(name, process, log))

    def command(self, *arguments: str) -> str:
        """Run an ``airflow`` command to its end, and return what it printed."""
        command = [sys.executable, "-m", "airflow", *arguments]
        done = subprocess.run(
            command, cwd=self.home, env=self._environment, capture_output=True, text=True, timeout=START_SECONDS
        )
        assert done.returncode == 0, f"airflow {' '.join(arguments)} failed:\n{(done.stdout + done.stderr)[-3000:]}"
        return done.stdout

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask the metadata database."""
        with psycopg.connect(host=str(self._socket_folder), user="airflow", dbname="postgres") as connection:
            return connection.execute(statement, parameters).fetchall()

    def wait_for(self, what: str, seconds: float, is_there: Callable[[], bool]) -> None:
        """Ask again and again, until it is there, time is over, or something that should run has ended."""
        try:
            self._wait_for(what, seconds, is_there)
        except BaseException:
            self._show_logs()
            raise

    def _wait_for(self, what: str, seconds: float, is_there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        problem: Any = None
        while time.monotonic() < deadline:
            for started in self._processes:
                assert started.process.poll() is None, f"{started.name} ended while {what} was waited for"
            try:
                if is_there():
                    return
            except (OSError, psycopg.Error) as error:  # not there yet
                problem = error
            time.sleep(0.5)
        raise AssertionError(f"{what}: not there after {seconds} seconds. The last problem: {problem}")

    def wait_for_dags(self, *dag_ids: str) -> None:
        """Wait until Airflow has read the files of these DAGs, or could not."""

        def are_there() -> bool:
            problems = self.query("SELECT stacktrace FROM import_error")
            assert not problems, problems[0][0]
            return set(dag_ids) <= {dag_id for (dag_id,) in self.query("SELECT dag_id FROM serialized_dag")}

        self.wait_for(f"the DAGs {', '.join(dag_ids)}", START_SECONDS, are_there)

    def trigger(self, dag_id: str, *arguments: str) -> None:
        """Begin a run by hand.

        :param arguments: of ``airflow dags trigger``.
        """
        self.command("dags", "trigger", dag_id, *arguments)

    def wait_for_states(self, state: str, count: int, statement: str, *parameters: Any) -> None:
        """Wait until a statement, whose only column is ``state``, gives so many rows of this one and no others."""

        def is_there() -> bool:
            states = [found for (found,) in self.query(statement, *parameters)]
            wrong = {"failed", "upstream_failed"} - {state}
            assert not wrong & set(states), f"{statement} {parameters} gives {states}"
            return states == [state] * count

        self.wait_for(f"{count} {state} of {statement} {parameters}", RUN_SECONDS, is_there)

    def kill(self, name: str) -> None:
        """End one of Airflow's processes, and all that it started, as a power cut would."""
        [killed] = [started for started in self._processes if started.name == name]
        self._processes.remove(killed)
        for process in [psutil.Process(killed.process.pid), *_children(killed.process.pid)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        killed.process.wait(10)

    def pid(self, name: str) -> int:
        """Return the id of a process that was started."""
        [pid] = [started.process.pid for started in self._processes if started.name == name]
        return pid

    def _is_healthy(self) -> bool:
        """Return whether all processes of Airflow have a heartbeat in the metadata database."""
        jobs = {"SchedulerJob", "TriggererJob"} | (set() if IS_AIRFLOW_2 else {"DagProcessorJob"})
        alive = "SELECT job_type FROM job WHERE state = 'running' AND latest_heartbeat > now() - interval '30 seconds'"
        return jobs <= {job for (job,) in self.query(alive)}

    def _api_answers(self) -> bool:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{self._api}/api/v2/version", timeout=10) as answer:
            return bool(answer.status == 200)

    def _workers_answer(self) -> bool:
        from celery import Celery

        with Celery(broker=self._broker) as celery:
            answers = celery.control.ping(timeout=1)
        return {name for answer in answers for name in answer} == {f"celery@{name}" for name in WORKERS}

    def worker_of(self, celery_task_id: str) -> str:
        """Return which worker was given a task."""
        [worker] = [name for name in WORKERS if celery_task_id in (self.logs / f"{name}.log").read_text()]
        return worker

    def _stop(self) -> None:
        """End what was started, the newest first, and what it started, by their ids."""
        for started in reversed(self._processes):
            process = started.process
            family = _children(process.pid)
            # PostgreSQL waits for its clients at SIGTERM, and ends at once, in order, at SIGINT.
            process.send_signal(signal.SIGINT if started.name == "postgres" else signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            _, alive = psutil.wait_procs(family, timeout=5)
            for survivor in alive:
                survivor.kill()
            process.kill()
            process.wait(10)
            with suppress(ProcessLookupError):  # what outlived a leader that had ended by itself
                os.killpg(process.pid, signal.SIGKILL)
        self._processes.clear()

    def _show_logs(self) -> None:
        """Show how all processes and all tasks ended."""
        for log in sorted(self.home.rglob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-25:]
            print(f"--- the last lines of {log.relative_to(self.home)}", *lines, sep="\n", file=sys.stderr)


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@contextmanager
def _folder_of_postgres() -> Iterator[Path]:
    # Not below pytest's folder, which other users cannot read. The path of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")  # check-language: ignore
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as opened:
        listeners = [opened.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind((LOOPBACK, 0))
        return [listener.getsockname()[1] for listener in listeners]
