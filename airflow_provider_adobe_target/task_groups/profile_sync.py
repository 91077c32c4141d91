"""The task group ``profile_sync``: plan, ask, upload, verify."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException, TaskGroup

from airflow_provider_adobe_target.inputs.arguments import InvalidArgumentError
from airflow_provider_adobe_target.load.report_text import report_markdown
from airflow_provider_adobe_target.operators.bulk_profile_update import BulkProfileUpdateOperator
from airflow_provider_adobe_target.sensors.profile_landing import ProfileLandingSensor

if TYPE_CHECKING:
    from airflow_provider_adobe_target.version_compat import Context

_OF_UPLOAD_ONLY = ("rejects_path", "checkpoint_path", "outlets")
_SET_BY_GROUP = ("task_id", "dry_run", "wait_for_completion")
# The sensor has its own meaning of these:
_NOT_OF_SENSOR = ("timeout", "poke_interval")


class _PlanOperator(BulkProfileUpdateOperator):
    """A dry run that also pushes its report as Markdown to XCom."""

    def execute(self, context: Context) -> dict[str, Any]:
        report = super().execute(context)
        ti: Any = context["ti"]
        ti.xcom_push(key="markdown", value=report_markdown(report))
        return report


def profile_sync(
    group_id: str = "profile_sync",
    *,
    ask: bool | Mapping[str, Any] = False,
    sample_size: int | None = 100,
    min_landed_pct: float = 99.0,
    verify_interval: float = 30 * 60,
    verify_timeout: float = 24 * 60 * 60,
    default_args: Mapping[str, Any] | None = None,
    **arguments: Any,
) -> TaskGroup:
    """Return a task group that plans an upload, asks for approval, uploads, waits, and verifies a sample.

    The tasks are ``plan`` (a dry run), ``approve`` (if ``ask`` is set), ``upload`` (which waits for the batches) and
    ``verify``. Each of them reads the rows again.

    :param group_id: ID of the group.
    :param ask: Whether a person must approve the plan (Airflow 3.1 and later); or arguments of Airflow's
        ``ApprovalOperator``, such as ``assigned_users`` and ``response_timeout``. A rejection skips the upload.
    :param sample_size: Number of profiles to verify. None: no verification.
    :param min_landed_pct: Percentage of the sample that must have the values that were sent.
    :param verify_interval: Seconds between two verifications.
    :param verify_timeout: Seconds after which the verification fails.
    :param default_args: Default arguments of all tasks, such as ``retries``.
    :param arguments: Arguments of ``BulkProfileUpdateOperator``, except ``task_id``, ``dry_run`` and
        ``wait_for_completion``.
    :raises InvalidArgumentError: If an argument is set by the group, or approvals are not available.
    """
    given = [name for name in _SET_BY_GROUP if name in arguments]
    if given:
        raise InvalidArgumentError(f"{given[0]} is set by profile_sync. Remove it.")
    options: dict[str, Any] = {"default_args": dict(default_args or {})}
    with TaskGroup(group_id, **options) as group:
        planned = {name: value for name, value in arguments.items() if name not in _OF_UPLOAD_ONLY}
        plan = _PlanOperator(task_id="plan", dry_run=True, **planned)
        upload = BulkProfileUpdateOperator(task_id="upload", **arguments)
        if ask:
            plan >> _approval(plan, {} if ask is True else dict(ask)) >> upload
        else:
            plan >> upload
        if sample_size is not None:
            upload >> ProfileLandingSensor(
                task_id="verify",
                sample_size=sample_size,
                min_landed_pct=min_landed_pct,
                poke_interval=verify_interval,
                timeout=verify_timeout,
                **_shared(arguments),
            )
    return group


def _shared(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the upload that the sensor has too."""
    names = set(inspect.signature(ProfileLandingSensor.__init__).parameters).difference(_NOT_OF_SENSOR)
    return {name: value for name, value in arguments.items() if name in names}


def _approval(plan: _PlanOperator, arguments: dict[str, Any]) -> Any:
    try:
        from airflow.providers.standard.operators.hitl import ApprovalOperator
    except (ImportError, AirflowOptionalProviderFeatureException) as error:
        raise InvalidArgumentError(
            "ask requires Airflow 3.1 or later with apache-airflow-providers-standard. Set ask=False."
        ) from error
    report = f"ti.xcom_pull(task_ids='{plan.task_id}')"
    return ApprovalOperator(
        **{
            "task_id": "approve",
            "subject": f"Send {{{{ {report}['rows_sent'] }}}} profiles to Adobe Target?",
            "body": f"{{{{ ti.xcom_pull(task_ids='{plan.task_id}', key='markdown') }}}}",
            **arguments,
        }
    )
