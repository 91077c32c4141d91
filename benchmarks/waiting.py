"""Measure the cost of deferred sensors in a triggerer.

    python benchmarks/waiting.py [--sensors 1000]

Airflow's triggerer runs with a database in which that many mapped tasks are deferred, each with the trigger of a
deferred sensor. They poll a server in another process, over TLS, with the usual number of trusted certificates. One
more trigger sleeps 50 ms repeatedly and records how late it is called (``loop_watch.py``), which shows the delay of all
triggers.

A triggerer has two processes: a runner, whose event loop runs the triggers, and its parent, which uses the database.
Both are measured from outside: without sensors, then until each trigger has started and polled once, then while they
poll.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any

from measuring import Report, options

POLL_INTERVAL = 60.0  # seconds, the default; the first poll comes after it
IDLE, POLLING = 15, 90  # seconds of the first phase, and of the last
STARTED_WITHIN, POLLED_WITHIN = 120, 600  # seconds
COUNTED = "polls"
DAG = """
from datetime import datetime
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

with DAG("waiting", schedule=None, start_date=datetime(2026, 1, 1)):
    EmptyOperator(task_id="watch")
    EmptyOperator(task_id="wait")
"""
ANSWER = (
    b"<response><batchId>acme-1-1</batchId><status>incomplete</status><batchSize>7</batchSize>"
    b"<consumedCount>3</consumedCount><successfulUpdates>3</successfulUpdates>"
    b"<profilesNotFound>0</profilesNotFound><failedUpdates>0</failedUpdates></response>"
)


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Create a key and a certificate for the server, and a bundle of it with the certificates trusted by default."""
    import requests
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    certificate = (
        builder.not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private, bundle = folder / "server.pem", folder / "trusted.pem"
    formats = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(*formats) + certificate)
    bundle.write_bytes(Path(requests.certs.where()).read_bytes() + b"\n" + certificate)
    return private, bundle


async def serve(certificate: str, counted: Path) -> None:
    """Answer each call with an incomplete status until the process ends. Write one byte per call to ``counted``."""
    count = counted.open("wb", buffering=0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                count.write(b".")
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)
                )
                writer.write(ANSWER)
                await writer.drain()
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context, backlog=1_000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def server(folder: Path) -> Iterator[dict[str, str]]:
    """Run the server in a separate process and yield environment variables with a connection to it."""
    private, bundle = write_certificate(folder)
    command = [sys.executable, __file__, "--serve", str(private)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        host = f"https://127.0.0.1:{process.stdout.readline().strip()}"
        connection = {"conn_type": "adobe_target", "login": "acme", "password": "t0ken", "host": host}
        try:
            yield {
                "AIRFLOW_CONN_ADOBE_TARGET_DEFAULT": json.dumps(connection),
                "REQUESTS_CA_BUNDLE": str(bundle),
                "ADOBE_TARGET_HOST": host,
            }
        finally:
            process.terminate()


def airflow_in(folder: Path) -> dict[str, str]:
    """Return the environment variables of an Airflow with its home, database and a DAG in a folder."""
    dags = folder / "dags"
    dags.mkdir()
    (dags / "waiting.py").write_text(DAG)
    here = Path(__file__).parent
    return {
        # Without a usable folder, each sensor has its own rate limiter. Otherwise 1,000 polls would take half an hour.
        "ADOBE_TARGET_SHARED_FOLDER": os.devnull,
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)]),  # folder of the triggers' modules
    }


def defer(sensors: int, watch: str | None) -> None:
    """Insert deferred tasks and their triggers into the database.

    :param sensors: Number of sensors that wait for a batch.
    :param watch: Output file of an additional trigger that measures the delay of the event loop; None for no trigger.
    """
    from airflow import settings
    from airflow.models.dagbag import DBDagBag
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.utils.state import DagRunState, TaskInstanceState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType
    from loop_watch import LoopWatch
    from sqlalchemy import select

    from airflow_provider_adobe_target.client.batch import Batch
    from airflow_provider_adobe_target.triggers.adobe_target import BatchStatusTrigger

    session = settings.Session()
    now = datetime.now(timezone.utc)
    dag = DBDagBag().get_latest_version_of_dag("waiting", session=session)
    run = session.scalar(select(DagRun)) or dag.create_dagrun(
        run_id="benchmark",
        logical_date=now,
        data_interval=(now, now),
        run_after=now,
        run_type=DagRunType.MANUAL,
        state=DagRunState.RUNNING,
        triggered_by=DagRunTriggeredByType.TEST,
        session=session,
    )

    def add(task_id: str, trigger: Any, map_index: int) -> None:
        ti = TaskInstance(dag.get_task(task_id), run.created_dag_version_id, run.run_id, map_index=map_index)
        ti.state, ti.start_date, ti.trigger = TaskInstanceState.DEFERRED, now, Trigger.from_object(trigger)
        session.add(ti)

    if watch:
        add("watch", LoopWatch(watch), 0)
    for number in range(sensors):
        url = f"{os.environ['ADOBE_TARGET_HOST']}/m2/acme/profile/batchStatus?batchId=acme-1-{number}"
        trigger = BatchStatusTrigger(
            adobe_target_conn_id="adobe_target_default",
            batches=[Batch.from_status_url(url).to_event()],
            poll_interval=POLL_INTERVAL,
            deadline=time.time() + 3_600,
        )
        add("wait", trigger, number)
    session.commit()


