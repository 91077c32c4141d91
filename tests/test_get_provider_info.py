from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

import airflow
import jsonschema
import pytest

from airflow_provider_adobe_target import __version__, connection_form
from airflow_provider_adobe_target.get_provider_info import get_provider_info

PROJECT = Path(__file__).parents[1]


def airflow_schema(name: str) -> dict:
    return json.loads(resources.files(airflow).joinpath(name).read_text())


def connection_type() -> dict:
    [entry] = get_provider_info()["connection-types"]
    return entry


def test_the_installed_airflow_accepts_the_description():
    jsonschema.validate(get_provider_info(), airflow_schema("provider_info.schema.json"))


def test_every_part_fits_the_strict_schema_of_airflow_providers():
    schema = airflow_schema("provider.yaml.schema.json")
    info = get_provider_info()
    if "asset-uris" not in schema["properties"]:
        info.pop("asset-uris")  # Airflow 2 reads dataset-uris
    assert set(info) <= set(schema["properties"])
    for name, part in info.items():
        rules = {"definitions": schema["definitions"], **schema["properties"][name]}
        jsonschema.validate(part, rules)


def test_the_connection_type_has_only_keys_that_airflow_reads():
    rules = airflow_schema("provider.yaml.schema.json")["properties"]["connection-types"]["items"]["properties"]
    if "hook-name" not in rules:
        pytest.skip("Airflow before 3.3 reads the form from the hook or knows fewer keys")
    assert set(connection_type()) <= set(rules)


def test_package_hook_and_connection_have_their_names():
    info = get_provider_info()
    assert info["package-name"] == "airflow-provider-adobe-target"
    assert info["name"] == "Adobe Target"
    assert info["versions"] == [__version__]
    entry = connection_type()
    assert entry["connection-type"] == "adobe_target"
    assert entry["hook-name"] == "Adobe Target"
    assert entry["hook-class-name"] == "airflow_provider_adobe_target.hooks.adobe_target.AdobeTargetHook"


def test_the_form_is_the_one_that_is_declared():
    assert connection_type()["conn-fields"] == connection_form.conn_fields()
    assert connection_type()["ui-field-behaviour"] == connection_form.ui_field_behaviour_metadata()


@pytest.mark.parametrize("layer", ["operators", "sensors", "hooks", "triggers"])
def test_the_modules_named_exist(layer):
    info = get_provider_info()
    [integration] = info["integrations"]
    [entry] = info[layer]
    assert entry["integration-name"] == integration["integration-name"]
    assert all(importlib.util.find_spec(module) for module in entry["python-modules"])


def test_discovery_imports_nothing_of_airflow_and_nothing_heavy():
    code = f"""
import sys
sys.path.insert(0, {str(PROJECT)!r})
from airflow_provider_adobe_target.get_provider_info import get_provider_info
get_provider_info()
heavy = ("airflow", "pandas", "pyarrow", "numpy", "polars", "requests", "httpx", "wtforms")
print(sorted(name for name in sys.modules if name.partition(".")[0] in heavy))
"""
    loaded = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
