"""The Edge Network operator in real Airflow: one visitor, and rows."""

import pyarrow.parquet as pq
import pytest

from support.real_airflow import connection

IMPORT = """
from airflow_provider_adobe_target.operators.adobe_target import EdgeProfileUpdateOperator
"""


@pytest.fixture
def run_edge(run_dag, sandbox):
    def run(source, authenticated=True, **environment):
        credential = {"client_id": "id", "client_secret": "p8e-secret", "ims_org_id": "ORG@AdobeOrg"}
        host = sandbox.url if authenticated else sandbox.edge_url
        extra = {"ims_host": sandbox.url, "edge_host": host, "datastream_id": "ds1"}
        extra |= credential if authenticated else {}
        own = connection(sandbox, extra=extra)
        return run_dag(IMPORT + source, AIRFLOW_CONN_ADOBE_TARGET_DEFAULT=own, **environment)

    return run


@pytest.mark.parametrize("authenticated", [True, False])
def test_rows_are_sent_one_by_one_with_the_same_account_as_in_bulk(run_edge, sandbox, tmp_path, authenticated):
    run = run_edge(
        """
rows = [{"ecid": str(4200000000 + n), "tier": "gold", "points": n} for n in range(60)]
rows += [{"ecid": None, "tier": "gold"}, {"ecid": "4200000000", "tier": "silver"}, {"ecid": "43", "tier": None}]
rows += [{"ecid": "44", "tier": "x" * 257}]
EdgeProfileUpdateOperator(task_id="send", data=rows, id_column="ecid", rejects_path=os.environ["REJECTS"])
""",
        authenticated,
        REJECTS=str(tmp_path / "rejects"),
    )
    assert run.states == {"send": "success"}
    report = run.result("send")
    assert (report["rows_read"], report["rows_sent"], report["rows_empty"]) == (64, 60, 1)
    assert report["rejected_by_reason"] == {"missing_id": 1, "duplicate_id": 1, "value_too_long": 1}
    assert report["id_type"] == "ECID"
    assert sandbox.profile("4200000059", "marketingCloudVisitorId") == {"tier": "gold", "points": "59"}
    assert pq.read_table(report["rejects_path"].removeprefix("file://")).num_rows == 3
    events = [call for call in sandbox.calls if call.route == "interact"]
    assert len(events) == 60
    assert len([call for call in sandbox.calls if call.route == "ims"]) <= int(authenticated)
    assert {"authorization" in call.headers for call in events} == {authenticated}
    assert events[-1].path == "/ee/or2/v2/interact"  # where the first answers said


def test_a_refusal_of_all_rows_ends_the_task_soon(run_edge, sandbox):
    sandbox.settings.datastream_enabled = False
    run = run_edge(
        """
rows = [{"ecid": str(n), "tier": "gold"} for n in range(2000)]
EdgeProfileUpdateOperator(task_id="send", data=rows, id_column="ecid")
"""
    )
    assert run.states == {"send": "failed"}
    assert "enable it" in run.output
    assert len(sandbox.calls) < 200


def test_no_data_of_a_visitor_is_shown_by_airflow(run_edge, airflow, sandbox):
    sandbox.settings.third_party_namespace = "Crm"
    run = run_edge(
        """
EdgeProfileUpdateOperator(
    task_id="send", profile_id="U1-secret", namespace="Crm", attributes={"address": {"city": "secret-Zürich"}}
)
"""
    )
    assert run.states == {"send": "success"}
    assert sandbox.profile("U1-secret") == {"address.city": "secret-Zürich"}
    own = [row for table, row in airflow.tables() if run.dag_id in row and table != "dag_code"]
    assert not [row for row in own if "U1-secret" in row or "secret-Z" in row]
    assert "U1-secret" not in run.output


def test_a_dry_run_makes_no_call(run_edge, sandbox):
    run = run_edge(
        'EdgeProfileUpdateOperator(task_id="send", data=[{"ecid": "42", "a": "b"}], id_column="ecid", dry_run=True)'
    )
    assert run.result("send")["rows_sent"] == 1
    assert sandbox.calls == []
