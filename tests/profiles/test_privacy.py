from __future__ import annotations

import hashlib
import hmac
import logging

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.privacy import PrivacyOptions, PrivacyRules
from airflow_provider_adobe_target.profiles.privacy import is_card_number
from support.pipeline import run_pipeline

CARD = "4111 1111 1111 1111"


def rules(patterns=(), salt=None, **options):
    return PrivacyRules(PrivacyOptions(**options), patterns, salt)


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


class TestHashAttributes:
    def test_the_digest_is_of_the_trimmed_lower_cased_text(self):
        rows = [{"thirdPartyId": "U1", "email": " Ann@Example.com\n"}, {"thirdPartyId": "U2", "email": "x, y"}]
        result = run_pipeline(rows, privacy_rules=rules(hash_attributes=["email"]))
        assert result.lines == [f"U1,{sha256('ann@example.com')}", f"U2,{sha256('x, y')}"]

    def test_with_a_salt_it_is_an_hmac(self):
        rows = [{"thirdPartyId": "U1", "email": "a@b.ch"}]
        result = run_pipeline(rows, privacy_rules=rules(salt="pepper", hash_attributes=["email"]))
        assert result.lines == ["U1," + hmac.new(b"pepper", b"a@b.ch", "sha256").hexdigest()]

    def test_null_and_blanks_are_not_sent(self):
        rows = [{"thirdPartyId": f"U{n}", "email": email, "n": 1} for n, email in enumerate([None, "", "  "])]
        assert run_pipeline(rows, privacy_rules=rules(hash_attributes=["email"])).lines == ["U0,,1", "U1,,1", "U2,,1"]

    def test_names_are_found_in_any_case_and_by_the_name_of_the_column(self):
        rows = [{"thirdPartyId": "U1", "EMAIL": "a@b.ch"}]
        for attributes in (None, {"EMAIL": "contact"}):
            result = run_pipeline(rows, privacy_rules=rules(hash_attributes=["email"]), attributes=attributes)
            assert result.lines == ["U1," + sha256("a@b.ch")]

    def test_numbers_are_hashed_as_their_text(self):
        result = run_pipeline([{"thirdPartyId": "U1", "n": 7}], privacy_rules=rules(hash_attributes=["n"]))
        assert result.lines == ["U1," + sha256("7")]

    def test_a_digest_is_kept_so_that_rejects_can_be_sent_again(self):
        rows = [{"thirdPartyId": "U/1", "email": "a@b.ch"}]
        [reject] = run_pipeline(rows, privacy_rules=rules(hash_attributes=["email"])).rejects
        again = [{"thirdPartyId": "U1", "email": reject["email"]}]
        assert run_pipeline(again, privacy_rules=rules(hash_attributes=["email"])).lines == ["U1," + sha256("a@b.ch")]

    def test_a_value_without_a_text_form_rejects_its_row(self):
        rows = [{"thirdPartyId": "U1", "v": float("inf")}, {"thirdPartyId": "U2", "v": 1.5}]
        assert run_pipeline(rows, privacy_rules=rules(hash_attributes=["v"])).reasons == {"unsupported_value": 1}

    def test_a_name_that_no_attribute_has_is_refused(self):
        with pytest.raises(ProfileDataError, match="hash_attributes has 'emial', which is not an attribute"):
            run_pipeline([{"thirdPartyId": "U1", "email": "a@b.ch"}], privacy_rules=rules(hash_attributes=["emial"]))

    def test_the_id_is_never_hashed(self):
        with pytest.raises(ProfileDataError, match="An id cannot be hashed here"):
            run_pipeline([{"thirdPartyId": "U1", "v": 1}], privacy_rules=rules(hash_attributes=["thirdPartyId"]))


class TestBlockAttributes:
    @pytest.mark.parametrize("blocked", [["email"], ["E*MAIL"], ["default"], ["x", "*mail*"]])
    def test_a_blocked_attribute_ends_the_task_by_name(self, blocked):
        with pytest.raises(ProfileDataError, match="'Email' must not be sent: block_attributes has "):
            run_pipeline([{"thirdPartyId": "U1", "Email": "x"}], privacy_rules=rules(block_attributes=blocked))

    def test_the_patterns_of_the_connection_apply_too(self):
        with pytest.raises(ProfileDataError, match="'phone' must not be sent"):
            run_pipeline([{"thirdPartyId": "U1", "phone": "x"}], privacy_rules=rules(["phone"]))

    def test_another_name_does_not_hide_the_column(self):
        with pytest.raises(ProfileDataError, match="'contact' must not be sent"):
            run_pipeline(
                [{"thirdPartyId": "U1", "email": "x"}],
                privacy_rules=rules(block_attributes=["email"]),
                attributes={"email": "contact"},
            )

    def test_a_hashed_attribute_may_be_sent(self):
        options = {"block_attributes": ["default"], "hash_attributes": ["email"]}
        result = run_pipeline([{"thirdPartyId": "U1", "email": "a@b.ch"}], privacy_rules=rules(**options))
        assert result.sent == 1

    def test_a_column_that_is_not_selected_is_no_matter(self):
        rows = [{"thirdPartyId": "U1", "email": "x", "tier": "gold"}]
        assert run_pipeline(rows, privacy_rules=rules(block_attributes=["email"]), attributes=["tier"]).sent == 1

    def test_a_column_of_a_later_batch_is_refused_too(self):
        rows = [{"thirdPartyId": f"U{n}", "v": 1} for n in range(20_000)]
        rows.append({"thirdPartyId": "last", "email": "x"})
        with pytest.raises(ProfileDataError, match="'email' must not be sent"):
            run_pipeline(rows, privacy_rules=rules(block_attributes=["email"]))


