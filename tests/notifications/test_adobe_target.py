from __future__ import annotations

import pytest

from airflow_provider_adobe_target.inputs.arguments import InvalidArgumentError
from airflow_provider_adobe_target.notifications.adobe_target import AdobeTargetNotifier


def test_an_unknown_format_is_refused():
    with pytest.raises(InvalidArgumentError, match="message_format='html' is invalid"):
        AdobeTargetNotifier(message_format="html")
