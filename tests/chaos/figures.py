"""What many runs come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from chaos.checks import extra_submissions, lost_acknowledgements, outcome, problems
from chaos.plans import make_plan
from chaos.runs import Record, Stage


@dataclass
class Figures:
    """What many runs came to."""

    seed: str
    runs: int = 0
    rows: int = 0
    files: int = 0
    calls: int = 0
    tries: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    left_by_kills: int = 0
    lost_rows: int = 0
    lost_acknowledgements: int = 0
    extra: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Count a run, and check it."""
        plan = record.plan
        self.runs += 1
        self.rows += len(record.rows.rows)
        self.files += len(record.sandbox.batches)
        self.calls += record.calls.total()
        self.tries += sum(step.name == "execute" for step in record.steps)
        self.faults += plan.happened("submit", record.calls["submit"]) + plan.happened("status", record.calls["status"])
        self.faults["clock set"] += len(plan.jumps)
        self.outcomes[outcome(record)] += 1
        self.kills += record.kills
        self.left_by_kills += sum(len(step.left) for step in record.steps if step.end == "killed")
        self.lost_rows += sum(len(batch.lost_ids) for batch in record.sandbox.batches)
        self.lost_acknowledgements += lost_acknowledgements(record)
        self.extra += extra_submissions(record)
        found = problems(record)
        if found:
            told = "\n".join(f"  - {problem}" for problem in found)
            steps = [f"{step.name} {step.end}" for step in record.steps]
            self.failures.append(
                f"Run {plan.number} of seed {plan.seed}: {plan.rows.source}, {len(record.rows.rows)} rows, "
                f"{plan.wait}, receipts: {plan.receipts}; {', '.join(steps)}\n{told}\n"
                f"  Repeat it: make chaos SEED={plan.seed} ONLY={plan.number}"
            )

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}: {self.runs} runs, {self.rows:,} rows, {self.files:,} files, {self.calls:,} calls, "
            f"{self.tries} tries, {self.kills} kills",
            f"faults: {_listed(self.faults)}",
            f"outcomes: {_listed(self.outcomes)}",
            f"acknowledgements lost: {self.lost_acknowledgements}; files sent again: {_listed(self.extra) or 'none'}",
            f"rows Target lost without saying so: {self.lost_rows}; "
            f"folders that killed processes left: {self.left_by_kills}",
        ]
        return "\n".join([*lines, *self.failures, f"runs that failed: {len(self.failures)}"])


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if count)


def run_all(stage: Stage, seed: str, numbers: Iterable[int]) -> Figures:
    """Carry out these runs of a seed; when interrupted, return what there is."""
    figures = Figures(seed)
    with suppress(KeyboardInterrupt):
        for number in numbers:
            try:
                figures.add(stage.carry_out(make_plan(seed, number)))
            except Exception as error:
                figures.failures.append(f"Run {number} of seed {seed} broke: {type(error).__name__}: {error}")
    return figures
