"""Airflow's web interface in a process of its own, and a browser in front of it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import httpx

LOOPBACK = "127.0.0.1"
START_SECONDS = 300
PASSWORDS = {"admin": "of-the-admin", "limited": "of-the-limited"}
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

# A user of the simple auth manager may read all DAGs, or none. This one may read those whose name is in her own.
AUTH_MANAGER = """
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

ALLOWED = {"limited": {"cdnow_daily"}}

class LimitedAuthManager(SimpleAuthManager):
    def is_authorized_dag(self, *, method, user, access_entity=None, details=None):
        allowed = ALLOWED.get(user.username)
        if allowed is not None and details is not None and details.id is not None and details.id not in allowed:
            return False
        return super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)

    def filter_authorized_dag_ids(self, *, dag_ids, user, method="GET", team_name=None):
        return {dag_id for dag_id in dag_ids if dag_id in ALLOWED.get(user.username, dag_ids)}
"""


def chromium() -> str | None:
    """Return the program of an installed Chromium."""
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


class AirflowSite:
    """The API server of an Airflow.

    :param home: Airflow's home, with a migrated ``airflow.db`` and a folder ``dags``.
    :param environment: further variables, such as connections.
    """

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        with socket.create_server((LOOPBACK, 0)) as server:
            port = server.getsockname()[1]
        self.url = f"http://{LOOPBACK}:{port}"
        passwords = home / "passwords.json"
        passwords.write_text(json.dumps(PASSWORDS))
        modules = home / "modules"
        modules.mkdir(exist_ok=True)
        (modules / "limited_auth.py").write_text(AUTH_MANAGER)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__AUTH_MANAGER": "limited_auth.LimitedAuthManager",
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__CORE__FERNET_KEY": "",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self._plugins()),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:admin" for name in PASSWORDS),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
            "NO_PROXY": LOOPBACK,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(modules), *sys.path])),
            **environment,
        }

    def _plugins(self) -> Path:
        """Return the folder of plugins, with the provider's where an installation before it has no entry point."""
        folder = self.home / "plugins"
        folder.mkdir(exist_ok=True)
        if "adobe_target" not in {point.name for point in entry_points(group="airflow.plugins")}:
            source = "from airflow_provider_adobe_target.ui.plugin import AdobeTargetPlugin\n"
            (folder / "adobe_target_plugin.py").write_text(source)
        return folder

    @contextmanager
    def started(self) -> Iterator[AirflowSite]:
        """Run the API server for as long as the ``with`` block lasts."""
        log = self.home / "api-server.log"
        command = [sys.executable, "-m", "airflow", "api-server", "--host", LOOPBACK, "--workers", "1"]
        command += ["--port", self.url.rpartition(":")[2]]
        with log.open("wb") as output:
            # A session of its own, since the server starts further processes.
            process = subprocess.Popen(
                command, env=self.environment, stdout=output, stderr=output, start_new_session=True
            )
        try:
            self._wait_for_an_answer(process, log)
            yield self
        finally:
            process.terminate()
            process.wait(60)

    def _wait_for_an_answer(self, process: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert process.poll() is None, log.read_text()[-5000:]
            with suppress(httpx.HTTPError):
                response = httpx.get(f"{self.url}/adobe-target/", timeout=60, trust_env=False)
                assert response.status_code == 401, response.text  # Airflow's login protects the page
                return
            time.sleep(0.5)
        raise AssertionError(log.read_text()[-5000:])


@contextmanager
def open_browser() -> Iterator[Any]:
    """Yield a headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def log_in(page: Any, site: AirflowSite, user: str) -> None:
    """Log in by Airflow's own form."""
    page.set_default_timeout(START_SECONDS * 1_000)
    page.goto(f"{site.url}/")
    page.locator("input[name=username]").fill(user)
    page.locator("input[name=password]").fill(PASSWORDS[user])
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/auth/" not in url)
