from __future__ import annotations

import logging
import math
from datetime import timedelta

import pandas as pd
import pyarrow as pa
import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.inputs.templating import RowsArgument
from airflow_provider_adobe_target.operators.adobe_target import (
    AudienceFlagOperator,
    BulkProfileUpdateOperator,
    EdgeProfileUpdateOperator,
    IdentityLinkOperator,
    SingleProfileUpdateOperator,
)
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data
from airflow_provider_adobe_target.sensors.adobe_target import (
    BatchStatusSensor,
    ProfileLandingSensor,
    ProfileTokenSensor,
)
from airflow_provider_adobe_target.version_compat import AirflowFailException, ResolveMixin

ROWS = {
    BulkProfileUpdateOperator: {},
    AudienceFlagOperator: {"audiences": ["a"], "universe_data": []},
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


BULK = (BulkProfileUpdateOperator, AudienceFlagOperator)
UPDATES = (SingleProfileUpdateOperator, EdgeProfileUpdateOperator)
LIMITED = {
    "max_rows_per_file": (BULK, 0, 500_000, 1.5, "9", True, None),
    "max_bytes_per_file": (BULK, 0, 50_000_000),
    "max_concurrent_uploads": (BULK, 0, 11, 2.0),
    "max_linked_ids": (BULK, 0, 1_001),
    "max_invalid_pct": ((*BULK, *UPDATES), -1, 100.5, math.nan, "5"),
    "max_failed_pct": ((*BULK, IdentityLinkOperator), -0.1, 101, None),
    "max_not_found_pct": (BULK, -0.1, 101, "all"),
    "max_value_length": ((*BULK, *UPDATES, ProfileLandingSensor), 0, 1.5, "x"),
    "max_concurrent_calls": ((IdentityLinkOperator,), 0, 51, 1.5),
    "calls_per_second": ((IdentityLinkOperator,), 0, 1_001, "fast"),
    "updates_per_second": (UPDATES, 0, 1_001, None),
    "updates_per_day": (UPDATES, 0, 1_000_001),
    "max_concurrent_updates": (UPDATES, 0, 33),
    "sample_size": ((ProfileLandingSensor,), 0, 1_001, "all"),
    "min_landed_pct": ((ProfileLandingSensor,), -1, 101),
}
CHOSEN = {
    "api_version": BULK,
    "on_stuck": BULK,
    "on_status_lost": BULK,
    "id_type": (*BULK, SingleProfileUpdateOperator, ProfileLandingSensor),
    "on_duplicate_id": (*BULK, *UPDATES, ProfileLandingSensor),
    "on_risky_value": (*BULK, ProfileLandingSensor),
    "attribute_case": (*BULK, *UPDATES, ProfileLandingSensor),
    "file_format": (*ROWS, *SINGLE),
    "on_no_rows": (*ROWS, *SINGLE),
    "if_not_found": (SingleProfileUpdateOperator,),
}


@pytest.mark.parametrize("name", LIMITED)
def test_numbers_out_of_bounds_are_refused_at_construction(name):
    operators, *values = LIMITED[name]
    for operator in operators:
        for value in values:
            with pytest.raises(ProfileDataError, match=f"^{name} must be .*between") as caught:
                make(operator, data=[], **{name: value})
            assert isinstance(caught.value, AirflowFailException)  # a mapped task is constructed when it runs


@pytest.mark.parametrize("name", CHOSEN)
def test_unknown_choices_are_refused_at_construction(name):
    for operator in CHOSEN[name]:
        for value in ("other", "", True, ["v1"]):
            with pytest.raises(ProfileDataError, match=f"^{name}=.* is not one of '") as caught:
                make(operator, data=[], **{name: value})
            assert isinstance(caught.value, AirflowFailException)


@every
def test_text_for_a_boolean_is_refused_at_construction(operator):
    if operator is not ProfileLandingSensor:
        with pytest.raises(ProfileDataError, match="dry_run must be True or False, not str"):
            make(operator, data=[], dry_run="False")


def test_sensors_check_their_limits_at_construction():
    with pytest.raises(ProfileDataError, match="max_failed_pct must be between 0 and 100"):
        BatchStatusSensor(task_id="task", batches=[], max_failed_pct=101)
    with pytest.raises(ProfileDataError, match="min_days_left must be a number"):
        ProfileTokenSensor(task_id="task", min_days_left="14")


@pytest.mark.parametrize("operator", SINGLE)
@pytest.mark.parametrize("sources", [{}, {"profile_id": "a", "data": []}, {"data": [], "path": "a"}])
def test_single_updates_have_one_profile_or_one_source(operator, sources):
    with pytest.raises(ProfileDataError, match="Give one of profile_id, data, sql and path"):
        make(operator, **sources)


def test_universe_and_id_map_have_one_source():
    with pytest.raises(ProfileDataError, match="Give one of universe_data, universe_sql and universe_path"):
        AudienceFlagOperator(task_id="task", data=[], audiences=["a"])
    with pytest.raises(ProfileDataError, match="Give one of universe_data, universe_sql and universe_path"):
        make(AudienceFlagOperator, data=[], universe_path="a")
    with pytest.raises(ProfileDataError, match="attributes cannot be set"):
        make(AudienceFlagOperator, data=[], attributes=["x"])
    with pytest.raises(ProfileDataError, match="Give one of id_map, id_map_sql and id_map_path"):
        make(BulkProfileUpdateOperator, data=[], id_map=[], id_map_path="a")


def test_an_id_map_needs_rows():
    with pytest.raises(ProfileDataError, match="id_map needs rows"):
        make(SingleProfileUpdateOperator, profile_id="U1", attributes={}, id_map_path="a")
    with pytest.raises(ProfileDataError, match="has no id map"):
        make(EdgeProfileUpdateOperator, data=[], id_map_path="a")


class Output(ResolveMixin):
    def __init__(self, value):
        self.value = value

    def iter_references(self):
        return ()

    def resolve(self, context, **kwargs):
        return self.value


def test_an_upstream_output_of_none_is_left_out_and_logged(caplog):
    caplog.set_level(logging.INFO)
    rows = RowsArgument([Output(None), Output([{"thirdPartyId": "canary"}])]).resolve({})
    assert rows.value == [[{"thirdPartyId": "canary"}]]
    assert "Upstream outputs that are None are left out: 1 of 2." in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize("name", ["rejects_path", "checkpoint_path", "sql_conn_id", "adobe_target_conn_id"])
def test_paths_and_connections_are_text(name, tmp_path):
    for value in (5, True, ["a"], {"a": 1}):
        with pytest.raises(ProfileDataError, match=f"{name} must be text, not {type(value).__name__}"):
            make(BulkProfileUpdateOperator, data=[], **{name: value})
    if name.endswith("_path"):
        make(BulkProfileUpdateOperator, data=[], **{name: tmp_path})
