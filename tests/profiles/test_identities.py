"""Rows of ids: which column is which, what is refused, and what is handed out."""

import io
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.identities import IdentityOptions, IdentityPipeline
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data


@pytest.fixture
def read(tmp_path):
    """Read rows; return the run and what was handed out."""

    def read(data, **rules):
        run = IdentityPipeline(read_data(data), IdentityOptions(**rules), tmp_path, keep_rejects=True)
        identities = list(run.identities())
        assert run.rows_read == len(identities) + run.rows_rejected
        return run, identities

    return read


def rejects(run):
    file = io.BytesIO()
    run.rejects.write_parquet(file)
    return sorted(pq.read_table(file).to_pylist(), key=lambda row: row["row_number"])


def test_columns_are_found_by_the_names_that_adobe_has(read):
    _, [identity] = read([{"third_party_id": "U1", "mboxPC": "1.28_0", "marketingCloudVisitorId": "42", "tier": "a"}])
    assert identity.ids == {"thirdPartyId": "U1", "pcId": "1.28_0", "ECID": "42"}
    assert (identity.customer_ids, identity.attributes) == ({}, {})


def test_columns_attributes_and_codes_can_be_named(read):
    row = {"visitor": "42", "crm": 7, "shop": None, "tier": "a,b", "address": {"city": "Zürich"}, "score": None}
    _, [identity] = read(
        [row],
        id_columns={"visitor": "ECID"},
        customer_id_columns={"crm": "crm_data", "shop": "shop_data"},
        attributes={"tier": "level", "address": "address", "score": "score"},
    )
    assert identity.ids == {"ECID": "42"}
    assert identity.customer_ids == {"crm_data": "7"}
    assert identity.attributes == {"level": "a,b", "address.city": "Zürich"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "missing_id"),
        ({"thirdPartyId": "  ", "tntId": ""}, "missing_id"),
        ({"thirdPartyId": "a+b"}, "id_forbidden_character"),
        ({"thirdPartyId": "U" * 257}, "id_too_long"),
        ({"ECID": "4" * 129}, "id_too_long"),
        ({"tntId": "1.2.28_0"}, "id_forbidden_character"),
        ({"thirdPartyId": "U1", "ECID": "42", "crm": "C1"}, "mixed_customer_ids"),
        ({"tntId": "1", "crm": "C1"}, "missing_ecid"),
        ({"thirdPartyId": "U1", "tier": "x" * 257}, "value_too_long"),
        ({"thirdPartyId": "U1", "tier": b"x"}, "unsupported_value"),
    ],
)
def test_an_invalid_identity_is_rejected_with_its_reason(read, row, reason):
    empty = dict.fromkeys(["thirdPartyId", "tntId", "ECID", "crm", "tier"])
    good = {**empty, "thirdPartyId": "U9", "tier": "x" * 256}
    run, identities = read([{**empty, **row}, good], customer_id_columns={"crm": "crm_data"}, attributes=["tier"])
    assert [identity.ids for identity in identities] == [{"thirdPartyId": "U9"}]
    [bad] = rejects(run)
    assert (bad["row_number"], bad["reject_reason"]) == (0, reason)
    assert set(bad) == {*empty, "row_number", "reject_reason", "reject_detail"}


def test_a_row_has_at_most_50_attributes_with_a_value(read):
    names = [f"a{number}" for number in range(51)]
    full, sparse = {"thirdPartyId": "U1"}, {"thirdPartyId": "U2", "a0": None}
    run, [identity] = read([{**dict.fromkeys(names, 1), **row} for row in (full, sparse)], attributes=names)
    assert identity.ids == {"thirdPartyId": "U2"}
    assert len(identity.attributes) == 50
    assert run.rejects.by_reason == {"too_many_attributes": 1}


