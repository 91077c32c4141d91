from __future__ import annotations

import errno
import heapq
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_adobe_target.client.rate_limit.limiter import RateLimiter, shared_rate_limiter
from airflow_provider_adobe_target.client.rate_limit.store import FileStore
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.concurrency import file_lock
from support.clocks import StillClock
from support.permits import take

TOKEN = "bbf8ae69-6e29-4b8e-b3d6-f7567723f5b0"


@pytest.fixture
def clock():
    return StillClock(1000.0)


@pytest.fixture
def budget_of(clock):
    """Return a budget as another task of this machine would make it."""

    def make(calls_per_minute=1, client_code="acme", host=None):
        extra = {"calls_per_minute": calls_per_minute}
        return shared_rate_limiter(TargetSettings.from_fields(client_code, TOKEN, host, None, extra), clock)

    return make


@contextmanager
def line_of(budget, length):
    """Let so many stand in line who come back in time."""
    with ExitStack() as stack:
        yield [stack.enter_context(budget.permit()) for _ in range(length)]


@settings(deadline=None)
@given(st.integers(1, 50), st.lists(st.tuples(st.floats(0, 90), st.floats(0, 40)), min_size=1, max_size=150))
def test_no_60_seconds_have_more_calls_than_the_limit(limit, calls):
    clock = StillClock(1000.0)
    budget = RateLimiter(limit, clock)
    spans = []
    for pause, duration in calls:
        clock.time += pause
        with budget.permit() as permit:
            while wait := permit.try_acquire():
                clock.time += wait
            begun = clock.time
            clock.time += duration
        spans.append((begun, clock.time))
    for (_, earlier_end), (later_begin, _) in zip(spans, spans[limit:], strict=False):
        assert later_begin - earlier_end >= 60 - 1e-6


def test_a_wait_is_long_enough_to_advance_the_clock(clock):
    budget = RateLimiter(1, clock)
    clock.time = 1005.87
    assert take(budget) == 0
    clock.time += 60  # rounded, that is a little less
    wait = take(budget)
    assert wait > 0
    assert clock.time + wait > clock.time


@pytest.fixture(params=["memory", "file"])
def any_budget(request, clock, budget_of):
    return (lambda limit: RateLimiter(limit, clock)) if request.param == "memory" else budget_of


def test_what_is_left_is_given_at_once(any_budget):
    budget = any_budget(2)
    with budget.permit() as first, budget.permit() as second, budget.permit() as third:
        assert [first.try_acquire(), second.try_acquire()] == [0, 0]
        assert third.try_acquire() > 0


def test_a_call_holds_its_place_for_60_seconds_after_its_end(any_budget, clock):
    budget = any_budget(1)
    with budget.permit() as permit:
        permit.try_acquire()
        clock.time += 100
        assert take(budget) > 0
    assert take(budget) == 60
    clock.time += 60
    assert take(budget) == 0


@pytest.mark.parametrize("limit", [1, 7, 50])
def test_threads_share_one_limiter(any_budget, limit):
    budget = any_budget(limit)
    taken = []
    barrier = threading.Barrier(8)

    def work():
        barrier.wait()
        for _ in range(20):
            if take(budget) == 0:
                taken.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == limit


class TestTheLine:
    def test_waiting_tasks_are_served_in_order(self, any_budget, clock):
        budget = any_budget(1)
        take(budget)
        with budget.permit() as first, budget.permit() as second:
            assert first.try_acquire() == 60
            assert second.try_acquire() > 0
            clock.time += 60
            assert second.try_acquire() > 0  # asks sooner, and is not served
            assert first.try_acquire() == 0

    def test_the_queue_advances_when_a_task_leaves(self, any_budget, clock):
        budget = any_budget(1)
        take(budget)
        with budget.permit() as second:
            with budget.permit() as first:
                first.try_acquire()
                second.try_acquire()
            clock.time += 60
            assert second.try_acquire() == 0

    def test_a_task_that_stops_polling_loses_its_position(self, any_budget, clock):
        budget = any_budget(1)
        take(budget)
        with budget.permit() as gone, budget.permit() as second:
            gone.try_acquire()
            second.try_acquire()
            clock.time += 60 + 11
            assert second.try_acquire() == 0

    def test_no_wait_is_longer_than_needed(self, any_budget, clock):
        budget = any_budget(3)
        for _ in range(3):
            take(budget)
            clock.time += 10
        with line_of(budget, 3) as line:
            assert [permit.try_acquire() for permit in line] == [30, 40, 50]

    def test_a_thousand_waiting_tasks_are_served_in_order_with_few_polls(self, clock):
        budget, seconds, asked, served = RateLimiter(30, clock), 240, 0, []
        with line_of(budget, 1000) as line:
            turns = [(clock.time, number) for number in range(1000)]
            while turns[0][0] < 1000 + seconds:
                clock.time, number = heapq.heappop(turns)
                asked += 1
                if wait := line[number].try_acquire():
                    heapq.heappush(turns, (clock.time + wait, number))
                else:
                    line[number].__exit__(None, None, None)
                    served.append(number)
        assert served == list(range(30 * 4))
        assert asked < 25 * seconds

    def test_a_connection_with_a_lower_limit_leaves_the_rest(self, budget_of):
        few, many = budget_of(2), budget_of(5)
        assert [take(few), take(few)] == [0, 0]
        with few.permit() as waiting:
            assert waiting.try_acquire() > 0
            assert [take(many) for _ in range(3)] == [0, 0, 0]
            assert take(many) > 0


