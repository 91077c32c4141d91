"""Many single updates, against the sandbox over real sockets; only waiting takes no time."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from datetime import datetime, timezone
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.derived_attributes import DerivedAttributes
from airflow_provider_adobe_target.exceptions import AdobeTargetUnavailableError, SourceReadError
from airflow_provider_adobe_target.operators.adobe_target import SingleProfileUpdateOperator
from airflow_provider_adobe_target.sandbox import Answer, Sandbox
from airflow_provider_adobe_target.version_compat import AirflowFailException, AirflowSensorTimeout
from support.reports import NO_LEDGER

TI = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)


class QuickClock(clocks.SystemClock):
    """The system's clock, on which waiting takes no time."""

    def __init__(self):
        self._lock = threading.Lock()
        self.waited = 0.0

    def now(self):
        return super().now() + self.waited

    def monotonic(self):
        return super().monotonic() + self.waited

    def sleep(self, seconds):
        with self._lock:
            self.waited += seconds


@pytest.fixture(autouse=True)
def quick_clock(monkeypatch):
    clock = QuickClock()
    monkeypatch.setattr(clocks, "SYSTEM", clock)
    return clock


@pytest.fixture(scope="module")
def server():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server, monkeypatch):
    server.reset(token="t0ken-of-the-tests")
    for route in ("single", "fetch"):
        server.script(route)
    connection = {"conn_type": "adobe_target", "login": "acme", "host": server.url, "password": "t0ken-of-the-tests"}
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))
    return server


def known(sandbox, count):
    for number in range(count):
        sandbox.put_profile(f"U{number}", {"seen": "yes"})


def rows(count):
    return [{"customer": f"U{number}", "tier": "gold", "score": number} for number in range(count)]


def update(**arguments):
    arguments = {"updates_per_second": 1_000, "id_column": "customer", **arguments}
    return SingleProfileUpdateOperator(task_id="update", **arguments).execute({"ti": TI})


def test_rows_become_updates_and_the_counts_add_up(sandbox, tmp_path):
    known(sandbox, 60)
    data = [
        *rows(62),
        {"customer": None, "tier": "gold"},
        {"customer": "U1", "tier": "again"},
        {"customer": "U99", "tier": None},
        {"customer": "a/b", "tier": "gold"},
        {"customer": "U98", "tier": "x" * 6_000},
    ]
    report = update(data=data, if_not_found="skip", rejects_path=str(tmp_path))

    assert report == {
        "client_code": "acme",
        "id_type": "thirdPartyId",
        "dry_run": False,
        "outcome": "partial",
        "rows_read": 67,
        "rows_sent": 60,
        "rows_rejected": 6,
        "rows_empty": 1,
        **NO_LEDGER,
        "values_replaced": 0,
        "rejected_by_reason": {
            "missing_id": 1,
            "id_forbidden_character": 1,
            "value_too_long": 1,
            "duplicate_id": 1,
            "profile_not_found": 2,
        },
        "rejects_path": report["rejects_path"],
    }
    rejects = pq.read_table(report["rejects_path"].removeprefix("file://")).to_pylist()
    missing = [row for row in rejects if row["reject_reason"] == "profile_not_found"]
    assert sorted((row["row_number"], row["customer"], row["tier"]) for row in missing) == [
        (60, "U60", "gold"),
        (61, "U61", "gold"),
    ]
    assert all(sandbox.profile(f"U{n}") == {"seen": "yes", "tier": "gold", "score": str(n)} for n in range(60))


@pytest.mark.parametrize(
    ("looks", "faulty"), [("skip", ("fetch", "single")), ("send", ("single",))], ids=["looked up", "sent at once"]
)
def test_no_update_is_lost_though_one_call_in_twenty_fails(sandbox, quick_clock, looks, faulty):
    count = 1_000
    known(sandbox, count)
    faults = [Answer(500), Answer.real(reset="before"), Answer(429), Answer.real(reset="after"), Answer(503)]
    for route in faulty:
        script = [Answer.real()] * 2_000
        script[7::20] = [faults[number % len(faults)] for number in range(100)]
        sandbox.script(route, *script)

    report = update(data=rows(count), if_not_found=looks)

    assert report["rows_sent"] == report["rows_read"] == count
    assert all(sandbox.profile(f"U{number}")["score"] == str(number) for number in range(count))
    answers = Counter(call.status for call in sandbox.calls if call.route == "single")
    assert answers[200] == count
    assert min(answers[status] for status in (None, 429, 500, 503)) >= 10


