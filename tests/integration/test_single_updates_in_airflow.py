"""Single updates in a real Airflow."""

from __future__ import annotations

import pytest

from airflow_provider_adobe_target.sandbox import Answer

CANARIES = ("canary-id", "canary-value", "canary-nested", "canary-upstream", "canary-mapped")
IMPORTS = "from airflow_provider_adobe_target.operators.adobe_target import SingleProfileUpdateOperator as Single\n"

TEMPLATES = (
    IMPORTS
    + """
@task(multiple_outputs=True, show_return_value_in_logs=False)
def caller():
    return {"id": os.environ["CALLER"], "note": "{{ 7*7 }}canary-upstream.sql"}

@task(show_return_value_in_logs=False)
def callers():
    return [os.environ["CALLER"], "{{ 7*7 }}canary-mapped"]

Single(
    task_id="templated",
    profile_id="{{ ti.xcom_pull('caller')['id'] }}",
    attributes={
        "tier": "{{ ti.xcom_pull('caller')['id'].replace('id', 'value') }}",
        "home": {"city": "{{ 'canary' }}-nested", "tags": ["{{ 6*7 }}", "b.sql"]},
        "note": caller()["note"],
    },
)
Single.partial(task_id="mapped", attributes={"at": "{{ 40 + 2 }}"}, if_not_found="skip").expand(profile_id=callers())
Single.partial(task_id="literal", attributes={"by": "literal"}).expand(profile_id=["{{ 'canary' }}-id"])
"""
)


def test_templates_are_rendered_and_not_shown_by_airflow(airflow, run_dag, sandbox):
    sandbox.put_profile("canary-id", {})
    run = run_dag(TEMPLATES, CALLER="canary-id")

    assert run.states["templated"] == "success"
    assert (run.states["mapped", 0], run.states["mapped", 1], run.states["literal", 0]) == (
        "success",
        "skipped",
        "success",
    )
    assert sandbox.profile("canary-id") == {
        "tier": "canary-value",
        "home.city": "canary-nested",
        "home.tags": "42|b.sql",
        "note": "{{ 7*7 }}canary-upstream.sql",
        "at": "42",
        "by": "literal",
    }
    assert [call.segments[-1] for call in sandbox.calls if call.route == "fetch"].count("{{ 7*7 }}canary-mapped") == 1
    assert run.result("templated")["rows_sent"] == 1

    assert not [canary for canary in CANARIES if canary in run.logged]
    upstream = {"caller", "callers"}
    leaks = {
        (table, canary)
        for table, row in airflow.tables()
        for canary in CANARIES
        if canary in row and run.dag_id in row and not upstream & set(row.split()) and table != "dag_code"
    }
    assert leaks == set()
    rendered = airflow.query("SELECT rendered_fields FROM rendered_task_instance_fields WHERE dag_id = ?", run.dag_id)
    assert any("<hidden>" in str(row) for row in rendered)


WAITING = (
    IMPORTS
    + """
common = dict(profile_id="canary-id", attributes={"tier": "canary-value"}, poll_interval=0.2)
missing = {**common, "profile_id": "canary-no"}
waits = Single(task_id="waits", if_not_found="wait", deferrable=True, **common)
waits >> Single(task_id="gives_up", if_not_found="wait", deferrable=True, timeout=0.5, **missing)
waits >> Single(task_id="skips", if_not_found="skip", **missing)
"""
)


def test_a_deferred_task_resumes_and_its_trigger_holds_no_id(airflow, run_dag, sandbox):
    sandbox.put_profile("canary-id", {})
    missing = Answer(404, '{"status": 404, "message": "No profile found for client acme"}')
    sandbox.script("fetch", missing, missing)
    run = run_dag(WAITING)

    assert run.states == {"waits": "success", "gives_up": "failed", "skips": "skipped"}
    assert sandbox.profile("canary-id") == {"tier": "canary-value"}
    paths = [call.segments[-1] for call in sandbox.calls if call.route == "fetch"]
    assert paths.count("canary-id") == 3
    assert "It did not exist after" in run.output
    found = {
        table
        for table, row in airflow.tables()
        if ("canary-id" in row or "canary-no" in row) and run.dag_id in row and table != "dag_code"
    }
    assert found == set()


