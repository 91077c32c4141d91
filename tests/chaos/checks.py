"""What has to hold after every run."""

from __future__ import annotations

import errno
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from airflow_provider_adobe_target.ledger import ProfileLedger
from airflow_provider_adobe_target.ledger.claims import PENDING, open_claims
from chaos.plans import names
from chaos.runs import Record, Step
from support.reports import NO_LEDGER

# Who opens it is Airflow, to read a connection in a triggerer, and it stays until the process ends.
_AIRFLOWS_THREAD = "ThreadPoolExecutor-0_0"

# Its runtime has pairs of local sockets for signals, until the process ends.
_DELTA_LAKES_SOCKETS = 4

_NO_NEED = "without need"

_REASONS = {
    "stuck": r"is stuck: Target will not complete it",
    "status lost": r"status lost",
    "limit": r"max_failed_pct|max_not_found_pct",
    "refused": r"Target refused the batch",
    "unavailable": r"Target returned no usable response",
    "timeout": r"ids are unfinished|No final status at the timeout|would be after the deadline|Sensor has timed out",
    "invalid rows": r"cannot be sent|Every row was rejected|has the same id as an earlier row|max_invalid_pct",
}


def outcome(record: Record) -> str:
    """Name how a run ended: ``green``, or ``red`` and what it says."""
    if record.is_green:
        return "green"
    return f"red: {_reason(record.last) or 'unexplained'}"


def _reason(step: Step) -> str | None:
    if step.end == "killed":
        return "killed"
    if step.outcome["errno"] == errno.EFBIG or f"os error {errno.EFBIG}" in step.outcome["message"]:
        return "disk full"
    return next((name for name, text in _REASONS.items() if re.search(text, step.outcome["message"])), None)


def problems(record: Record) -> list[str]:
    """Say what does not hold; the texts are for the reader of a failed test, and name ids."""
    checks = (_ends, _lefts, _contents, _submissions, _receipts, _order, _pace, _cookies, _ledger, _rows_sent_again)
    found = [problem for check in checks for problem in check(record)]
    if record.report is not None:
        found += [*_report(record), *_resubmissions(record)]
    return found if record.is_green else found + list(_redness(record))


def _ends(record: Record) -> Iterator[str]:
    """Every failed step has an error message of this provider."""
    for step in record.steps:
        if step.end == "red" and _reason(step) is None:
            told = f"{step.outcome['error']}: {step.outcome['message']}"
            yield f"{step.name} ends red without a reason that is known: {told}"
        if step.end == "red" and step.name == "trigger":
            yield f"the trigger fails instead of saying so in an event: {step.outcome['message']}"


def _lefts(record: Record) -> Iterator[str]:
    """A step that ended by itself leaves no file, no thread, no connection; nor what a killed one left before it."""
    orphans: set[str] = set()
    for step in record.steps:
        if step.end == "killed":
            orphans.update(step.left)
            continue
        if step.name == "execute":
            orphans.clear()  # it tidies up
        threads = [name for name in step.outcome["threads"] if name != _AIRFLOWS_THREAD]
        sockets = step.outcome["sockets"]
        if record.plan.has_ledger and sockets <= _DELTA_LAKES_SOCKETS:
            sockets = 0
        left = {"files": set(step.left) - orphans, "threads": threads, "open sockets": sockets}
        yield from (f"{step.name} leaves {what}: {some}" for what, some in left.items() if some)


