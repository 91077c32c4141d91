"""Backfill of real purchases with a ledger, compared with sending everything every day.

Each day, tasks write the profiles of all customers so far, as a warehouse has them at the end of the day. The sandbox
replaces a profile with each batch, as Adobe's override caveat describes it. After each run the profiles must equal the
source as of the latest day that was run; with ``--faults`` after the retries of a failed run.

    python benchmarks/ledger_backfill.py --days 546 --json figures.json
    python benchmarks/ledger_backfill.py --days 20 --customers 200 --order shuffled --tasks 3 --faults
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import tempfile
import time
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa

from airflow_provider_adobe_target.client.rate_limit.limiter import NoLimit
from airflow_provider_adobe_target.client.session import RateLimits, Session
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.exceptions import AdobeTargetError
from airflow_provider_adobe_target.ledger import ProfileLedger
from airflow_provider_adobe_target.ledger.as_of import to_micros
from airflow_provider_adobe_target.load.bulk_upload import BulkUpload
from airflow_provider_adobe_target.load.ledger_stage import LedgerStage
from airflow_provider_adobe_target.load.upload_options import UploadOptions, UploadSource
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.sandbox import Answer, Sandbox

PURCHASES = Path(__file__).parents[1] / "example_dags" / "data" / "cdnow" / "CDNOW_master.txt"
START = date(1997, 1, 1)
TASKS = {"orders": ["orders", "spent"], "recency": ["last_order", "status"], "basket": ["largest_order"]}
ATTEMPTS = 8


class Warehouse:
    """Profiles of customers as of the end of each day.

    :param customers: Number of customers; None for all.
    """

    def __init__(self, customers: int | None) -> None:
        rows = np.loadtxt(PURCHASES, usecols=(0, 1, 2, 3), skiprows=1)
        days = np.array([(_day(int(text)) - START).days for text in rows[:, 1]])
        chosen = rows[:, 0] <= (customers or np.inf)
        order = np.argsort(days[chosen], kind="stable")
        self._customers = rows[chosen, 0].astype(int)[order]
        self._days = days[chosen][order]
        self._amounts = rows[chosen, 3][order]

    def profiles(self, day: int, attributes: list[str]) -> pa.Table:
        """Return the profiles of all customers who have ordered by a day."""
        until = np.searchsorted(self._days, day, side="right")
        customers, place = np.unique(self._customers[:until], return_inverse=True)
        days, amounts = self._days[:until], self._amounts[:until]
        last = np.zeros(len(customers), int)
        np.maximum.at(last, place, days)
        largest = np.zeros(len(customers))
        np.maximum.at(largest, place, amounts)
        spent = np.round(np.bincount(place, amounts, len(customers)), 2)
        columns = {
            "orders": np.bincount(place, minlength=len(customers)),
            "spent": spent,
            "last_order": [(START + timedelta(int(number))).isoformat() for number in last],
            "status": np.where(day - last <= 90, "active", "lapsed"),
            "largest_order": largest,
        }
        ids = [f"{number:05d}" for number in customers]
        return pa.table({"thirdPartyId": ids, **{name: columns[name] for name in attributes}})


class Backfill:
    """Daily runs against the sandbox.

    :param warehouse: Source.
    :param folder: Folder of the ledger.
    :param tasks: Attributes by task.
    """

    def __init__(self, warehouse: Warehouse, sandbox: Sandbox, folder: Path, tasks: dict[str, list[str]]) -> None:
        self._warehouse = warehouse
        self._sandbox = sandbox
        self._folder = folder
        self._tasks = tasks
        self._settings = TargetSettings.from_fields("acme", None, sandbox.url, None, {"calls_per_minute": 50})

    def run(self, day: int, task: str) -> dict[str, object]:
        """Run one task for one day, and return its report."""
        rows = self._warehouse.profiles(day, self._tasks[task])
        session = Session(self._settings, limits=RateLimits(*[NoLimit()] * 5))  # a day passes between two runs
        midnight = datetime.combine(START, datetime.min.time(), timezone.utc)
        stage = LedgerStage(
            ProfileLedger(str(self._folder), refresh_after_days=None),
            session,
            writer=f"cdnow.{task}",
            run=f"day {day}",
            key=f"{task} {day}",
            as_of=to_micros(midnight + timedelta(days=day + 1)),
            poll_interval=0.01,
            timeout=30,
        )
        upload = BulkUpload(
            session,
            UploadSource(lambda folder: read_data(rows)),
            ProfileOptions(),
            options=UploadOptions(poll_interval=0.01, timeout=30),
            ledger=stage,
        )
        return upload.run()

    def run_until_it_succeeds(self, day: int, task: str, faults: random.Random | None) -> dict[str, object]:
        """Inject a fault and retry the run, as Airflow would."""
        for _ in range(ATTEMPTS):
            self._break(faults)
            try:
                return self.run(day, task)
            except AdobeTargetError as error:
                logging.info("The run failed: %s", error)
            finally:
                self._sandbox.settings.final_status = "complete"
                self._sandbox.settings.fail_ids = ()
                self._sandbox.script("submit")
        raise RuntimeError("A run failed too often.")

    def check(self, day: int) -> int:
        """Compare all profiles with the source. Return their number.

        :raises AssertionError: If a profile differs.
        """
        attributes = [name for names in self._tasks.values() for name in names]
        expected = self._warehouse.profiles(day, attributes)
        texts = {
            row["thirdPartyId"]: {name: _text(value) for name, value in row.items() if name != "thirdPartyId"}
            for row in expected.to_pylist()
        }
        for id, profile in texts.items():
            assert self._sandbox.profile(id) == profile, f"A profile differs on day {day}."
        held = ProfileLedger(str(self._folder)).read(["id", "attributes"]).read_all()
        assert {row["id"]: dict(row["attributes"]) for row in held.to_pylist()} == texts
        return len(texts)

    def _break(self, faults: random.Random | None) -> None:
        if faults is None or faults.random() < 0.5:
            return
        fault = faults.choice(["stuck", "fail", "refuse", "lose"])
        if fault == "stuck":
            self._sandbox.settings.final_status = "stuck"
        elif fault == "fail":
            self._sandbox.settings.fail_ids = tuple(f"{faults.randrange(1, 400):05d}" for _ in range(20))
        elif fault == "refuse":
            self._sandbox.script("submit", Answer(400, "<response><success>false</success></response>"))
        else:
            self._sandbox.script("submit", Answer(200, "nothing of use", is_processed=True))


def backfill(arguments: argparse.Namespace) -> list[dict[str, float]]:
    """Run all days, and return the figures of each."""
    warehouse = Warehouse(arguments.customers)
    days = list(range(arguments.days))
    if arguments.order == "backward":
        days.reverse()
    elif arguments.order == "shuffled":
        random.Random(arguments.seed).shuffle(days)
    tasks = dict(list(TASKS.items())[: arguments.tasks])
    if arguments.tasks == 1:
        tasks = {"profiles": [name for names in TASKS.values() for name in names]}
    faults = random.Random(arguments.seed) if arguments.faults else None
    figures = []
    folder = Path(tempfile.mkdtemp(prefix="ledger-"))
    try:
        with Sandbox(calls_per_minute=None, processing_seconds=0) as sandbox:
            run = Backfill(warehouse, sandbox, folder / "ledger", tasks)
            for count, day in enumerate(days):
                began, cpu, calls = time.perf_counter(), time.process_time(), len(sandbox.calls)
                reports = [run.run_until_it_succeeds(day, task, faults) for task in tasks]
                figures.append(
                    {
                        "day": day,
                        "read": sum(report["rows_read"] for report in reports),
                        "sent": sum(report["rows_sent"] for report in reports),
                        "stale": sum(report["rows_stale"] for report in reports),
                        "calls": len(sandbox.calls) - calls,
                        "seconds": round(time.perf_counter() - began, 3),
                        "cpu": round(time.process_time() - cpu, 3),
                    }
                )
                if count % arguments.check_every == 0 or count == len(days) - 1:
                    run.check(max(days[: count + 1]))
    finally:
        shutil.rmtree(folder)
    return figures


def plot(figures: list[dict[str, float]], file: Path) -> None:
    """Draw rows read and sent by day."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "ledger"
    from matplotlib import pyplot

    ordered = sorted(figures, key=lambda figure: figure["day"])
    days = [figure["day"] + 1 for figure in ordered]
    chart, axes = pyplot.subplots(figsize=(8, 3.5))
    axes.plot(days, [figure["read"] for figure in ordered], label="without a ledger: every customer")
    axes.plot(days, [figure["sent"] for figure in ordered], label="with a ledger: changed customers", linewidth=0.8)
    axes.set(yscale="log", xlabel="day", ylabel="rows sent")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    chart.tight_layout()
    chart.savefig(file, metadata={"Date": None})


def _day(number: int) -> date:
    return date(number // 10_000, number // 100 % 100, number % 100)


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=546)
    parser.add_argument("--customers", type=int)
    parser.add_argument("--order", choices=["forward", "backward", "shuffled"], default="forward")
    parser.add_argument("--tasks", type=int, choices=[1, 2, 3], default=1)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check-every", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the figures of each day")
    parser.add_argument("--plot", type=Path, help="draw the figures of --json to this SVG file instead of a backfill")
    arguments = parser.parse_args()
    if arguments.plot:
        plot(json.loads(arguments.json.read_text()), arguments.plot)
        return
    figures = backfill(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures))
    read, sent = (sum(figure[name] for figure in figures) for name in ("read", "sent"))
    print(f"{len(figures)} days, {read:,} rows read, {sent:,} sent, {sum(f['calls'] for f in figures):,} calls.")


if __name__ == "__main__":
    main()
