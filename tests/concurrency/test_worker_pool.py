from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import pytest

from airflow_provider_adobe_target.concurrency.worker_pool import run_pool
from airflow_provider_adobe_target.exceptions import AdobeTargetError
from airflow_provider_adobe_target.load.upload_options import UploadOptions
from airflow_provider_adobe_target.profiles.batch_files import BatchFile


def file(number):
    return BatchFile(Path(f"batch-{number}"), 1, 1, "")


@pytest.mark.parametrize("max_workers", [1, 2, 5])
def test_at_most_max_workers_files_are_uploaded_and_one_waits(max_workers):
    lock, under_way, there, most = threading.Lock(), set(), set(), []

    def made():
        for number in range(40):
            with lock:
                there.add(number)
                most.append((len(under_way), len(there)))
            yield file(number)

    def send(number, _, clock):
        with lock:
            under_way.add(number)
            most.append((len(under_way), len(there)))
        time.sleep(number % 7 / 500)
        with lock:
            under_way.remove(number)
            there.remove(number)

    run_pool(made(), send, max_workers=max_workers, stop=threading.Event())
    assert not there
    assert max(uploads for uploads, _ in most) == max_workers
    assert max(files for _, files in most) == max_workers + 1


def test_after_a_failure_running_uploads_end_and_no_more_begin():
    begun, ended, stop = [], [], threading.Event()
    both = threading.Barrier(2, timeout=10)

    def send(number, _, clock):
        begun.append(number)
        both.wait()
        if number == 0:
            raise LookupError("refused")
        assert stop.wait(10)
        time.sleep(0.05)
        ended.append(number)

    with pytest.raises(LookupError, match="refused"):
        run_pool(map(file, range(10)), send, max_workers=2, stop=stop)
    assert sorted(begun) == [0, 1]
    assert ended == [1]


def test_the_first_error_is_raised_and_others_are_logged(caplog):
    both = threading.Barrier(2, timeout=10)

    def send(number, _, clock):
        both.wait()
        time.sleep(0.2 if number == 0 else 0)
        raise LookupError(f"refused {number}")

    with pytest.raises(LookupError, match="refused 1"):
        run_pool(map(file, range(10)), send, max_workers=2, stop=threading.Event())
    assert "refused 0" in caplog.text


def test_a_failure_cancels_a_file_that_waits_for_a_retry(caplog):
    caplog.set_level(logging.WARNING)
    both = threading.Barrier(2, timeout=10)

    def send(number, _, clock):
        both.wait()
        if number == 0:
            raise LookupError("refused")
        clock.sleep(60)

    started = time.monotonic()
    with pytest.raises(LookupError):
        run_pool(map(file, range(2)), send, max_workers=2, stop=threading.Event())
    assert time.monotonic() - started < 10
    assert "is not retried" in caplog.text


def test_an_error_of_the_file_source_waits_for_running_uploads():
    ended = []

    def made():
        yield file(0)
        raise LookupError("no more")

    def send(number, _, clock):
        time.sleep(0.1)
        ended.append(number)

    with pytest.raises(LookupError, match="no more"):
        run_pool(made(), send, max_workers=2, stop=threading.Event())
    assert ended == [0]


def test_an_external_cancellation_ends_the_pool_without_an_error():
    stop, begun = threading.Event(), []

    def send(number, _, clock):
        begun.append(number)
        stop.set()
        clock.sleep(60)

    started = time.monotonic()
    run_pool(map(file, range(10)), send, max_workers=1, stop=stop)
    assert time.monotonic() - started < 10
    assert begun == [0]


@pytest.mark.parametrize("wrong", [0, 11, -1, 2.0, "2", True, None])
def test_how_many_at_once_is_a_number_from_1_to_10(wrong):
    with pytest.raises(AdobeTargetError, match=r"max_concurrent_uploads must be .*between 1 and 10"):
        UploadOptions(max_concurrent_uploads=wrong)


@pytest.mark.parametrize("right", [1, 2, 10])
def test_1_to_10_at_once_are_fine(right):
    assert UploadOptions(max_concurrent_uploads=right).max_workers == right
