"""A day's run, for the eye: real Airflow uploads CDNOW's customers to a local stand-in for Adobe Target.

Run by ``make demo``, or ``make demo DAY=1997-06-30``. Everything it writes is below ``.local/demo``, anew each time.
"""

# ruff: noqa: T201, S603 - a script that speaks to a person, and runs the Airflow beside its own Python

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
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from airflow_provider_adobe_target.sandbox import Sandbox

PROJECT = Path(__file__).parents[1]
HOME = PROJECT / ".local" / "demo"
LOG = HOME / "airflow.log"
WAREHOUSE = HOME / "warehouse.db"

DAG_ID = "cdnow_daily"
CUSTOMERS = ("00001", "07592")  # the first one there is, and the one who spent most

CLIENT_CODE = "acme"
TOKEN = "demo-token"  # noqa: S105 - the sandbox's, which is made up


class DemoError(Exception):
    """Airflow did not do what it was asked."""


def main(day: str) -> int:
    """Run the demo.

    :param day: the as-of day of the run, from 1997-01-02 to 1998-07-01.
    :returns: the exit code: 0, 1 where something failed, 130 where it was interrupted.
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
            say(f"A stand-in for Adobe Target answers at {sandbox.url}.")
            say(f"Airflow's log goes to {LOG.relative_to(PROJECT)}.")
            environment = airflow_environment(sandbox.url)
            say("Making Airflow's own database ...")
            run_airflow(["db", "migrate"], environment, log)
            say(f"Running example_dags/{DAG_ID}.py for {day} ...")
            run_airflow(["dags", "test", DAG_ID, day], environment, log)
            tell_outcome(read_results(), sandbox.url)
    except DemoError as error:
        say(f"\n{error} The last lines of {LOG.relative_to(PROJECT)}:\n")
        say("\n".join(LOG.read_text(errors="replace").splitlines()[-40:]))
        return 1
    except KeyboardInterrupt:
        say("\nInterrupted; nothing is left running.")
        return 130
    say(f"\nThat took {time.monotonic() - started:.0f} seconds, and nothing is left running.\n")
    say(WHAT_NEXT)
    return 0


WHAT_NEXT = """\
What to try next:
  another day       make demo DAY=1997-06-30 (any day from 1997-01-02 to 1998-07-01)
  other attributes  change example_dags/sql/customer_profiles.sql, and run it again
  bad rows          example_dags/cdnow_thresholds.py: rows to reject, and limits on how many
  a year and a half example_dags/cdnow_backfill.py: 546 days, in order
  your own DAGs     .local/venv/bin/adobe-target-sandbox prints the connection to set; its page shows what came
  Adobe's Target    a connection adobe_target_default with your client code, and dry_run=True to begin with"""


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def airflow_environment(target_url: str) -> dict[str, str]:
    """Return the environment of the demo's Airflow: a home and connections of its own, nothing of the user's.

    :param target_url: where the stand-in listens.
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
    """Run an ``airflow`` command to its end, and end it with all it started if the demo is ended first.

    :param arguments: what follows ``airflow`` on the command line.
    :param environment: all of its environment.
    :param log: takes what it prints.
    :raises DemoError: if it fails.
    """
    command = [sys.executable, "-m", "airflow", *arguments]
    # A session of its own: Ctrl-C reaches this script only, which then ends the whole group.
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        if process.wait() != 0:
            raise DemoError(f"'airflow {' '.join(arguments)}' failed.")
    finally:
        end_group(process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started, also what outlived it.

    :param process: the leader of a process group.
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
    """Return what the tasks returned, by task id, from the XCom table of Airflow's database.

    :raises DemoError: if a task returned nothing.
    """
    with closing(sqlite3.connect(HOME / "airflow.db")) as database:
        rows = database.execute("SELECT task_id, value FROM xcom WHERE dag_id = ? AND key = 'return_value'", (DAG_ID,))
        results = {task_id: json.loads(str(value)) for task_id, value in rows}
    if not {"upload", "landed"} <= results.keys():
        raise DemoError("The run ended without a report.")
    return results


def tell_outcome(results: dict[str, Any], target_url: str) -> None:
    """Tell what became of the rows.

    :param results: what the tasks ``upload`` (the report) and ``landed`` (the batches at their end) returned.
    :param target_url: where the stand-in listens.
    """
    report = results["upload"]
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in report["rejected_by_reason"].items())
    say("\nRows, one a customer:")
    for outcome in ("read", "sent", "rejected", "empty", "unchanged"):
        because = f"  ({reasons})" if outcome == "rejected" and reasons else ""
        say(f"  {outcome:<10}{report[f'rows_{outcome}']:>9,}{because}")
    say("\nBatches, as Target told in the end:")
    for batch in results["landed"]:
        say(f"  {batch['batch_id']}: {batch['status']}, {batch['bytes']:,} bytes")
        for counter in ("batch_size", "successful_updates", "profiles_not_found", "failed_updates"):
            count = "not told" if batch[counter] is None else f"{batch[counter]:,}"
            say(f"    {counter.replace('_', ' '):<19}{count:>8}")
    say("\nProfiles, as Target holds them now:")
    for customer_id in CUSTOMERS:
        attributes = fetch_profile(customer_id, target_url)
        say(f"  customer {customer_id}" + ("" if attributes else ": not a customer yet"))
        for name, value in attributes.items():
            say(f"    {name:<19}{value:>12}")


def fetch_profile(customer_id: str, target_url: str) -> dict[str, str]:
    """Fetch a profile as anybody may: over HTTP, with Target's profile API.

    :param customer_id: the ``thirdPartyId``.
    :param target_url: where the stand-in listens.
    :returns: the attributes' names and values; none where there is no such profile.
    """
    request = urllib.request.Request(  # noqa: S310 - the stand-in's own http URL
        f"{target_url}/rest/v1/profiles/thirdPartyId/{customer_id}?client={CLIENT_CODE}",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=10) as answer:
            profile = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return {}
        raise
    return {name: attribute["value"] for name, attribute in profile["profileAttributes"].items()}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
