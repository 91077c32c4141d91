"""Call the Delivery API to link ids: parallel across people, sequential within a person."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.client.endpoints.delivery import Link, Person, RampUpLimiter, cluster_url
from airflow_provider_adobe_target.concurrency.keyed_workers import run_keyed
from airflow_provider_adobe_target.concurrency.worker_pool import CancellableClock
from airflow_provider_adobe_target.exceptions import PersonRefusedError

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.session import Session
    from airflow_provider_adobe_target.load.link_writer import LinkWriter
    from airflow_provider_adobe_target.profiles.identities import Identity, IdentityPipeline

_REMEMBERED_PEOPLE = 10_000  # per worker
_LOGGED_ROWS = 10_000

log = logging.getLogger(__name__)


def link_rows(
    rows: IdentityPipeline,
    links: LinkWriter,
    session: Session,
    *,
    mbox: str,
    max_workers: int,
    calls_per_second: float,
    browser_interval: float = 0,
) -> None:
    """Read rows in the calling thread and link their ids in worker threads.

    A row that Adobe Target refuses is counted as rejected. Any other error stops all workers.

    :param rows: Rows.
    :param links: Writer of the results.
    :param session: Client session.
    :param mbox: Name of an mbox that no activity uses.
    :param max_workers: Maximum number of concurrent calls.
    :param calls_per_second: Maximum number of calls per second.
    :param browser_interval: Seconds between two calls about one person or browser, each in its own session. 0 for
        calls without a pause, in one session per person.
    :raises AdobeTargetError: As :func:`~.link_person`.
    """
    stop = threading.Event()
    repeated: list[int] = []
    limits = replace(session.limits, links=RampUpLimiter(calls_per_second, session.clock))

    def link(identities: Iterator[Identity]) -> None:
        with session.replace(clock=CancellableClock(stop), limits=limits) as own:
            worker = PersonWorker(own, mbox, is_apart=browser_interval > 0)
            for identity in identities:
                try:
                    count = links.add(identity, worker.link(identity))
                except PersonRefusedError:
                    rows.refuse(identity)
                    continue
                if count % _LOGGED_ROWS == 0:
                    log.info("Rows linked so far: %s", f"{count:,}")
            repeated.append(worker.repeated)

    rounds = rows.rounds() if browser_interval > 0 else [rows.identities()]
    for number, identities in enumerate(rounds):
        if number:
            log.info("Waiting %s seconds before the other browsers of people are linked.", f"{browser_interval:,.0f}")
            session.clock.sleep(browser_interval)
        run_keyed(identities, lambda identity: hash(identity.person), link, workers=max_workers, stop=stop)
    if sum(repeated):
        log.warning(
            "Rows that followed another row of the same person in the same session: %s. According to Adobe, the result "
            "of different ids in one session is unpredictable. browser_interval=1800 sends them 30 minutes apart.",
            f"{sum(repeated):,}",
        )


class PersonWorker:
    """Link identities sequentially. Each call for a person uses the edge host of the person's previous response.

    A row that names its session uses that session, and the edge cluster that it names.

    :param session: Session of the worker thread.
    :param mbox: Name of an mbox that no activity uses.
    :param is_apart: Whether each call has its own session.
    """

    def __init__(
        self,
        session: Session,
        mbox: str,
        *,
        is_apart: bool = False,
    ) -> None:
        self._session = session
        self._mbox = mbox
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
            session_id=identity.session_id,
        )
        cluster = cluster_url(self._session.settings, identity.edge_cluster)
        if identity.session_id is not None:  # no other row of the task is in this session
            return self._session.link_person(person, mbox=self._mbox, edge_url=cluster)
        self.repeated += person.key in self._edge_urls
        edge_url = self._edge_urls.pop(person.key, None) or cluster
        link = self._session.link_person(person, mbox=self._mbox, edge_url=edge_url)
        self._edge_urls[person.key] = link.edge_url
        if len(self._edge_urls) > _REMEMBERED_PEOPLE:
            self._edge_urls.popitem(last=False)
        return link
