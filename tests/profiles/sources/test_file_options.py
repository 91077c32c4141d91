from __future__ import annotations

import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.file_options import FileOptions


@pytest.mark.parametrize("value", ["CSV", "json", "", 1, ".parquet", ["csv"]])
def test_another_format_is_refused_with_the_choices(value):
    with pytest.raises(ProfileDataError, match="'parquet', 'csv', 'ndjson'"):
        FileOptions.checked(value, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (";", "csv_options is str, not a dict"),
        ({"sep": ";"}, "'sep'.*'delimiter' and 'encoding'"),
        ({"delimiter": ""}, "delimiter=''"),
        ({"delimiter": "||"}, "one ASCII character"),
        ({"delimiter": "§"}, "one ASCII character"),
        ({"delimiter": '"'}, "one ASCII character"),
        ({"delimiter": "\n"}, "one ASCII character"),
        ({"delimiter": None}, "one ASCII character"),
        ({"encoding": "klingon"}, "encoding='klingon'"),
        ({"encoding": "base64"}, "text encoding"),
        ({"encoding": None}, "text encoding"),
        ({"encoding": "a\0b"}, "text encoding"),
    ],
)
def test_wrong_csv_options_are_refused_with_the_choices(options, words):
    with pytest.raises(ProfileDataError, match=words):
        FileOptions.checked(None, options)


def test_right_options_are_taken():
    assert FileOptions.checked("csv", {"delimiter": "\t", "encoding": "UTF-16"}) == FileOptions("csv", "\t", "UTF-16")
    assert FileOptions.checked(None, {}) == FileOptions.checked(None, None) == FileOptions()
