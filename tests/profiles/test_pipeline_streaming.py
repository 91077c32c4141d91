"""Order of reading and checking, columns that appear late, and the use of memory and disk."""

import itertools
import logging
import tempfile
import weakref
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.profiles.sources.files import read_files
from support.pipeline import cursor_source, run_pipeline

# ------ what is known before anything is sent


@pytest.mark.parametrize(
    ("rules", "checks_all"),
    [
        ({}, False),
        ({"skip_invalid_records": False}, True),
        ({"max_invalid_pct": 100}, True),
        ({"max_invalid_pct": 0}, True),
        ({"on_duplicate_id": "fail"}, True),
        ({"on_duplicate_id": "last"}, True),
    ],
)
def test_rules_determine_whether_all_rows_are_checked_first(rules, checks_all):
    assert ProfileOptions(**rules).checks_all_rows_first is checks_all


@pytest.mark.parametrize(
    ("last_row", "rules", "message"),
    [
        ((None, "x"), {"skip_invalid_records": False}, "Row 600 cannot be sent: missing_id.*skip_invalid_records=True"),
        (("U0", "x"), {"on_duplicate_id": "fail"}, "Row 600 has the same id as an earlier row.*on_duplicate_id"),
        ((None, "x"), {"max_invalid_pct": 0.1}, "1 of 601 rows cannot be sent"),
    ],
)
def test_an_error_in_the_last_row_comes_from_listing_the_files(last_row, rules, message, tmp_path):
    rows = [(f"U{number}", "x") for number in range(600)] + [last_row]
    run = ProfilePipeline(
        cursor_source(["thirdPartyId", "v"], rows, [50]), ProfileOptions(max_rows_per_file=10, **rules), tmp_path
    )
    with pytest.raises(ProfileDataError, match=message):
        list(run.files())


def test_columns_that_are_known_are_refused_before_a_row_is_read(tmp_path):
    class Unreadable:
        schema = pa.schema([("thirdPartyId", pa.string()), ("profile.tier", pa.string())])

        def record_batches(self, columns=None):
            raise AssertionError("a row was read")

    with pytest.raises(ProfileDataError, match="profile.tier"):
        ProfilePipeline(Unreadable(), ProfileOptions(), tmp_path)


def test_only_the_columns_that_are_sent_are_read(tmp_path):
    asked = []

    class Asked:
        schema = pa.schema([("pcId", pa.string()), ("a", pa.string()), ("b", pa.string())])

        def record_batches(self, columns=None):
            asked.append(columns)
            return iter(())

    run = ProfilePipeline(Asked(), ProfileOptions(attributes=["b"]), tmp_path)
    assert list(run.files()) == []
    assert asked == [["pcId", "b"]]
    assert run.id_type == "pcId"


# ------ names that come late

GROWING = [
    ("U1", {"a": 1}),
    ("U2", None),
    ("U3", {"b": 2, "a": 3}),
    ("U4", {"c": {"d": 4}}),
    ("U1", {"a": 9}),
    ("U5", {"a": 5}),
]


def test_new_keys_of_a_cursor_begin_a_file_with_a_wider_header():
    outcome = run_pipeline(cursor_source(["thirdPartyId", "v"], GROWING, [1]))
    sent = {}
    for body in outcome.bodies:
        header, *lines = body.split("\n")
        names = header.removeprefix("batch=").split(",")
        for line in lines:
            id_, *texts = line.split(",")
            sent[id_] = {name: text for name, text in zip(names[1:], texts, strict=True) if text}
    assert sent == {
        "U1": {"v.a": "1"},
        "U3": {"v.b": "2", "v.a": "3"},
        "U4": {"v.c.d": "4"},
        "U5": {"v.a": "5"},
    }
    headers = [body.split("\n")[0] for body in outcome.bodies]
    assert headers == sorted(set(headers), key=len)
    assert all(wider.startswith(narrower) for narrower, wider in itertools.pairwise(headers))
    assert outcome.reject_reasons == [(4, "duplicate_id")]
    assert outcome.empty == 1


@pytest.mark.parametrize("kept", ["first", "last"])
def test_a_duplicate_of_fewer_columns_is_kept_under_its_own(kept):
    rows = [("U1", {"a": 1}), ("U1", {"a": 2}), ("U2", {"a": 3, "b": 4})]
    outcome = run_pipeline(cursor_source(["thirdPartyId", "v"], rows, [1]), on_duplicate_id=kept)
    [reject] = outcome.rejects
    assert (reject["thirdPartyId"], reject["v.a"]) == ("U1", "2" if kept == "first" else "1")


