"""Updating single profiles, without a file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_adobe_target.airflow_compat import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseOperator,
    conf,
)
from airflow_provider_adobe_target.exceptions import ProfileDataError, ProfileNotFoundError
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook, airflow_failures
from airflow_provider_adobe_target.operators.hidden_template import HiddenTemplate, HidingPartial, with_hidden_profile
from airflow_provider_adobe_target.target import clock as clocks
from airflow_provider_adobe_target.target.urls import room_in_update

if TYPE_CHECKING:
    from airflow_provider_adobe_target.airflow_compat import Context
    from airflow_provider_adobe_target.profiles.run import ProfileRun
    from airflow_provider_adobe_target.profiles.updates import ProfileUpdate

_NOT_FOUND = (
    "Adobe Target has no profile of this id, and a single update creates none. A profile may take up to an hour to "
    "exist; it is gone after 14 idle days, unless Adobe has set another time. "
)


class SingleProfileUpdateOperator(BaseOperator):
    """Update the profile of one visitor now, without a file. Profiles that do not exist are not created.

    Names and values are checked and written as in ``BulkProfileUpdateOperator``: nested dicts become dotted names,
    lists are joined with ``|``, nulls and empty text are left out. Nothing is called where nothing is left.

    :param profile_id: whose profile (templated; shown in Airflow as ``<hidden>``)
    :param id_type: what the id is: ``thirdPartyId`` or ``pcId``
    :param attributes: a dict of names, without ``profile.``, and values (templated; shown in Airflow as ``<hidden>``)
    :param if_not_found: what to do where Adobe Target has no such profile: ``fail``; ``skip`` the task; ``wait`` until
        it has one; ``send`` without having looked
    :param adobe_target_conn_id: the connection, of type ``adobe_target`` (templated)
    :param max_value_length: characters; a longer value ends the task before any call
    :param dry_run: do everything but the calls
    :param deferrable: wait in the triggerer
    :param poll_interval: seconds between two times of looking for the profile
    :param timeout: seconds of waiting until a missing profile ends the task with ``AirflowSensorTimeout``
    """

    template_fields: Sequence[str] = ("profile_id", "attributes", "adobe_target_conn_id")
    ui_color = "#f6e1e1"

    def __init__(
        self,
        *,
        profile_id: Any = None,
        id_type: Literal["thirdPartyId", "pcId"] | None = None,
        attributes: Mapping[str, Any] | None = None,
        if_not_found: Literal["fail", "skip", "send", "wait"] = "fail",
        adobe_target_conn_id: str = AdobeTargetHook.default_conn_name,
        max_value_length: int = 5_000,
        dry_run: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 5 * 60,
        timeout: float = 2 * 60 * 60,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.profile_id = self._hidden(profile_id)
        self.id_type = id_type
        self.attributes = self._hidden(attributes)
        self.if_not_found = if_not_found
        self.adobe_target_conn_id = adobe_target_conn_id
        self.max_value_length = max_value_length
        self.is_dry_run = dry_run  # Airflow has a method of the argument's name
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout

    @classmethod
    def partial(cls, **arguments: Any) -> HidingPartial:  # type: ignore[override]  # Airflow's is a descriptor
        """Begin a mapped task, as with every operator; a profile given here is hidden, too."""
        return HidingPartial(super().partial(**with_hidden_profile(arguments)))

    @cached_property
    def hook(self) -> AdobeTargetHook:
        """The connection to Adobe Target."""
        return AdobeTargetHook(adobe_target_conn_id=self.adobe_target_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Update the profile.

        :returns: the report: counts of rows by outcome, of which there is one
        :raises AirflowFailException: where a retry cannot help
        :raises AirflowSkipException: where there is no such profile, and ``if_not_found`` is ``skip``
        :raises AirflowSensorTimeout: where there is none at the ``timeout``, and ``if_not_found`` is ``wait``
        :raises AdobeTargetUnavailableError: where Adobe Target gives no usable answer
        """
        return self._update(clocks.SYSTEM.now() + self.timeout)

    def look_again(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on after a wait in the triggerer; returns and raises as :meth:`execute`."""
        return self._update(event["deadline"])

    def _update(self, deadline: float) -> dict[str, Any]:
        with airflow_failures():
            run, update = self._checked()
            if update and not self.is_dry_run:
                if self.if_not_found != "send":
                    self._find(update, deadline)
                self.hook.update_profile(update.profile_id, update.attributes, self._id_type)
                self.log.info("Adobe Target took an update of %s attributes.", len(update.attributes))
            return self._report(run)

    def _find(self, update: ProfileUpdate, deadline: float) -> None:
        """Look for the profile, and do what is to be done where there is none."""
        clock = clocks.SYSTEM
        while not self.hook.get_profile(update.profile_id, self._id_type, deadline=deadline):
            if self.if_not_found == "skip":
                raise AirflowSkipException(_NOT_FOUND)
            if self.if_not_found == "fail":
                raise ProfileNotFoundError(f"{_NOT_FOUND}With if_not_found='wait' the task looks again.")
            if clock.now() + self.poll_interval > deadline:
                raise AirflowSensorTimeout(f"{_NOT_FOUND}There was still none after {self.timeout:,.0f} seconds.")
            self.log.info("Adobe Target has no such profile yet; looking again in %.0f seconds.", self.poll_interval)
            if self.deferrable:
                from airflow_provider_adobe_target.triggers.adobe_target import MomentTrigger

                self.defer(
                    trigger=MomentTrigger(moment=clock.now() + self.poll_interval, deadline=deadline),
                    method_name="look_again",
                )
            clock.sleep(self.poll_interval)

    def _checked(self) -> tuple[ProfileRun, ProfileUpdate | None]:
        """Check the profile before any call, and return it, or None where nothing is left of it.

        :raises ProfileDataError: where it cannot be sent
        """
        from airflow_provider_adobe_target.profiles.run import BadRowError, ProfileRules, ProfileRun
        from airflow_provider_adobe_target.profiles.updates import cut_blocks, one_row

        if self.if_not_found not in ("fail", "skip", "send", "wait"):
            raise ProfileDataError(
                f"if_not_found={self.if_not_found!r} is not one of 'fail', 'skip', 'send' and 'wait'."
            )
        attributes = self.attributes.value
        if not isinstance(attributes, Mapping):
            raise ProfileDataError(
                f"attributes is {type(attributes).__name__}, not a dict of names and values. A template that makes a "
                "dict needs a DAG with render_template_as_native_obj=True."
            )
        id_column, rows = one_row(self.profile_id.value, attributes)
        rules = ProfileRules(
            id_column=id_column,
            id_type=self._id_type,
            skip_invalid_records=False,
            max_value_length=self.max_value_length,
        )
        with tempfile.TemporaryDirectory(prefix="adobe-target-") as folder:
            run = ProfileRun(rows, rules, Path(folder), max_update_bytes=room_in_update(self.hook.settings))
            try:
                update = next((update for block in cut_blocks(run.profiles()) for update in block.updates()), None)
            except BadRowError as error:
                raise ProfileDataError(
                    f"The profile cannot be updated: {error.reason} ({error.detail}). Adobe Target was not called."
                ) from None
        run.rows_sent = int(update is not None)
        return run, update

    @property
    def _id_type(self) -> Any:
        return self.id_type or "thirdPartyId"

    def _hidden(self, value: Any) -> HiddenTemplate:
        """Hide an argument; in a mapped task it is a template only if that was said before."""
        is_mapped = getattr(self, "_BaseOperator__from_mapped", False)
        return value if isinstance(value, HiddenTemplate) else HiddenTemplate(value, is_template=not is_mapped)

    def _report(self, run: ProfileRun) -> dict[str, Any]:
        return {
            "client_code": self.hook.settings.client_code,
            "id_type": run.key,
            "dry_run": self.is_dry_run,
            "rows_read": run.rows_read,
            "rows_sent": run.rows_sent,
            "rows_rejected": run.rows_rejected,
            "rows_empty": run.rows_empty,
            "rows_unchanged": 0,
            "rejected_by_reason": dict(run.rejects.by_reason),
            "rejects_path": None,
        }
