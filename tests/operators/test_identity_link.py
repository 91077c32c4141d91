"""The operator against the sandbox's Delivery API, over real sockets and with faults."""

from __future__ import annotations

import json
import logging
import random
import socket
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from types import SimpleNamespace
from urllib.parse import parse_qs

import pyarrow.parquet as pq
import pytest
import requests

from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.exceptions import AdobeTargetUnavailableError
from airflow_provider_adobe_target.operators.adobe_target import IdentityLinkOperator
from airflow_provider_adobe_target.sandbox import Answer, Sandbox
from airflow_provider_adobe_target.version_compat import AirflowFailException

TOKEN = "SECRET-token"


@pytest.fixture(scope="module")
def running():
    with Sandbox(token=TOKEN) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running, monkeypatch):
    running.reset(token=TOKEN)
    connection = {"conn_type": "adobe_target", "login": "acme", "password": TOKEN, "host": running.url}
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))
    monkeypatch.setattr(clocks, "SYSTEM", ImpatientClock())
    return running


class ImpatientClock(clocks.SystemClock):
    """Waits for a thousandth of the time, and lets a thousand times as much pass."""

    def monotonic(self):
        return super().monotonic() * 1_000

    def sleep(self, seconds):
        super().sleep(seconds / 1_000)


@pytest.fixture
def link(sandbox, tmp_path):
    def link(data, **arguments):
        arguments = {
            "task_id": "link",
            "rejects_path": str(tmp_path / "rejects"),
            "result_path": str(tmp_path / "links"),
            "calls_per_second": 1_000,
            **arguments,
        }
        operator = IdentityLinkOperator(data=data, **arguments)
        ti = SimpleNamespace(dag_id="dag", task_id="link", run_id="run", map_index=-1)
        report = operator.execute({"ti": ti})
        assert report["rows_read"] == report["rows_linked"] + report["rows_rejected"]
        assert report["rows_rejected"] == sum(report["rejected_by_reason"].values())
        assert json.loads(json.dumps(report)) == report
        return report

    return link


def links(report_or_folder):
    path = report_or_folder["result_path"] if isinstance(report_or_folder, dict) else report_or_folder
    return pq.read_table(path.removeprefix("file://")).to_pylist()


def deliveries(sandbox):
    return [call for call in sandbox.calls if call.route == "delivery"]


def session(call):
    return parse_qs(call.query)["sessionId"][0]


def warnings(sandbox):
    return requests.get(f"{sandbox.url}/state.json", timeout=10).json()["warnings"]


def people(count):
    return [
        {"thirdPartyId": f"SECRET-U{number}", "ECID": f"SECRET-{number}", "tier": f"t{number}"}
        for number in range(count)
    ]


def test_the_ids_of_a_row_are_linked_to_one_profile(sandbox, link):
    report = link(
        [{"thirdPartyId": "U1", "tntId": "1.28_0", "ECID": "42", "tier": "gold"}, {"thirdPartyId": "U2"}],
        attributes=["tier"],
    )
    assert report == {
        "client_code": "acme",
        "mbox": "warehouse-link",
        "dry_run": False,
        "outcome": "complete",
        "rows_read": 2,
        "values_replaced": 0,
        "rows_linked": 2,
        "rows_rejected": 0,
        "rejected_by_reason": {},
        "rejects_path": None,
        "result_path": report["result_path"],
        "result_table": None,
    }
    for id_, kind in (("U1", "thirdPartyId"), ("1.28_0", "pcId"), ("42", "marketingCloudVisitorId")):
        assert sandbox.profile(id_, kind) == {"tier": "gold"}
    first, second = sorted(links(report), key=lambda row: row["thirdPartyId"])
    assert first == {
        "thirdPartyId": "U1", "ECID": "42", "customerId": None, "integrationCode": None, "pcId": "1.28_0"
    }  # fmt: skip
    assert second["pcId"].endswith(".00_0")
    assert sandbox.profile(second["pcId"], "pcId") == sandbox.profile("U2") == {}
    assert not any("authorization" in call.headers for call in deliveries(sandbox))


