"""Upload CDNOW's customers to the sandbox with a real Airflow, and print the outcome.

Run by ``make demo``, or ``make demo DAY=1997-06-30``. With ``KEEP=1``, the sandbox runs until Ctrl-C. All files are in
``.local/demo``, which each run replaces.
"""

# ruff: noqa: T201, S603 - prints, and runs Airflow with its own Python

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from airflow_provider_adobe_target.sandbox import Sandbox

PROJECT = Path(__file__).parents[1]
HOME = PROJECT / ".local" / "demo"
LOG = HOME / "airflow.log"
WAREHOUSE = HOME / "warehouse.db"

DAG_ID = "cdnow_daily"
DAY = "1998-01-01"
CUSTOMERS = ("00001", "07592")  # the first customer, and the one with the highest monetary value

CLIENT_CODE = "acme"
TOKEN = "demo-token"  # noqa: S105 - the sandbox's token

COUNTERS = {
    "rows": "rows",
    "bytes": "bytes",
    "successful_updates": "successful",
    "profiles_not_found": "not found",
    "failed_updates": "failed",
}


class DemoError(Exception):
    """An Airflow command failed."""


def main(day: str = DAY, *options: str) -> int:
    """Run the demo.

    :param day: End of the data interval of the run, from 1997-01-02 to 1998-07-01.
    :param options: ``--keep`` keeps the sandbox running until Ctrl-C.
    :return: Exit code: 0, 1 after an error, 130 after an interrupt.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    try:
        with (
            Sandbox(client_code=CLIENT_CODE, token=TOKEN, processing_seconds=0) as sandbox,
            LOG.open("w") as log,
        ):
            say(f"The sandbox, a local substitute for Adobe Target, runs at {sandbox.url}.")
            say(f"Its page shows batches and profiles while the demo runs: {page_url(sandbox.url)}")
            say(f"Airflow's log is in {LOG.relative_to(PROJECT)}.")
            environment = airflow_environment(sandbox.url)
            say("Creating Airflow's database ...")
            run_airflow(["db", "migrate"], environment, log)
            say(f"Running example_dags/{DAG_ID}.py for {day} ...")
            run_airflow(["dags", "test", DAG_ID, day], environment, log)
            print_outcome(read_results(), sandbox.url)
            say(f"\nThe demo took {time.monotonic() - started:.0f} seconds.")
            if "--keep" in options:
                wait_for_interrupt(sandbox.url)
    except DemoError as error:
        say(f"\n{error} The last lines of {LOG.relative_to(PROJECT)}:\n")
        say("\n".join(LOG.read_text(errors="replace").splitlines()[-40:]))
        return 1
    except KeyboardInterrupt:
        say("\nInterrupted. No process is left running.")
        return 130
    say(f"No process is left running.\n\n{NEXT_STEPS}")
    return 0


NEXT_STEPS = """\
Next steps:
  see the page      make demo KEEP=1 keeps the sandbox running, so that you can open its page
  another day       make demo DAY=1997-06-30 (1997-01-02 to 1998-07-01)
  other attributes  edit example_dags/sql/customer_profiles.sql
  rejected rows     example_dags/cdnow_thresholds.py
  a backfill        example_dags/cdnow_backfill.py: 546 days, in order
  your own DAGs     .local/venv/bin/adobe-target-sandbox prints a connection to the sandbox
  your account      docs/tutorials/your-account.md. Start with dry_run=True"""


def say(text: str) -> None:
    """Print and flush, so that the order is kept in a pipe.

    :param text: Text to print.
    """
    print(text, flush=True)


def wait_for_interrupt(url: str) -> None:
    """Wait until Ctrl-C or SIGTERM.

    :param url: Base URL of the sandbox.
    """
    say(f"\nThe page of the sandbox: {page_url(url)}\nPress Ctrl-C to stop it.")
    try:
        while True:
            time.sleep(60)
    except KeyboardInterrupt:
        say("")


def page_url(url: str) -> str:
    """Return the URL of the sandbox's page, with a profile.

    :param url: Base URL of the sandbox.
    """
    return f"{url}/?id_type=thirdPartyId&id={CUSTOMERS[0]}"


def airflow_environment(target_url: str) -> dict[str, str]:
    """Return environment variables for an Airflow with its own home and connections.

    :param target_url: Base URL of the sandbox.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    target = {"conn_type": "adobe_target", "login": CLIENT_CODE, "password": TOKEN, "host": target_url}
    warehouse = {"conn_type": "sqlite", "host": str(WAREHOUSE)}
    return inherited | {
        "ADOBE_TARGET_SHARED_FOLDER": str(HOME / "shared"),
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_ADOBE_TARGET_DEFAULT": json.dumps(target),
        "AIRFLOW_CONN_WAREHOUSE": json.dumps(warehouse),
        "NO_PROXY": "127.0.0.1",
    }


