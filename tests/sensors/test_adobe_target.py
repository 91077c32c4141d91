"""What the sensor says of a wrong ``batches``."""

from __future__ import annotations

import copy

import pytest

from airflow_provider_adobe_target.sensors.adobe_target import BatchStatusSensor
from airflow_provider_adobe_target.version_compat import AirflowFailException

URL = "https://mboxedge45.tt.omtrdc.net/m2/acme/profile/batchStatus?batchId=acme-1-1"


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("batches", [None, "None", "", "null", [None], {"batches": None}, {}, "{}"])
def test_an_upload_without_a_report_is_named(batches, deferrable):
    sensor = BatchStatusSensor(task_id="landed", batches=batches, deferrable=deferrable)
    with pytest.raises(AirflowFailException, match="The upload has no report.*skipped.*failed"):
        sensor.execute({})


@pytest.mark.parametrize("batches", ["upload", "acme-1-1", "/data/report.json"])
def test_text_that_is_no_status_url_names_the_argument(batches):
    with pytest.raises(AirflowFailException, match="batches is text"):
        BatchStatusSensor(task_id="landed", batches=batches, deferrable=False).execute({})


@pytest.mark.parametrize("batches", [{"rows": 1}, [{"batch_id": "acme-1-1"}], "{'rows_sent': 7}"])
def test_a_dict_that_is_no_report_names_the_argument(batches):
    with pytest.raises(AirflowFailException, match="batches has a dict without batches or status_url"):
        BatchStatusSensor(task_id="landed", batches=batches, deferrable=False).execute({})


def test_batches_without_its_name_is_named():
    with pytest.raises(TypeError, match="batches must be a keyword argument"):
        BatchStatusSensor(URL)


def test_a_sensor_can_be_copied():
    assert copy.deepcopy(BatchStatusSensor(task_id="landed", batches=URL)).batches == URL
