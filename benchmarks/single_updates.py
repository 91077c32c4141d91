"""Send 100,000 single updates while one call in twenty fails: none is lost, and rate and memory are constant.

    python benchmarks/single_updates.py [--rows 100000] [--per-second 250]

The sandbox runs in a separate process, over loopback. One call in twenty, selected with a seed, gets a 500 or 502, or
its connection is reset before the body is read or after the update was applied. The memory is the peak of the sending
process. Run the benchmark with a tenth of the rows to compare.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from measuring import Figures, Report, airflow_environment, apart, measured, options

FAULTS = 0.05


def measure(rows: int, per_second: float) -> dict[str, Any]:
    """Send the rows in this process."""
    import pyarrow as pa

    from airflow_provider_adobe_target.operators.adobe_target import SingleProfileUpdateOperator

    table = pa.table({"thirdPartyId": [f"U{n}" for n in range(rows)], "tier": ["gold"] * rows, "score": range(rows)})
    operator = SingleProfileUpdateOperator(
        task_id="update",
        data=table,
        if_not_found="send",
        updates_per_second=per_second,
        max_concurrent_updates=32,
        switch_to_bulk_above=None,
    )
    report: dict[str, Any] = {}
    figures: dict[str, Any] = dict(measured(lambda: report.update(operator.execute({}))))
    return {**figures, "sent": report["rows_sent"]}


def serve(rows: int) -> None:
    """Run the sandbox until standard input ends, then print its counts."""
    from airflow_provider_adobe_target.sandbox import Answer, Sandbox

    faults = [Answer(500), Answer(502), Answer.real(reset="before"), Answer.real(reset="after")]
    chance = random.Random(0)
    with Sandbox() as sandbox:
        for number in range(rows):
            sandbox.put_profile(f"U{number}", {})
        script = [chance.choice(faults) if chance.random() < FAULTS else Answer.real() for _ in range(rows * 2)]
        sandbox.script("single", *script)
        print(sandbox.url, flush=True)
        sys.stdin.read()
        lost = sum((sandbox.profile(f"U{n}") or {}).get("score") != str(n) for n in range(rows))
        calls = sandbox.calls
    seconds = Counter(int(call.at) for call in calls)
    failed = sum(call.status != 200 for call in calls)
    print(json.dumps({"lost": lost, "calls": len(calls), "failed": failed, "busiest": max(seconds.values())}))


@contextmanager
def sandbox(rows: int, counted: dict[str, int]) -> Iterator[str]:
    """Run the sandbox during a ``with`` block and collect its counts."""
    command = [sys.executable, __file__, "--serve", "--rows", str(rows)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            counted.update(json.loads(process.stdout.readline() or "{}"))


COLUMNS = {
    "rows": ("rows", "{:,}"),
    "sent": ("sent", "{:,}"),
    "lost": ("lost", "{:,}"),
    "calls": ("calls", "{:,}"),
    "failed": ("of them failed", "{:,}"),
    "busiest": ("maximum per second", "{}"),
    "cpu": ("CPU s", "{:.1f}"),
    "wall": ("wall s", "{:.1f}"),
    "peak": ("peak MiB", "{:.0f}"),
}


def main() -> None:
    """Print the table, or the results of one run as JSON."""
    parser = options(__doc__, rows=100_000, runs=1)
    parser.add_argument("--per-second", type=float, default=250)
    parser.add_argument("--serve", action="store_true", help="run the sandbox")
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.rows)
        return
    if arguments.one:
        print(json.dumps(measure(arguments.rows, arguments.per_second)))
        return
    report = Report(arguments.json, "apache-airflow", "pyarrow")
    counted: dict[str, int] = {}
    rows = ["--rows", arguments.rows, "--per-second", arguments.per_second]
    with tempfile.TemporaryDirectory() as folder, sandbox(arguments.rows, counted) as url:
        figures: Figures = apart(__file__, "--one", "yes", *rows, **airflow_environment(folder, url))
    record = {**figures, **counted, "rows": arguments.rows}
    if record["lost"] or record["sent"] != record["rows"]:
        raise SystemExit(f"Updates were lost: {record}")
    report.add("single_updates", "Single updates under faults", COLUMNS, [record])


if __name__ == "__main__":
    main()
