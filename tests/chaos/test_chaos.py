from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from chaos.figures import run_all
from chaos.runs import Stage

RUNS = 100
PARTS = 4  # for two workers, whichever is quicker
SEED = "suite"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as opened:
        yield opened


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_nothing_is_lost_and_nothing_is_claimed(stage, part):
    figures = run_all(stage, SEED, range(part, RUNS, PARTS))
    sys.stdout.write(f"{figures}\n")
    assert not figures.failures, "\n".join(figures.failures)