def test_sources_that_can_be_read_twice_need_one_header_only(tmp_path):
    (tmp_path / "rows.ndjson").write_text('{"thirdPartyId": "U1", "a": 1}\n{"thirdPartyId": "U2", "b": {"c": 2}}\n')
    body = "batch=thirdPartyId,a,b.c\nU1,1,\nU2,,2"
    assert run_pipeline(read_files([tmp_path / "rows.ndjson"])).bodies == [body]
    assert run_pipeline([{"thirdPartyId": "U1", "a": 1}, {"thirdPartyId": "U2", "b": {"c": 2}}]).bodies == [body]


@pytest.mark.parametrize("source", ["cursor", "list"])
def test_an_invalid_name_in_a_later_batch_ends_the_run(source):
    rows = [("U1", {"a": 1}), ("U2", {"größe": 2})]
    data = (
        cursor_source(["thirdPartyId", "v"], rows, [1])
        if source == "cursor"
        else [{"thirdPartyId": i, "v": v} for i, v in rows]
    )
    with pytest.raises(ProfileDataError, match=r"'v\.größe' cannot be the attribute"):
        run_pipeline(data)


def test_names_that_differ_only_by_case_get_one_warning_a_run(caplog):
    rows = [("U1", "a", 1, None), ("U2", 1, "b", 1.5), ("U3", 1.5, None, "x")]
    with caplog.at_level(logging.WARNING):
        run_pipeline(cursor_source(["thirdPartyId", "tier", "Tier", "score"], rows, [1]))
    assert [record.getMessage() for record in caplog.records] == [
        "Attributes that differ only by case are different to Adobe Target: tier, Tier"
    ]


# ------ memory and disk


class CountedBatches:
    """Batches whose memory is watched: how many are alive at once."""

    schema = pa.schema([("thirdPartyId", pa.string()), ("v", pa.string())])

    def __init__(self, batches, rows, distinct):
        self._batches, self._rows, self._distinct = batches, rows, distinct
        self._memory = []
        self.most_alive = 0

    def record_batches(self, columns=None):
        for batch in range(self._batches):
            start = batch * self._rows % self._distinct
            ids = self._watched([f"customer-{start + row:09d}" for row in range(self._rows)])
            texts = self._watched(["text, with a comma"] * self._rows)
            yield pa.record_batch([ids, texts], schema=self.schema)
            del ids, texts
            self.most_alive = max(self.most_alive, sum(memory() is not None for memory in self._memory))

    def _watched(self, texts):
        _, offsets, data = pa.array(texts).buffers()
        memory = np.frombuffer(data, np.uint8).copy()
        self._memory.append(weakref.ref(memory))
        return pa.StringArray.from_buffers(len(texts), offsets, pa.py_buffer(memory))


@pytest.mark.parametrize("kept", ["first", "last"])
@pytest.mark.parametrize("distinct", [200_000, 10_000], ids=["no duplicates", "nearly all duplicates"])
def test_no_more_than_a_few_batches_are_alive_at_once(kept, distinct, tmp_path):
    source = CountedBatches(200, 1_000, distinct)
    run = ProfilePipeline(
        source, ProfileOptions(max_rows_per_file=30_000, on_duplicate_id=kept), tmp_path, keep_rejects=True
    )
    for file in run.files():
        file.path.unlink()
    assert run.rows_sent == distinct
    assert source.most_alive <= 2 * 2  # two columns of two batches


def test_an_abandoned_run_closes_the_cursor():
    closed = []

    class Source:
        schema = None

        def record_batches(self, columns=None):
            try:
                for number in itertools.count():
                    yield pa.record_batch({"thirdPartyId": [f"U{number}"], "v": ["x"]})
            finally:
                closed.append(True)

    with tempfile.TemporaryDirectory() as folder:
        files = ProfilePipeline(Source(), ProfileOptions(max_rows_per_file=2), Path(folder)).files()
        next(files)
        files.close()
    assert closed == [True]


def test_the_key_of_a_statement_is_known_with_its_first_rows(tmp_path):
    run = ProfilePipeline(cursor_source(["pcId", "v"], [("1.2", "x")]), ProfileOptions(), tmp_path)
    assert run.id_type == "thirdPartyId"
    assert next(run.files()).path.read_text().startswith("batch=pcId,v\n")
    assert run.id_type == "pcId"


def test_rows_that_are_only_counted_leave_nothing_on_disk(tmp_path):
    run = ProfilePipeline(read_data([{"thirdPartyId": None, "v": 1}]), ProfileOptions(), tmp_path)
    assert list(run.files()) == []
    assert run.rows_rejected == 1
    assert not (tmp_path / "rejects").exists()
