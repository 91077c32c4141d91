"""Take the screenshots of the page for the docs: ``python scripts/page_screenshots.py docs/images``.

It needs Airflow 3.3, playwright and an installed Chromium. The runs are made up; the page is the real one.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from airflow_provider_adobe_target.sync_log.location import open_sync_log  # noqa: E402
from support.airflow_site import AirflowSite, log_in, open_browser  # noqa: E402
from support.sample_runs import record  # noqa: E402

DAGS = ("cdnow_daily", "cdnow_audiences", "loyalty_points")
ATTRIBUTES = {"tier": "text", "orders": "integer", "spend": "number", "last_order": "date", "newsletter": "boolean"}
DAYS = 30
DAG_FILE = f"""
import datetime
from airflow.sdk import DAG
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator

for dag_id in {DAGS!r}:
    with DAG(dag_id, schedule=None, start_date=datetime.datetime(2026, 1, 1)) as dag:
        BulkProfileUpdateOperator(task_id="upload", data=[{{"thirdPartyId": "U1", "tier": "gold"}}])
    globals()[dag_id] = dag
"""


def write_runs(log: Any) -> None:
    """Write a month of runs, some with failures."""
    chance, now = random.Random(7), datetime.now(timezone.utc)  # noqa: S311
    for day in range(DAYS):
        for dag_id in DAGS:
            rejected = chance.randint(0, 300)
            rows = chance.randint(8_000, 24_000)
            failed = rows // 12 if chance.random() < 0.08 else 0
            not_found = rows // 40 if dag_id == "loyalty_points" else 0
            log.write(_run(dag_id, now - timedelta(days=day), rows, rejected, failed, not_found, chance))
    expires_at = f"{now + timedelta(days=9, hours=5):%Y-%m-%dT%H:%M:%SZ}"
    token = {"operator": "ProfileTokenSensor", "task_id": "token", "details": {"expires_at": expires_at}}
    log.write(record(dag_id="cdnow_daily", rows_sent=None, rejected_by_reason={}, attributes={}, **token))


def _run(
    dag_id: str, day: datetime, rows: int, rejected: int, failed: int, not_found: int, chance: random.Random
) -> Any:
    started = day.replace(hour=4, minute=chance.randint(0, 20))
    submitted = started + timedelta(seconds=40)
    finished = submitted + timedelta(seconds=chance.randint(120, 900))
    updated = rows - failed - not_found
    batch = {
        "batch_id": f"acme-{started:%Y%m%d}-1",
        "status": "complete",
        "rows": rows,
        "bytes": rows * 61,
        "submitted_at": f"{submitted:%Y-%m-%dT%H:%M:%SZ}",
        "finished_at": f"{finished:%Y-%m-%dT%H:%M:%SZ}",
        "successful_updates": updated,
        "profiles_not_found": not_found,
        "failed_updates": failed,
    }
    return record(
        dag_id=dag_id,
        run_id=f"scheduled__{started:%Y-%m-%d}T04:00:00+00:00",
        started_at=started,
        sent_at=submitted,
        finished_at=finished,
        outcome="partial" if failed else "complete",
        rows_read=rows + rejected,
        rows_sent=rows,
        rows_rejected=rejected,
        rows_updated=updated,
        rows_not_found=not_found,
        rows_failed=failed,
        bytes=batch["bytes"],
        rejected_by_reason={"duplicate_id": rejected - rejected // 3, "missing_id": rejected // 3},
        batches=[batch],
        rows_unchanged=rows * 9 if dag_id == "loyalty_points" else 0,
        details=_ledger_details(started, rows) if dag_id == "loyalty_points" else {"source": "sql"},
        attributes={
            name: {
                "type": kind,
                "filled": rows if name == "tier" else chance.randint(rows // 2, rows),
                "rows": rows,
                "max_length": chance.randint(4, 24),
            }
            for name, kind in ATTRIBUTES.items()
        },
    )


def _ledger_details(started: datetime, rows: int) -> dict[str, Any]:
    """Return what a run with a ledger adds to its record."""
    new = rows // 30
    refreshed = rows // 10
    return {
        "source": "sql",
        "rows_sent_because": {"new": new, "changed": rows - new - refreshed, "refreshed": refreshed},
        "values_carried": rows // 3,
        "ledger": {"id_type": "thirdPartyId", "profiles": 180_000 + 500 * started.timetuple().tm_yday},
    }


def take_screenshots(site: AirflowSite, folder: Path) -> None:
    """Take one screenshot of each page and theme."""
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    run = f"run_id=scheduled__{yesterday:%Y-%m-%d}T04%3A00%3A00%2B00%3A00"
    shots = {
        "page-light": ("/plugin/adobe-target", "light", 1280, 1000),
        "page-dark": ("/plugin/adobe-target", "dark", 1280, 1000),
        "page-phone": ("/plugin/adobe-target", "light", 390, 844),
        "attributes-light": ("/adobe-target/attributes", "light", 1280, 560),
        "run-dark": (f"/adobe-target/run?dag_id=cdnow_daily&task_id=upload&{run}", "dark", 1280, 900),
    }
    with open_browser() as browser:
        context = browser.new_context()
        log_in(context.new_page(), site, "admin")
        for name, (path, theme, width, height) in shots.items():
            page = context.new_page()
            page.set_viewport_size({"width": width, "height": height})
            page.add_init_script(f"localStorage.setItem('theme', '{theme}')")
            page.goto(site.url + path, timeout=120_000)
            place = page.frame_locator("iframe") if path.startswith("/plugin") else page
            place.locator("table").first.wait_for(state="attached", timeout=120_000)
            page.wait_for_timeout(1_500)  # until Airflow's own page has its icons
            page.screenshot(path=folder / f"{name}.png")
            page.close()


def main() -> None:
    """Run an Airflow with made-up runs, and take the screenshots."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        (home / "dags").mkdir()
        (home / "dags" / "dags.py").write_text(DAG_FILE)
        database = json.dumps({"conn_type": "sqlite", "host": str(home / "log.db")})
        os.environ["AIRFLOW_CONN_LOG_DB"] = database
        write_runs(open_sync_log("log_db"))
        site = AirflowSite(home, AIRFLOW_CONN_LOG_DB=database, AIRFLOW__ADOBE_TARGET__SYNC_LOG="log_db")
        for command in (["db", "migrate"], ["dags", "reserialize"]):
            subprocess.run([sys.executable, "-m", "airflow", *command], env=site.environment, check=True)  # noqa: S603
        with site.started():
            take_screenshots(site, folder)


if __name__ == "__main__":
    main()
