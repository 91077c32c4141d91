from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_adobe_target.decorators.adobe_target import bulk_profile_update_task
from airflow_provider_adobe_target.inputs.arguments import InvalidArgumentError


@pytest.mark.parametrize("name", ["data", "sql", "path"])
def test_a_source_beside_the_function_is_refused(name):
    @bulk_profile_update_task(**{name: "x"})
    def rows():
        return []

    with DAG("sources", schedule=None), pytest.raises(InvalidArgumentError, match=f"does not accept {name}: "):
        rows()


def test_a_wrong_argument_of_the_operator_is_refused_in_the_dag_file():
    @bulk_profile_update_task(max_rows_per_file=0)
    def rows():
        return []

    with DAG("bounds", schedule=None), pytest.raises(InvalidArgumentError, match="max_rows_per_file"):
        rows()


def test_arguments_of_the_function_are_hidden_unless_they_are_plain_values():
    @bulk_profile_update_task
    def rows(day, ids):
        return []

    with DAG("hiding", schedule=None):
        operator = rows("{{ ds }}", ids=["a"]).operator
    assert operator.op_args == ["{{ ds }}"]
    assert str(operator.op_kwargs) == "{'ids': <hidden>}"


def test_mapping_over_a_dict_is_refused():
    @bulk_profile_update_task
    def rows(ids):
        return []

    with DAG("mapping", schedule=None), pytest.raises(InvalidArgumentError, match="ids cannot be expanded over a dict"):
        rows.expand(ids={"a": 1})