def test_customer_ids_are_linked_by_their_data_source(sandbox, link):
    rows = [
        {"thirdPartyId": None, "ECID": "42", "crm": "C1", "tier": "gold"},
        {"thirdPartyId": "U1", "ECID": "43", "crm": "C2", "tier": "x"},
        {"thirdPartyId": "U3", "ECID": None, "crm": None, "tier": "silver"},
    ]
    report = link(rows, customer_id_columns={"crm": "crm_data"}, attributes=["tier"])
    assert report["rejected_by_reason"] == {"mixed_customer_ids": 1}
    assert sandbox.profile("C1") == sandbox.profile("42", "marketingCloudVisitorId") == {"tier": "gold"}
    assert sandbox.profile("U1") is None
    assert sandbox.profile("U3") == {"tier": "silver"}
    assert {(row["customerId"], row["integrationCode"]) for row in links(report)} == {
        ("C1", "crm_data"),
        (None, None),
    }


def test_calls_of_a_person_share_a_session_in_order_and_edge_host(sandbox, link):
    rows = [{"thirdPartyId": f"U{number % 40}", "ECID": str(number)} for number in range(400)]
    link(rows)
    link(rows)
    calls = defaultdict(list)
    for call in deliveries(sandbox):
        ids = json.loads(call.body)["id"]
        calls[ids["thirdPartyId"]].append((session(call), ids["marketingCloudVisitorId"], call.headers["host"]))
    assert len({session for person in calls.values() for session, _, _ in person}) == 40
    edge = sandbox.edge_url.removeprefix("http://")
    for person in calls.values():
        assert len({session for session, _, _ in person}) == 1
        for run in (person[:10], person[10:]):
            assert [int(ecid) for _, ecid, _ in run] == sorted(int(ecid) for _, ecid, _ in run)
            assert [host for _, _, host in run] == [sandbox.url.removeprefix("http://"), *[edge] * 9]
    assert not [
        warning for warning in warnings(sandbox) if "was used in two sessions" in warning and "thirdParty" in warning
    ]


SEVERAL_BROWSERS = [
    {"thirdPartyId": "U1", "ECID": "1", "tntId": None},
    {"thirdPartyId": "U1", "ECID": "2", "tntId": "2.28_0"},
    {"thirdPartyId": "U2", "ECID": "1", "tntId": None},
    {"thirdPartyId": "U1", "ECID": None, "tntId": "3"},
    {"thirdPartyId": "U3", "ECID": None, "tntId": "2.28_1"},
    {"thirdPartyId": "U4", "ECID": "4", "tntId": None},
    {"thirdPartyId": None, "ECID": "5", "tntId": None},
]


@pytest.fixture
def hasty_sandbox(sandbox, monkeypatch):
    """A sandbox whose time passes as fast as :class:`ImpatientClock`'s."""
    began = time.time()
    with Sandbox(clock=lambda: began + (time.time() - began) * 1_000) as hasty:
        connection = {"conn_type": "adobe_target", "login": "acme", "host": hasty.url}
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))
        yield hasty


@pytest.mark.parametrize("arguments", [{}, {"skip_invalid_records": False}, {"max_concurrent_calls": 1}])
def test_browsers_sent_30_minutes_apart_keep_the_session_rules(hasty_sandbox, link, arguments):
    report = link(SEVERAL_BROWSERS, browser_interval=1_800, **arguments)
    assert (report["rows_linked"], report["rows_rejected"]) == (7, 0)
    assert warnings(hasty_sandbox) == []
    assert len({session(call) for call in deliveries(hasty_sandbox)}) == 7
    told = [json.loads(call.body)["id"] for call in deliveries(hasty_sandbox)]
    assert len(told) == 7
    for row in SEVERAL_BROWSERS:
        assert {"marketingCloudVisitorId" if k == "ECID" else k: v for k, v in row.items() if v} in told


