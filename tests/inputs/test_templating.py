"""Templates of hidden arguments, without a running Airflow."""

from __future__ import annotations

from datetime import datetime

import pytest

from airflow_provider_adobe_target.inputs.arguments import InvalidArgumentError
from airflow_provider_adobe_target.inputs.templating import render_object
from airflow_provider_adobe_target.version_compat import AirflowFailException

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG


@pytest.fixture(params=[False, True], ids=["text", "native"])
def render(request):
    dag = DAG("d", schedule=None, start_date=datetime(2026, 1, 1), render_template_as_native_obj=request.param)
    return lambda template, **params: render_object(template, {"dag": dag, "params": params})


@pytest.mark.parametrize("value", ["0b11", "1e3", None, True, 7, ["x"], {"a": 1}])
def test_a_single_expression_keeps_its_value(render, value):
    assert render("{{ params.v }}", v=value) == value


@pytest.mark.parametrize(("value", "text"), [("0b11", "0b11"), (7, "7"), (True, "true"), (False, "false")])
def test_an_expression_within_text_is_text(render, value, text):
    assert render("crm-{{ params.v }}", v=value) == f"crm-{text}"


@pytest.mark.parametrize(("value", "kind"), [(None, "null"), (["x"], "list"), ({"a": 1}, "dict")])
def test_null_or_a_collection_within_text_is_refused(render, value, kind):
    with pytest.raises(InvalidArgumentError, match=f"A template inserts {kind} into text") as caught:
        render("crm-{{ params.v }}", v=value)
    assert isinstance(caught.value, AirflowFailException)  # no retry
    assert render("crm-{{ params.v or '' }}", v=None) == "crm-"
