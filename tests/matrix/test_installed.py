"""The wheel, as an Airflow that it is installed beside finds it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from airflow import __version__ as airflow_version

import airflow_provider_adobe_target
from airflow_provider_adobe_target import connection_form

PACKAGE = "airflow-provider-adobe-target"
HOOK = "airflow_provider_adobe_target.hooks.adobe_target.AdobeTargetHook"
PROJECT = Path(__file__).parents[2]
FIELDS = set(connection_form.conn_fields())
LABELS = {"login": "Client code", "password": "Profile API token", "host": "Base URL (other than Adobe's)"}


# All of them in one process, as it takes many seconds to start one.
COMMANDS = {"list": [], "get": [PACKAGE, "--full"], "hooks": [], "widgets": []}
PROGRAM = """
import json, sys
from airflow.cli.cli_parser import get_parser
for name, arguments in json.loads(sys.argv[1]).items():
    print(f"== {name}", flush=True)
    parsed = get_parser().parse_args(["providers", name, *arguments, "--output", "json"])
    parsed.func(parsed)
"""


@pytest.fixture(scope="module")
def told():
    """What each ``airflow providers`` command says of this provider."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(COMMANDS)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    said = {}
    for part in answer.split("== ")[1:]:
        name, *lines = part.splitlines()
        rows = json.loads(lines[-1]) if lines[-1].startswith("[{") else []
        said[name] = [row for row in rows if "dobe_target" in json.dumps(row).replace("-", "_")]
    return said


def test_what_is_imported_is_the_wheel_and_not_the_project():
    imported = Path(airflow_provider_adobe_target.__file__)
    assert imported.is_relative_to(sys.prefix)
    assert imported != PROJECT / "airflow_provider_adobe_target" / "__init__.py"
    assert str(PROJECT) not in sys.path
    installed = distribution(PACKAGE)
    assert installed.version == airflow_provider_adobe_target.__version__
    assert (Path(str(installed.locate_file(""))) / "airflow_provider_adobe_target" / "__init__.py") == imported
    assert "editable" not in (installed.read_text("direct_url.json") or "")


def test_the_wheel_contains_every_module_and_example():
    kinds = (".py", ".typed")
    source = (PROJECT / "airflow_provider_adobe_target").rglob("*")
    modules = {file.relative_to(PROJECT).as_posix() for file in source if file.suffix in kinds}
    examples = (PROJECT / "example_dags").glob("*.py")
    modules |= {f"airflow_provider_adobe_target/example_dags/{file.name}" for file in examples}
    assert modules == {file.as_posix() for file in distribution(PACKAGE).files or [] if file.suffix in kinds}


def test_airflow_lists_the_provider(told):
    [row] = told["list"]
    assert (row["package_name"], row["version"]) == (PACKAGE, airflow_provider_adobe_target.__version__)


def test_airflow_returns_the_connection_type(told):
    [info] = told["get"]
    [connection_type] = info["connection-types"]
    assert (connection_type["connection-type"], connection_type["hook-class-name"]) == ("adobe_target", HOOK)
    assert set(connection_type["conn-fields"]) == FIELDS


def test_airflow_finds_the_hook(told):
    [row] = told["hooks"]
    assert (row["connection_type"], row["class"], row["hook_name"]) == ("adobe_target", HOOK, "Adobe Target")
    assert row["conn_id_attribute_name"] == "adobe_target_conn_id"


@pytest.mark.skipif(
    airflow_version.startswith(("3.0", "3.1")), reason="Airflow 3.0 and 3.1 name fields only beside the FAB provider"
)
def test_airflow_finds_the_fields_of_the_connection(told):
    assert {row["connection_parameter_name"] for row in told["widgets"]} == {
        f"extra__adobe_target__{name}" for name in FIELDS
    }


@pytest.mark.skipif(airflow_version.startswith("3.0"), reason="Airflow 3.0 shows fields only beside the FAB provider")
def test_the_connection_form_shows_every_field_under_its_label():
    labels, fields = _form()
    assert {name: labels[name] for name in LABELS} == LABELS
    assert fields == {name: field["label"] for name, field in connection_form.conn_fields().items()}


def _form():
    """Return the labels of Airflow's own fields, and this provider's fields with their labels."""
    if airflow_version.startswith("2."):
        return _form_of_airflow_2()
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    [meta] = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "adobe_target"]
    assert meta.hook_name == "Adobe Target"
    titles = {"login": "login", "password": "password", "host": "host"}
    labels = {name: getattr(meta.standard_fields, field).title for name, field in titles.items()}
    return labels, {name: field["schema"]["title"] for name, field in meta.extra_fields.items()}


def _form_of_airflow_2():
    from airflow.providers_manager import ProvidersManager
    from airflow.www.app import create_app
    from airflow.www.forms import create_connection_form_class

    labels = ProvidersManager().field_behaviours["adobe_target"]["relabeling"]
    with create_app(testing=True).test_request_context():
        form = create_connection_form_class()()
        prefix = "extra__adobe_target__"
        return labels, {f.name.removeprefix(prefix): f.label.text for f in form if f.name.startswith(prefix)}