def _contents(record: Record) -> Iterator[str]:
    """Target holds what the source says, all of it after a green task, and nothing else in any case."""
    plan, sandbox = record.plan, record.sandbox
    before = plan.expected.profiles if record.is_changed else {}
    excused = {profile_id for batch in sandbox.batches for profile_id in batch.lost_ids}
    if plan.arguments["max_failed_pct"] == 100:
        excused.update(profile_id for batch in sandbox.batches for profile_id in batch.failed_ids)
    lacking = []
    for profile_id, values in record.expected.profiles.items():
        seen = plan.seen_before.get(profile_id)
        if plan.arguments["api_version"] == "v1" and seen is None:
            continue
        held = _held(record, profile_id)
        forms: list[Any] = [{**(seen or {}), **values}]  # with what an earlier upload wrote, or without
        forms.append({**(seen or {}), **before.get(profile_id, {}), **values})
        if held in forms:
            continue
        if held not in (None, seen) and profile_id not in before:
            yield f"{profile_id!r} holds {held}, and should hold {forms[0]}"
        elif profile_id not in excused:
            lacking.append(profile_id)
    if lacking and _claims_all(record):
        yield f"WRONG GREEN: Target lacks {len(lacking)} of {len(record.expected.profiles)} profiles: {lacking[0]!r}, …"
    unknown = len(set(record.expected.profiles) - set(plan.seen_before)) * (plan.arguments["api_version"] == "v1")
    limit = plan.arguments["max_not_found_pct"]
    if _claims_all(record) and limit is not None and unknown * 100 > limit * len(record.expected.profiles):
        yield f"WRONG GREEN: {unknown} of {len(record.expected.profiles)} profiles cannot be found"
    sent = {row[batch.key] for batch in sandbox.batches for row in batch.rows}
    strange = sent - set(record.expected.profiles) - set(before)
    if strange:
        yield f"{len(strange)} profiles were sent that should not be, such as {min(strange)!r}"
    if plan.arguments["api_version"] == "v1":
        made = [profile_id for profile_id in sent - set(plan.seen_before) if _held(record, profile_id) is not None]
        yield from (f"v1 made a profile of {profile_id!r}" for profile_id in made)


def _held(record: Record, profile_id: str) -> dict[str, str] | None:
    return record.sandbox.profile(profile_id, record.plan.id_type)  # type: ignore[arg-type]


def _claims_all(record: Record) -> bool:
    return record.is_green and record.batches is not None


def _submissions(record: Record) -> Iterator[str]:
    """No file is sent twice, unless its response was lost or it was resubmitted on request."""
    if record.plan.has_ledger:
        return  # the files of another try contain other rows: see _rows_sent_again
    yield from (f"the file {checksum} was sent again without need" for checksum in _extra(record).get(_NO_NEED, ()))


def _receipts(record: Record) -> Iterator[str]:
    """What is kept is what was accepted: no file before, and none long after."""
    if record.plan.receipts == "none":
        return
    taken = {batch.sha256 for batch in record.sandbox.batches}
    for step in record.steps:
        early = step.receipts - taken
        if early:
            yield f"there is a receipt after {step.name} for {len(early)} files that Target never took"
        lasting = [
            batch for batch in _told(record, step) if batch.final_status != "stuck" and not _is_forgotten(record)
        ]
        missing = {batch.sha256 for batch in lasting} - step.receipts
        allowed = {"killed": record.plan.at_once, "green": len(missing)}.get(step.end, 0)
        if len(missing) > allowed and not _lost_by_disk(record, step):
            yield f"there is no receipt after {step.name} {step.end} for {len(missing)} files that Target took"


def _lost_by_disk(record: Record, step: Step) -> bool:
    """Whether there was no room for receipts in a step."""
    return step.has_little_disk and record.plan.receipts == "file"


def _told(record: Record, step: Step) -> list[Any]:
    """Return the files that Target took in a step, and said so."""
    first, end = step.files
    return [batch for batch in record.sandbox.batches[first:end] if batch.call.is_acknowledged]


def extra_submissions(record: Record) -> Counter[str]:
    """Count the files that came again, by the reason for it."""
    return Counter({name: len(sums) for name, sums in _extra(record).items()})


def lost_acknowledgements(record: Record) -> int:
    """Count the files that were taken by Target without its saying so to anybody."""
    return sum(not batch.call.is_acknowledged for batch in record.sandbox.batches)


def _extra(record: Record) -> dict[str, list[str]]:
    """Return the files that came again, under the reason for it: each reason is good for one time."""
    extra: dict[str, list[str]] = {}
    earlier: dict[str, list[tuple[Step, Any]]] = {}
    for step in record.steps:
        first, end = step.files
        for batch in record.sandbox.batches[first:end]:
            former = earlier.setdefault(batch.sha256, [])
            if former:
                reasons = [_why_again(record, known, before, step) for known, before in former]
                spent = [name for name, sums in extra.items() for known in sums if known == batch.sha256]
                left = list((Counter(reasons) - Counter(spent)).elements())
                needs = sorted(set(left) - {_NO_NEED})
                extra.setdefault(needs[0] if needs else _NO_NEED, []).append(batch.sha256)
            former.append((step, batch))
    return extra


