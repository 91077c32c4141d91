"""``adobe-target profile``."""

from __future__ import annotations

import pytest


@pytest.fixture
def profile(call, sandbox, tmp_path):
    (tmp_path / "rows.csv").write_text("thirdPartyId,tier,city\nU 1/€,gold,Zürich\nU1,gold,Zürich\n", encoding="utf-8")
    call("send", "rows.csv", cwd=tmp_path, code=0)
    return "U1"


def test_a_profile_is_printed_with_its_attributes(call, profile):
    lines = [line.split() for line in call("profile", profile, code=0).out.splitlines()]
    assert lines[0][:2] == ["Attributes:", "2;"]
    assert [line[:2] for line in lines[1:]] == [["city", "Zürich"], ["tier", "gold"]]


def test_json_has_values_and_times(call, profile):
    result = call("profile", profile, "--json", code=0).json
    assert (result["found"], result["id_type"]) == (True, "thirdPartyId")
    assert {name: entry["value"] for name, entry in result["attributes"].items()} == {"city": "Zürich", "tier": "gold"}
    assert all(entry["modified_at"] for entry in result["attributes"].values())


def test_a_missing_profile_ends_with_exit_code_1(call, sandbox):
    assert call("profile", "unknown", code=1).out == "Adobe Target has no profile with this thirdPartyId.\n"
    result = call("profile", "1.28_0", "--id-type", "tntId", "--json", code=1).json
    assert (result["found"], result["attributes"]) == (False, {})


def test_wrong_arguments_end_with_exit_code_2(call):
    call("profile", code=2)
    call("profile", "U1", "--id-type", "email", code=2)
