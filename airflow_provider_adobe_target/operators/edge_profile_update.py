"""Operator that updates profiles through the Experience Platform Edge Network."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.hooks.edge_network import EdgeNetworkHook
from airflow_provider_adobe_target.inputs.arguments import InvalidArgumentError, check_task_arguments
from airflow_provider_adobe_target.operators.single_profile_update import SingleProfileUpdateOperator

if TYPE_CHECKING:
    from airflow_provider_adobe_target.load.edge_updates import EdgeRowUpdates
    from airflow_provider_adobe_target.load.row_updates import UpdateRate
    from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
    from airflow_provider_adobe_target.profiles.profile_updates import ProfileUpdate

_MAX_VALUE_LENGTH = 256


class EdgeProfileUpdateOperator(SingleProfileUpdateOperator):
    """Send attributes of one visitor, or of many visitors, to a datastream that forwards them to Adobe Target.

    Each event has one identity, which is the primary one. An accepted event does not confirm that Adobe Target has
    stored the attributes. All other arguments are those of ``SingleProfileUpdateOperator``. Profiles are not looked up:
    ``id_type``, ``if_not_found``, ``deferrable``, ``poll_interval`` and ``timeout`` have no effect.

    :param namespace: Namespace of the ids: ``ECID``, or the namespace that the datastream sends to Adobe Target as
        third-party id. Namespaces are case-sensitive (templated).
    :param authenticated: Whether to call with an access token. Default: whether the connection has an OAuth credential.
    :param max_value_length: Maximum number of characters of a value, at most the Edge Network's 256.
    """

    template_fields = (*SingleProfileUpdateOperator.template_fields, "namespace")

    supports_ledger = False

    def __init__(
        self,
        *,
        namespace: str = "ECID",
        authenticated: bool | None = None,
        max_value_length: int = _MAX_VALUE_LENGTH,
        **kwargs: Any,
    ) -> None:
        super().__init__(if_not_found="send", max_value_length=max_value_length, **kwargs)
        self.max_value_length = min(max_value_length, _MAX_VALUE_LENGTH)
        self.namespace = namespace
        self.authenticated = authenticated
        check_task_arguments(self)
        if self._id_map_source.is_given:
            raise InvalidArgumentError("EdgeProfileUpdateOperator has no id map. Each event has one identity.")

    @cached_property
    def hook(self) -> EdgeNetworkHook:
        """The hook of the connection to the Edge Network."""
        return EdgeNetworkHook(adobe_target_conn_id=self.adobe_target_conn_id, authenticated=self.authenticated)

    def _update(self, update: ProfileUpdate) -> None:
        self.hook.interact({self.namespace: update.profile_id}, update.attributes)

    def _row_updates(self, pipeline: ProfilePipeline, rate: UpdateRate, **options: Any) -> EdgeRowUpdates:
        from airflow_provider_adobe_target.load.edge_updates import EdgeRowUpdates

        return EdgeRowUpdates(
            self.hook.session,
            pipeline,
            rate,
            namespace=self.namespace,
            authenticated=self.hook.calls_authenticated,
            **options,
        )

    def _report(self, pipeline: ProfilePipeline, rejects_path: str | None, stage: Any = None) -> dict[str, Any]:
        return {**super()._report(pipeline, rejects_path), "id_type": self.namespace}
