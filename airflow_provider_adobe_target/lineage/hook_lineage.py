"""Lineage of hook methods, which Airflow collects while a task runs."""

from __future__ import annotations

import os
from typing import Any

from airflow_provider_adobe_target.assets.adobe_target import profile_uri


def collect_upload(hook: Any, file: str | os.PathLike[str], id_type: str) -> None:
    """Collect a batch file as the input, and the profiles of the hook's account as the output.

    :param hook: Hook that uploaded the file.
    :param file: Local file.
    :param id_type: Id type of the file.
    """
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    collector: Any = get_hook_lineage_collector()  # type: ignore[no-untyped-call]
    collector.add_input_asset(context=hook, uri=f"file://{os.path.abspath(file)}")
    collector.add_output_asset(context=hook, uri=profile_uri(hook.settings.client_code.lower(), id_type))
