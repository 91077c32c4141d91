"""Map this provider's errors to the exceptions that Airflow handles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_adobe_target.exceptions import (
    AdobeTargetError,
    AdobeTargetUnavailableError,
    BatchTimeoutError,
    SourceReadError,
)
from airflow_provider_adobe_target.version_compat import AirflowFailException, AirflowSensorTimeout


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise this provider's errors as what Airflow knows: no retry where none can help."""
    try:
        yield
    except (AdobeTargetUnavailableError, SourceReadError):
        raise
    except BatchTimeoutError as error:
        raise AirflowSensorTimeout(str(error)) from error
    except AdobeTargetError as error:
        raise AirflowFailException(str(error)) from error