class TestSharing:
    def test_limiters_of_one_account_share_their_calls(self, budget_of):
        assert [take(budget_of(2)) for _ in range(3)] == [0, 0, 60]

    @pytest.mark.parametrize("other", [{"client_code": "other"}, {"host": "https://other.example"}])
    def test_other_accounts_have_limiters_of_their_own(self, budget_of, other):
        assert [take(budget_of()), take(budget_of(**other))] == [0, 0]

    def test_the_files_are_private_and_show_no_account_or_token(self, budget_of, shared_folder):
        with budget_of().permit() as permit:
            permit.try_acquire()
            files = list(shared_folder.iterdir())
            assert len(files) == 2
            assert shared_folder.stat().st_mode & 0o777 == 0o700
            for file in files:
                assert file.stat().st_mode & 0o777 == 0o600
                text = file.name + file.read_text()
                assert not any(secret in text for secret in ("acme", TOKEN, "omtrdc"))
        assert [file.suffix for file in shared_folder.iterdir()] == [".calls"]

    def test_a_restarted_machine_starts_with_an_empty_window(self, budget_of, clock):
        with budget_of().permit() as permit:
            permit.try_acquire()
            permit.back_off(500)
        clock.time = 3.0
        assert take(budget_of()) == 0

    @pytest.mark.parametrize("content", [b'{"at":1000.0,"runn', b"\x00" * 100, b"[]\n", b'{"surprise":1}\n', b'"at"\n'])
    def test_a_file_that_was_not_written_as_a_whole_costs_a_minute(self, budget_of, clock, shared_folder, content):
        take(budget_of())
        [file] = shared_folder.iterdir()
        file.write_bytes(content)
        assert take(budget_of()) == 60
        clock.time += 60
        assert take(budget_of()) == 0

    def test_a_file_that_another_process_locks_is_retried_soon(self, budget_of, shared_folder):
        take(budget_of(2))
        [file] = shared_folder.iterdir()
        held = file_lock.lock(file)
        assert 0 < take(budget_of(2)) < 0.2
        os.close(held)
        assert take(budget_of(2)) == 0

    def test_an_end_that_could_not_be_noted_is_found_by_others(self, budget_of, clock, shared_folder):
        permit = budget_of().permit()
        permit.try_acquire()
        [file] = shared_folder.glob("*.calls")
        held = file_lock.lock(file)
        permit.__exit__(None, None, None)
        os.close(held)
        assert take(budget_of()) == 60
        clock.time += 60
        assert take(budget_of()) == 0


class TestAfter503:
    def test_all_tasks_pause_for_retry_after(self, any_budget, clock):
        budget = any_budget(10)
        with budget.permit() as permit:
            permit.try_acquire()
        permit.back_off(65)
        assert take(budget) == 65
        clock.time += 64
        assert take(budget) == 1
        clock.time += 1
        assert take(budget) == 0

    def test_the_limit_halves_once_for_concurrent_calls_then_recovers(self, any_budget, clock):
        budget = any_budget(10)
        with budget.permit() as first, budget.permit() as second:
            first.try_acquire(), second.try_acquire()
        first.back_off(65)
        second.back_off(65)
        clock.time += 65
        assert self.free(budget) == 5
        clock.time += 60
        assert self.free(budget) == 6
        clock.time += 600
        assert self.free(budget) == 10

    def test_at_least_one_call_a_minute_remains(self, any_budget, clock):
        budget = any_budget(3)
        for _ in range(4):
            with budget.permit() as permit:
                assert permit.try_acquire() == 0
            permit.back_off(65)
            clock.time += 65
        assert self.free(budget) == 1

    def test_one_answer_delays_calls_by_half_an_hour_at_most(self, any_budget):
        budget = any_budget(3)
        with budget.permit() as permit:
            permit.try_acquire()
        permit.back_off(10**9)
        assert take(budget) == 30 * 60

    @staticmethod
    def free(budget):
        with line_of(budget, 12) as line:
            return sum(permit.try_acquire() == 0 for permit in line)