def test_duplicates_are_dropped_and_each_browser_is_kept(read):
    run, identities = read(
        [{"thirdPartyId": "U1", "tntId": browser} for browser in ("1.28_0", "2.28_0", "1.28_0", None)]
    )
    assert [identity.ids.get("pcId") for identity in identities] == ["1.28_0", "2.28_0", None]
    assert {identity.person for identity in identities} == {"thirdPartyId U1"}
    assert run.rejects.by_reason == {"duplicate_id": 1}


@pytest.mark.parametrize(
    ("row", "person"),
    [
        ({"thirdPartyId": "U1", "tntId": "1.28_0", "ECID": "42"}, "thirdPartyId U1"),
        ({"ECID": "42", "tntId": "1.28_0", "crm": "C1"}, "crm_data C1"),
        ({"ECID": "42", "tntId": "1.28_0"}, "ECID 42"),
        ({"tntId": "1.28_0"}, "pcId 1"),
        ({"tntId": "1"}, "pcId 1"),
    ],
)
def test_a_person_is_named_by_the_customers_id_else_by_a_browsers(read, row, person):
    columns = dict.fromkeys(["thirdPartyId", "tntId", "ECID", "crm"])
    _, [identity] = read([{**columns, **row}], customer_id_columns={"crm": "crm_data"})
    assert identity.person == person
    assert "42" not in repr(identity)


def test_without_skip_invalid_records_all_rows_are_checked_first(tmp_path):
    rows = read_data([{"thirdPartyId": "U1"}, {"thirdPartyId": "U+"}])
    run = IdentityPipeline(rows, IdentityOptions(skip_invalid_records=False), tmp_path)
    with pytest.raises(ProfileDataError, match="Row 1 cannot be sent: id_forbidden_character"):
        next(run.identities())


@pytest.mark.parametrize(
    ("data", "rules", "words"),
    [
        ([{"tier": "a"}], {}, "No id column was found"),
        ([{"thirdPartyId": "a", "mbox3rdPartyId": "b"}], {}, "could each be the thirdPartyId"),
        ([{"a": "1"}], {"id_columns": {"b": "ECID"}}, "no column 'b'"),
        ([{"a": "1"}], {"id_columns": {"a": "email"}}, "'email'"),
        ([{"thirdPartyId": "1", "c": "1"}], {"customer_id_columns": {"c": "crm"}}, "needs a column of ECIDs"),
        ([{"ECID": "1", "c": "1"}], {"customer_id_columns": {"c": ""}}, "integration code"),
        ([{"ECID": "1", "c": "1", "d": "1"}], {"customer_id_columns": {"c": "x", "d": "x"}}, "a duplicate code"),
        ([{"ECID": "1"}], {"customer_id_columns": {"ECID": "x"}}, "needs a column of ECIDs"),
        ([{"ECID": "1", "profile.a": 1}], {"attributes": ["profile.a"]}, "adds 'profile.' itself"),
        (pd.DataFrame({"ECID": [1.0, None]}), {}, "became double"),
    ],
)
def test_columns_that_cannot_be_ids_end_the_task_with_a_hint(read, data, rules, words):
    with pytest.raises(ProfileDataError, match=words):
        read(data, **rules)


