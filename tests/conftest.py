import uuid

import pytest
from hypothesis import HealthCheck, settings

from airflow_provider_adobe_target.target import budget, machine

settings.register_profile(
    "suite",
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def shared_folder(monkeypatch, tmp_path_factory):
    """Let each test, and what it starts, be a machine of its own."""
    folder = tmp_path_factory.getbasetemp() / f"shared-{uuid.uuid4().hex}"
    monkeypatch.setenv(machine.FOLDER_VARIABLE, str(folder))
    budget._warned.clear()
    return folder
