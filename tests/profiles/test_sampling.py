from __future__ import annotations

import tempfile
from pathlib import Path

from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
from airflow_provider_adobe_target.profiles.sampling import draw_sample
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data


def draw(rows, size=100, seed=0):
    with tempfile.TemporaryDirectory() as folder:
        run = ProfilePipeline(read_data(rows), ProfileOptions(), Path(folder))
        return draw_sample(run.profiles(), size, seed)


def ids(sample):
    return {update.profile_id for update in sample}


def rows_of(numbers):
    return [{"thirdPartyId": f"U{number}", "tier": None if number % 2 else "gold", "n": number} for number in numbers]


def test_a_sample_is_independent_of_the_order_of_rows():
    numbers = list(range(20_000))
    first = draw(rows_of(numbers))
    numbers.sort(key=lambda number: number * 7919 % 20_011)
    assert len(first) == 100
    assert ids(draw(rows_of(numbers))) == ids(first)


def test_a_sample_holds_what_was_sent_and_no_more():
    for update in draw(rows_of(range(1_000))):
        number = int(update.profile_id[1:])
        assert update.attributes == ({"n": str(number)} if number % 2 else {"tier": "gold", "n": str(number)})


def test_another_seed_draws_another_sample():
    rows = rows_of(range(20_000))
    assert len(ids(draw(rows, seed=1)) & ids(draw(rows, seed=2))) < 10
    assert ids(draw(rows, seed=-7)) == ids(draw(rows, seed=-7))


def test_all_rows_are_drawn_if_there_are_few():
    assert ids(draw(rows_of(range(7)), size=100)) == {f"U{number}" for number in range(7)}
    assert draw(rows_of([]) or [], size=3) == []


def test_a_sample_is_drawn_from_all_over():
    numbers = sorted(int(update.profile_id[1:]) for update in draw(rows_of(range(20_000)), size=200))
    quarters = [sum(5_000 * quarter <= number < 5_000 * (quarter + 1) for number in numbers) for quarter in range(4)]
    assert min(quarters) > 25


def test_rejected_rows_and_repeated_ids_are_not_in_it():
    rows = [*rows_of(range(10)), {"thirdPartyId": "a/b", "n": 1}, {"thirdPartyId": "U1", "n": 99}]
    sample = draw(rows)
    assert ids(sample) == {f"U{number}" for number in range(10)}
    assert {update.attributes["n"] for update in sample if update.profile_id == "U1"} == {"1"}
