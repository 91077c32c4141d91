"""What a triggerer pays for sensors that wait.

    python benchmarks/waiting.py [--sensors 1000] [--seconds 90]

In one event loop, as in a triggerer, so many triggers are built from what a deferred sensor hands over, and poll a
server in another process, over TLS and with the certificates that a machine trusts. Beside them a task sleeps 50 ms at
a time, and notes how late it is called: that is what all other triggers of the process feel.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from measuring import Figures, Report, apart, cpu_seconds, options, peak_mib

POLL_INTERVAL = 60.0  # seconds, the default
STEP = 0.05
ANSWER = (
    b"<response><batchId>acme-1-1</batchId><status>incomplete</status><batchSize>7</batchSize>"
    b"<consumedCount>3</consumedCount><successfulUpdates>3</successfulUpdates>"
    b"<profilesNotFound>0</profilesNotFound><failedUpdates>0</failedUpdates></response>"
)


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Make the server a key and a certificate, and a bundle of that beside all others that are trusted."""
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


async def serve(certificate: str) -> None:
    """Answer each call with 'not yet', until the process is ended."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
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
def server() -> Iterator[dict[str, str]]:
    """Run the server in a process of its own, and give the environment in which a connection leads to it."""
    with tempfile.TemporaryDirectory() as folder:
        private, bundle = write_certificate(Path(folder))
        command = [sys.executable, __file__, "--serve", str(private)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            host = f"https://127.0.0.1:{process.stdout.readline().strip()}"
            connection = {"conn_type": "adobe_target", "login": "acme", "password": "t0ken", "host": host}
            try:
                yield {
                    "AIRFLOW_HOME": folder,
                    "AIRFLOW_CONN_ADOBE_TARGET_DEFAULT": json.dumps(connection),
                    "REQUESTS_CA_BUNDLE": str(bundle),
                    "ADOBE_TARGET_HOST": host,
                }
            finally:
                process.terminate()


def batch(number: int) -> Any:
    from airflow_provider_adobe_target.target.outcomes import Batch

    url = f"{os.environ['ADOBE_TARGET_HOST']}/m2/acme/profile/batchStatus?batchId=acme-1-{number}"
    return Batch.from_status_url(url)


def deferred(number: int, deadline: float) -> Any:
    """Build a trigger as a triggerer does: from the text that a deferred sensor left in the database."""
    from airflow_provider_adobe_target.triggers.adobe_target import BatchStatusTrigger

    trigger = BatchStatusTrigger(
        adobe_target_conn_id="adobe_target_default",
        batches=[batch(number).to_event()],
        poll_interval=POLL_INTERVAL,
        deadline=deadline,
    )
    return BatchStatusTrigger(**json.loads(json.dumps(trigger.serialize()[1])))


async def wait_in_one_loop(sensors: int, seconds: float) -> Figures:
    """Let so many triggers wait for so long."""
    from airflow_provider_adobe_target.target import clock

    await poll_once()  # which loads what is loaded once for all of a process
    waits = 0
    all_wait = asyncio.Event()

    class CountingClock(clock.SystemClock):
        async def asleep(self, seconds: float) -> None:
            nonlocal waits
            waits += 1
            if waits >= sensors:
                all_wait.set()
            await super().asleep(seconds)

    clock.SYSTEM = CountingClock()
    late: list[float] = []

    async def watch() -> None:
        while True:
            due = time.perf_counter() + STEP
            await asyncio.sleep(STEP)
            late.append(time.perf_counter() - due)

    async def first_event(trigger: Any) -> Any:
        async for event in trigger.run():
            return event

    gc.collect()
    started, cpu = time.perf_counter(), cpu_seconds()
    watcher = asyncio.create_task(watch())
    deadline = time.time() + 3_600
    tasks = []
    for number in range(sensors):
        tasks.append(asyncio.create_task(first_event(deferred(number, deadline))))
        await asyncio.sleep(0)  # as Airflow's triggerer does
    if sensors:
        await asyncio.wait([asyncio.create_task(all_wait.wait()), *tasks], return_when=asyncio.FIRST_COMPLETED)
    begun, begun_cpu = time.perf_counter() - started, cpu_seconds() - cpu
    late_to_begin, late[:] = max(late, default=0.0), []
    await asyncio.sleep(max(0.0, seconds - begun))
    polled_cpu, polls = cpu_seconds() - cpu - begun_cpu, waits - sensors
    for task in (watcher, *tasks):
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    late.sort()
    return {
        "sensors": sensors,
        "lost": sum(not isinstance(end, asyncio.CancelledError) for end in ended),
        "begin_seconds": begun,
        "begin_cpu": begun_cpu,
        "polls": polls,
        "poll_cpu": polled_cpu,
        "late_begin": late_to_begin,
        "late_median": late[len(late) // 2],
        "late_p99": late[len(late) * 99 // 100],
        "late_max": late[-1],
        "peak": peak_mib(),
    }


async def poll_once() -> None:
    from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
    from airflow_provider_adobe_target.target import clock, flows
    from airflow_provider_adobe_target.target.budget import CallBudget
    from airflow_provider_adobe_target.target.transports import HttpxTransport, arun

    settings = await AdobeTargetHook.aget_settings("adobe_target_default")
    flow = flows.poll_once(settings, CallBudget(1, clock.SYSTEM), clock.SYSTEM, [batch(0)], time.time() + 60)
    async with HttpxTransport(settings) as transport:
        await arun(flow, transport, clock.SYSTEM)


def compare(sensors: int, seconds: float) -> list[dict[str, Any]]:
    """Measure no sensor, and then all: each with its own calls a minute, and all of them with 30 together."""
    with server() as environment:
        none = apart(__file__, "--one", 0, "--seconds", 10, **environment)
        records = []
        for budget, folder in (("its own", os.devnull), ("shared", f"{environment['AIRFLOW_HOME']}/shared")):
            environment["ADOBE_TARGET_SHARED_FOLDER"] = folder  # where none can be, each has its own
            some = apart(__file__, "--one", sensors, "--seconds", seconds, **environment)
            if some["lost"]:
                raise SystemExit(f"{some['lost']:,.0f} triggers ended before their time.")
            records.append(record(none, some, sensors, seconds) | {"budget": budget})
    return records


def record(none: Figures, some: Figures, sensors: int, seconds: float) -> dict[str, Any]:
    """Return a row of the table, from the figures without and with sensors."""
    cpu = some["poll_cpu"] - none["poll_cpu"] / 10 * seconds
    return {
        **some,
        "begin_cpu_ms": some["begin_cpu"] / sensors * 1e3,
        "cpu_percent": 100 * cpu / seconds,
        "poll_cpu_ms": cpu / max(1, some["polls"]) * 1e3,
        "kib": (some["peak"] - none["peak"]) / sensors * 1024,
        **{f"{name}_ms": some[name] * 1e3 for name in ("late_begin", "late_median", "late_p99", "late_max")},
        "idle_late_p99_ms": none["late_p99"] * 1e3,
    }


COLUMNS = {
    "sensors": ("sensors", "{:,}"),
    "budget": ("calls a minute", "{}"),
    "begin_seconds": ("s until all wait", "{:.1f}"),
    "begin_cpu_ms": ("CPU ms a sensor to begin", "{:.1f}"),
    "polls": ("polls, and questions for a turn", "{:,}"),
    "poll_cpu_ms": ("CPU ms for one", "{:.1f}"),
    "cpu_percent": ("CPU %", "{:.1f}"),
    "kib": ("KiB a sensor", "{:.0f}"),
    "late_begin_ms": ("loop late at most at the beginning, ms", "{:.0f}"),
    "late_median_ms": ("later: median ms", "{:.1f}"),
    "late_p99_ms": ("p99", "{:.0f}"),
    "late_max_ms": ("max", "{:.0f}"),
    "idle_late_p99_ms": ("p99 with no sensor", "{:.1f}"),
}


def main() -> None:
    """Print the table, or one run's figures as JSON."""
    parser = options(__doc__, runs=1)
    parser.add_argument("--sensors", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--serve", help="run the server")
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.serve))
    elif arguments.one:
        logging.disable()
        print(json.dumps(asyncio.run(wait_in_one_loop(int(arguments.one), arguments.seconds))))
    else:
        title = (
            f"Sensors that wait in one event loop for {arguments.seconds:.0f} s, first poll after {POLL_INTERVAL:.0f} s"
        )
        Report(arguments.json, "apache-airflow", "httpx").add(
            "waiting", title, COLUMNS, compare(arguments.sensors, arguments.seconds)
        )


if __name__ == "__main__":
    main()