class TestPersonalData:
    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            ("ann@example.com", "e-mail addresses"),
            ("Ann <ann.b+c@mail.example.co.uk>", "e-mail addresses"),
            ("+41 44 668 18 00", "phone numbers"),
            ("+1-202-555-0134", "phone numbers"),
            ("0041446681800", "phone numbers"),
            ("044 668 18 00", "phone numbers"),
            (CARD, "payment card numbers"),
            ("5500005555555559", "payment card numbers"),
        ],
    )
    def test_a_warning_names_the_column_and_the_count_and_no_value(self, caplog, value, kind):
        run_pipeline([{"thirdPartyId": "U1", "note": value}, {"thirdPartyId": "U2", "note": "x"}])
        assert f"Column 'note' has {kind}: 1 of 2 values in a sample." in caplog.text
        assert value not in caplog.text

    @pytest.mark.parametrize(
        "value",
        [
            *("2026-01-31", "2026-01-31 23:59:59", "2026-01-31T23:59:59Z", "192.168.0.1", "12.345", "1234567890"),
            *("4111111111111112", "1767225600000", "1767225600000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            *("gold", "@home", "a @ b", "10 000 000", "0.1", "07", "A-2026-000123", "100-200", "U1|U2"),
        ],
    )
    def test_other_values_are_no_personal_data(self, caplog, value):
        run_pipeline([{"thirdPartyId": "U1", "note": value}])
        assert "in a sample" not in caplog.text

    def test_numbers_of_which_few_have_a_valid_check_digit_are_no_cards(self, caplog):
        rows = [{"thirdPartyId": f"U{n}", "order": str(4_000_000_000_000_000 + n * 7)} for n in range(1_000)]
        assert sum(is_card_number(row["order"]) for row in rows) > 50
        run_pipeline(rows)
        assert "payment card" not in caplog.text

    def test_fail_ends_the_task_before_the_first_file(self):
        options = rules(on_personal_data="fail")
        assert options.checks_all_rows_first
        with pytest.raises(ProfileDataError, match="Column 'note' has e-mail addresses: 1 of 1") as caught:
            run_pipeline([{"thirdPartyId": "U1", "note": "ann@example.com"}], privacy_rules=options)
        assert "ann@" not in str(caught.value)

    def test_ignore_does_not_search(self, caplog):
        run_pipeline([{"thirdPartyId": "U1", "v": "ann@example.com"}], privacy_rules=rules(on_personal_data="ignore"))
        assert "in a sample" not in caplog.text

    def test_hashed_attributes_are_not_searched(self, caplog):
        run_pipeline([{"thirdPartyId": "U1", "v": "ann@example.com"}], privacy_rules=rules(hash_attributes=["v"]))
        assert "in a sample" not in caplog.text

    def test_later_batches_are_sampled_and_the_warning_is_logged_once(self, caplog):
        ids = [f"U{n}" for n in range(60_000)]
        notes = ["x"] * 30_000 + ["a@b.ch"] * 30_000
        run_pipeline(pa.table({"thirdPartyId": ids, "note": notes}))
        assert len([r for r in caplog.records if "in a sample" in r.getMessage()]) == 1

    def test_rows_with_a_fallback_id_are_in_the_sample(self, caplog):
        rows = [
            {"third_party_id": None, "pc_id": "p1", "v": "x"},
            {"third_party_id": "U1", "pc_id": None, "v": "a@b.ch"},
        ]
        for both in (rows, [{**rows[0], "v": "a@b.ch"}, {**rows[1], "v": "x"}]):
            caplog.clear()
            run_pipeline(both, id_column="third_party_id", fallback_id_column="pc_id")
            assert "Column 'v' has e-mail addresses: 1 of " in caplog.text

    @given(st.text(max_size=60))
    def test_any_text_is_searched(self, text):
        logging.getLogger("airflow_provider_adobe_target.profiles.privacy").setLevel(logging.ERROR)
        run_pipeline([{"thirdPartyId": "U1", "note": text, "n": 1}])


@pytest.mark.parametrize(
    ("text", "valid"),
    [(CARD, True), ("378282246310005", True), ("4111111111111112", False), ("411111", False), ("", False)],
)
def test_luhn(text, valid):
    assert is_card_number(text) is valid
