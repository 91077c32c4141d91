from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("airflow.api_fastapi", reason="the page needs Airflow 3")


def test_the_plugin_imports_nothing_of_the_page():
    code = """
import sys
import airflow_provider_adobe_target.ui.plugin as plugin
[app] = plugin.AdobeTargetPlugin.fastapi_apps
print([name for name in sys.modules if name.startswith("airflow_provider_adobe_target.ui.")])
print([name for name in ("pyarrow", "pandas") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["['airflow_provider_adobe_target.ui.plugin']", "[]"]


def test_the_views_of_the_plugin_are_distinct_and_below_its_prefix():
    from airflow_provider_adobe_target.ui.pages import PREFIX as OF_PAGES
    from airflow_provider_adobe_target.ui.plugin import PREFIX, AdobeTargetPlugin

    views = AdobeTargetPlugin.external_views
    assert len({view["url_route"] for view in views}) == len(views)
    assert {view["destination"] for view in views} == {"nav", "dag", "dag_run", "task", "task_instance"}
    assert all(view["href"].startswith(f"{PREFIX}/") for view in views)
    assert OF_PAGES == PREFIX
