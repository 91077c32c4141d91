"""Compare incoming rows with what is held, and decide which to send.

Algorithm: the first pass hashes each row and looks it up among the hashes of the rows that the task sent last. A hit is
unchanged. The second pass reads what is held for the other rows only, and merges values attribute by attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.ledger.as_of import NEVER, Mask, Seen, mask, numbers, seen_records
from airflow_provider_adobe_target.ledger.columns import UNKNOWN_HASH, hash_column
from airflow_provider_adobe_target.ledger.errors import LedgerLimitError
from airflow_provider_adobe_target.ledger.hash_file import HashFile
from airflow_provider_adobe_target.ledger.hashing import Hashes, flat, hash_ids, hash_rows, keyed_hashes, rows_seed
from airflow_provider_adobe_target.ledger.lookup import Held, SourceIndex, held_profiles, latest_held
from airflow_provider_adobe_target.ledger.merge import Merged, MergeRules, merge
from airflow_provider_adobe_target.ledger.misses import Misses
from airflow_provider_adobe_target.ledger.plan_counts import PlanCounts
from airflow_provider_adobe_target.ledger.refresh import Refresh
from airflow_provider_adobe_target.ledger.table import Control, Snapshot
from airflow_provider_adobe_target.ledger.versions import held_versions, merged_versions, source_hashes, with_hashes
from airflow_provider_adobe_target.ledger.writers import Writer, register, shared_attributes
from airflow_provider_adobe_target.spill import SpillFile

PREFIX = "profile."


@dataclass(frozen=True)
class PlanRules:
    """What a run compares and sends. Names as in ``ProfileLedger``; times in microseconds.

    :param writer: DAG and task.
    :param as_of: Time of the rows.
    :param now: Current time.
    :param suppress: Ids that must not be sent.
    :param key: Key of the hashes, if the ledger keeps hashes.
    :param check_size: Function that returns a mask of outgoing rows that are too large.
    """

    writer: str
    as_of: int
    now: int
    send: Literal["changed", "all"] = "changed"
    refresh_after_days: float | None = 10
    carry_over: bool = True
    on_missing: Literal["ignore", "marker"] = "ignore"
    missing_values: Mapping[str, str] = field(default_factory=dict)
    null_values: Mapping[str, str] = field(default_factory=dict)
    max_missing_pct: float = 20
    max_rows_to_send: int | None = None
    suppress: pa.StringArray | None = None
    key: bytes | None = None
    check_size: Callable[[pa.StringArray, Mapping[str, pa.StringArray]], Mask] | None = None


@dataclass
class Plan:
    """Result of :class:`Planner`.

    :param seq: Commit that the plan was derived from.
    :param writer: The task, with the attributes of this run.
    :param counts: Counts.
    :param outgoing: Rows to send: ``row_number``, ``id``, the attributes, and ``because``, the reason (null if the
        id left).
    :param versions: Versions that the ledger keeps if the rows are confirmed, in the order of ``outgoing``.
    :param touched: Versions of unchanged profiles to append.
    :param controls: Control records to append.
    :param incoming: Hashes of all incoming ids, and of ids that are no longer in the rows.
    """

    seq: int
    writer: Writer
    counts: PlanCounts
    outgoing: SpillFile
    versions: SpillFile
    touched: SpillFile
    controls: list[Control]
    incoming: HashFile


class Planner:
    """Derive a plan from one version of the ledger.

    :param snapshot: Version of the ledger.
    :param rules: Rules of the run.
    :param folder: Existing private folder for spill files.
    :param present: Hashes of ids that were in the source but are not among the rows, such as rejected ones.
    :param too_large: Function that is called with incoming rows that are too large with what is carried over.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        rules: PlanRules,
        folder: Path,
        *,
        present: Callable[[], Hashes],
        too_large: Callable[[pa.RecordBatch], None] = lambda _: None,
    ) -> None:
        self._snapshot = snapshot
        self._rules = rules
        self._present = present
        self._too_large = too_large
        self._misses = Misses(folder)
        self._outgoing = SpillFile(folder / "outgoing")
        self._versions = SpillFile(folder / "versions")
        self._counts = PlanCounts()
        self._seen = seen_records(snapshot.controls)
        self._touched = SpillFile(folder / "touched")
        self._new_seen: dict[frozenset[str], list[Hashes]] = {}
        self._incoming = HashFile(folder / "ids")
        self._names: dict[str, None] = {}
        self._own: frozenset[str] = frozenset()

    def plan(self, batches: Iterable[pa.RecordBatch]) -> Plan:
        """Compare rows and return the plan.

        :param batches: ``row_number``, ``id``, and attributes as text, named ``profile.`` and their name. One row per
            id.
        :raises LedgerLimitError: If more rows would be sent, or more ids are missing, than the rules allow.
        """
        rules = self._rules
        known = register(self._snapshot.controls, rules.writer, ())[0]
        index = SourceIndex(
            self._snapshot, known.number, Refresh(None if rules.send == "all" else rules.refresh_after_days, rules.now)
        )
        for batch in batches:
            self._first_pass(batch, index)
        missing = self._missing(index)
        names = [*self._names, *(name for name in rules.missing_values if missing and name not in self._names)]
        writer, is_new, others = register(self._snapshot.controls, rules.writer, names)
        self._counts.attributes_added = [name for name in names if name not in self._snapshot.attributes]
        self._counts.shared_attributes = shared_attributes(writer, others)
        self._own = writer.attributes
        merge_rules = self._merge_rules(writer)
        for block, versions in self._misses.parts(self._snapshot):
            self._second_pass(block, versions, writer, others, merge_rules)
        for ids in missing:
            self._incoming.add(self._leave(ids, writer, others, merge_rules))
        if rules.max_rows_to_send is not None and self._counts.rows_to_send > rules.max_rows_to_send:
            raise LedgerLimitError(
                f"{self._counts.rows_to_send:,} rows would be sent, more than max_rows_to_send="
                f"{rules.max_rows_to_send:,}. Nothing was sent."
            )
        controls = [writer.to_control()] if is_new else []
        controls += self._seen_controls(index, writer)
        if rules.on_missing == "marker":
            controls += self._snapshot_controls(writer)
        return Plan(
            self._snapshot.seq,
            writer,
            self._counts,
            self._outgoing,
            self._versions,
            self._touched,
            controls,
            self._incoming,
        )

    def _first_pass(self, batch: pa.RecordBatch, index: SourceIndex) -> None:
        rules = self._rules
        names = [name.removeprefix(PREFIX) for name in batch.schema.names[2:]]
        self._names.update(dict.fromkeys(names))
        id_hashes = hash_ids(self._kept_ids(batch.column("id")))
        self._incoming.add(id_hashes)
        if rules.suppress is not None and len(rules.suppress):
            suppressed = mask(pc.is_in(batch.column("id"), value_set=rules.suppress))
            self._counts.rows_suppressed += int(suppressed.sum())
            batch, id_hashes = batch.filter(pa.array(~suppressed)), id_hashes[~suppressed]
        hashes = hash_rows(batch.column("id"), batch.columns[2:], rows_seed(names, rules.null_values))
        if rules.send == "changed":
            hit = index.look_up(hashes)
            self._counts.rows_unchanged += int(hit.sum())
            if hit.all():
                return
            batch, hashes, id_hashes = batch.filter(pa.array(~hit)), hashes[~hit], id_hashes[~hit]
        self._misses.write(
            batch.append_column("source_hash", pa.array(hashes)).append_column("id_hash", pa.array(id_hashes))
        )

    def _kept_ids(self, ids: pa.StringArray) -> pa.StringArray:
        return ids if self._rules.key is None else keyed_hashes(ids, self._rules.key)

    def _missing(self, index: SourceIndex) -> list[pa.StringArray]:
        """Return the ids that are no longer in the rows.

        :raises LedgerLimitError: If there are too many.
        """
        rules = self._rules
        if rules.on_missing != "marker":
            return []
        sent = index.sent()
        present = self._incoming.sorted_with(self._present())
        missing = list(index.missing(present))
        number = sum(map(len, missing))
        if not len(present) or number * 100 > rules.max_missing_pct * sent:
            raise LedgerLimitError(
                f"{number:,} of {sent:,} ids that this task sent before are missing from its {len(present):,} rows, "
                f"beyond max_missing_pct={rules.max_missing_pct:g}. Nothing was sent."
            )
        if rules.suppress is not None and len(rules.suppress):
            missing = [ids.filter(pc.invert(pc.is_in(ids, value_set=rules.suppress))) for ids in missing]
        return missing

    def _merge_rules(self, writer: Writer) -> MergeRules:
        rules = self._rules
        markers, markers_as_of = latest_markers(self._snapshot.controls, writer.name)
        return MergeRules(
            as_of=rules.as_of,
            own=writer.attributes,
            null_values=rules.null_values,
            carry_over=rules.carry_over,
            key=rules.key,
            markers=markers,
            markers_as_of=markers_as_of,
        )

    def _second_pass(
        self,
        block: pa.RecordBatch,
        versions: list[pa.RecordBatch],
        writer: Writer,
        others: list[Writer],
        merge_rules: MergeRules,
    ) -> None:
        hashes, id_hashes = numbers(block.column("source_hash")), numbers(block.column("id_hash"))
        texts = {
            name.removeprefix(PREFIX): block.column(name) for name in block.schema.names if name.startswith(PREFIX)
        }
        ids = self._kept_ids(block.column("id"))
        held = latest_held(self._snapshot.version_schema, versions, ids, self._seen, self._held_names(texts))
        merged = merge(texts, held, merge_rules)
        reason, stale = self._decide(held, merged)
        new_hashes = source_hashes(hashes, merged.reproducible)
        sends = reason != _UNSENT
        self._counts.rows_stale += int(stale.sum())
        self._counts.rows_unchanged += int((~sends & ~stale).sum())
        self._counts.values_not_cleared += int(merged.not_cleared.sum())
        unsent = ~sends & ~stale
        self._note_unchanged(held, merged, unsent, new_hashes, writer)
        if not sends.any():
            return
        new = merged_versions(held, merged, id_hashes, pa.array(new_hashes), self._snapshot.seq, writer, others)
        self._send(block, block.column("id"), merged, sends, new, reason)

    def _held_names(self, texts: Iterable[str]) -> list[str]:
        return list(dict.fromkeys([*texts, *self._snapshot.attributes, *self._rules.missing_values]))

    def _decide(self, held: Held, merged: Merged) -> tuple[np.ndarray[tuple[int], np.dtype[np.int8]], Mask]:
        """Return why each row is sent, and which rows are stale."""
        rules = self._rules
        changed = merged.any_changed
        has_values = np.zeros(len(held.ids), bool)
        for times in held.times.values():
            has_values |= times != NEVER
        reason = np.full(len(held.ids), _UNSENT)
        confirmed = numbers(held.rows["confirmed_at"])
        due = held.found & Refresh(rules.refresh_after_days, rules.now).due(confirmed, hash_ids(held.ids))
        stale = merged.stale & ~merged.same
        if rules.key is not None:
            changed &= ~merged.stale
        if rules.send == "all":
            reason[:] = _FORCED
            stale = np.zeros(len(stale), bool) if rules.key is None else stale
        reason[due] = _REFRESHED
        reason[held.uncertain] = _FORCED
        reason[changed] = _CHANGED
        reason[~has_values] = _NEW
        if rules.key is not None:
            reason[stale] = _UNSENT
        return reason, stale & (reason == _UNSENT)

    def _note_unchanged(self, held: Held, merged: Merged, unsent: Mask, hashes: Hashes, writer: Writer) -> None:
        """Raise the times of unchanged rows, and keep their source hashes so that the next run finds them."""
        column = hash_column(writer.number)
        known = numbers(held.rows[column]) if column in held.rows.column_names else np.zeros(len(unsent), np.int64)
        touch = unsent & (hashes != UNKNOWN_HASH) & (hashes != known) & ~held.uncertain
        raised = [name for name, rows in merged.raised.items() if (rows & unsent).any()]
        if touch.any():
            times = {
                name: np.where(merged.raised[name], self._rules.as_of, times) if name in merged.raised else times
                for name, times in held.times.items()
            }
            rows = with_hashes(held_versions(held, self._snapshot.seq, times), writer.number, pa.array(hashes))
            self._touched.write_table(rows.filter(pa.array(touch)))
        rest = unsent & ~touch
        if not raised or not rest.any():
            return
        pattern = np.stack([merged.raised[name] & rest for name in raised])
        id_hashes = numbers(held.rows["id_hash"])
        for bits in np.unique(pattern[:, rest], axis=1).T:
            if bits.any():
                chosen = rest & (pattern == bits[:, None]).all(axis=0)
                names = frozenset(name for name, bit in zip(raised, bits, strict=True) if bit)
                self._new_seen.setdefault(names, []).append(id_hashes[chosen])

    def _send(
        self,
        block: pa.RecordBatch,
        ids: pa.StringArray,
        merged: Merged,
        sends: Mask,
        versions: pa.Table,
        reason: np.ndarray[tuple[int], np.dtype[np.int8]] | None,
    ) -> None:
        if self._rules.check_size is not None:
            large = sends & self._rules.check_size(ids, merged.texts)
            if large.any():
                self._counts.rows_too_large += int(large.sum())
                if reason is not None:
                    attributes = [name for name in block.schema.names if name not in ("source_hash", "id_hash")]
                    self._too_large(block.select(attributes).filter(pa.array(large)))
                sends = sends & ~large
        chosen = pa.array(sends)
        carries = self._rules.carry_over and self._rules.key is None
        names = sorted(name for name in merged.texts if carries or name in self._own)
        codes = np.zeros(len(ids), np.int8) if reason is None else reason
        because = _BECAUSE_OF_CODE.take(pa.array(codes))
        outgoing = pa.record_batch(
            [block.column("row_number"), ids, *(flat(merged.texts[name]) for name in names), because],
            ["row_number", "id", *(PREFIX + name for name in names), "because"],
        ).filter(chosen)
        self._outgoing.write(outgoing)
        self._versions.write_table(versions.filter(chosen))
        for name in names:
            self._counts.changed_by_attribute[name] += int((merged.changed[name] & sends).sum())
            self._counts.carried_by_attribute[name] += int((merged.carried[name] & sends).sum())
        if reason is None:
            self._counts.rows_left += int(sends.sum())
        else:
            for code, because in _BECAUSE.items():
                self._counts.because[because] += int(((reason == code) & sends).sum())

    def _leave(self, ids: pa.StringArray, writer: Writer, others: list[Writer], merge_rules: MergeRules) -> Hashes:
        """Write markers for ids that are no longer in the rows. Ids that are held with a later time are omitted."""
        id_hashes = hash_ids(ids)
        texts = {name: pa.repeat(value, len(ids)) for name, value in self._rules.missing_values.items()}
        held = held_profiles(self._snapshot, ids, id_hashes, self._seen, self._held_names(texts))
        merged = merge(texts, held, merge_rules)
        later = np.zeros(len(ids), bool)
        for name in writer.attributes:
            later |= held.times.get(name, np.full(len(ids), NEVER)) > self._rules.as_of
        sends = (merged.any_changed | held.uncertain) & ~later
        gone = pa.array(np.zeros(len(ids), np.int64), mask=np.ones(len(ids), bool))
        rest = ~sends & ~later
        if rest.any():
            touched = with_hashes(held_versions(held, self._snapshot.seq), writer.number, gone)
            self._touched.write_table(touched.filter(pa.array(rest)))
        if sends.any():
            versions = merged_versions(held, merged, id_hashes, gone, self._snapshot.seq, writer, others)
            block = pa.record_batch([pa.repeat(-1, len(ids)).cast(pa.int64())], ["row_number"])
            self._send(block, ids, merged, sends, versions, None)
        return id_hashes

    def _seen_controls(self, index: SourceIndex, writer: Writer) -> Iterator[Control]:
        names = sorted(self._names)
        if index.hits:
            yield index.seen(as_of=self._rules.as_of, names=names).to_control()
        for raised, hashes in self._new_seen.items():
            ordered = np.sort(np.concatenate(hashes))
            seen = Seen(writer.number, self._rules.as_of, self._snapshot.seq, sorted(raised), False, ordered)
            yield seen.to_control()

    def _snapshot_controls(self, writer: Writer) -> list[Control]:
        if latest_markers(self._snapshot.controls, writer.name)[1] >= self._rules.as_of:
            return []
        content = {"writer": writer.name, "as_of": self._rules.as_of, "values": dict(self._rules.missing_values)}
        return [Control(0, "snapshot", content)]


_UNSENT, _NEW, _CHANGED, _REFRESHED, _FORCED = np.arange(5, dtype=np.int8)
_BECAUSE_OF_CODE = pa.array([None, "new", "changed", "refreshed", "forced"])
_BECAUSE = {_NEW: "new", _CHANGED: "changed", _REFRESHED: "refreshed", _FORCED: "forced"}


def latest_markers(controls: Iterable[Control], writer: str) -> tuple[dict[str, str], int]:
    """Return the markers of a task's latest complete run, and its time; ``NEVER`` if there is none."""
    found: tuple[dict[str, str], int] = {}, NEVER
    for control in controls:
        if control.kind == "snapshot" and control.content["writer"] == writer and control.content["as_of"] > found[1]:
            found = dict(control.content["values"]), control.content["as_of"]
    return found