class TestFolder:
    def test_a_folder_that_others_may_write_to_is_not_used(self, budget_of, shared_folder, caplog):
        shared_folder.mkdir()
        shared_folder.chmod(0o777)
        assert [take(budget_of()) for _ in range(2)] == [0, 0]
        assert list(shared_folder.iterdir()) == []
        assert len(caplog.records) == 1
        assert str(shared_folder) in caplog.text
        assert file_lock.FOLDER_VARIABLE in caplog.text

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
    def test_a_folder_of_another_user_is_not_used(self, budget_of, shared_folder, caplog):
        shared_folder.mkdir(mode=0o700)
        os.chown(shared_folder, 12345, -1)
        assert [take(budget_of()) for _ in range(2)] == [0, 0]
        assert list(shared_folder.iterdir()) == []
        assert len(caplog.records) == 1

    def test_a_link_is_not_followed(self, budget_of, shared_folder, tmp_path):
        shared_folder.symlink_to(tmp_path)
        assert take(budget_of()) == 0
        assert list(tmp_path.iterdir()) == []

    def test_the_default_is_a_folder_for_each_user(self, monkeypatch, tmp_path):
        monkeypatch.delenv(file_lock.FOLDER_VARIABLE)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        assert file_lock.shared_folder() == tmp_path / f"adobe-target-{os.geteuid()}"

    @pytest.mark.parametrize("step", ["open", "pwrite"])
    def test_a_failing_disk_falls_back_to_a_limiter_in_memory(self, budget_of, monkeypatch, caplog, step):
        budget = budget_of(2)
        with budget.permit() as before:
            assert before.try_acquire() == 0

            def fail(*arguments, **options):
                raise OSError(errno.ENOSPC, "No space left on device")

            monkeypatch.setattr(os, step, fail)
            assert [take(budget) for _ in range(3)] == [0, 0, 60]
        assert [record.levelname for record in caplog.records].count("WARNING") == 1


CHILD = """
import sys, time
from pathlib import Path
from airflow_provider_adobe_target.client.rate_limit.limiter import RateLimiter
from airflow_provider_adobe_target.concurrency.clock import SYSTEM
from airflow_provider_adobe_target.client.rate_limit.store import FileStore
permit = RateLimiter(1, SYSTEM, FileStore(Path(sys.argv[1]), "account")).permit()
print(permit.try_acquire(), flush=True)
time.sleep(60)
"""


def test_the_permit_of_a_killed_process_is_free_after_a_minute(tmp_path):
    with subprocess.Popen([sys.executable, "-c", CHILD, tmp_path], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout.readline() == "0.0\n"
            [ledger] = tmp_path.glob("*.calls")
            clock = StillClock(1000.0)
            clock.time = json.loads(ledger.read_text())["at"]
            budget = RateLimiter(1, clock, FileStore(tmp_path, "account"))
            clock.time += 300
            assert 30 <= take(budget) <= 60  # it lives: its call may take long
        finally:
            child.send_signal(signal.SIGKILL)
    assert take(budget) == 60
    clock.time += 60
    assert take(budget) == 0
    assert list(tmp_path.iterdir()) == [ledger]


def test_calls_and_their_time_in_the_queue_are_counted(clock):
    budget = RateLimiter(1, clock)
    take(budget)
    with budget.permit() as permit:
        wait = permit.try_acquire()
        assert budget.usage.calls == 1  # none is counted before it is acquired
        clock.time += wait
        assert permit.try_acquire() == 0
    assert (budget.usage.calls, budget.usage.wait_seconds) == (2, pytest.approx(wait))


def test_throttled_calls_and_their_waits_are_counted(clock):
    budget = RateLimiter(10, clock)
    with budget.permit() as permit:
        permit.try_acquire()
        permit.back_off(30)
    assert (budget.usage.calls, budget.usage.throttles, budget.usage.wait_seconds) == (1, 1, 30)