def test_updates_and_look_ups_keep_to_the_rate_limit(sandbox, quick_clock):
    known(sandbox, 100)
    begin = quick_clock.monotonic()
    update(data=rows(100), updates_per_second=2)
    assert quick_clock.monotonic() - begin >= 99 / 2


def test_a_day_has_no_more_updates_than_its_share(sandbox, quick_clock):
    known(sandbox, 60)
    begin = quick_clock.monotonic()
    update(data=rows(60), updates_per_day=25, if_not_found="send")
    assert quick_clock.monotonic() - begin >= 2 * 86_400


def test_missing_profiles_fail_the_task_after_all_others_were_sent(sandbox, tmp_path):
    known(sandbox, 40)
    with pytest.raises(AirflowFailException, match="no profile for 2 rows.* 40 were sent"):
        update(data=rows(42), rejects_path=str(tmp_path))
    assert sandbox.profile("U39")["tier"] == "gold"
    [file] = tmp_path.glob("*.parquet")
    assert pq.read_table(file).num_rows == 2


@pytest.mark.parametrize(("found", "warned"), [(0, True), (1, False)])
def test_skipped_rows_without_any_profile_are_a_warning(sandbox, caplog, found, warned):
    known(sandbox, found)
    report = update(data=rows(7), if_not_found="skip")
    assert report["rows_sent"] == found
    assert ("no profile for any of the 7 rows" in caplog.text) is warned


@pytest.mark.parametrize("choice", ["skip", "fail", "send"])
def test_a_404_of_a_gateway_is_no_missing_profile(sandbox, choice):
    gateway = Answer(404, '{"message": "no Route matched with those values"}', content_type="application/json")
    for route in ("fetch", "single"):
        sandbox.script(route, gateway, forever=True)
    with pytest.raises(AirflowFailException, match="refused"):
        update(data=rows(7), if_not_found=choice)


def test_a_refused_row_is_kept_and_fails_the_task_at_the_end(sandbox, tmp_path, caplog):
    known(sandbox, 30)
    sandbox.script("single", Answer.real(), Answer(400, "U1 gold"))
    with pytest.raises(AirflowFailException, match="refused 1 rows; 29 were sent"):
        update(data=rows(30), rejects_path=str(tmp_path))
    [file] = tmp_path.glob("*.parquet")
    assert pq.read_table(file)["reject_reason"].to_pylist() == ["refused_by_target"]
    assert "U1 gold" not in caplog.text


def test_a_run_of_refusals_ends_the_task_and_keeps_the_rows(sandbox, tmp_path):
    sandbox.script("single", Answer(400), forever=True)
    with pytest.raises(AirflowFailException, match="refused 10 rows, one after the other"):
        update(data=rows(1_000), if_not_found="send", max_concurrent_updates=1, rejects_path=str(tmp_path))
    assert len(sandbox.calls) == 10
    [file] = tmp_path.glob("*.parquet")
    assert pq.read_table(file)["reject_reason"].to_pylist() == ["refused_by_target"] * 10


def test_missing_profiles_interrupt_a_run_of_refusals(sandbox):
    for number in range(0, 40, 2):
        sandbox.put_profile(f"U{number}", {"seen": "yes"})
    sandbox.script("single", Answer(400), forever=True)
    with pytest.raises(AirflowFailException, match="refused 20 rows; 0 were sent"):
        update(data=rows(40), if_not_found="skip", max_concurrent_updates=1)


def test_a_refused_token_ends_the_task_at_once(sandbox):
    sandbox.settings.token = "another"
    with pytest.raises(AirflowFailException, match="token"):
        update(data=rows(1_000))
    assert len(sandbox.calls) <= 8


def test_a_target_out_of_service_is_worth_a_retry(sandbox):
    sandbox.script("single", Answer(500), forever=True)
    with pytest.raises(AdobeTargetUnavailableError):
        update(data=rows(100), if_not_found="send")