ROWS_OF_SEVERAL_BROWSERS = [
    {"thirdPartyId": "U1", "ECID": "1"},
    {"thirdPartyId": "U1", "ECID": "2"},
    {"thirdPartyId": "U2", "ECID": "2"},
    {"tntId": "9.28_0"},
    {"thirdPartyId": "U3", "tntId": "9.28_1"},
    {"ECID": "5", "crm": "C1"},
    {"ECID": "6", "crm": "C1"},
    {"ECID": "7", "tntId": None},
    {"ECID": "8"},
]


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
@pytest.mark.parametrize("knows_schema", [True, False])
def test_no_id_is_twice_in_a_round_and_every_row_is_in_one(tmp_path, batch_rows, knows_schema):
    columns = dict.fromkeys(["thirdPartyId", "tntId", "ECID", "crm"])
    table = pa.Table.from_pylist([{**columns, **row} for row in ROWS_OF_SEVERAL_BROWSERS])
    batches = table.to_batches(max_chunksize=batch_rows)
    rows = SimpleNamespace(
        schema=table.schema if knows_schema else None, record_batches=lambda columns=None: iter(batches)
    )
    pipeline = IdentityPipeline(rows, IdentityOptions(customer_id_columns={"crm": "crm_data"}), tmp_path)
    rounds = [list(identities) for identities in pipeline.rounds()]
    assert len(rounds) > 1
    for identities in rounds:
        ids = [item for identity in identities for item in {**identity.ids, **identity.customer_ids}.items()]
        told = [(kind, id_.partition(".")[0]) for kind, id_ in ids]
        assert len(told) == len(set(told))
    together = [identity.together for identities in rounds for identity in identities]
    assert len(together) == len(set(together)) == len(ROWS_OF_SEVERAL_BROWSERS)


# The session and the edge cluster of a visit


def test_rows_may_name_session_and_edge_cluster_of_their_visit(read):
    rows = [
        {"thirdPartyId": "U1", "session": "10abf630#1555632114", "cluster": 35},
        {"thirdPartyId": "U2", "session": None, "cluster": "007"},
        {"thirdPartyId": "U3", "session": "", "cluster": None},
    ]
    run, identities = read(rows, session_id_column="SESSION", edge_cluster_column="cluster")
    assert [(identity.session_id, identity.edge_cluster) for identity in identities] == [
        ("10abf630#1555632114", "35"),
        (None, "007"),
        (None, None),
    ]
    assert run.rows_rejected == 0
    assert "10abf630" not in repr(identities)


@pytest.mark.parametrize("session", ["a b", "a?b", "a{b", "a}b", "a/b", "a" * 129, "ä", "a\n", b"a"])
def test_a_session_id_that_adobe_does_not_allow_is_rejected(read, session):
    run, [identity] = read(
        [{"thirdPartyId": "U1", "s": session}, {"thirdPartyId": "U2", "s": None}], session_id_column="s"
    )
    assert identity.ids == {"thirdPartyId": "U2"}
    [reject] = rejects(run)
    assert (reject["thirdPartyId"], reject["reject_reason"]) == ("U1", "invalid_session_id")
    assert "s" in reject


@pytest.mark.parametrize("cluster", ["evil.example.com", "28.example", "28_0", "-1", "2 8", "1234", "٣", "28\n"])
def test_an_edge_cluster_has_digits_only(read, cluster):
    run, identities = read([{"thirdPartyId": "U1", "c": cluster}], edge_cluster_column="c")
    assert [row["reject_reason"] for row in rejects(run)] == ["invalid_edge_cluster"]
    assert identities == []


def test_a_session_belongs_to_the_first_of_its_rows(read):
    rows = [{"thirdPartyId": f"U{number}", "s": f"s{number % 3}"} for number in range(5)]
    run, identities = read(rows, session_id_column="s")
    assert [identity.ids["thirdPartyId"] for identity in identities] == ["U0", "U1", "U2"]
    assert run.rejects.by_reason == {"duplicate_session_id": 2}
    assert [(row["thirdPartyId"], row["s"]) for row in rejects(run)] == [("U3", "s0"), ("U4", "s1")]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"session_id_column": "none"}, "session_id_column"),
        ({"edge_cluster_column": "none"}, "edge_cluster_column"),
        ({"session_id_column": "s", "edge_cluster_column": "s"}, "different columns"),
        ({"session_id_column": "thirdPartyId"}, "'thirdPartyId' has ids"),
    ],
)
def test_a_column_of_a_visit_must_be_one_and_no_id(read, rules, words):
    with pytest.raises(ProfileDataError, match=words):
        read([{"thirdPartyId": "U1", "s": "1"}], **rules)
