"""The calls that may be made: Target allows the whole account 50 a minute, polls perhaps included."""

from __future__ import annotations

import logging
import math
import random
import threading
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.client.rate_limit.store import WINDOW, FileStore, Ledger, MemoryStore, Store
from airflow_provider_adobe_target.client.settings import account_digest
from airflow_provider_adobe_target.concurrency import file_lock

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.concurrency.clock import Clock

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.settings import TargetSettings
    from airflow_provider_adobe_target.concurrency.clock import Clock

_LONGEST_HOLD = 30 * 60.0
_ASK_AGAIN = 0.1  # seconds, where others have the ledger
_LEAST_WAIT = 0.001  # seconds: added to a large time, much less would be rounded away, and nobody would get on
_LATE = 10.0  # seconds after which one who does not ask again is taken to have gone

_logger = logging.getLogger(__name__)


class CallBudget:
    """Let no more than so many calls begin within any 60 seconds, as Target would count them.

    Nobody says whether Target counts a call when it begins or when its last byte has come. So a call holds its place
    until 60 seconds after its end. Those who wait come to their turns in the order in which they asked.

    May be used from several threads, and from an event loop: nothing here takes more than some milliseconds.

    :param calls_per_minute: calls in any 60 seconds.
    :param clock: the time; its ``monotonic`` is to be the same for all who use the store.
    :param store: where the calls are noted that this budget shares with others; default: it has its own.
    """

    def __init__(self, calls_per_minute: int, clock: Clock, store: Store | None = None) -> None:
        self.calls_per_minute = calls_per_minute
        self.clock = clock
        self.store = store or MemoryStore()

    def place(self) -> Place:
        """Return what one call needs, for a ``with`` block around it."""
        return Place(self)


def shared_budget(settings: TargetSettings, clock: Clock) -> CallBudget:
    """Return the budget of all tasks on this machine that use the same base URL and client code.

    Where the machine's folder cannot be used, one warning is logged, and the budget is the caller's own.
    """
    try:
        store = FileStore(file_lock.shared_folder(), account_digest(settings))
    except OSError as error:
        _warn_once(error)
        return CallBudget(settings.calls_per_minute, clock)
    return CallBudget(settings.calls_per_minute, clock, store)


class Place:
    """A place for one call: in the line at first, then among the calls of a minute.

    At the end of its ``with`` block the call has ended, or he who waited has left the line.

    :param budget: whose places there are.
    """

    def __init__(self, budget: CallBudget) -> None:
        self._budget = budget
        self._store = budget.store
        self._name = uuid.uuid4().hex[:12]
        self._asked = False
        self._begun: float | None = None

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What cannot be noted now is found by others: nobody asks again, and nobody occupies the place.
        with suppress(OSError), self._store.open(self._budget.clock) as ledger:
            self._leave_line(ledger)
            if self._name in ledger.running:
                ledger.running.remove(self._name)
                ledger.ended.append(ledger.at)
        self._store.vacate(self._name)

    def begin(self) -> float:
        """Ask for the place.

        :return: 0 where it is taken; else the seconds after which to ask again.
        """
        try:
            wait = self._ask()
        except BlockingIOError:
            return _ASK_AGAIN * random.uniform(0.5, 1.5)  # noqa: S311  # nosec B311  # no secret
        except OSError as error:
            _warn_once(error)
            self._store.vacate(self._name)
            self._store = self._budget.store = MemoryStore()
            wait = self._ask()
        if wait and not self._asked:
            _logger.info("No call to Target is left for this minute. The next can begin in %.0f seconds.", wait)
        self._asked = True
        return wait

    def throttled(self, seconds: float) -> None:
        """Say that Target, in answer to this call, asked for patience: no other begins before, and fewer then.

        :param seconds: how long it is to be left in peace.
        """
        with suppress(OSError), self._store.open(self._budget.clock) as ledger:
            if self._begun is not None and self._begun >= ledger.held_until:  # else it belongs to what is known already
                ledger.share = max(1, _limit(ledger, self._budget.calls_per_minute) // 2)
            ledger.held_until = max(ledger.held_until, ledger.at + min(seconds, _LONGEST_HOLD))

    def _ask(self) -> float:
        calls_per_minute = self._budget.calls_per_minute
        with self._store.open(self._budget.clock) as ledger:
            ahead = self._ahead(ledger)
            ledger.ended = [end for end in ledger.ended if ledger.at - end < WINDOW]
            if not ahead:
                self._end_the_dead(ledger)
            free = _limit(ledger, calls_per_minute) - len(ledger.running) - len(ledger.ended)
            hold = max(0.0, ledger.held_until - ledger.at)
            if ahead < free and not hold:
                self._leave_line(ledger)
                self._store.occupy(self._name)
                ledger.running.append(self._name)
                self._begun = ledger.at
                return 0.0
            wait = max(_LEAST_WAIT, _time_until_free(ledger, ahead - free, hold))
            ledger.waiting.setdefault(str(calls_per_minute), {})[self._name] = math.ceil(ledger.at + wait)
            return wait

    def _ahead(self, ledger: Ledger) -> int:
        """Count who comes first, without those who are gone: whoever may make more calls a minute, or came before."""
        ahead = 0
        for key, line in ledger.waiting.items():
            present = [name for name, due in line.items() if due + _LATE >= ledger.at or name == self._name]
            if len(present) < len(line):
                ledger.waiting[key] = {name: line[name] for name in present}
            if int(key) > self._budget.calls_per_minute:
                ahead += len(present)
            elif int(key) == self._budget.calls_per_minute:
                ahead += present.index(self._name) if self._name in line else len(present)
        return ahead

    def _leave_line(self, ledger: Ledger) -> None:
        ledger.waiting.get(str(self._budget.calls_per_minute), {}).pop(self._name, None)

    def _end_the_dead(self, ledger: Ledger) -> None:
        """Take calls whose process was killed to end now."""
        alive = [place for place in ledger.running if self._store.is_occupied(place)]
        ledger.ended += [ledger.at] * (len(ledger.running) - len(alive))
        ledger.running = alive


def _limit(ledger: Ledger, calls_per_minute: int) -> int:
    """Return the calls a minute that may be made now: what Target seemed to have left, and one more each minute."""
    minutes = max(0.0, ledger.at - ledger.held_until) // WINDOW
    return min(calls_per_minute, ledger.share + int(minutes))


def _time_until_free(ledger: Ledger, more: int, hold: float) -> float:
    """Return the seconds, at the least, until a place is free beside so many more."""
    if more < 0:
        return hold
    if more < len(ledger.ended):
        return max(hold, WINDOW - (ledger.at - ledger.ended[more]))
    # It is the place of a call that has not ended, or not begun. Who waits for these is not to ask all at once.
    return hold + WINDOW * random.uniform(0.5, 1)  # noqa: S311  # nosec B311  # no secret


_warned = threading.Event()


def _warn_once(error: OSError) -> None:
    if _warned.is_set():
        return
    _warned.set()
    _logger.warning(
        "The tasks of this machine cannot share one budget of calls (%s), so each has its own. Let the environment "
        "variable %s name a folder of this user's on this machine, or lower calls_per_minute.",
        error,
        file_lock.FOLDER_VARIABLE,
    )


class Unlimited(CallBudget):
    """The budget of calls that Target does not count."""

    def __init__(self) -> None:
        pass

    def place(self) -> Place:
        """Return what one call needs, for a ``with`` block around it."""
        return _AnyPlace()


class _AnyPlace(Place):
    """A place that is always free."""

    def __init__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass

    def begin(self) -> float:
        return 0.0

    def throttled(self, seconds: float) -> None:
        pass
