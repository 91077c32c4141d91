"""How the sandbox decodes the rows of a batch file, over real sockets."""

from __future__ import annotations

import pytest
from defusedxml import ElementTree

from support.sandbox_client import counts

ONE_ROW = "batch=thirdPartyId,tier\nU1,gold"


class TestBatchRows:
    def test_values_names_and_ids_are_percent_decoded_once(self, target):
        target.load("batch=thirdPartyId,city%20name\nU%20%C3%BC,w10%7Cw32%252C")
        assert target.sandbox.profile("U ü") == {"city name": "w10|w32%2C"}

    def test_a_final_newline_is_no_row(self, target):
        assert counts(target.load(ONE_ROW + "\n")) == (1, 1, 1, 0, 0)

    def test_short_rows_and_empty_cells_leave_values_as_they_are(self, target):
        target.sandbox.put_profile("U1", {"a": "old", "b": "old", "c": "old"})
        target.load("batch=thirdPartyId,a,b,c\nU1,,new")
        assert target.sandbox.profile("U1") == {"a": "old", "b": "new", "c": "old"}

    def test_a_batch_of_empty_cells_is_taken_and_skipped(self, target):
        status = target.load("batch=thirdPartyId,a,b\nU1,,\nU2")
        assert status["status"] == "complete"
        assert counts(status) == (2, 2, 0, 0, 0)
        assert target.sandbox.profile("U1") is None

    @pytest.mark.parametrize(
        "row",
        [
            "U1,gold,more",  # longer than the header
            ",gold",  # no id
            "a%2Bb,gold",
            "a%2Fb,gold",
            "a" * 257 + ",gold",
            "U1," + "x" * 65_536,  # above 64 KB
        ],
    )
    def test_an_invalid_row_fails_and_is_listed(self, target, row):
        url = target.status_url(f"batch=thirdPartyId,tier\n{row}\nU2,silver")
        for details in (True, False):
            listed = ElementTree.fromstring(target.status(url, details=details).content).findall("profile")
            assert [profile.findtext("status") for profile in listed] == ["failed"]
        assert target.sandbox.batches[0].failed == 1
        assert target.sandbox.profile("U2") == {"tier": "silver"}

    def test_a_plus_in_a_target_id_is_no_fault(self, target):
        assert counts(target.load("batch=pcId,tier\na%2Bb,gold")) == (1, 1, 1, 0, 0)

    def test_the_64_kilobytes_are_of_the_whole_profile(self, target):
        target.sandbox.put_profile("U1", {"a": "x" * 40_000})
        assert counts(target.load("batch=thirdPartyId,b\nU1," + "x" * 40_000))[-1] == 1
        assert set(target.sandbox.profile("U1")) == {"a"}

    def test_names_and_values_are_case_sensitive(self, target):
        target.load("batch=thirdPartyId,Tier,tier\nU1,GOLD,gold\nu1,x,y")
        assert target.sandbox.profile("U1") == {"Tier": "GOLD", "tier": "gold"}
        assert target.sandbox.profile("u1") == {"Tier": "x", "tier": "y"}

    def test_of_two_rows_for_one_id_the_last_wins_with_a_warning(self, target):
        target.load("batch=thirdPartyId,tier\nU1,gold\nU1,silver")
        assert target.sandbox.profile("U1") == {"tier": "silver"}
        assert target.sandbox.batches[0].repeated_ids == 1

    def test_v2_creates_unknown_profiles(self, target):
        assert counts(target.load(ONE_ROW, "v2")) == (1, 1, 1, 0, 0)
        assert target.sandbox.profile("U1") == {"tier": "gold"}

    def test_v1_does_not_create_unknown_profiles(self, target):
        target.sandbox.put_profile("U2", {})
        assert counts(target.load(ONE_ROW + "\nU2,silver", "v1")) == (2, 2, 1, 1, 0)
        assert target.sandbox.profile("U1") is None
        assert target.sandbox.profile("U2") == {"tier": "silver"}

    def test_target_ids_and_customer_ids_are_two_spaces(self, target):
        target.load("batch=pcId,tier\n1,gold")
        assert target.sandbox.profile("1") is None
        assert target.sandbox.profile("1", "pcId") == {"tier": "gold"}


class TestDecodeOrder:
    def test_splitting_first_keeps_encoded_delimiters_inside_values(self, target):
        target.sandbox.settings.decode_order = "split-then-decode"
        target.load("batch=thirdPartyId,a,b\nU1,x%2Cy,1%0A2\nU2,p%2Bq,r%26s")
        assert target.sandbox.profile("U1") == {"a": "x,y", "b": "1\n2"}
        assert target.sandbox.profile("U2") == {"a": "p+q", "b": "r&s"}

    def test_form_parsing_tears_rows_at_encoded_delimiters(self, target):
        assert counts(target.load("batch=thirdPartyId,a\nU1,x%2Cy"))[-1] == 1
        assert counts(target.load("batch=thirdPartyId,a\nU1,x%0Ay"))[0] == 2

    def test_form_parsing_loses_everything_after_a_bare_ampersand(self, target):
        assert counts(target.load("batch=thirdPartyId,a\nU1,x&y\nU2,z")) == (1, 1, 1, 0, 0)
        assert target.sandbox.profile("U1") == {"a": "x"}

    def test_form_parsing_makes_a_bare_plus_a_space(self, target):
        target.load("batch=thirdPartyId,a\nU1,x+y%2Bz%26")
        assert target.sandbox.profile("U1") == {"a": "x y+z&"}

    @pytest.mark.parametrize("order", ["decode-then-split", "split-then-decode"])
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("batch=thirdPartyId,a\nU1,50% off", "Unexpected error"),
            ("batch=thirdPartyId,a\nU1,50%2", "Unexpected error"),
            ("batch=thirdPartyId,a\nU1,x&y%zz", "Unexpected error"),
            ("batch=&thirdPartyId,a\nU1,x", "Batch is empty"),
            ("batch=thirdPartyId,a&b\nU1,x", "Batch is empty"),
        ],
    )
    def test_an_unusable_form_is_refused_in_both_orders(self, target, read_fields, order, body, message):
        target.sandbox.settings.decode_order = order
        answer = target.submit(body)
        assert answer.status_code == 200
        assert read_fields(answer) == {"success": "false", "batchStatus": "", "message": message}
        assert not target.sandbox.batches

    @pytest.mark.parametrize(("order", "rows"), [("decode-then-split", 3), ("split-then-decode", 2)])
    def test_a_file_without_profiles_is_counted_in_the_same_order(self, target, order, rows):
        target.sandbox.settings.keep_profiles = False
        target.sandbox.settings.decode_order = order
        body = "batch=thirdPartyId,a\nU1,x\nU2,y" + ("%0aU3%2Cz" if rows == 3 else "%0A") + "\n"
        assert counts(target.load(body))[0] == rows
