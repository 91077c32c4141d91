from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.privacy import DEFAULT_PATTERNS, PrivacyOptions, PrivacyRules


def test_a_dag_file_imports_no_heavy_package_with_it():
    code = (
        "import sys, airflow_provider_adobe_target.privacy; "
        "sys.exit(bool({'pyarrow', 'numpy', 'pandas', 'airflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hash_attributes": "email"}, "hash_attributes must be a list of names"),
        ({"hash_attributes": [1]}, "hash_attributes must be a list of names"),
        ({"block_attributes": [" "]}, "block_attributes must be a list of names"),
        ({"on_personal_data": "stop"}, "on_personal_data='stop' is not one of 'warn', 'fail', 'ignore'"),
        ({"on_suspicious_id": None}, "on_suspicious_id=None is not one of 'warn', 'fail', 'ignore'"),
    ],
)
def test_invalid_options_are_refused_by_name(options, message):
    with pytest.raises(ProfileDataError, match=message):
        PrivacyOptions(**options)


def test_the_salt_is_not_shown():
    assert "hidden-word" not in repr(PrivacyRules(salt="hidden-word"))


@pytest.mark.parametrize("name", ["email", "EMAIL", "customer_email", "work_phone", "card_number", "iban", "e_mail"])
def test_the_default_patterns_name_personal_data(name):
    assert PrivacyRules(PrivacyOptions(block_attributes=["default"])).blocking_pattern(name) in DEFAULT_PATTERNS


@pytest.mark.parametrize("name", ["tier", "loyalty_card", "mailing_opt_in", "device", "score"])
def test_the_default_patterns_leave_other_names(name):
    assert PrivacyRules(patterns=["default"]).blocking_pattern(name) is None