@pytest.mark.parametrize("ids", [("ECID", "1", "2"), ("tntId", "1.28_0", "2.28_0")])
def test_browsers_sent_at_once_share_a_session_with_a_warning(sandbox, link, caplog, ids):
    kind, *browsers = ids
    link([{"thirdPartyId": "U1", kind: browser} for browser in browsers])
    assert len({session(call) for call in deliveries(sandbox)}) == 1
    assert "in the same session: 1. " in caplog.text
    assert "browser_interval=1800" in caplog.text


def test_people_with_one_browser_cause_no_wait_or_warning(sandbox, link, caplog):
    began = time.monotonic()
    assert link(people(50), browser_interval=86_400)["rows_linked"] == 50
    link(people(50))
    assert time.monotonic() - began < 60
    assert "browser_interval" not in caplog.text


def test_no_link_is_lost_if_one_call_in_twenty_fails(sandbox, link):
    rows = people(2_000)
    rows[7] = {**rows[7], "thirdPartyId": "with+plus"}
    chance = random.Random(1)  # noqa: S311 - the same faults each time
    faults = [
        Answer(420),
        Answer(429, headers={"Retry-After": "1"}),
        Answer(500),
        Answer(503),
        Answer(reset="before"),
        Answer.real(reset="after"),
        Answer.real(cut=5),
        Answer(200, "<html>a proxy</html>"),
    ]
    script = [chance.choice(faults) if chance.random() < 0.05 else Answer.real() for _ in range(2_100)]
    sandbox.script("delivery", *script)
    report = link(rows, attributes=["tier"], max_concurrent_calls=20)
    assert (report["rows_linked"], report["rejected_by_reason"]) == (1_999, {"id_forbidden_character": 1})
    linked = {row["thirdPartyId"]: row for row in links(report)}
    assert len(linked) == 1_999
    for number in (*range(7), *range(8, 2_000)):
        assert sandbox.profile(f"SECRET-U{number}") == {"tier": f"t{number}"}
        assert sandbox.profile(linked[f"SECRET-U{number}"]["pcId"], "pcId") == {"tier": f"t{number}"}
    assert len(deliveries(sandbox)) > 2_050


def test_no_more_calls_are_in_progress_than_allowed(sandbox, link):
    sandbox.script("delivery", Answer.real(delay=0.02), forever=True)
    most = []
    original = sandbox._state.open_deliveries

    class Watched(Counter):
        def __setitem__(self, key, value):
            super().__setitem__(key, value)
            most.append(sum(self.values()))

    sandbox._state.open_deliveries = Watched(original)
    link(people(100), max_concurrent_calls=4)
    assert max(most) == 4


def test_refused_rows_are_kept_and_fail_the_task_at_the_end(sandbox, link, tmp_path):
    refusal = Answer(400, '{"status":400,"message":"SECRET"}')
    sandbox.script("delivery", Answer.real(), refusal, Answer.real())
    with pytest.raises(AirflowFailException, match="refused 1 of 10 rows .*max_failed_pct=0.0") as failure:
        link(people(10))
    assert "SECRET" not in str(failure.value)
    [rejects] = (tmp_path / "rejects").iterdir()
    assert [row["reject_reason"] for row in pq.read_table(rejects).to_pylist()] == ["refused_by_target"]
    [result] = (tmp_path / "links").iterdir()
    assert len(links(str(result))) == 9


def test_refusals_within_the_limit_are_rejected_rows(sandbox, link):
    sandbox.script("delivery", Answer(400, "{}"))
    report = link(people(10), max_failed_pct=10)
    assert (report["rows_linked"], report["rejected_by_reason"]) == (9, {"refused_by_target": 1})


def test_an_outage_fails_the_task_and_keeps_the_results_so_far(sandbox, link, tmp_path):
    sandbox.script("delivery", *[Answer.real()] * 30, Answer(500), forever=True)
    with pytest.raises(AdobeTargetUnavailableError, match=r"linked: 30; rejected: 0. The other rows are not linked"):
        link(people(100))
    [result] = (tmp_path / "links").iterdir()
    assert len(links(str(result))) == 30
    sandbox.script("delivery")
    assert link(people(100))["rows_linked"] == 100
    assert len(links(str(result))) == 100


