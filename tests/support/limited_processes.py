"""Real processes on two machines that send files without a pause, with one limit in Redis and a clock that runs fast.

The sandbox refuses the 51st call of a simulated minute.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_provider_adobe_target.client.protocol import BatchBody
from airflow_provider_adobe_target.concurrency import file_lock
from airflow_provider_adobe_target.sandbox import Sandbox
from support.redis_server import RedisServer

SPEED = 60  # a minute a second
PROCESS = """
import sys
from dataclasses import replace
from pathlib import Path
from airflow_provider_adobe_target.client.endpoints.bulk_update import submit_batch
from airflow_provider_adobe_target.client.protocol import BatchBody
from airflow_provider_adobe_target.client.rate_limit import redis_document
from airflow_provider_adobe_target.client.rate_limit.limiter import shared_rate_limiter
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.client.call import CallContext
from airflow_provider_adobe_target.client.transports.requests import RequestsTransport, run
from airflow_provider_adobe_target.concurrency import clock

url, path = sys.argv[1], Path(sys.argv[2])
port, speed, seconds = (int(argument) for argument in sys.argv[3:6])

class FastClock(clock.SystemClock):
    def monotonic(self):
        return super().monotonic() * speed
    def sleep(self, seconds):
        super().sleep(seconds / speed)

of_server = redis_document.seconds
redis_document.seconds = lambda moment: of_server(moment) * speed
fast = FastClock()
settings = TargetSettings.from_fields("acme", None, url, None, {"calls_per_minute": 50})
settings = replace(settings, redis={"host": "127.0.0.1", "port": port})
limiter = shared_rate_limiter(settings, fast)
print("ready", flush=True)
sys.stdin.readline()
end = fast.monotonic() + seconds
with RequestsTransport(settings) as transport:
    while fast.monotonic() < end:
        run(submit_batch(CallContext(settings, limiter, fast), BatchBody(path, path.stat().st_size)), transport, fast)
"""


def fast_sandbox() -> Sandbox:
    """Return a sandbox with the clock of the processes."""
    return Sandbox(clock=fast_time)


def fast_time() -> float:
    """Return the seconds of the fast clock."""
    return time.monotonic() * SPEED


@contextmanager
def sending_processes(
    sandbox: Sandbox, redis: RedisServer, body: BatchBody, folder: Path, minutes: int
) -> Iterator[list[subprocess.Popen[str]]]:
    """Start four processes on two machines, which send for some simulated minutes from now on.

    :param folder: Folder of the machines' files.
    """
    arguments = [sandbox.url, str(body.path), str(redis.port), str(SPEED), str(minutes * 60)]
    processes = []
    try:
        for number in range(4):
            variables = {**os.environ, file_lock.FOLDER_VARIABLE: str(folder / f"machine-{number % 2}")}
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", PROCESS, *arguments],
                    env=variables,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("start\n")
            process.stdin.flush()
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()
