"""Take the screenshots of the documentation with headless Chromium.

    python scripts/screenshots.py [AIRFLOW_URL]

Without ``AIRFLOW_URL``, it starts the sandbox and takes its pages. With it, it takes the page of the DAG in an Airflow
in which the first tutorial was followed. Set ``AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS=True`` there, because the
browser does not log in. The script needs Airflow, the extra ``sandbox`` and a Chromium or Chrome in the search path.
"""

# ruff: noqa: S603 - runs the browser that it finds

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from airflow_provider_adobe_target.sandbox import Sandbox

PROJECT = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
IMAGES = PROJECT / "docs" / "images"
BATCH = b"batch=thirdPartyId,tier,points\nU1,gold,1250\nU2,silver,310"


def main(airflow_url: str | None = None) -> int:
    """Take the screenshots of the sandbox, or of Airflow.

    :param airflow_url: Base URL of a running Airflow.
    :return: Exit code.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("No Chromium or Chrome was found.", file=sys.stderr)  # noqa: T201
        return 1
    if airflow_url:
        take(browser, f"{airflow_url}/dags/loyalty_to_target", IMAGES / "airflow-dag.png", height=360)
        return 0
    with Sandbox(port=8900, edge_port=8901, processing_seconds=0) as sandbox, tempfile.TemporaryDirectory() as home:
        take(browser, sandbox.url, IMAGES / "sandbox-empty.png", height=425)
        upload(sandbox.url, Path(home))
        take(browser, f"{sandbox.url}/?id_type=thirdPartyId&id=U1", IMAGES / "sandbox-page.png", height=690)
    return 0


def upload(url: str, home: Path) -> None:
    """Upload a batch with the hook and poll its status, as a task does.

    :param url: Base URL of the sandbox.
    :param home: Folder for Airflow and the batch file.
    """
    os.environ["AIRFLOW_HOME"] = str(home)
    os.environ["ADOBE_TARGET_SHARED_FOLDER"] = str(home / "shared")
    connection = {"conn_type": "adobe_target", "login": "acme", "host": url}
    os.environ["AIRFLOW_CONN_ADOBE_TARGET_DEFAULT"] = json.dumps(connection)
    from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook

    file = home / "batch.txt"
    file.write_bytes(BATCH)
    hook = AdobeTargetHook()
    hook.get_batch_status(hook.upload_batch(file)["status_url"])


def take(browser: str, url: str, image: Path, *, height: int) -> None:
    """Take a screenshot of a page.

    :param browser: Path of the browser.
    :param url: URL of the page.
    :param image: Path of the PNG file.
    :param height: Height of the window in pixels.
    :raises subprocess.CalledProcessError: If the browser fails.
    """
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1"]
    options.append("--virtual-time-budget=20000")  # Airflow's page loads its data with scripts
    command = [browser, *options, f"--window-size=1320,{height}", f"--screenshot={image}", url]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
