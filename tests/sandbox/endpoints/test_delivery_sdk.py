"""Delivery calls of Adobe's published SDK for Python to the sandbox: an independent client."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from airflow_provider_adobe_target.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("target_python_sdk", reason="Adobe's SDK is not installed; make test installs it")

from delivery_api_client import (
    AuthenticatedState,
    ChannelType,
    Configuration,
    Context,
    CustomerId,
    DeliveryRequest,
    ExecuteRequest,
    MboxRequest,
    MetricType,
    Notification,
    VisitorId,
)
from delivery_api_client.exceptions import ApiException
from target_python_sdk import TargetClient

CLIENT_HOST, EDGE_HOST = "acme.tt.omtrdc.net", "mboxedge45.tt.omtrdc.net"


@pytest.fixture
def adobe(target, monkeypatch) -> Sandbox:
    """The sandbox under Adobe's host names, which lead nowhere else."""
    target.sandbox.reset(edge_base=f"http://{EDGE_HOST}", ims_org_id="ORG@AdobeOrg", cluster="45")
    ports = {
        (host, 80): int(url.rpartition(":")[2])
        for host, url in ((CLIENT_HOST, target.sandbox.url), (EDGE_HOST, target.sandbox.edge_url))
    }

    def connect(address, *_, **__) -> socket.socket:
        return socket.create_connection(("127.0.0.1", ports[address]), timeout=10)

    monkeypatch.setattr("urllib3.util.connection.create_connection", connect)
    return target.sandbox


@pytest.fixture
def new_process(monkeypatch) -> Callable[[], None]:
    """Make the SDK forget what it keeps for as long as a process lives: the first host it called."""
    return lambda: monkeypatch.setattr(Configuration, "_default", None)


@pytest.fixture
def client(adobe, new_process) -> TargetClient:
    new_process()
    return TargetClient.create({"client": "acme", "organization_id": "ORG@AdobeOrg", "secure": False})


def request(values: dict[str, str], **ids) -> DeliveryRequest:
    mbox = MboxRequest(index=0, name="warehouse-link", profile_parameters=values)
    return DeliveryRequest(
        id=VisitorId(**ids), context=Context(channel=ChannelType.WEB), execute=ExecuteRequest(mboxes=[mbox])
    )


def profiles(adobe: Sandbox, **ids: str) -> list[dict[str, str] | None]:
    return [adobe.profile(profile_id, id_type) for id_type, profile_id in ids.items()]


def test_links_all_ids_of_a_person_and_writes_attributes(adobe, client):
    known = request({"tier": "gold"}, tnt_id="1.45_0", third_party_id="U1", marketing_cloud_visitor_id="42")
    answer = client.get_offers({"request": known, "session_id": "s1"})["response"]
    assert (answer.status, answer.client, answer.edge_host) == (200, "acme", EDGE_HOST)
    assert (answer.id.tnt_id, answer.id.third_party_id) == ("1.45_0", "U1")
    assert [(mbox.index, mbox.name) for mbox in answer.execute.mboxes] == [(0, "warehouse-link")]
    linked = profiles(adobe, pcId="1.45_0", thirdPartyId="U1", marketingCloudVisitorId="42")
    assert linked == [{"tier": "gold"}] * 3


def test_links_a_customer_id_of_a_data_source(adobe, client):
    customer = CustomerId(id="U1", integration_code="crm", authenticated_state=AuthenticatedState.AUTHENTICATED)
    known = request({"tier": "gold"}, marketing_cloud_visitor_id="42", customer_ids=[customer])
    client.get_offers({"request": known, "session_id": "s1"})
    assert profiles(adobe, thirdPartyId="U1", marketingCloudVisitorId="42") == [{"tier": "gold"}] * 2


def test_sends_attributes_with_a_notification(adobe, client):
    notification = Notification(
        id="n1", type=MetricType.DISPLAY, timestamp=1_700_000_000_000, profile_parameters={"tier": "gold"}
    )
    known = DeliveryRequest(
        id=VisitorId(third_party_id="U1"), context=Context(channel=ChannelType.WEB), notifications=[notification]
    )
    answer = client.send_notifications({"request": known, "session_id": "s1"})["response"]
    assert [taken.id for taken in answer.notifications] == ["n1"]
    assert adobe.profile("U1") == {"tier": "gold"}


def test_keeps_the_target_id_and_continues_at_the_edge_host(adobe, client, new_process):
    first = client.get_offers({"request": request({"a": "1"}), "session_id": "s1"})
    cookie = first["target_cookie"]["value"]
    new_process()
    second = client.get_offers({"request": request({"b": "2"}, third_party_id="U1"), "target_cookie": cookie})
    assert [call.host for call in adobe.calls] == [CLIENT_HOST, EDGE_HOST]
    assert [call.parameter("sessionId") for call in adobe.calls] == ["s1", "s1"]
    target_id = first["response"].id.tnt_id
    assert second["response"].id.tnt_id == target_id
    assert profiles(adobe, pcId=target_id, thirdPartyId="U1") == [{"a": "1", "b": "2"}] * 2


def test_returns_the_reason_of_a_refusal(adobe, client):
    with pytest.raises(ApiException, match="a string of up to 256 characters") as refused:
        client.get_offers({"request": request({"tier": "x" * 257}, third_party_id="U1"), "session_id": "s1"})
    assert refused.value.status == 400
    assert adobe.profile("U1") is None


def test_returns_an_error_for_an_unknown_organization(adobe, client):
    stranger = TargetClient.create({"client": "acme", "organization_id": "OTHER@AdobeOrg", "secure": False})
    with pytest.raises(ApiException, match="imsOrgId"):
        stranger.get_offers({"request": request({}), "session_id": "s1"})