def test_a_refusal_of_every_person_ends_the_task_early(sandbox, link):
    sandbox.settings.property_tokens = ("other",)
    sandbox.settings.client_code = "else"
    with pytest.raises(AirflowFailException, match="login"):
        link(people(1_000))
    assert len(deliveries(sandbox)) <= 10


def test_links_are_written_to_a_table_and_errors_show_no_id(sandbox, link, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    database = tmp_path / "links.db"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(database)}))
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE links (thirdPartyId, ECID, customerId, integrationCode, pcId)")
        connection.execute(
            "CREATE TABLE strict (thirdPartyId, ECID, customerId, integrationCode, pcId NOT NULL CHECK (0))"
        )
    report = link(people(3), result_table="links", result_conn_id="warehouse", result_path=None)
    assert (report["result_path"], report["result_table"]) == (None, "links")
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT thirdPartyId, pcId FROM links ORDER BY 1").fetchall()
    assert [id_ for id_, _ in rows] == ["SECRET-U0", "SECRET-U1", "SECRET-U2"]
    assert all(pc_id.endswith(".00_0") for _, pc_id in rows)
    with pytest.raises(RuntimeError, match="'strict' .IntegrityError.") as failure:
        link(people(3), result_table="strict", result_conn_id="warehouse")
    assert failure.value.__suppress_context__
    assert "SECRET" not in str(failure.value) + caplog.text


@pytest.mark.parametrize("broken", ["rejects", "links", "links.db"])
@pytest.mark.parametrize("target", ["well", "away"])
def test_each_output_is_written_even_if_another_fails(
    sandbox, link, tmp_path, monkeypatch, caplog, capsys, broken, target
):
    database = tmp_path / "links.db"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(database)}))
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE links (thirdPartyId, ECID, customerId, integrationCode, pcId)")
    (tmp_path / broken).write_text("no folder, and no database")
    sandbox.script("delivery", *[Answer.real()] * 3, Answer(500), forever=True)
    data = [{"thirdPartyId": "a+b", "ECID": "1", "tier": ""}, *people(3 if target == "well" else 9)]
    with pytest.raises((OSError, RuntimeError) if target == "well" else AdobeTargetUnavailableError) as failure:
        link(data, result_table="links", result_conn_id="warehouse")

    said = f"{failure.value} {caplog.text} {capsys.readouterr().out}"
    assert "linked: 3; rejected: 1" in said
    assert "SECRET" not in said
    for folder, rows in (("rejects", 1), ("links", 3)):
        if folder != broken:
            [file] = (tmp_path / folder).iterdir()
            assert pq.read_table(file).num_rows == rows
    if broken != "links.db":
        with sqlite3.connect(database) as connection:
            assert connection.execute("SELECT count(*) FROM links").fetchone() == (3,)


def test_a_dry_run_counts_and_makes_no_call(sandbox, link):
    report = link([*people(3), {"thirdPartyId": "a+b", "ECID": "1", "tier": ""}], dry_run=True)
    assert (report["dry_run"], report["rows_linked"], report["rows_rejected"]) == (True, 3, 1)
    assert report["result_path"] is None
    assert not sandbox.calls


def test_without_rows_no_call_is_made_and_the_links_are_empty(sandbox, link):
    report = link([])
    assert report["rows_read"] == 0
    assert links(report) == []


@pytest.mark.parametrize(
    "argument",
    [
        {"mbox": "target-global-mbox"},
        {"mbox": "a b"},
        {"max_concurrent_calls": 51},
        {"max_concurrent_calls": True},
        {"calls_per_second": 0},
        {"calls_per_second": 1_001},
        {"browser_interval": -1},
        {"browser_interval": "1800"},
        {"max_failed_pct": 101},
        {"result_table": "links"},
    ],
)
def test_arguments_that_cannot_be_are_named(link, sandbox, argument):
    with pytest.raises(AirflowFailException, match=next(iter(argument))):
        link(people(1), **argument)
    assert not sandbox.calls


