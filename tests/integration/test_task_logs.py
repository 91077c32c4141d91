"""What a task log shows of a failure."""

from __future__ import annotations

import re
from importlib.metadata import version

IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")
DAG = """
BulkProfileUpdateOperator(task_id="no_id", data=[{"name": "a", "tier": "b"}])
BatchStatusSensor(task_id="no_batches", batches="{neither", poke_interval=0.1)
BulkProfileUpdateOperator(task_id="no_file", path="/no/such/file.csv")
"""


def test_an_expected_failure_shows_its_sentence_once(run_dag):
    run = run_dag(DAG)
    assert set(run.states.values()) == {"failed"}
    sentences = {
        "no_id": "No id column was found",
        "no_batches": "batches is text that is neither",
        "no_file": "There is no file",
    }
    for task, sentence in sentences.items():
        log = re.sub(r"\x1b\[[0-9;]*m", "", run.log(task))  # on 3.0, tracebacks are in colours
        tracebacks = log.count("Traceback (most recent call last)")
        # Airflow 2 logs a failure twice, and once more in dag.test().
        assert tracebacks == 1 or (IS_AIRFLOW_2 and tracebacks <= 3), log
        assert len(re.findall(rf"^\S*AirflowFailException: {re.escape(sentence)}", log, re.M)) == tracebacks, log
        assert "direct cause" not in log
        assert "During handling" not in log