@dataclass(frozen=True)
class Sample:
    """Resources used by a triggerer up to a time: CPU seconds, and the runner's memory in MiB."""

    time: float
    cpu: float
    parent_cpu: float
    memory: float
    peak: float
    polls: int


def sample(parent: int, counted: Path) -> Sample:
    """Measure the processes of a triggerer from outside."""
    runner = int(Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0])
    status = dict(line.split(":", 1) for line in Path(f"/proc/{runner}/status").read_text().splitlines())
    memory, peak = (int(status[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))
    return Sample(time.time(), cpu_of(runner), cpu_of(parent), memory, peak, counted.stat().st_size)


def cpu_of(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_triggerer(sensors: int) -> tuple[list[Sample], list[tuple[float, float]]]:
    """Return the samples between the phases, and the times and delays of the measuring trigger."""
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as target:
        folder = Path(name)
        environment = {**os.environ, **airflow_in(folder), **target}
        airflow = [sys.executable, "-m", "airflow"]
        for command in (["db", "migrate"], ["dags", "reserialize"]):
            subprocess.run([*airflow, *command], env=environment, check=True, capture_output=True)
        watch, counted = folder / "watch", folder / COUNTED
        waiting = [sys.executable, __file__, "--defer"]
        subprocess.run([*waiting, "0", "--watch", str(watch)], env=environment, check=True, capture_output=True)
        command = [*airflow, "triggerer", "--capacity", str(sensors + 1), "--skip-serve-logs"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + STARTED_WITHIN
            while not watch.exists():
                if time.monotonic() > deadline:
                    raise SystemExit((folder / "log").read_text())
                time.sleep(0.1)
            time.sleep(5)
            samples = [sample(process.pid, counted)]
            time.sleep(IDLE)
            samples.append(sample(process.pid, counted))
            subprocess.run([*waiting, str(sensors)], env=environment, check=True, capture_output=True)
            deadline = time.monotonic() + POLLED_WITHIN
            while counted.stat().st_size < sensors and time.monotonic() < deadline:
                time.sleep(0.1)
            samples.append(sample(process.pid, counted))
            time.sleep(POLLING)
            samples.append(sample(process.pid, counted))
            lines = watch.read_text().splitlines()[:-1]
        finally:
            process.terminate()
            process.wait(60)
    return samples, [(float(at), float(late)) for at, late in map(str.split, lines)]


def compare(sensors: int) -> list[dict[str, Any]]:
    """Measure each phase."""
    samples, late = run_triggerer(sensors)
    records = []
    for phase, (before, after) in zip(
        ("no sensor", "all start and poll once", "all wait and poll"), pairwise(samples), strict=True
    ):
        delays = sorted(delay * 1e3 for at, delay in late if before.time <= at < after.time)
        records.append(
            {
                "phase": phase,
                "seconds": after.time - before.time,
                "cpu": after.cpu - before.cpu,
                "parent_cpu": after.parent_cpu - before.parent_cpu,
                "polls": after.polls - before.polls,
                "memory": after.memory,
                "peak": after.peak,
                "late_median": delays[len(delays) // 2],
                "late_p99": delays[len(delays) * 99 // 100],
                "late_max": delays[-1],
            }
        )
    idle, beginning, polling = records

    def seconds(phase: dict[str, Any]) -> float:
        return phase["cpu"] - idle["cpu"] / idle["seconds"] * phase["seconds"]

    poll = seconds(polling) / max(1, polling["polls"])
    print(
        f"\nA sensor takes {(seconds(beginning) - poll * beginning['polls']) / sensors * 1e3:.1f} ms of CPU to start, "
        f"{poll * 1e3:.1f} ms per poll, and "
        f"{(polling['memory'] - idle['memory']) / sensors * 1024:.0f} KiB of the runner's memory."
    )
    return records


COLUMNS = {
    "phase": ("phase", "{}"),
    "seconds": ("s", "{:.0f}"),
    "cpu": ("CPU s of the runner", "{:.2f}"),
    "parent_cpu": ("of its parent", "{:.2f}"),
    "polls": ("polls", "{:,}"),
    "memory": ("MiB of the runner at the end", "{:.0f}"),
    "late_median": ("loop delay: median ms", "{:.1f}"),
    "late_p99": ("99 %", "{:.0f}"),
    "late_max": ("maximum", "{:.0f}"),
}


def main() -> None:
    """Print the table."""
    parser = options(__doc__, runs=1)
    parser.add_argument("--sensors", type=int, default=1_000)
    parser.add_argument("--serve", type=Path, help="run the server")
    parser.add_argument("--defer", type=int, help="insert this number of deferred tasks into the database")
    parser.add_argument("--watch", help="insert a trigger that measures the loop delay")
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(str(arguments.serve), arguments.serve.with_name(COUNTED)))
    elif arguments.defer is not None:
        defer(arguments.defer, arguments.watch)
    else:
        report = Report(arguments.json, "apache-airflow", "httpx")
        title = (
            f"{arguments.sensors:,} deferred sensors in one triggerer, first poll after {POLL_INTERVAL:.0f} s; one run"
        )
        report.add("waiting", title, COLUMNS, compare(arguments.sensors))


if __name__ == "__main__":
    main()