def _why_again(record: Record, step: Step, batch: Any, now: Step) -> str:
    """Say why a file may come again that came before."""
    plan = record.plan
    if not batch.call.is_acknowledged:
        return "acknowledgement lost"
    if (plan.receipts == "none" or _lost_by_disk(record, step)) and now is not step:
        return "no receipts kept"
    if step.end == "killed" and batch.sha256 not in step.receipts:
        return "killed before its receipt"
    # By default, a file of a failed batch is sent again only after the task was cleared.
    if batch.final_status == "stuck" and (plan.arguments["on_stuck"] == "resubmit" or now is not step):
        return "stuck"
    if _is_forgotten(record) and (plan.arguments["on_status_lost"] == "resubmit" or now is not step):
        return "status lost"
    return "source changed" if record.is_changed and now is not step else _NO_NEED


def _is_forgotten(record: Record) -> bool:
    plan = record.plan
    is_late = "finished late" in names(plan.submit_faults)  # perhaps later than a status is kept
    return is_late or plan.sandbox["status_kept_seconds"] < 86_400


def _order(record: Record) -> Iterator[str]:
    """With ``guaranteed_upload`` no file comes before Target has finished the one before it, or forgotten it."""
    kept = record.plan.sandbox["status_kept_seconds"]
    if not record.plan.arguments["guaranteed_upload"] or record.plan.has_ledger:
        return
    known: list[Any] = []
    for step in record.steps:
        if record.plan.receipts == "none":
            known = []
        for batch in _told(record, step):
            is_open = known and batch.received_at < min(known[-1].due_at, known[-1].received_at + kept)
            if is_open and batch.sha256 != known[-1].sha256:
                yield f"batch {batch.batch_id} came before {known[-1].batch_id} was finished"
            if step.end != "killed" or batch.sha256 in step.receipts:
                known.append(batch)


def _pace(record: Record) -> Iterator[str]:
    """No more calls are made than Target allows, by all processes together."""
    refused = [call for call in record.sandbox.calls if call.is_acknowledged and call.status == 503]
    if refused:
        yield f"{len(refused)} calls came beyond the 50 of a minute"


def _cookies(record: Record) -> Iterator[str]:
    """No cookie of a response is ever sent."""
    if any("cookie" in call.headers for call in record.sandbox.calls):
        yield "a cookie was sent"


def _report(record: Record) -> Iterator[str]:
    """The report's counts add up, and its batches are those Target took."""
    report, expected = record.report, record.expected
    assert report is not None
    counts = {
        "rows_read": len(record.rows.rows),
        "rows_sent": len(expected.profiles),
        "rows_rejected": expected.rejected.total(),
        "rows_empty": expected.empty,
        **NO_LEDGER,
        "rejected_by_reason": dict(expected.rejected),
    }
    if record.plan.has_ledger:
        # Rows that an earlier try delivered are unchanged.
        counts["rows_sent"] -= report["rows_unchanged"]
        counts = {name: count for name, count in counts.items() if name not in NO_LEDGER}
    for name, count in counts.items():
        if report[name] != count:
            yield f"the report's {name} is {report[name]}, and should be {count}"
    if sum(batch["rows"] for batch in report["batches"]) != report["rows_sent"]:
        yield "the rows of the report's batches are not rows_sent"
    taken = {batch.batch_id: batch for batch in record.sandbox.batches}
    for entry in [*report["batches"], *(record.batches or [])]:
        batch = taken.get(entry["batch_id"].replace("4-", "-", 1)) or taken.get(entry["batch_id"])
        if batch is None or (batch.sha256, batch.row_count) != (entry["sha256"], entry["rows"]):
            yield f"the report names {entry['batch_id']}, which Target does not know like that"
    for entry in record.batches or []:
        if entry["status"] != "complete":
            yield f"WRONG GREEN: {entry['batch_id']} is {entry['status']}"
    untold = {batch.sha256 for batch in record.sandbox.batches} - {entry["sha256"] for entry in report["batches"]}
    if untold and not record.is_changed and not record.plan.has_ledger:
        yield "files were taken that the report does not name"


