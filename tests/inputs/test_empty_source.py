from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.operators.adobe_target import (
    BulkProfileUpdateOperator,
    EdgeProfileUpdateOperator,
    IdentityLinkOperator,
    SingleProfileUpdateOperator,
)
from airflow_provider_adobe_target.sandbox import Sandbox
from airflow_provider_adobe_target.sensors.adobe_target import ProfileLandingSensor
from airflow_provider_adobe_target.version_compat import AirflowFailException, AirflowSkipException

KINDS = [
    BulkProfileUpdateOperator,
    SingleProfileUpdateOperator,
    EdgeProfileUpdateOperator,
    IdentityLinkOperator,
    ProfileLandingSensor,
]
every = pytest.mark.parametrize("kind", KINDS)
BAD = [{"thirdPartyId": "a/b", "tier": "gold"}, {"thirdPartyId": "c+d", "tier": "gold"}]


@pytest.fixture
def execute(monkeypatch):
    """Execute an operator; it must not send anything."""
    with Sandbox() as sandbox:
        extra = {"edge_host": sandbox.url, "datastream_id": "stream", "ims_org_id": "org"}
        connection = {"conn_type": "adobe_target", "login": "acme", "host": sandbox.url, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))

        def execute(kind, **arguments):
            task = kind(task_id="task", **arguments)
            ti = SimpleNamespace(xcom_push=lambda key, value: None)
            context = {"ti": ti, "run_id": "run"}
            try:
                return task.poke(context) if kind is ProfileLandingSensor else task.execute(context)
            finally:
                assert sandbox.calls == []

        yield execute


@every
def test_an_empty_source_warns_skips_or_fails(execute, caplog, kind):
    execute(kind, data=[])
    assert [r.message for r in caplog.records if r.levelno >= logging.WARNING and "no rows" in r.message]
    with pytest.raises(AirflowSkipException, match="no rows"):
        execute(kind, data=[], on_no_rows="skip")
    with pytest.raises(AirflowFailException, match="no rows"):
        execute(kind, data=[], on_no_rows="fail")
    with pytest.raises(ProfileDataError, match="on_no_rows='ignore' is not one of"):
        execute(kind, data=[], on_no_rows="ignore")


@every
def test_rows_of_which_every_one_is_rejected_fail_the_task(execute, kind):
    with pytest.raises(AirflowFailException, match=r"Every row was rejected, 2 of 2"):
        execute(kind, data=BAD)


@every
def test_with_max_invalid_pct_100_every_row_may_be_rejected(execute, kind):
    report = execute(kind, data=BAD, max_invalid_pct=100)
    if kind is ProfileLandingSensor:
        assert report.xcom_value == {"sampled": 0, "landed": 0, "not_found": 0, "different": 0}
    else:
        assert report["rows_rejected"] == 2


@every
def test_too_many_rejected_rows_fail_the_task_before_any_call(execute, kind):
    rows = [*BAD, {"thirdPartyId": "good", "tier": "gold"}]
    with pytest.raises(AirflowFailException, match="2 of 3 rows cannot be sent, more than max_invalid_pct=60"):
        execute(kind, data=rows, max_invalid_pct=60)


def test_rows_without_a_value_are_not_rejected(execute):
    assert execute(BulkProfileUpdateOperator, data=[{"thirdPartyId": "a", "tier": None}])["rows_empty"] == 1
