"""A lock per task: overlapping runs of one task send their rows one after the other.

Adobe Target does not process batches in the order of their submission. If two batches write the same ids, either may
override the other (Adobe's Bulk Profile Update page).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.concurrency import file_lock

if TYPE_CHECKING:
    from airflow_provider_adobe_target.concurrency.clock import Clock

_PAUSE = 5.0  # seconds between two attempts to take the lock

log = logging.getLogger(__name__)


@contextmanager
def run_lock(account: str, *, dag_id: str, task_id: str, run_id: str, clock: Clock) -> Iterator[None]:
    """Hold the lock of a task run. Block while another run of the task holds it on this machine.

    Task instances of the same run, such as mapped ones, share the lock. The lock of a killed process is released. If
    the shared folder cannot be used, a warning is logged and the block runs without a lock.

    :param account: Digest of the account. Runs for different accounts do not block each other.
    :param dag_id: ID of the DAG.
    :param task_id: ID of the task.
    :param run_id: ID of the DAG run.
    :param clock: Clock that is used to wait.
    """
    descriptor = None
    try:
        descriptor = _acquire(account, dag_id, task_id, run_id, clock)
    except OSError as error:
        log.warning(
            "Overlapping runs of this task cannot be detected on this machine: %s. Set max_active_runs=1.",
            error,
        )
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _acquire(account: str, dag_id: str, task_id: str, run_id: str, clock: Clock) -> int:
    folder = file_lock.shared_folder()
    file = folder / f"{file_lock.digest(account, dag_id, task_id)}.turn"
    has_warned = False
    while True:
        with suppress(BlockingIOError), file_lock.locked(folder / "turns"):
            descriptor = file_lock.lock_shared(file, file_lock.digest(run_id))
            if descriptor is not None:
                return descriptor
            if not has_warned:
                log.warning(
                    "Another run of task %s of DAG %s sends rows from this machine. This run waits until it ends, "
                    "because Adobe Target does not keep the order of batches that write the same ids. Set "
                    "max_active_runs=1 on the DAG, max_active_tis_per_dag=1 on the task, or a pool with one slot.",
                    task_id,
                    dag_id,
                )
                has_warned = True
        clock.sleep(_PAUSE)
