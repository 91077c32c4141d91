"""Call the Delivery API to link ids: parallel across people, sequential within a person."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.client.endpoints.delivery import Link, Person, RampUpLimiter, link_person
from airflow_provider_adobe_target.client.transports import RequestsTransport, run
from airflow_provider_adobe_target.concurrency import clock as clocks
from airflow_provider_adobe_target.concurrency.keyed_workers import run_keyed
from airflow_provider_adobe_target.concurrency.worker_pool import CancellableClock
from airflow_provider_adobe_target.exceptions import PersonRefusedError

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.load.link_writer import LinkWriter
    from airflow_provider_adobe_target.profiles.identities import Identity, IdentityPipeline

_REMEMBERED_PEOPLE = 10_000  # in each lane
_LOGGED_ROWS = 10_000

log = logging.getLogger(__name__)


def link_rows(
    rows: IdentityPipeline,
    links: LinkWriter,
    settings: TargetSettings,
    *,
    mbox: str,
    max_workers: int,
    calls_per_second: float,
    browser_interval: float = 0,
) -> None:
    """Read rows in the calling thread and link their ids in worker threads.

    A row that Adobe Target refuses is counted as rejected. Any other error stops all workers.

    :param links: takes what Adobe Target says
    :param mbox: one that no activity uses
    :param max_workers: how many calls may be under way
    :param browser_interval: seconds between two calls about one person or browser, each in a session of its own; 0:
        at once, in one session of the person
    :raises AdobeTargetError: as :func:`~.link_person`
    """
    stop = threading.Event()
    repeated: list[int] = []
    pace = RampUpLimiter(calls_per_second, clocks.SYSTEM)

    def link(identities: Iterator[Identity]) -> None:
        with RequestsTransport(settings) as transport:
            is_apart = browser_interval > 0
            lane = PersonWorker(settings, pace, mbox, transport, CancellableClock(stop), is_apart=is_apart)
            for identity in identities:
                try:
                    count = links.add(identity, lane.link(identity))
                except PersonRefusedError:
                    rows.refuse(identity)
                    continue
                if count % _LOGGED_ROWS == 0:
                    log.info("Rows linked so far: %s", f"{count:,}")
            repeated.append(lane.repeated)

    rounds = rows.rounds() if browser_interval > 0 else [rows.identities()]
    for number, identities in enumerate(rounds):
        if number:
            log.info("Waiting %s seconds before the other browsers of people are linked.", f"{browser_interval:,.0f}")
            clocks.SYSTEM.sleep(browser_interval)
        run_keyed(identities, lambda identity: hash(identity.person), link, workers=max_workers, stop=stop)
    if sum(repeated):
        log.warning(
            "Rows that followed another one of the same person, in the same session: %s. Adobe calls the result of "
            "different ids in one session unpredictable. browser_interval=1800 sends them 30 minutes apart.",
            f"{sum(repeated):,}",
        )


class PersonWorker:
    """Link identities sequentially. Each call for a person uses the edge host of the person's previous response.

    :param transport: of the thread that makes the calls
    :param is_apart: whether each call has a session of its own, as they are far enough from each other
    """

    def __init__(
        self,
        settings: TargetSettings,
        pace: RampUpLimiter,
        mbox: str,
        transport: RequestsTransport,
        clock: clocks.Clock,
        *,
        is_apart: bool = False,
    ) -> None:
        self._settings = settings
        self._pace = pace
        self._mbox = mbox
        self._transport = transport
        self._clock = clock
        self._is_apart = is_apart
        self.repeated = 0
        self._edge_urls: OrderedDict[str, str | None] = OrderedDict()

    def link(self, identity: Identity) -> Link:
        """Link the ids of one row and return the result.

        :raises AdobeTargetError: As :func:`~.link_person`.
        """
        person = Person(
            key=identity.together if self._is_apart else identity.person,
            third_party_id=identity.ids.get("thirdPartyId"),
            tnt_id=identity.ids.get("pcId"),
            ecid=identity.ids.get("ECID"),
            customer_ids=identity.customer_ids,
            attributes=identity.attributes,
        )
        self.repeated += person.key in self._edge_urls
        edge_url = self._edge_urls.pop(person.key, None)
        flow = link_person(self._settings, self._pace, self._clock, person, mbox=self._mbox, edge_url=edge_url)
        link = run(flow, self._transport, self._clock)
        self._edge_urls[person.key] = link.edge_url
        if len(self._edge_urls) > _REMEMBERED_PEOPLE:
            self._edge_urls.popitem(last=False)
        return link
