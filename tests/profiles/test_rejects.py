import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adobe_target.profiles.rejects import Rejects
from airflow_provider_adobe_target.spill import SpillFile
from support.pipeline import cursor_source, run_pipeline


def batch(first_row, *columns):
    numbers = pa.array(range(first_row, first_row + len(columns[0])), pa.int64())
    texts = [pa.array(column, pa.string()) for column in columns]
    return pa.record_batch([numbers, *texts], [f"column {number}" for number in range(len(columns) + 1)])


def written(rejects):
    file = io.BytesIO()
    rejects.write_parquet(file)
    return pq.read_table(file)


def test_rows_are_text_under_their_sources_names(tmp_path):
    rejects = Rejects(SpillFile(tmp_path / "rejects"))
    rejects.add(["customer", "größe"], batch(5, ["a+", None], ["1.5", None]), ["x", "y"], ["p", "q"])
    table = written(rejects)
    assert table.schema.equals(
        pa.schema(
            [
                ("row_number", pa.int64()),
                ("customer", pa.string()),
                ("größe", pa.string()),
                ("reject_reason", pa.string()),
                ("reject_detail", pa.string()),
            ]
        )
    )
    assert table.to_pylist() == [
        {"row_number": 5, "customer": "a+", "größe": "1.5", "reject_reason": "x", "reject_detail": "p"},
        {"row_number": 6, "customer": None, "größe": None, "reject_reason": "y", "reject_detail": "q"},
    ]


def test_columns_may_change_from_batch_to_batch(tmp_path):
    rejects = Rejects(SpillFile(tmp_path / "rejects"))
    rejects.add(["id", "a"], batch(0, ["U1"], ["1"]), ["x"], [""])
    rejects.add(["id", "a", "b"], batch(1, ["U2"], ["2"], ["3"]), ["x"], [""])
    rejects.add(["id", "a"], batch(2, ["U3"], ["4"]), ["x"], [""])
    table = written(rejects)
    assert table.schema.names == ["row_number", "id", "a", "b", "reject_reason", "reject_detail"]
    assert table.select(["row_number", "id", "a", "b"]).to_pylist() == [
        {"row_number": 0, "id": "U1", "a": "1", "b": None},
        {"row_number": 1, "id": "U2", "a": "2", "b": "3"},
        {"row_number": 2, "id": "U3", "a": "4", "b": None},
    ]


NAMES = ["row_number", "row_number_", "reject_reason", "reject_detail", "reject_detail__", "id", "a"]


@given(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
def test_columns_with_reserved_names_get_unique_names(tmp_path_factory, names):
    rejects = Rejects(SpillFile(tmp_path_factory.mktemp("rejects") / "spool"))
    rejects.add(names, batch(0, *([name] for name in names)), ["x"], ["y"])
    [row] = written(rejects).to_pylist()
    assert (row.pop("row_number"), row.pop("reject_reason"), row.pop("reject_detail")) == (0, "x", "y")
    assert {text: name for name, text in row.items()} == {
        name: name if name in ("id", "a") else f"{name}_" for name in names
    }


def test_a_column_that_became_two_attributes_is_kept_once(tmp_path):
    outcome = run_pipeline(
        [{"thirdPartyId": "a+b", "v": {"w": 1}}],
        attributes={"thirdPartyId": "crm_id", "v": "x", "v.w": "y"},
    )
    assert outcome.rejects == [
        {
            "row_number": 0,
            "thirdPartyId": "a+b",
            "v.w": "1",
            "reject_reason": "id_forbidden_character",
            "reject_detail": "thirdPartyId: '+', '/' or a control character",
        }
    ]


def test_rejects_keep_the_column_names_of_the_source():
    source = cursor_source(["customer", "größe"], [(None, 1.5)])
    outcome = run_pipeline(source, id_column="customer", attributes={"größe": "size"})
    assert outcome.rejects == [
        {
            "row_number": 0,
            "customer": None,
            "größe": "1.5",
            "reject_reason": "missing_id",
            "reject_detail": "customer",
        }
    ]


def test_rows_are_counted_by_reason_whether_they_are_kept_or_not(tmp_path):
    for rejects in (Rejects(None), Rejects(SpillFile(tmp_path / "rejects"))):
        rejects.add(["id"], batch(0, ["U1", "U2", "U3"]), ["x", "y", "x"], ["", "", ""])
        assert rejects.by_reason == {"x": 2, "y": 1}


def test_nothing_is_written_where_nothing_was_rejected(tmp_path):
    rejects = Rejects(SpillFile(tmp_path / "rejects"))
    rejects.add(["id"], batch(0, []), [], [])
    assert not (tmp_path / "rejects").exists()
    assert not rejects.by_reason


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        (("a+b", "x"), "thirdPartyId: '+', '/' or a control character"),
        ((None, "x"), "thirdPartyId"),
        (("U1", float("inf")), "v: its type has no text form"),
        (("U1", "x" * 5_001), "v: more than 5000 characters"),
    ],
)
def test_a_detail_names_the_column_and_the_problem(row, detail):
    [reject] = run_pipeline(cursor_source(["thirdPartyId", "v"], [row])).rejects
    assert reject["reject_detail"] == detail
