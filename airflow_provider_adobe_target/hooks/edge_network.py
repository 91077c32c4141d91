"""Hook for the Experience Platform Edge Network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook


class EdgeNetworkHook(AdobeTargetHook):
    """Send profile attributes to Adobe Target through a datastream.

    :param adobe_target_conn_id: ID of the connection, which must be of type ``adobe_target`` with a ``datastream_id``.
    :param authenticated: Whether to call with an access token, which requires an OAuth credential and ``ims_org_id``
        in the connection. Default: whether the connection has an OAuth credential.
    """

    def __init__(
        self,
        *,
        adobe_target_conn_id: str = AdobeTargetHook.default_conn_name,
        authenticated: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(adobe_target_conn_id=adobe_target_conn_id, **kwargs)
        self.authenticated = authenticated
        self._location_hint: str | None = None

    @property
    def calls_authenticated(self) -> bool:
        """Whether calls have an access token."""
        return self.settings.oauth is not None if self.authenticated is None else self.authenticated

    def authenticate(self) -> None:
        """Request the access token before the first call, if calls have one; raises as :meth:`interact`."""
        if self.calls_authenticated:
            self.session.access_token()

    def interact(
        self, identities: Mapping[str, str], attributes: Mapping[str, str], *, primary: str | None = None
    ) -> dict[str, Any]:
        """Send one event with profile attributes. Success does not confirm that Target has stored them.

        The next call of this hook uses the location hint of the response.

        :param identities: Ids of one person by namespace, such as ``{"ECID": "…"}``. All ids except the ECID are sent
            as authenticated.
        :param attributes: Values of at most 256 characters by name, without ``profile.``.
        :param primary: Namespace of the primary identity. Default: the first namespace.
        :return: ``request_id``, ``location_hint`` and ``warnings`` (codes such as ``0301-200``).
        :raises ProfileDataError: If ids, names or values are invalid. No call is made.
        :raises ConnectionSettingsError: If the connection lacks a required field.
        :raises TargetRefusedError: If the event is refused, or is not forwarded to Target.
        :raises AdobeTargetUnavailableError: If there is no usable response.
        """
        from airflow_provider_adobe_target.client.endpoints.edge_network import EdgeEvent

        event = EdgeEvent(identities, primary or next(iter(identities), ""), attributes)
        _check(event)
        receipt = self.session.send_event(
            event, authenticated=self.calls_authenticated, location_hint=self._location_hint
        )
        self._location_hint = receipt.location_hint or self._location_hint
        return {
            "request_id": receipt.request_id,
            "location_hint": receipt.location_hint,
            "warnings": list(receipt.warnings),
        }


def _check(event: Any) -> None:
    """Refuse what would not arrive.

    :raises ProfileDataError: If it is invalid. The message names the attribute or the namespace, never a value.
    """
    from airflow_provider_adobe_target.client.endpoints.edge_network import MAX_VALUE_CHARACTERS
    from airflow_provider_adobe_target.profiles.attribute_names import check_attribute_names

    for namespace, id_ in event.identities.items():
        if not isinstance(id_, str) or not id_.strip():
            raise ProfileDataError(f"missing_id: the identity of the namespace {namespace!r} is no text, or empty.")
    if event.primary not in event.identities:
        raise ProfileDataError(
            f"The primary namespace {event.primary!r} is none of identities: name one of an identity that is there."
        )
    if not event.attributes:
        raise ProfileDataError("There is no attribute to write.")
    check_attribute_names([(name, name) for name in event.attributes], "")
    for name, text in event.attributes.items():
        if not isinstance(text, str):
            raise ProfileDataError(f"unsupported_value: {name} is {type(text).__name__}, not text.")
        if len(text) > MAX_VALUE_CHARACTERS:
            raise ProfileDataError(
                f"value_too_long: {name} has more than {MAX_VALUE_CHARACTERS} characters, the Edge Network's limit."
            )
