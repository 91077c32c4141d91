"""What happens in one run, all of it told by two numbers."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from functools import cached_property
from random import Random
from typing import Any, Literal

from airflow_provider_adobe_target.sandbox import Answer
from chaos.rows import Expected, Table, changed_table, expected, random_table

_SEEN_BEFORE = {"seen": "before"}
_HTML = "<html><body>Sign in to the guest network</body></html>"
_SLOW = 0.02  # seconds, these real ones
_FOREVER = 60.0
_PATIENCE = 0.5
_COOKIE = {"Set-Cookie": "visitor=of-this-response; Path=/; Max-Age=3600"}
_CONTRADICTIONS = [("failedUpdates",), ("consumedCount", "successfulUpdates")]
_LYING_GZIP = Answer(
    200, gzip.compress(b"<response><status>complete</status></response>") + b"x" * 4096, {"Content-Encoding": "gzip"}
)


@dataclass(frozen=True)
class Fault:
    """What the sandbox does to one call.

    :param name: beginning with ``lost`` where a file is taken and its sender is not told.
    """

    name: str
    answer: Answer = field(repr=False)


def _failures(random: Random) -> list[Fault]:
    """Return what may happen to any call, and what another try helps against."""
    seconds = random.choice([0, 1, 30, 120])
    return [
        Fault("reset before", Answer(reset="before")),
        Fault("reset in", Answer(reset="in")),
        Fault("429", Answer(429)),
        Fault("429 with Retry-After", Answer(429, headers={"Retry-After": str(seconds)})),
        Fault("500", Answer(500, "oops")),
        Fault("502", Answer(502, _HTML, content_type="text/html")),
        Fault("503", Answer(503)),
        Fault("503 with Retry-After", Answer(503, headers={"Retry-After": str(seconds)})),
        Fault("503 until a time", Answer(503, headers={"Retry-After": formatdate(1_800_000_600, usegmt=True)})),
        Fault("slow", Answer.real(delay=_SLOW)),
    ]


def _submit_fault(random: Random) -> Fault:
    losses = [
        Fault("lost: reset after", Answer.real(reset="after")),
        Fault("lost: cut", Answer.real(cut=random.randint(0, 40))),
        Fault("lost: late", Answer.real(delay=_FOREVER)),
        Fault("lost: dripping", Answer.real(drip=0.1)),
        Fault("lost: lying gzip", replace(_LYING_GZIP, is_processed=True)),
        Fault("lost: 504 instead", Answer(504, is_processed=True)),
        Fault("lost: 502 instead", Answer(502, _HTML, is_processed=True)),
    ]
    fates = [
        Fault("stuck", Answer.real(final_status="stuck")),
        Fault("finished late", Answer.real(processing_seconds=random.choice([3_000, 20_000, 100_000]))),
        Fault("unknown status word", Answer.real(processing_status="waiting for a node")),
    ]
    refusals = [
        Fault("success=false", Answer(200, "<response><success>false</success><message>no</message></response>")),
        Fault("garbage", Answer(200, random.randbytes(80))),
        Fault("HTML", Answer(200, _HTML, content_type="text/html")),
        Fault("lost: garbage instead", Answer(200, random.randbytes(80), is_processed=True)),
    ]
    kinds = [_failures(random), losses, fates, refusals]
    return random.choice(random.choices(kinds, weights=[10, 6, 3, 2])[0])


def _status_fault(random: Random) -> Fault:
    curable = [
        *_failures(random),
        Fault("cut", Answer.real(cut=random.randint(0, 40))),
        Fault("reset after", Answer(reset="after")),
        Fault("garbage", Answer(200, random.randbytes(80))),
        Fault("HTML", Answer(200, _HTML, content_type="text/html")),
        Fault("HTML with 404", Answer(404, _HTML, content_type="text/html")),
        Fault("lying gzip", _LYING_GZIP),
        Fault("dripping", Answer.real(drip=0.1)),
    ]
    if random.random() < 0.04:
        return Fault(
            "one 404", Answer(404, "<response><success>false</success><message>Unknown batch</message></response>")
        )
    return random.choice(curable)


def _faults(random: Random, share: float, make: Any) -> tuple[Fault, ...]:
    """Return what the calls of a route get, the first of them."""
    calls = random.randint(1, 25)
    none = Fault("none", Answer.real(headers=_COOKIE))
    return tuple(make(random) if random.random() < share else none for _ in range(calls))


@dataclass(frozen=True)
class Kill:
    """When one of the processes gets a SIGKILL.

    :param route: at a call to this route, or None: so many seconds after its start.
    :param moment: of the call, as the sandbox tells.
    :param number: of the call, from 1 on, in this process.
    :param delay: seconds later.
    """

    route: Literal["submit", "status"] | None
    moment: Literal["arrived", "handled", "ended"]
    number: int
    delay: float

    @property
    def name(self) -> str:
        return f"at a {self.route} that has {self.moment}" if self.route else "at some time"


def _kills(random: Random) -> tuple[Kill | None, ...]:
    """Return for the first processes when they are killed: for most runs never."""
    if random.random() < 0.55:
        return ()
    return tuple(_kill(random) if random.random() < 0.7 else None for _ in range(random.randint(1, 4)))


def _disk(random: Random) -> tuple[int | None, ...]:
    return () if random.random() < 0.93 else (random.choice([200, 5_000, 50_000]),)


def _kill(random: Random) -> Kill:
    route: Any = random.choice(["submit", "submit", "submit", "status", None])
    moment: Any = random.choice(["arrived", "handled", "handled", "ended"])
    delay = random.uniform(0, 0.25) if route is None else random.choice([0, 0, random.uniform(0, 0.006)])
    return Kill(route, moment, random.choice([1, 1, 2, 3, random.randint(1, 10)]), delay)


@dataclass(frozen=True)
class Plan:
    """One run.

    :param rows: what is uploaded.
    :param changed: what the rows are from the second try on, where they change in between.
    :param known: for v1, the ids that Target knows before.
    :param wait: ``worker``, ``deferred``, or ``poked`` or ``deferred sensor``, which wait in another task.
    :param receipts: ``none``, ``file`` or ``store``: where the operator keeps them.
    :param kills: for each process in turn, when it is killed.
    :param disk: for each process in turn, the bytes that a file of its may have, or None.
    :param jumps: as of :class:`chaos.clock.TaskClock`, in every process.
    :param retries: as of the task.
    :param clears: Number of times that the failed task is cleared.
    :param has_ledger: Whether the upload and the sensor have a ledger.
    """

    seed: str
    number: int
    rows: Table = field(repr=False)
    changed: Table | None = field(repr=False)
    id_type: str
    known: tuple[str, ...] = field(repr=False)
    arguments: dict[str, Any]
    wait: Literal["worker", "deferred", "poked sensor", "deferred sensor"]
    receipts: Literal["none", "file", "store"]
    connection: dict[str, Any]
    sandbox: dict[str, Any]
    submit_faults: tuple[Fault, ...]
    status_faults: tuple[Fault, ...]
    kills: tuple[Kill | None, ...]
    disk: tuple[int | None, ...]
    jumps: dict[int, float]
    retries: int
    clears: int
    has_ledger: bool = False

    @cached_property
    def expected(self) -> Expected:
        """What is to become of the rows."""
        return expected(self.rows, self.id_type, self.arguments)

    @cached_property
    def expected_after_change(self) -> Expected:
        """What is to become of the changed rows."""
        return expected(self.changed or self.rows, self.id_type, self.arguments)

    @property
    def at_once(self) -> int:
        """How many files may be in progress."""
        return 1 if self.arguments["guaranteed_upload"] else int(self.arguments["max_concurrent_uploads"])

    @property
    def seen_before(self) -> dict[str, dict[str, str]]:
        """The profiles that Target has before."""
        return dict.fromkeys(self.known, _SEEN_BEFORE)

    def happened(self, route: str, calls: int) -> Counter[str]:
        """Count what befell so many calls."""
        faults = self.submit_faults if route == "submit" else self.status_faults
        return Counter(fault.name for fault in faults[:calls] if fault.name != "none")


def make_plan(seed: str, number: int) -> Plan:
    """Make up one run; the same two numbers make the same run."""
    random = Random(f"{seed}-{number}")  # noqa: S311 - chance that can be repeated is what is wanted
    api_version = random.choice(["v1", "v2", "v2", "v2"])
    id_type = random.choice(["thirdPartyId", "thirdPartyId", "pcId"])
    id_column = id_type if random.random() < 0.7 else "customer_id"
    max_value_length = random.choice([60, 5_000])
    rows = random_table(random, id_column, id_type, max_value_length)
    files = random.randint(1, 14) if random.random() < 0.9 else 60  # so many that calls have to wait
    arguments = {
        "id_column": id_column if id_column == "customer_id" else None,
        "id_type": id_type if id_column == "customer_id" else None,
        "api_version": api_version,
        "guaranteed_upload": random.random() < 0.2,
        "max_concurrent_uploads": random.choice([1, 2, 2, 3, 5]),
        "max_rows_per_file": max(1, len(rows.rows) // files),
        "skip_invalid_records": random.random() < 0.93,
        "max_invalid_pct": random.choice([None, None, None, None, None, 3.0, 50.0]),
        "on_duplicate_id": random.choice(["first", "first", "first", "last", "last", "fail"]),
        "on_risky_value": random.choice(["encode", "encode", "replace", "reject"]),
        "max_value_length": max_value_length,
        "poll_interval": random.choice([5, 60, 600]),
        "timeout": random.choice([7_200, 86_400, 86_400]),
        "max_failed_pct": random.choice([0, 0, 0, 100]),
        "max_not_found_pct": random.choice([None, None, None, 100, 10]),
    }
    receipts: Any = random.choice(["none", "file", "file", "store", "store"])
    arguments["durable"] = receipts != "none"
    arguments["on_stuck"] = random.choice(["fail", "resubmit"])
    arguments["on_status_lost"] = random.choice(["fail", "resubmit"])
    share = random.choice([0, 0.1, 0.1, 0.3, 0.6])
    submit_faults = _faults(random, share, _submit_fault)
    status_faults = _faults(random, random.choice([0, share]), _status_fault)
    is_late = any(fault.name.split(": ")[-1] in ("late", "dripping") for fault in (*submit_faults, *status_faults))
    known = _known(random, rows, api_version)
    has_ledger = Random(f"ledger-{seed}-{number}").random() < 1 / 3  # noqa: S311 - as above
    if has_ledger:
        arguments["on_stuck"] = arguments["on_status_lost"] = "fail"
        receipts = "none"  # the ledger keeps them
    return Plan(
        seed=seed,
        number=number,
        rows=rows,
        changed=changed_table(random, rows) if random.random() < 0.08 else None,
        id_type=id_type,
        known=known,
        arguments=arguments,
        wait=random.choice(["worker", "worker", "deferred", "deferred", "poked sensor", "deferred sensor"]),
        receipts=receipts,
        connection={
            "calls_per_minute": random.choice([5, 30, 50, 50]),
            "uses_ecid": api_version == "v1" or id_type == "thirdPartyId",
            "timeout": f"1, {_PATIENCE}" if is_late else "5, 10",
        },
        sandbox=_sandbox(random, rows, str(arguments["on_risky_value"])),
        submit_faults=submit_faults,
        status_faults=status_faults,
        kills=_kills(random),
        disk=_disk(Random(f"disk-{seed}-{number}") if has_ledger else random),  # noqa: S311 - as above
        jumps=_jumps(random),
        retries=random.choice([0, 1, 3, 5]),
        clears=random.choice([0, 0, 1]),
        has_ledger=has_ledger,
    )


def _known(random: Random, rows: Table, api_version: str) -> tuple[str, ...]:
    ids = sorted({str(row[rows.id_column]) for row in rows.rows if row[rows.id_column] is not None})
    share = random.choice([0.5, 1.0]) if api_version == "v1" else random.choice([0, 0.3])
    return tuple(profile_id for profile_id in ids if random.random() < share)


def _sandbox(random: Random, rows: Table, on_risky_value: str) -> dict[str, Any]:
    fails = random.random() < 0.12
    ids = [str(row[rows.id_column]) for row in rows.rows]
    return {
        "token": random.choice([None, "t0ken-of-the-tests"]),
        "processing_seconds": random.choice([0, 30, 600]),
        "status_kept_seconds": random.choice([86_400, 86_400, 86_400, 86_400, 15_000]),
        "lost_status": random.choice(["404", "refusal", "no-status"]),
        "retry_after": random.choice([None, 5]),
        "noise": random.random() < 0.3,
        "answer_format": random.choice(["xml", "xml", "json"]),
        "omit_counters": random.choice([(), (), ("failedUpdates",), ("batchSize", "consumedCount")]),
        "zero_counters": random.choice(_CONTRADICTIONS if fails else [(), (), (), *_CONTRADICTIONS]),
        "decode_order": "split-then-decode" if on_risky_value == "encode" else "decode-then-split",
        "fail_ids": tuple(random.sample(ids, min(2, len(ids)))) if fails else (),
        "loss_rate": random.choice([0, 0, 0.001]),
        "override": random.choice(["replace", "merge"]),
        "seed": random.randint(0, 10**6),
    }


def _jumps(random: Random) -> dict[int, float]:
    if random.random() < 0.8:
        return {}
    return {random.randint(1, 40): random.uniform(-6, 6) * 3_600 for _ in range(random.randint(1, 3))}


def names(faults: Sequence[Fault]) -> set[str]:
    """Return what is in a list of faults."""
    return {fault.name for fault in faults}