def test_rows_are_not_shown_in_logs_or_reports(sandbox, link, caplog):
    caplog.set_level(logging.DEBUG)
    sandbox.script("delivery", Answer(500), Answer(503), Answer(500))
    report = link(people(20))
    operator = IdentityLinkOperator(task_id="link", data=people(1))
    assert "SECRET" not in f"{caplog.text} {report} {operator.data!r}"


def test_columns_are_found_in_any_letter_case(link, sandbox):
    rows = [{"CUSTOMER": "U1", "VISITOR": "12345678901234567890123456789012345678", "TIER": "gold"}]
    report = link(
        rows,
        id_columns={"customer": "thirdPartyId", "Visitor": "ECID"},
        attributes=["TIER"],
        attribute_case="lower",
    )
    assert report["rows_linked"] == 1
    assert sandbox.profile("U1")["tier"] == "gold"
    with pytest.raises(AirflowFailException, match="occurs twice in id_columns"):
        link(rows, id_columns={"CUSTOMER": "thirdPartyId", "customer": "pcId"})


def test_customer_ids_are_found_in_any_letter_case(link):
    rows = [{"ECID": "12345678901234567890123456789012345678", "CRM_ID": "C1"}]
    assert link(rows, customer_id_columns={"crm_id": "crm"})["rows_linked"] == 1


# The session and the edge cluster of a visit


def test_rows_are_linked_in_the_session_of_their_visit(sandbox, link):
    rows = [
        {"thirdPartyId": "U1", "ECID": "41", "session": "visit#1", "cluster": 28},
        {"thirdPartyId": "U1", "ECID": "42", "session": None, "cluster": None},
        {"thirdPartyId": "U2", "ECID": "43", "session": "visit#1", "cluster": 28},
        {"thirdPartyId": "U3", "ECID": "44", "session": "visit/3", "cluster": 28},
        {"thirdPartyId": "U4", "ECID": "45", "session": "visit#4", "cluster": "edge.example.com"},
    ]
    report = link(rows, session_id_column="session", edge_cluster_column="cluster")
    assert report["rejected_by_reason"] == {
        "duplicate_session_id": 1,
        "invalid_session_id": 1,
        "invalid_edge_cluster": 1,
    }
    first, second = deliveries(sandbox)
    assert (session(first), json.loads(first.body)["id"]["marketingCloudVisitorId"]) == ("visit#1", "41")
    assert len(session(second)) == 32
    assert sandbox.profile("U1") == {}
    assert [sandbox.profile(name) for name in ("U2", "U3", "U4")] == [None, None, None]


def test_sessions_of_visits_never_hold_two_people(sandbox, link):
    rows = [{"thirdPartyId": f"U{number}", "s": f"s{number // 2}"} for number in range(200)]
    report = link(rows, session_id_column="s", max_concurrent_calls=20)
    assert (report["rows_linked"], report["rejected_by_reason"]) == (100, {"duplicate_session_id": 100})
    assert {session(call) for call in deliveries(sandbox)} == {f"s{number}" for number in range(100)}
    assert warnings(sandbox) == []


def test_the_first_call_goes_to_the_edge_cluster_and_the_next_to_the_client_host(sandbox, link, monkeypatch):
    """A proxy that allows the client host only records the hosts."""
    hosts = []

    def serve(listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                hosts.append(connection.recv(4096).split()[1].decode())
                status = b"403 Forbidden" if hosts[-1].startswith("mboxedge") else b"407 Proxy Authentication Required"
                connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        connection = {"conn_type": "adobe_target", "login": "acme", "extra": {"proxies": {"https": proxy}}}
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))
        with pytest.raises((AirflowFailException, AdobeTargetUnavailableError)):
            link([{"thirdPartyId": "U1", "cluster": 28}], edge_cluster_column="cluster")
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    assert hosts[:2] == ["mboxedge28.tt.omtrdc.net:443", "acme.tt.omtrdc.net:443"]
    assert set(hosts[1:]) == {"acme.tt.omtrdc.net:443"}
