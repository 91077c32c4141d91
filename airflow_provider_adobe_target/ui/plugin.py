"""The plugin that adds the page to Airflow's web interface (Airflow 3.1 and later; Airflow 2.11 ignores it).

Every Airflow process loads plugins, so this module imports nothing of the page.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowPlugin, conf

PREFIX = "/adobe-target"
BASE = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/") + PREFIX


class LazyApp:
    """An ASGI application that is built for the first request."""

    _app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle a request."""
        if self._app is None:
            from airflow_provider_adobe_target.ui.app import create_app

            type(self)._app = create_app()
        await self._app(scope, receive, send)


def _view(name: str, destination: str, route: str, query: str, **options: str) -> dict[str, str]:
    return {
        "name": name,
        "destination": destination,
        "href": f"{BASE}/{query}",
        "url_route": route,
        "icon": f"{BASE}/static/icon.svg",
        "icon_dark_mode": f"{BASE}/static/icon-dark.svg",
        **options,
    }


_TASK = "dag_id={DAG_ID}&task_id={TASK_ID}"


class AdobeTargetPlugin(AirflowPlugin):
    """The page, in the navigation and as a tab of DAGs, runs, tasks and task instances."""

    name = "adobe_target"
    fastapi_apps = [{"app": LazyApp(), "url_prefix": PREFIX, "name": "Adobe Target"}]
    external_views = [
        _view("Adobe Target", "nav", "adobe-target", "", category="browse"),
        _view("Adobe Target", "dag", "adobe-target-dag", "?dag_id={DAG_ID}"),
        _view("Adobe Target", "dag_run", "adobe-target-run", "?dag_id={DAG_ID}&run_id={RUN_ID}"),
        _view("Adobe Target", "task", "adobe-target-task", f"?{_TASK}"),
        _view(
            "Adobe Target",
            "task_instance",
            "adobe-target-ti",
            f"run?{_TASK}&run_id={{RUN_ID}}&map_index={{MAP_INDEX}}",
        ),
    ]
