"""What a DAG file pays for importing this package, beside Airflow itself."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("pandas", "pyarrow", "numpy", "polars", "requests", "httpx", "defusedxml", "uvicorn", "starlette")


FROM_COMPAT = (
    "from airflow.providers.common.compat.sdk import "
    "BaseHook, BaseOperator, BaseSensorOperator, ObjectStoragePath, XComArg"
)


def loaded_by(before: str, measured: str) -> set[str]:
    """Return the top-level modules that one import loads after another."""
    lines = (
        "import json, sys",
        before,
        "before = set(sys.modules)",
        measured,
        "print(json.dumps(sorted(set(sys.modules) - before)))",
    )
    program = "\n".join(lines)
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(answer.stdout.splitlines()[-1])}


@pytest.mark.parametrize("kind", ["hooks", "operators", "sensors", "triggers"])
def test_what_a_dag_file_imports_loads_no_heavy_library(kind):
    airflow = f"import airflow.providers.common.compat.connection, airflow.triggers.base; {FROM_COMPAT}"
    ours = f"import airflow_provider_adobe_target.{kind}.adobe_target"
    assert loaded_by(airflow, ours).isdisjoint(HEAVY)


def test_provider_discovery_imports_no_airflow_and_no_heavy_library():
    ours = "from airflow_provider_adobe_target.get_provider_info import get_provider_info; get_provider_info()"
    assert loaded_by("", ours).isdisjoint({"airflow", *HEAVY})


def test_what_is_deprecated_would_end_a_dag_of_these_tests(run_dag):
    with pytest.raises(AssertionError, match="the old way"):
        run_dag("""__import__("warnings").warn("the old way", DeprecationWarning)""")