@pytest.mark.parametrize(
    ("data", "choice", "words"),
    [
        ([*rows(50), {"customer": "a/b", "tier": "x"}], {"skip_invalid_records": False}, "Row 50 cannot be sent"),
        ([*rows(50), {"customer": "a/b", "tier": "x"}], {"max_invalid_pct": 1}, "max_invalid_pct"),
        ([*rows(50), {"customer": "U1", "tier": "x"}], {"on_duplicate_id": "fail"}, "Row 50 has the same id"),
    ],
)
def test_no_call_precedes_the_check_of_all_rows(sandbox, data, choice, words):
    with pytest.raises(AirflowFailException, match=words):
        update(data=data, **choice)
    assert sandbox.calls == []


def test_nothing_is_called_where_reading_fails_halfway(sandbox):
    def batches():
        yield pa.RecordBatch.from_pylist(rows(100))
        raise OSError("the line is dead")

    reader = pa.RecordBatchReader.from_batches(pa.RecordBatch.from_pylist(rows(1)).schema, batches())
    with pytest.raises(SourceReadError, match=r"builtins.OSError|pyarrow"):
        update(data=reader, if_not_found="send")
    assert sandbox.calls == []


def test_the_last_row_of_an_id_can_be_chosen(sandbox):
    known(sandbox, 2)
    update(data=[*rows(2), {"customer": "U1", "tier": "last"}], on_duplicate_id="last")
    assert sandbox.profile("U1")["tier"] == "last"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"profile_id": "U1"}, "Give one of profile_id, data, sql and path"),
        ({"id_map": [{"id": "U0", "linked_id": "V0"}], "max_linked_ids": 0}, "max_linked_ids must be"),
        ({"path": "/tmp/x.csv"}, "Give one of profile_id, data, sql and path"),
        ({"updates_per_second": 0}, "updates_per_second must be"),
        ({"updates_per_day": 1_000_001}, "updates_per_day must be"),
        ({"max_concurrent_updates": 33}, "max_concurrent_updates must be"),
        ({"max_concurrent_updates": 1.5}, "max_concurrent_updates must be"),
    ],
)
def test_wrong_arguments_are_named_before_any_call(sandbox, arguments, words):
    with pytest.raises(AirflowFailException, match=words):
        update(**{"data": rows(1), **arguments})
    assert sandbox.calls == []


@pytest.mark.parametrize(("above", "said"), [(49, True), (50, False), (None, False)])
def test_many_rows_log_a_hint_to_use_the_bulk_upload(sandbox, caplog, above, said):
    update(data=rows(50), switch_to_bulk_above=above, dry_run=True)
    assert ("Use BulkProfileUpdateOperator" in caplog.text) is said


def test_a_dry_run_makes_no_call(sandbox):
    report = update(data=rows(50), dry_run=True)
    assert (report["rows_sent"], report["dry_run"], sandbox.calls) == (50, True, [])


