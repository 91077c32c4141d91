"""Options, source, outputs and result of a bulk upload."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.argument_checks import check_arguments

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_adobe_target.client.batch import Batch
    from airflow_provider_adobe_target.client.protocol import ApiVersion
    from airflow_provider_adobe_target.profiles.attribute_statistics import AttributeStatistics
    from airflow_provider_adobe_target.profiles.id_map import IdMap
    from airflow_provider_adobe_target.profiles.rejects import Rejects
    from airflow_provider_adobe_target.profiles.sources.rows import Rows


@dataclass(frozen=True)
class UploadOptions:
    """Options of the upload. Names, meanings and defaults as in ``BulkProfileUpdateOperator``."""

    api_version: ApiVersion = "v2"
    guaranteed_upload: bool = False
    max_concurrent_uploads: int = 2
    dry_run: bool = False
    on_no_rows: str = "succeed"
    wait_for_completion: bool = True
    poll_interval: float = 60.0
    timeout: float = 24 * 60 * 60.0
    on_stuck: str = "fail"
    on_status_lost: str = "fail"

    def __post_init__(self) -> None:
        """Check the options.

        :raises ProfileDataError: If an option has an invalid value.
        """
        check_arguments(vars(self))

    @property
    def max_workers(self) -> int:
        """Number of threads that send files."""
        return 1 if self.guaranteed_upload else self.max_concurrent_uploads


@dataclass(frozen=True)
class UploadSource:
    """Where the rows come from. Each pass over the rows calls the functions again.

    :param rows: Function that returns the rows. Its argument is a private folder for spilled rows.
    :param id_map: Function that returns the id map, or None.
    :param report_fields: Function that returns further fields of the report. It is called after all rows were read.
    """

    rows: Callable[[Path], Rows]
    id_map: Callable[[], IdMap | None] = lambda: None
    report_fields: Callable[[], Mapping[str, Any]] = dict


@dataclass(frozen=True)
class UploadOutputs:
    """Where the results go while the upload runs.

    :param on_batches: Function that is called with all batches: after the files were sent, also if sending failed, and
        when the batches are final.
    :param on_report: Function that is called with the report after all files were sent.
    :param statistics: Function that returns what counts the values of each attribute, or None.
    :param on_attributes: Function that is called with the names of the attributes after the files were sent.
    :param sent_attributes: Function that returns the names of the attributes that earlier runs sent; None if they are
        unknown.
    :param rejects_path: Folder for rejected rows. None to count them only.
    :param write_rejects: Function that writes the rejected rows to the folder, and returns the path of the file.
    """

    on_batches: Callable[[Sequence[Batch]], object] = lambda batches: None
    on_report: Callable[[Mapping[str, Any]], object] = lambda report: None
    statistics: Callable[[], AttributeStatistics | None] = lambda: None
    on_attributes: Callable[[Sequence[str]], object] = lambda names: None
    sent_attributes: Callable[[], Collection[str] | None] = lambda: None
    rejects_path: str | None = None
    write_rejects: Callable[[Rejects, str], str | None] = lambda rejects, folder: None


@dataclass(frozen=True)
class UploadResult:
    """Result of sending all files.

    :param report: Report of the upload, with the batches as far as their status is known.
    :param batches: All batches, in the order of the files.
    """

    report: dict[str, Any]
    batches: list[Batch]

    @property
    def pending(self) -> list[Batch]:
        """The batches without a final status."""
        return [batch for batch in self.batches if not batch.final]
