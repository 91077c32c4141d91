"""How many ids have a profile, asked of the sandbox."""

from __future__ import annotations

import json

import pytest

from airflow_provider_adobe_target.exceptions import BatchOutcomeError, BatchTimeoutError, ProfileDataError
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from airflow_provider_adobe_target.hooks.match_rate import MatchRate
from airflow_provider_adobe_target.sandbox import Sandbox


@pytest.fixture(scope="module")
def server():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server, monkeypatch):
    server.reset(processing_seconds=0)
    connection = {"conn_type": "adobe_target", "login": "acme", "host": server.url}
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(connection))
    return server


def probe(ids, *arguments, **options):
    return AdobeTargetHook().probe_match_rate(ids, *arguments, **{"poll_interval": 0.1, **options})


def test_known_ids_are_counted_and_no_profile_is_created(sandbox):
    for number in range(6):
        sandbox.put_profile(f"U{number}", {"tier": "gold"})
    rate = probe(f"U{number}" for number in range(8))
    assert (rate, rate.pct) == (MatchRate(asked=8, found=6, not_found=2, rejected={}), 75.0)
    assert sandbox.profile("U7") is None
    probed = sandbox.profile("U0")
    assert probed.pop("airflow_match_probe").startswith("20")
    assert probed == {"tier": "gold"}
    assert [batch.version for batch in sandbox.batches] == ["v1"]


def test_the_sample_is_looked_up_and_deterministic(sandbox):
    for _ in range(2):
        assert probe((f"U{number}" for number in range(5_000)), sample_size=50).asked == 50
    first, second = (sorted(row["thirdPartyId"] for row in batch.rows) for batch in sandbox.batches)
    assert first == second


def test_target_ids_can_be_looked_up(sandbox):
    sandbox.put_profile("111-222.28_0", {}, "pcId")
    rate = probe(["111-222.28_0", "111-333.28_0"], "pcId", attribute="probe")
    assert (rate.found, rate.not_found) == (1, 1)
    assert list(sandbox.profile("111-222.28_0", "pcId")) == ["probe"]


def test_ids_that_cannot_be_looked_up_are_counted_separately(sandbox):
    sandbox.put_profile("1", {})
    rate = probe([1, "1", None, "a/b", ""])
    assert (rate.asked, rate.found) == (1, 1)
    assert rate.rejected == {"duplicate_id": 1, "missing_id": 2, "id_forbidden_character": 1}


@pytest.mark.parametrize("ids", [[], [None]])
def test_without_an_id_no_call_is_made(sandbox, ids):
    rate = probe(ids)
    assert (rate.asked, rate.pct, sandbox.calls) == (0, None, [])


def test_an_unknown_match_rate_is_none(sandbox):
    sandbox.settings.omit_counters = ("profilesNotFound",)
    with pytest.raises(BatchOutcomeError, match="match rate is unknown"):
        probe(["U1"])
    sandbox.settings.processing_seconds = 60
    with pytest.raises(BatchTimeoutError):
        probe(["U1"], timeout=0.3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sample_size": 0}, "sample_size must be between 1 and 50,000"),
        ({"attribute": "user.x"}, "user.x"),
        ({"id_type": "ECID"}, "id_type='ECID'"),
    ],
)
def test_wrong_arguments_are_named_before_any_call(sandbox, options, words):
    with pytest.raises(ProfileDataError, match=words):
        probe(["U1"], **options)
    assert sandbox.calls == []