def _ledger(record: Record) -> Iterator[str]:
    """Target holds what the ledger holds, and a green task leaves no claim."""
    path = record.folder / "ledger"
    if not record.plan.has_ledger or ProfileLedger(str(path)).opened_if_exists("acme") is None:
        return
    held = {row["id"]: dict(row["attributes"]) for row in ProfileLedger(str(path)).read().read_all().to_pylist()}
    lost = {profile_id for batch in record.sandbox.batches for profile_id in batch.lost_ids}
    for profile_id, values in held.items():
        profile = _held(record, profile_id) or {}
        if not values.items() <= profile.items() and profile_id not in lost:
            yield f"the ledger holds {values} of {profile_id!r}, and Target {profile}"
    if not _claims_all(record):
        return
    table = ProfileLedger(str(path)).table("acme", record.plan.id_type)
    claims = open_claims(table.location, table.snapshot())
    if claims:
        yield f"{len(claims)} claims are open after a green task"
    # A try that is killed before it commits its claim leaves the folder, which a later run removes when it is old.
    kills = sum(step.end == "killed" for step in record.steps)
    folders = list((path / PENDING).glob("*"))
    if len(folders) > kills:
        yield f"{len(folders)} folders of claims are left after a green task"


def _rows_sent_again(record: Record) -> Iterator[str]:
    """With a ledger, no try sends a row again that Target has confirmed to an earlier one."""
    if not record.plan.has_ledger or record.is_changed or _is_forgotten(record):
        return
    if record.plan.sandbox["zero_counters"] or "one 404" in names(record.plan.status_faults):
        return  # the response confirms nothing
    confirmed: set[str] = set()
    for step in record.steps:
        told = {batch.batch_id for batch in _told(record, step)}
        first, end = step.files
        for batch in record.sandbox.batches[first:end]:
            ids = {row[batch.key] for row in batch.rows}
            if ids & confirmed:
                yield f"{step.name} sends {len(ids & confirmed)} rows again that were confirmed"
            is_whole = not (batch.failed or batch.not_found or batch.lost_ids)
            if batch.batch_id in told and step.end != "killed" and batch.final_status == "complete" and is_whole:
                confirmed |= ids


def _resubmissions(record: Record) -> Iterator[str]:
    """The report says of each file that was sent again, as far as its sender can know."""
    assert record.report is not None
    if record.plan.receipts == "none" or record.is_changed or any(_lost_by_disk(record, step) for step in record.steps):
        return
    told = {entry["sha256"] for entry in record.report["batches"] if entry.get("resubmitted_after")}
    untold = {checksum for checksums in _extra(record).values() for checksum in checksums} - told
    if untold:
        yield f"the report does not say that {len(untold)} files were sent again"


def _redness(record: Record) -> Iterator[str]:
    """A task is red only where something happened, and of that it speaks."""
    plan, sandbox = record.plan, record.sandbox
    submits, polls = names(plan.submit_faults), names(plan.status_faults) - {"none", "slow"}
    faults = (submits - {"none", "slow"}) | polls
    is_late = "finished late" in submits or bool(plan.jumps) or bool(polls)
    can_be = {
        "stuck": "stuck" in submits,
        "status lost": plan.sandbox["status_kept_seconds"] < 86_400 or "finished late" in submits,
        "limit": any(batch.failed or batch.not_found for batch in sandbox.batches),
        "refused": bool(submits & {"success=false", "garbage", "HTML", "lost: garbage instead"}),
        "unavailable": bool(faults),
        "timeout": is_late,
        "invalid rows": record.expected.refusal is not None,
        "disk full": bool(plan.disk),
        "killed": True,
    }
    reason = _reason(record.last)
    if reason and not can_be[reason]:
        yield f"red without a cause: {record.last.outcome['message']}"
    if record.expected.refusal:
        if sandbox.calls:
            yield "Target was called before all rows were checked"
        if reason not in ("killed", "disk full") and record.expected.refusal not in record.last.outcome["message"]:
            yield f"the message does not name {record.expected.refusal!r}: {record.last.outcome['message']}"
