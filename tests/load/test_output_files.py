from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

import pytest

from airflow_provider_adobe_target.load.output_files import task_file

TASKS = [
    ("a-b", "c", "r", -1),
    ("a", "b-c", "r", -1),
    ("a", "b", "c-r", -1),
    ("a", "b", "r", 1),
    ("a", "b", "r-1", -1),
    ("a", "b", "r:1", -1),
    ("a", "b", "r+1", -1),
    ("é", "b", "r", -1),
    ("ü", "b", "r", -1),
    ("x" * 250, "b", "r", -1),
    ("x" * 250, "c", "r", -1),
]


def file_of(task):
    dag_id, task_id, run_id, map_index = task
    ti = SimpleNamespace(dag_id=dag_id, task_id=task_id, run_id=run_id, map_index=map_index)
    return task_file("rejects", "/folder", ti)


@pytest.mark.parametrize(("one", "other"), combinations(TASKS, 2))
def test_no_two_tasks_have_one_file(one, other):
    assert file_of(one).name != file_of(other).name


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_one_file_for_all_tries_with_a_short_name(task):
    assert file_of(task).name == file_of(task).name
    assert len(file_of(task).name.encode()) <= 255
