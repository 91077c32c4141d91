"""Prepare one profile for a single update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.concurrency.temp_folder import TempFolder
from airflow_provider_adobe_target.exceptions import ProfileDataError

if TYPE_CHECKING:
    from airflow_provider_adobe_target.profiles.attribute_statistics import AttributeStatistics
    from airflow_provider_adobe_target.profiles.options import ProfileOptions
    from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
    from airflow_provider_adobe_target.profiles.profile_updates import ProfileUpdate


def prepare_update(
    profile_id: Any,
    attributes: Any,
    options: ProfileOptions,
    *,
    max_update_bytes: int,
    statistics: AttributeStatistics | None = None,
) -> tuple[ProfilePipeline, ProfileUpdate | None]:
    """Check and convert one profile, with the same rules as for rows.

    :param profile_id: Id of the profile.
    :param attributes: Names, without ``profile.``, and values.
    :param options: Options of the profile pipeline. Those for columns and for invalid rows are replaced.
    :param max_update_bytes: Maximum size of the percent-encoded id and attributes.
    :param statistics: Counts the values of each attribute.
    :return: Pipeline with the counts, and the update. The update is None if no attribute has a value.
    :raises ProfileDataError: If the profile cannot be sent.
    """
    from airflow_provider_adobe_target.profiles.attribute_names import id_type_of
    from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
    from airflow_provider_adobe_target.profiles.profile_updates import cut_blocks, one_row
    from airflow_provider_adobe_target.profiles.rejects import BadRowError

    _check_types(profile_id, attributes)
    id_column, rows = one_row(profile_id, attributes)
    # Without a list, the pipeline would not send an attribute that has the name of an id column.
    names = list(attributes) if any(id_type_of(str(name)) for name in attributes) else None
    options = replace(options, id_column=id_column, attributes=names, skip_invalid_records=False)
    with TempFolder() as folder:
        pipeline = ProfilePipeline(rows, options, folder, max_update_bytes=max_update_bytes, statistics=statistics)
        try:
            update = next((update for block in cut_blocks(pipeline.profiles()) for update in block.updates()), None)
        except BadRowError as error:
            raise ProfileDataError(
                f"The profile cannot be updated: {error.reason} ({error.detail}). Adobe Target was not called."
            ) from None
    pipeline.rows_sent = int(update is not None)
    return pipeline, update


def _check_types(profile_id: Any, attributes: Any) -> None:
    if not isinstance(attributes, Mapping):
        raise ProfileDataError(
            f"attributes is {type(attributes).__name__}, not a dict of names and values. A template must be one "
            "expression whose value is a dict, such as {{ params.attributes }}."
        )
    if profile_id is not None and (isinstance(profile_id, bool) or not isinstance(profile_id, (str, Integral))):
        raise ProfileDataError(
            f"profile_id is {type(profile_id).__name__}, not text or a whole number. Pass the id as text."
        )
