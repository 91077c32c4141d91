"""Updating profiles by way of Experience Platform's Edge Network."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.exceptions import ProfileDataError, TargetRefusedError
from airflow_provider_adobe_target.hooks.edge_network import EdgeNetworkHook
from airflow_provider_adobe_target.inputs.arguments import check_arguments
from airflow_provider_adobe_target.load.row_updates import RowUpdates, UpdateRate
from airflow_provider_adobe_target.operators.single_profile_update import SingleProfileUpdateOperator
from airflow_provider_adobe_target.version_compat import mask_secret

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.transports import RequestsTransport
    from airflow_provider_adobe_target.concurrency.clock import Clock
    from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
    from airflow_provider_adobe_target.profiles.profile_updates import ProfileUpdate

_MAX_VALUE_LENGTH = 256


class EdgeProfileUpdateOperator(SingleProfileUpdateOperator):
    """Send attributes of one visitor, or of many one by one, to a datastream, which hands them on to Adobe Target.

    Each event has one identity, the primary one. That it was taken does not mean that Adobe Target has written it.
    Everything but what follows is as in ``SingleProfileUpdateOperator``, without a look at the profile before:
    ``id_type``, ``if_not_found``, ``deferrable``, ``poll_interval`` and ``timeout`` are not for this operator.

    :param namespace: of the ids: ``ECID``, or the one that the datastream hands to Adobe Target as third-party id;
        namespaces are case-sensitive (templated)
    :param authenticated: whether to call with an access token; default: where the connection has an OAuth credential
    :param max_value_length: characters; a longer value is a bad one; at most the Edge Network's 256
    """

    template_fields = (*SingleProfileUpdateOperator.template_fields, "namespace")

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
        check_arguments(self)

    @cached_property
    def hook(self) -> EdgeNetworkHook:
        """The connection to the Edge Network."""
        return EdgeNetworkHook(adobe_target_conn_id=self.adobe_target_conn_id, authenticated=self.authenticated)

    def _update(self, update: ProfileUpdate) -> None:
        self.hook.interact({self.namespace: update.profile_id}, update.attributes)

    def _row_updates(self, run: ProfilePipeline, pace: UpdateRate, **choices: bool) -> RowUpdates:
        return _EdgeRowUpdates(self.hook, self.namespace, run, pace, **choices)

    def _report(self, run: ProfilePipeline, rejects_path: str | None) -> dict[str, Any]:
        return {**super()._report(run, rejects_path), "id_type": self.namespace}


class _EdgeRowUpdates(RowUpdates):
    """Send the profiles of one pipeline to a datastream.

    :param hook: tells how to call
    :param namespace: of the ids
    """

    def __init__(
        self, hook: EdgeNetworkHook, namespace: str, run: ProfilePipeline, pace: UpdateRate, **choices: bool
    ) -> None:
        super().__init__(hook.settings, run, pace, **choices)
        self._authenticated = hook.calls_authenticated
        self._namespace = namespace
        self._location_hint: str | None = None

    def _converse(self, update: ProfileUpdate, transport: RequestsTransport, clock: Clock) -> bool:
        from airflow_provider_adobe_target.client.auth.authenticator import Authenticator
        from airflow_provider_adobe_target.client.endpoints.edge_network import EdgeEvent, send_event
        from airflow_provider_adobe_target.client.transports import run

        event = EdgeEvent({self._namespace: update.profile_id}, self._namespace, update.attributes)
        flow = send_event(
            self._settings,
            clock,
            event,
            authenticated=self._authenticated,
            location_hint=self._location_hint,
            rate_limiter=self._updates,
        )
        if self._authenticated:
            flow = Authenticator(self._settings, self._calls, clock, mask_secret).with_access_token(flow)
        try:
            receipt = run(flow, transport, clock)
        except ProfileDataError as error:  # an event that is too large
            raise TargetRefusedError(str(error)) from None
        self._location_hint = receipt.location_hint or self._location_hint
        return True