def run_airflow(arguments: list[str], environment: dict[str, str], log: IO[str]) -> None:
    """Run an ``airflow`` command, and stop it with all its child processes if the demo is interrupted.

    :param arguments: Arguments after ``airflow``.
    :param environment: Environment variables.
    :param log: File for the output.
    :raises DemoError: If the command fails.
    """
    command = [sys.executable, "-m", "airflow", *arguments]
    # In a new session, Ctrl-C only reaches this script, which then stops the whole process group.
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        if process.wait() != 0:
            raise DemoError(f"'airflow {' '.join(arguments)}' failed.")
    finally:
        stop_group(process)


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """Stop a process group, including processes that outlived its leader.

    :param process: Leader of the process group.
    """
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, signal_number)
        except ProcessLookupError:
            return
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            continue


def read_results() -> dict[str, Any]:
    """Return the return values of the tasks by task id, from the XCom table of Airflow's database.

    :raises DemoError: If a return value is missing.
    """
    with closing(sqlite3.connect(HOME / "airflow.db")) as database:
        rows = database.execute("SELECT task_id, value FROM xcom WHERE dag_id = ? AND key = 'return_value'", (DAG_ID,))
        results = {task_id: json.loads(str(value)) for task_id, value in rows}
    if not {"upload", "landed"} <= results.keys():
        raise DemoError("The run ended without a report.")
    return results


def print_outcome(results: dict[str, Any], target_url: str) -> None:
    """Print the counts of rows, the batches and two profiles.

    :param results: Return values of the tasks ``upload`` (the report) and ``landed`` (the batches).
    :param target_url: Base URL of the sandbox.
    """
    report = results["upload"]
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in report["rejected_by_reason"].items())
    say("\nRows, one per customer:\n")
    outcomes = ("read", "sent", "rejected", "empty", "unchanged")
    print_table(("", *outcomes), [["rows", *(f"{report[f'rows_{outcome}']:,}" for outcome in outcomes)]])
    if reasons:
        say(f"  rejected: {reasons}")
    say("\nBatches, as Target reports them:\n")
    print_table(
        ("batch", "status", *COUNTERS.values()),
        [
            [batch["batch_id"], batch["status"], *(count(batch[counter]) for counter in COUNTERS)]
            for batch in results["landed"]
        ],
    )
    say("\nProfiles, as Target stores them:\n")
    profiles = [fetch_profile(customer_id, target_url) for customer_id in CUSTOMERS]
    names = list(dict.fromkeys(name for profile in profiles for name in profile))
    print_table(
        ("customer", *names),
        [
            [customer_id, *(profile.get(name, "-") for name in names)]
            for customer_id, profile in zip(CUSTOMERS, profiles, strict=True)
        ],
    )


def count(value: int | None) -> str:
    """Return a counter as text.

    :param value: Counter. ``None`` if Target did not return it.
    """
    return "unknown" if value is None else f"{value:,}"


def print_table(titles: Iterable[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table. The first column names the rows.

    :param titles: Titles of the columns.
    :param rows: Cells of each row.
    """
    names, *columns = zip(titles, *rows, strict=True)
    aligned = [align(names, str.ljust), *(align(cells, str.rjust) for cells in columns)]
    for line in zip(*aligned, strict=True):
        say("  " + "  ".join(line).rstrip())


def align(cells: Sequence[str], justify: Callable[[str, int], str]) -> list[str]:
    """Return the cells of a column with equal widths, and a line below the title.

    :param cells: Title and cells of the column.
    :param justify: ``str.ljust`` or ``str.rjust``.
    """
    width = max(map(len, cells))
    title, *rest = (justify(cell, width) for cell in cells)
    return [title, "-" * width, *rest]


def fetch_profile(customer_id: str, target_url: str) -> dict[str, str]:
    """Fetch a profile over HTTP with Target's profile API.

    :param customer_id: The ``thirdPartyId``.
    :param target_url: Base URL of the sandbox.
    :return: Attribute values by name. Empty if the profile does not exist.
    """
    request = urllib.request.Request(  # noqa: S310 - the sandbox's http URL
        f"{target_url}/rest/v1/profiles/thirdPartyId/{customer_id}?client={CLIENT_CODE}",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=10) as response:
            profile = json.load(response)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return {}
        raise
    return {name: attribute["value"] for name, attribute in profile["profileAttributes"].items()}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
