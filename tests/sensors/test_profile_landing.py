"""The landing of profiles, against the sandbox over real sockets."""

from __future__ import annotations

import json
import logging

import pytest

from airflow_provider_adobe_target.sandbox import Answer, Sandbox
from airflow_provider_adobe_target.sensors.adobe_target import ProfileLandingSensor
from airflow_provider_adobe_target.version_compat import AirflowFailException, AirflowSensorTimeout


@pytest.fixture(scope="module")
def server():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server, monkeypatch):
    server.reset(token="t0ken-of-the-tests")
    server.script("fetch")
    connection = {"conn_type": "adobe_target", "login": "acme", "host": server.url, "password": "t0ken-of-the-tests"}
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))
    return server


ROWS = [
    {"customer": f"PERSON{number}", "tier": "GOLDEN", "note": "a,b" if number % 2 else None} for number in range(10)
]


def sensor(**arguments):
    return ProfileLandingSensor(
        task_id="landed", **{"data": ROWS, "id_column": "customer", "deferrable": False, **arguments}
    )


def land(sandbox, numbers, **changes):
    for number in numbers:
        row = {**ROWS[number], **changes}
        texts = {name: text.replace(",", " ") for name, text in row.items() if name != "customer" and text is not None}
        sandbox.put_profile(row["customer"], texts)


def test_all_that_was_sent_is_there(sandbox):
    land(sandbox, range(10))
    sandbox.put_profile("PERSON3", {"more": "attributes do not matter"})
    assert sensor().poke({}).xcom_value == {"sampled": 10, "landed": 10, "not_found": 0, "different": 0}


def test_missing_profiles_and_other_values_have_not_landed(sandbox):
    land(sandbox, range(7))
    land(sandbox, [7], tier="silver")
    sandbox.put_profile("PERSON9", {"tier": "GOLDEN"})
    assert sensor().poke({}) is False
    done = sensor(min_landed_pct=70).poke({})
    assert done.xcom_value == {"sampled": 10, "landed": 7, "not_found": 1, "different": 2}


def test_only_what_had_not_landed_is_looked_up_again(sandbox):
    land(sandbox, range(9))
    landed = sensor()
    assert landed.poke({}) is False
    land(sandbox, [9])
    assert landed.poke({}).xcom_value["landed"] == 10
    assert len(sandbox.calls) == 11


def test_the_share_of_loss_that_adobe_admits_is_tolerated(sandbox):
    rows = [{"customer": f"U{number}", "tier": "gold"} for number in range(1_000)]
    drawn = sensor(data=rows)._draw()
    for update in drawn[1:]:
        sandbox.put_profile(update.profile_id, {"tier": "gold"})
    assert sensor(data=rows).poke({}).xcom_value == {"sampled": 100, "landed": 99, "not_found": 1, "different": 0}
    assert len(sandbox.calls) == 100


def test_choices_about_rows_are_those_of_the_upload(sandbox):
    rows = [{"customer": "U1", "tier": "a,b"}, {"customer": "U1", "tier": "last"}, {"customer": "U2", "tier": "c,d"}]
    sandbox.put_profile("U1", {"loyalty": "last"})
    sandbox.put_profile("U2", {"loyalty": "c d"})
    choices = {"attributes": {"tier": "loyalty"}, "on_duplicate_id": "last", "on_risky_value": "replace"}
    assert sensor(data=rows, **choices).poke({}).xcom_value["landed"] == 2


def test_target_ids_are_looked_up_as_such(sandbox):
    sandbox.put_profile("111-222.28_0", {"tier": "gold"}, "pcId")
    landed = sensor(data=[{"pcId": "111-222.28_0", "tier": "gold"}], id_column=None)
    assert landed.poke({}).xcom_value["landed"] == 1


def test_no_rows_have_landed(sandbox):
    empty = sensor(data=[], id_column=None)
    assert empty.poke({}).xcom_value == {"sampled": 0, "landed": 0, "not_found": 0, "different": 0}


def test_the_timeout_reports_counts_and_no_ids(sandbox, caplog):
    caplog.set_level(logging.DEBUG)
    land(sandbox, range(4))
    late = sensor(timeout=0, deferrable=True)
    with pytest.raises(AirflowSensorTimeout, match="'landed': 4, 'not_found': 6") as caught:
        late.execute({})
    seen = str(caught.value) + caplog.text
    assert "PERSON" not in seen
    assert "GOLDEN" not in seen


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sample_size": 0}, "sample_size must be"),
        ({"sample_size": 1_001}, "sample_size must be"),
        ({"min_landed_pct": 101}, "min_landed_pct must be"),
        ({"seed": 1.5}, "seed must be"),
        ({"id_column": "absent"}, "absent"),
    ],
)
def test_wrong_arguments_are_named_before_any_call(sandbox, arguments, words):
    with pytest.raises(AirflowFailException, match=words):
        sensor(**arguments).poke({})
    assert sandbox.calls == []


def test_a_refused_look_up_is_no_missing_profile(sandbox):
    sandbox.settings.token = "another"
    with pytest.raises(AirflowFailException, match="token"):
        sensor().poke({})
    assert len(sandbox.calls) == 1


def test_a_failed_look_up_does_not_change_the_sample(sandbox):
    land(sandbox, range(10))
    sandbox.script("fetch", Answer.real(), Answer(400))
    landed = sensor()
    with pytest.raises(AirflowFailException):
        landed.poke({})
    assert landed.poke({}).xcom_value["landed"] == 10
