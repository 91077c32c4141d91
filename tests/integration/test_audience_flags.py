"""Audience flags in real Airflow: a bulk upload in all but its rows."""

import pytest

IMPORT = """
from airflow_provider_adobe_target.operators.adobe_target import AudienceFlagOperator
gold = [{"thirdPartyId": "U1-secret", "audience": "gold"}]
everybody = [{"thirdPartyId": "U1-secret"}, {"thirdPartyId": "U2-secret"}]
"""


@pytest.mark.parametrize("deferrable", [False, True])
def test_members_get_true_and_all_other_profiles_false(run_dag, sandbox, deferrable):
    sandbox.put_profile("U2-secret", {"audience.gold": "true"})
    run = run_dag(
        IMPORT
        + f"""
AudienceFlagOperator(
    task_id="flags", data=gold, universe_data=everybody, audiences=["gold", "lapsed"],
    deferrable={deferrable}, poll_interval=0.1,
)
"""
    )
    assert run.states == {"flags": "success"}
    assert sandbox.profile("U1-secret") == {"audience.gold": "true", "audience.lapsed": "false"}
    assert sandbox.profile("U2-secret") == {"audience.gold": "false", "audience.lapsed": "false"}
    report = run.result("flags")
    assert (report["rows_read"], report["rows_sent"]) == (2, 2)
    assert report["members"] == {"audience.gold": 1, "audience.lapsed": 0}
    assert report["batches"][0]["status"] == "complete"


def test_flags_replace_attributes_that_exist_already(run_dag, sandbox):
    sandbox.put_profile("U2-secret", {"isGold": "true"})
    run = run_dag(
        IMPORT
        + """
AudienceFlagOperator(
    task_id="flags", data=gold, universe_data=everybody, audiences={"gold": "isGold"}, attribute_prefix="",
    poll_interval=0.1,
)
"""
    )
    assert run.states == {"flags": "success"}
    assert [sandbox.profile(name) for name in ("U1-secret", "U2-secret")] == [{"isGold": "true"}, {"isGold": "false"}]


def test_neither_table_is_shown_by_airflow(run_dag, airflow):
    run = run_dag(
        IMPORT
        + """
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
common = {"audiences": ["gold"], "poll_interval": 0.1}
AudienceFlagOperator(task_id="plain", data=gold, universe_data=everybody, **common)
AudienceFlagOperator.partial(task_id="mapped", data=gold, universe_data=everybody, poll_interval=0.1).expand(
    audiences=[["gold"]]
)
AudienceFlagOperator.partial(task_id="expanded", data=gold, **common).expand(universe_data=[everybody])
"""
    )
    assert set(run.states.values()) == {"success"}
    own = [row for table, row in airflow.tables() if run.dag_id in row and table != "dag_code"]
    assert not [row for row in own if "U1-secret" in row or "U2-secret" in row]
    assert "U1-secret" not in run.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("data=gold, universe_data=everybody, audiences=['lapsed']", "allow_no_members"),
        ("data=gold, universe_data=everybody, audiences=['Big Spender']", "Set one with audiences="),
    ],
)
def test_what_would_go_wrong_in_silence_fails_before_any_call(run_dag, sandbox, arguments, words):
    run = run_dag(IMPORT + f"AudienceFlagOperator(task_id='flags', {arguments})")
    assert run.states == {"flags": "failed"}
    assert words in run.output
    assert sandbox.calls == []
