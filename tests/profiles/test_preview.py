from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.preview import encode_rows, preview_profile

ROWS = [
    {"customer": "U1", "tier": "gold, old", "score": 3.0, "gone": None},
    {"customer": "U 2", "tier": "x", "score": None, "gone": None},
    {"customer": "U/3", "tier": "x", "score": 1.5, "gone": None},
]


def test_rows_become_the_lines_of_the_file():
    result = encode_rows(ROWS, id_column="customer")
    assert result.files == [["batch=thirdPartyId,tier,score,gone", "U1,gold%20old,3,", "U%202,x,,"]]
    assert result.rejected_by_reason == {"id_forbidden_character": 1}
    assert "gold" not in repr(result)


def test_options_are_those_of_the_operator():
    result = encode_rows(ROWS, id_column="customer", attributes={"tier": "level"}, max_rows_per_file=1)
    assert result.files == [["batch=thirdPartyId,level", "U1,gold%20old"], ["batch=thirdPartyId,level", "U%202,x"]]
    with pytest.raises(ProfileDataError, match="no column 'id'"):
        encode_rows(ROWS, id_column="id")


def test_one_profile_is_shown_as_it_would_be_sent():
    assert preview_profile(ROWS, "U1", id_column="customer") == {"tier": "gold old", "score": "3"}
    assert preview_profile(ROWS, "U/3", id_column="customer") is None
    assert preview_profile(ROWS, "other", id_column="customer") is None


def test_neither_airflow_nor_an_http_client_is_imported():
    code = (
        "import sys; from airflow_provider_adobe_target.profiles.preview import encode_rows; "
        "encode_rows([{'thirdPartyId': 'U1', 'v': 1}]); "
        "sys.exit(bool({'airflow', 'requests', 'httpx'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