ROWS = (
    IMPORTS
    + """
@task(show_return_value_in_logs=False)
def returns():
    return [{"customer": name, "note": "{{ 7*7 }}canary-upstream"} for name in ("canary-id", "canary-no")]

common = dict(id_column="customer", if_not_found="skip", rejects_path=os.environ["REJECTS"])
rows = returns()
Single(task_id="from_upstream", data=rows, **common)
Single(task_id="from_path", path=os.environ["ROWS_FILE"], attributes=["tier"], **common)
Single.partial(task_id="mapped", data=rows, **common).expand(attributes=[["note"]])
Single(task_id="fails", path=os.environ["ROWS_FILE"], **{**common, "if_not_found": "fail"})
"""
)


def test_rows_are_updated_and_not_shown_by_airflow(airflow, run_dag, sandbox, tmp_path):
    sandbox.put_profile("canary-id", {})
    (tmp_path / "rows.csv").write_text("customer,tier\ncanary-id,canary-value\ncanary-no,canary-value\n")
    run = run_dag(ROWS, REJECTS=str(tmp_path / "rejects"), ROWS_FILE=str(tmp_path / "rows.csv"))

    assert (run.states["from_upstream"], run.states["from_path"], run.states["mapped", 0], run.states["fails"]) == (
        "success",
        "success",
        "success",
        "failed",
    )
    assert sandbox.profile("canary-id") == {"note": "{{ 7*7 }}canary-upstream", "tier": "canary-value"}
    report = run.result("from_path")
    assert (report["rows_sent"], report["rejected_by_reason"]) == (1, {"profile_not_found": 1})
    assert len(list((tmp_path / "rejects").glob("*.parquet"))) == 4

    assert not [canary for canary in CANARIES if canary in run.logged]
    leaks = {
        (table, canary)
        for table, row in airflow.tables()
        for canary in CANARIES
        if canary in row and run.dag_id in row and "returns" not in row.split() and table != "dag_code"
    }
    assert leaks == set()


RENDERED = (
    IMPORTS
    + """
dag.render_template_as_native_obj = os.environ["NATIVE"] == "yes"
IDS = ["1_000", "0x1f", "(12)", "007", "1e5", "[3]", "None", "True", "'q'", 1000]
dag.params.update(
    {"ids": IDS, "null": None, "yes": True, "many": ["x", "y"], "text": "1_0", "all": {"b": {"c": 1.5}}}
)
send = dict(if_not_found="send")
for number in range(len(IDS)):
    Single(task_id=f"id_{number}", profile_id=f"{{{{ params.ids[{number}] }}}}", attributes={"a": "1"}, **send)
Single(
    task_id="values", profile_id="values", **send,
    attributes={
        "null": "{{ params.null }}", "yes": "{{ params.yes }}", "many": "{{ params.many }}",
        "text": "{{ params.text }}",
        "constants": ["{{ none }}", "{{ false }}"], "sum": "{{ 6 * 7 }}", "within": "a {{ params.yes }}",
    },
)
Single(task_id="all", profile_id="{{ 'a' }}ll", attributes="{{ params.all }}", **send)
Single(task_id="bad_float", profile_id="{{ 1.0 }}", attributes={"a": 1}, **send)
Single(task_id="bad_bool", profile_id="{{ params.yes }}", attributes={"a": 1}, **send)
Single(task_id="bad_list", profile_id="{{ params.many }}", attributes={"a": 1}, **send)
Single(task_id="null_in_id", profile_id="crm-{{ params.null }}", attributes={"a": 1}, **send)
Single(task_id="list_in_value", profile_id="values", attributes={"a": "{{ params.many }}!"}, **send)
"""
)


@pytest.mark.parametrize("native", ["yes", "no"])
def test_templates_give_the_same_ids_and_values_in_every_dag(run_dag, sandbox, native):
    ids = ["1_000", "0x1f", "(12)", "007", "1e5", "[3]", "None", "True", "'q'", "1000"]
    for profile_id in (*ids, "values", "all"):
        sandbox.put_profile(profile_id, {})
    run = run_dag(RENDERED, NATIVE=native)

    assert [sandbox.profile(profile_id) for profile_id in ids] == [{"a": "1"}] * len(ids)
    assert sandbox.profile("values") == {
        "yes": "true", "many": "x|y", "text": "1_0", "constants": "false", "sum": "42", "within": "a true",
    }  # fmt: skip
    assert sandbox.profile("all") == {"b.c": "1.5"}
    for task, kind in (("bad_float", "float"), ("bad_bool", "bool"), ("bad_list", "list")):
        assert run.states[task] == "failed"
        assert f"profile_id is {kind}" in run.log(task)
    for task, kind in (("null_in_id", "null"), ("list_in_value", "list")):
        assert run.states[task] == "failed"
        assert f"A template inserts {kind} into text" in run.log(task)
    assert {call.query for call in sandbox.calls if "crm-" in call.query} == set()
