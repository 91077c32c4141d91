"""OpenLineage datasets and facets of operators. Import it only if the OpenLineage provider is installed."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.openlineage.facet import (
    Dataset,
    OutputDataset,
    OutputStatisticsOutputDatasetFacet,
    SchemaDatasetFacet,
    SchemaDatasetFacetFields,
)
from airflow.providers.openlineage.extractors import OperatorLineage
from attrs import define
from openlineage.client.facet_v2 import RunFacet

from airflow_provider_adobe_target.assets.adobe_target import dataset_name, profile_uri

log = logging.getLogger(__name__)

RUN_FACET = "adobeTarget"


@define
class AdobeTargetRunFacet(RunFacet):
    """Counts of one task run, without ids or values.

    :param status: ``complete``, ``partial``, ``submitted`` or ``dry_run``.
    :param rowsRead: Rows read.
    :param rowsSent: Rows sent.
    :param rowsRejected: Rows rejected.
    :param rejectedByReason: Rejected rows by reason.
    :param batches: Number of batches.
    """

    status: str
    rowsRead: int  # noqa: N815  # names of facets are in camel case
    rowsSent: int  # noqa: N815
    rowsRejected: int  # noqa: N815
    rejectedByReason: dict[str, int]  # noqa: N815
    batches: int


def operator_lineage(task: Any) -> OperatorLineage[Any, Any]:
    """Return the inputs of an operator and the profiles that it updates.

    :param task: Operator, after it ran. Without a report, only the inputs are returned.
    """
    inputs = _file_inputs(getattr(task, "path", None)) or _sql_inputs(task)
    report = task.last_report
    if report is None:
        return OperatorLineage(inputs=inputs)
    return OperatorLineage(
        inputs=inputs,
        outputs=[] if report.get("dry_run") else [_output(report, task.attribute_names)],
        run_facets={RUN_FACET: _run_facet(report)},
    )


def _output(report: Mapping[str, Any], attribute_names: Any) -> OutputDataset:
    namespace, name = dataset_name(profile_uri(report["client_code"].lower(), report.get("id_type") or "thirdPartyId"))
    size = sum(batch.get("bytes") or 0 for batch in report.get("batches") or ())
    statistics = OutputStatisticsOutputDatasetFacet(rowCount=_rows_sent(report), size=size or None)
    fields = [SchemaDatasetFacetFields(name=attribute, type="string") for attribute in attribute_names]
    return OutputDataset(
        namespace=namespace,
        name=name,
        facets={"schema": SchemaDatasetFacet(fields=fields)} if fields else {},
        outputFacets={"outputStatistics": statistics},
    )


def _run_facet(report: Mapping[str, Any]) -> AdobeTargetRunFacet:
    return AdobeTargetRunFacet(
        status=report["outcome"],
        rowsRead=report["rows_read"],
        rowsSent=_rows_sent(report),
        rowsRejected=report["rows_rejected"],
        rejectedByReason=dict(report["rejected_by_reason"]),
        batches=len(report.get("batches") or ()),
    )


def _rows_sent(report: Mapping[str, Any]) -> int:
    count: int = report.get("rows_sent", report.get("rows_linked", 0))
    return count


def _file_inputs(path: Any) -> list[Dataset]:
    """Return a dataset per path. Globs and folders are named as they are given."""
    if path is None:
        return []
    from airflow_provider_adobe_target.inputs.file_paths import path_texts

    return [_file_dataset(text) for text in path_texts(path)]


def _file_dataset(path: str) -> Dataset:
    parts = urlsplit(path)
    if parts.scheme in ("", "file"):
        return Dataset(namespace="file", name=os.path.abspath(parts.path))  # object storage has no Path
    return Dataset(namespace=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", name=parts.path.lstrip("/"))


def _sql_inputs(task: Any) -> list[Dataset]:
    """Return the tables that the statement reads, as far as the database hook supports OpenLineage."""
    sql, conn_id = getattr(task, "sql", None), getattr(task, "sql_conn_id", None)
    if not sql or not conn_id:
        return []
    from airflow.providers.openlineage.sqlparser import get_openlineage_facets_with_sql

    from airflow_provider_adobe_target.inputs.database import database_hook

    try:
        lineage = get_openlineage_facets_with_sql(database_hook(conn_id), str(sql), conn_id, None, use_connection=False)
    except Exception as error:
        log.warning("The tables of the statement are not known to OpenLineage: %s", type(error).__name__)
        return []
    return list(lineage.inputs) if lineage else []
