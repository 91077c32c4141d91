import threading

import pytest


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    """Fail a test that leaves a thread behind."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before
