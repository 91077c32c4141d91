"""Map this provider's errors to the exceptions that Airflow handles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_adobe_target.exceptions import (
    AdobeTargetError,
    AdobeTargetUnavailableError,
    BatchTimeoutError,
    EmptySourceError,
    SourceReadError,
)
from airflow_provider_adobe_target.version_compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

_NO_FILESYSTEM = (
    "No filesystem registered for scheme ",  # Airflow 2.11, if the provider is not installed
    "Unsupported filesystem: ",  # Airflow 3, from universal-pathlib
)
_REQUIREMENTS = {  # what to install for a package or scheme that an error names
    "s3fs": "airflow-provider-adobe-target[s3]",
    "providers.amazon": "airflow-provider-adobe-target[s3]",
    "polars": "airflow-provider-adobe-target[polars]",
    "providers.sqlite": "airflow-provider-adobe-target[sqlite]",
    "redis": "airflow-provider-adobe-target[redis]",
    "starlette": "airflow-provider-adobe-target[sandbox]",
    "uvicorn": "airflow-provider-adobe-target[sandbox]",
    "scheme s3": "airflow-provider-adobe-target[s3]",
    "scheme gs": "apache-airflow-providers-google",
    "scheme abfs": "apache-airflow-providers-microsoft-azure",
    "gcsfs": "apache-airflow-providers-google",
    "adlfs": "apache-airflow-providers-microsoft-azure",
}


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate this provider's errors to Airflow's exceptions, so that permanent errors are not retried.

    The original error is not chained, so that the task log contains the message once.
    """
    try:
        yield
    except (AdobeTargetUnavailableError, SourceReadError):
        raise
    except BatchTimeoutError as error:
        raise AirflowSensorTimeout(str(error)) from None
    except EmptySourceError as error:
        raise AirflowSkipException(str(error)) from None
    except AdobeTargetError as error:
        raise AirflowFailException(str(error)) from None
    except (ImportError, ValueError) as error:
        message = _missing_package(error)
        if message is None:
            raise
        raise AirflowFailException(message) from None


def _missing_package(error: ImportError | ValueError) -> str | None:
    """Return a message with the package to install if an optional package is missing, otherwise None."""
    if isinstance(error, ImportError):
        text = f"{error.name} {error}"
    elif str(error).startswith(_NO_FILESYSTEM):
        text = str(error)
    else:
        return None
    for word, requirement in _REQUIREMENTS.items():
        if word in text:
            return f"A package is missing: pip install {requirement!r} ({word})"
    if isinstance(error, ValueError):
        return f"{error}. Correct the scheme of the path, or install the Airflow provider of this storage."
    is_hint = error.name is None  # raised by a library, such as fsspec, to say what to install
    return f"A package is missing: {error}" if is_hint else None
