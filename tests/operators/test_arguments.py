from __future__ import annotations

import math
from datetime import timedelta

import pandas as pd
import pyarrow as pa
import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.operators.adobe_target import (
    AudienceFlagOperator,
    BulkProfileUpdateOperator,
    EdgeProfileUpdateOperator,
    IdentityLinkOperator,
    SingleProfileUpdateOperator,
)
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.sensors.adobe_target import ProfileLandingSensor

ROWS = {
    BulkProfileUpdateOperator: {},
    AudienceFlagOperator: {"audiences": ["a"]},
    IdentityLinkOperator: {},
    ProfileLandingSensor: {},
}
SINGLE = {SingleProfileUpdateOperator: {}, EdgeProfileUpdateOperator: {}}
WAITING = [BulkProfileUpdateOperator, AudienceFlagOperator, SingleProfileUpdateOperator]
every = pytest.mark.parametrize("operator", [*ROWS, *SINGLE])


def make(operator, **arguments):
    return operator(task_id="task", **{**ROWS, **SINGLE}[operator], **arguments)


@pytest.mark.parametrize("operator", WAITING)
@pytest.mark.parametrize("name", ["timeout", "poll_interval"])
def test_durations_are_seconds_or_a_timedelta_and_nothing_else(operator, name):
    for value, seconds in ((90, 90), (0.5, 0.5), (timedelta(minutes=2), 120)):
        assert getattr(make(operator, data=[], **{name: value}), name) == seconds
    for value in ("3600", None, 0, -5, True, math.nan, math.inf, timedelta(0), timedelta(-1), [60]):
        with pytest.raises(ProfileDataError, match=f"{name}=.*seconds above 0"):
            make(operator, data=[], **{name: value})


@every
@pytest.mark.parametrize("sql", [["SELECT 1"], ("SELECT 1",), b"SELECT 1", {"q": "SELECT 1"}, 1])
def test_a_statement_that_is_not_text_is_refused_by_name(operator, sql):
    with pytest.raises(ProfileDataError, match=f"sql is {type(sql).__name__}"):
        make(operator, sql=sql, sql_conn_id="warehouse")


@pytest.mark.parametrize("operator", ROWS)
@pytest.mark.parametrize(
    "sources", [{}, {"data": [], "sql": "SELECT 1"}, {"sql": "SELECT 1", "path": "a.csv"}, {"data": [], "path": "a"}]
)
def test_exactly_one_source_is_given_when_the_dag_is_parsed(operator, sources):
    with pytest.raises(ProfileDataError, match="Give one of data, sql and path"):
        make(operator, **sources)


@every
def test_rows_expanded_over_a_dict_are_refused(operator):
    with pytest.raises(ProfileDataError, match="data cannot be expanded over a dict"):
        operator.partial(task_id="task", **{**ROWS, **SINGLE}[operator]).expand(data={"k": [{"pcId": "x"}]})


def test_outputs_of_several_tasks_are_one_source():
    a, b, c = ({"thirdPartyId": name, name: 1} for name in "abc")
    frame, table = pd.DataFrame([b]), pa.Table.from_pylist([c])
    for data in ([[a], [b, c]], [a, [b], c], [a, frame, table], [[[a], [b]], (c,)], ([a, b], [c])):
        rows = read_data(data)
        assert rows.schema.names == ["thirdPartyId", "a", "b", "c"]
        ids = [row["thirdPartyId"] for batch in rows.record_batches() for row in batch.to_pylist()]
        assert ids == ["a", "b", "c"]
