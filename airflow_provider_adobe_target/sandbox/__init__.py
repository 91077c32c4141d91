"""A local stand-in for Adobe Target, to try DAGs and to run tests.

It shares no code with the client, so that an error in one is not repeated in the other.
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("starlette") is None or find_spec("uvicorn") is None:
    raise ModuleNotFoundError(
        "The sandbox requires Starlette and uvicorn: pip install 'airflow-provider-adobe-target[sandbox]'"
    )

from airflow_provider_adobe_target.sandbox.messages import Answer
from airflow_provider_adobe_target.sandbox.server import Sandbox
from airflow_provider_adobe_target.sandbox.settings import SandboxSettings

__all__ = ["Answer", "Sandbox", "SandboxSettings"]