def test_wait_looks_up_missing_profiles_until_they_exist(sandbox, quick_clock, monkeypatch):
    known(sandbox, 30)
    sleep = quick_clock.sleep

    def profiles_appear(seconds):
        sleep(seconds)
        if seconds == 600:
            known(sandbox, 30 + 10 * round(quick_clock.waited // 600))

    monkeypatch.setattr(quick_clock, "sleep", profiles_appear)
    report = update(data=rows(50), if_not_found="wait", poll_interval=600, timeout=3_600)
    assert (report["rows_sent"], report["rows_rejected"]) == (50, 0)
    assert sandbox.profile("U49")["tier"] == "gold"
    updates = Counter(call.query for call in sandbox.calls if call.route == "single")
    assert (len(updates), set(updates.values())) == (50, {1})


def test_wait_rejects_profiles_that_are_missing_at_the_timeout(sandbox, quick_clock, tmp_path):
    known(sandbox, 30)
    started = quick_clock.waited
    with pytest.raises(AirflowSensorTimeout, match="no profile for 20 rows at the timeout; 30 were sent"):
        update(data=rows(50), if_not_found="wait", poll_interval=600, timeout=1_500, rejects_path=str(tmp_path))
    assert 1_200 <= quick_clock.waited - started < 1_500
    [file] = tmp_path.glob("*.parquet")
    assert pq.read_table(file)["reject_reason"].to_pylist() == ["profile_not_found"] * 20


LINKS = [
    {"id": "U0", "linked_id": "V0", "linked_id_type": "thirdPartyId"},
    {"id": "U0", "linked_id": "p0.28_0", "linked_id_type": "pcId"},
    {"id": "U1", "linked_id": "U2", "linked_id_type": "thirdPartyId"},
    {"id": "U2", "linked_id": "unknown", "linked_id_type": "thirdPartyId"},
]


def test_linked_ids_are_updated_after_the_rows(sandbox):
    known(sandbox, 3)
    sandbox.put_profile("V0", {"seen": "yes"})
    sandbox.put_profile("p0.28_0", {"seen": "yes"}, "pcId")
    report = update(data=rows(3), id_map=LINKS)
    assert (report["rows_sent"], report["rows_extended"]) == (3, 2)
    assert report["links_dropped"] == {"duplicate_id": 1, "profile_not_found": 1}
    assert report["rows_rejected"] == 0
    expected = {"seen": "yes", "tier": "gold", "score": "0"}
    assert sandbox.profile("V0") == sandbox.profile("p0.28_0", "pcId") == expected
    assert sandbox.profile("U2")["score"] == "2"
    sent = [call.query for call in sandbox.calls if call.route == "single"]
    assert ["mboxPC=p0.28_0" in query for query in sent] == [False] * 4 + [True]


def test_a_dry_run_counts_linked_ids(sandbox):
    report = update(data=rows(3), id_map=LINKS, dry_run=True)
    assert (report["rows_sent"], report["rows_extended"], sandbox.calls) == (3, 3, [])


def test_columns_are_chosen_and_renamed_as_in_bulk(sandbox):
    known(sandbox, 1)
    update(data=rows(1), attributes={"tier": "loyalty.tier"})
    assert sandbox.profile("U0") == {"seen": "yes", "loyalty.tier": "gold"}


def test_no_rows_are_no_calls(sandbox):
    assert update(data=[], id_column=None, attributes=None)["rows_read"] == 0
    assert sandbox.calls == []


def test_no_id_and_no_value_is_logged(sandbox, caplog):
    caplog.set_level(logging.DEBUG)
    sandbox.put_profile("PERSON0", {})
    update(data=[{"customer": f"PERSON{n}", "tier": "GOLDEN"} for n in range(3)], if_not_found="skip")
    assert "PERSON" not in caplog.text
    assert "GOLDEN" not in caplog.text


# Derived attributes


def band(rows):
    return pc.if_else(pc.greater(rows.column("score"), 0), "high", "low")


def test_rows_get_derived_attributes_and_stamps(sandbox, tmp_path):
    known(sandbox, 2)
    began = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    operator = SingleProfileUpdateOperator(
        task_id="update",
        data=rows(3),
        id_column="customer",
        attributes=["score"],
        derived=DerivedAttributes(
            constants={"source": "crm"},
            templates={"label": "{tier}/{score}"},
            functions={"band": band},
            sent_at="sent_at",
            run_id="run",
        ),
        if_not_found="skip",
        rejects_path=str(tmp_path),
    )
    report = operator.execute({"ti": TI, "dag_run": SimpleNamespace(start_date=began)})
    assert (report["rows_sent"], report["rejected_by_reason"]) == (2, {"profile_not_found": 1})
    stamps = {"sent_at": "2026-01-02T03:04:05Z", "run": "r"}
    for number, name in ((0, "low"), (1, "high")):
        assert sandbox.profile(f"U{number}") == {
            "seen": "yes", "score": str(number), "source": "crm", "label": f"gold/{number}", "band": name, **stamps
        }  # fmt: skip
    [reject] = pq.read_table(report["rejects_path"].removeprefix("file://")).to_pylist()
    assert (reject["customer"], reject["label"], "run" in reject) == ("U2", "gold/2", False)


def test_derived_attributes_of_one_profile_are_refused():
    with pytest.raises(AirflowFailException, match="derived needs rows"):
        SingleProfileUpdateOperator(
            task_id="update", profile_id="U1", attributes={"a": 1}, derived=DerivedAttributes(constants={"b": 1})
        )
