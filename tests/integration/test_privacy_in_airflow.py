"""Hashed and blocked attributes, and rows with one of two ids, run by Airflow itself."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.privacy import PrivacyOptions
from support.real_airflow import connection

EMAIL, SALT = "ann.secret@example.com", "pepper-of-the-tests"
DAG = """
from airflow_provider_adobe_target.operators.adobe_target import SingleProfileUpdateOperator
from airflow_provider_adobe_target.privacy import PrivacyOptions

@task(show_return_value_in_logs=False)
def rows():
    return [
        {"thirdPartyId": "U1", "pc_id": None, "contact": os.environ["EMAIL"], "tier": "gold"},
        {"thirdPartyId": None, "pc_id": "p1.28_0", "contact": None, "tier": "silver"},
    ]

common = dict(data=rows(), id_column="thirdPartyId", fallback_id_column="pc_id", poll_interval=0.1)
BulkProfileUpdateOperator(
    task_id="hashed", privacy=PrivacyOptions(hash_attributes=["contact"], on_suspicious_id="fail"), **common
)
BulkProfileUpdateOperator(task_id="warned", dry_run=True, **common)
BulkProfileUpdateOperator(task_id="failed", privacy=PrivacyOptions(on_personal_data="fail"), **common)
BulkProfileUpdateOperator(task_id="blocked", attributes={"contact": "email"}, **common)
SingleProfileUpdateOperator(
    task_id="one", profile_id="U1", attributes={"email": os.environ["EMAIL"]}, if_not_found="send"
)
"""


def test_rules_of_task_and_connection_hold_in_airflow(airflow, run_dag, sandbox):
    extra = {"block_attributes": "*mail*", "hash_salt": SALT, "uses_ecid": False}
    with airflow.remembering():
        run = run_dag(DAG, EMAIL=EMAIL, AIRFLOW_CONN_ADOBE_TARGET_DEFAULT=connection(sandbox, extra=extra))
        states = {task: run.states[task] for task in ("hashed", "warned", "failed", "blocked", "one")}
        kept = [text for table, text in airflow.tables() if "xcom" not in table]
    failed = dict.fromkeys(("failed", "blocked", "one"), "failed")
    assert states == {"hashed": "success", "warned": "success", **failed}

    digest = hmac.new(SALT.encode(), EMAIL.encode(), hashlib.sha256).hexdigest()
    assert sandbox.profile("U1") == {"contact": digest, "tier": "gold"}
    assert {batch.key for batch in sandbox.batches} == {"thirdPartyId", "pcId"}
    assert run.result("hashed")["rows_sent"] == 2

    assert "Column 'contact' has e-mail addresses: 1 of 1 values in a sample" in run.log("warned")
    assert "Column 'contact' has e-mail addresses" in run.log("failed")
    for task in ("blocked", "one"):
        assert "'email' must not be sent: block_attributes has '*mail*'" in run.log(task)
    assert EMAIL not in run.logged
    assert SALT not in run.logged
    assert not any(EMAIL in text for text in kept)


def test_another_object_for_privacy_is_refused_at_once():
    with pytest.raises(ProfileDataError, match=r"privacy must be PrivacyOptions\(…\), not dict"):
        BulkProfileUpdateOperator(task_id="up", path="x.csv", privacy={"hash_attributes": ["email"]})


def test_the_options_are_not_in_the_template_fields():
    operator = BulkProfileUpdateOperator(
        task_id="up", path="x.csv", privacy=PrivacyOptions(hash_attributes=["email"]), fallback_id_column="pc_id"
    )
    assert not {"privacy", "fallback_id_column"} & set(operator.template_fields)
