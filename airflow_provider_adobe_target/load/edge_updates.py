"""Send many profiles to a datastream of the Experience Platform Edge Network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.client.endpoints.edge_network import EdgeEvent
from airflow_provider_adobe_target.exceptions import ProfileDataError, TargetRefusedError
from airflow_provider_adobe_target.load.row_updates import RowUpdates

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.session import Session
    from airflow_provider_adobe_target.profiles.profile_updates import ProfileUpdate


class EdgeRowUpdates(RowUpdates):
    """Send the profiles of one pipeline to a datastream. Other arguments are those of :class:`~.RowUpdates`.

    :param namespace: Namespace of the ids.
    :param authenticated: Whether to call with an access token.
    """

    def __init__(self, *arguments: Any, namespace: str, authenticated: bool, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._namespace = namespace
        self._authenticated = authenticated
        self._location_hint: str | None = None

    def _authenticate(self) -> None:
        if self._authenticated:
            self._session.access_token()

    def _update(self, update: ProfileUpdate, session: Session) -> bool:
        event = EdgeEvent({self._namespace: update.profile_id}, self._namespace, update.attributes)
        try:
            receipt = session.send_event(event, authenticated=self._authenticated, location_hint=self._location_hint)
        except ProfileDataError as error:  # the event is too large
            raise TargetRefusedError(str(error)) from None
        self._location_hint = receipt.location_hint or self._location_hint
        return True
