"""Clocks on which waiting takes no time."""


class FakeClock:
    """A clock that moves forward when code waits, and records each wait."""

    def __init__(self):
        self.time = 1_767_225_600.0  # 2026-01-01T00:00:00Z
        self.waits = []

    def now(self):
        return self.time

    def monotonic(self):
        return self.time

    def sleep(self, seconds):
        assert seconds >= 0
        self.waits.append(seconds)
        self.time += seconds

    async def asleep(self, seconds):
        self.sleep(seconds)


class StillClock:
    """A clock that only the test moves."""

    def __init__(self, time=1_767_225_600.0):
        self.time = time

    def now(self):
        return self.time

    monotonic = now
