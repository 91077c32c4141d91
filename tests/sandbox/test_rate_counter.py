"""The limit of calls per minute in the sandbox, over real sockets."""

from __future__ import annotations

ONE_ROW = "batch=thirdPartyId,tier\nU1,gold"


class TestCallsPerMinute:
    def test_submits_and_polls_beyond_fifty_answer_503(self, target):
        url = target.status_url(ONE_ROW)
        assert {target.status(url).status_code for _ in range(49)} == {200}
        for answer in (target.status(url), target.submit(ONE_ROW)):
            assert answer.status_code == 503
            assert "Retry-After" not in answer.headers

    def test_are_free_again_after_a_minute(self, target):
        target.sandbox.settings.calls_per_minute = 1
        assert [target.submit(ONE_ROW).status_code for _ in range(2)] == [200, 503]
        target.clock.move(seconds=60)
        assert target.submit(ONE_ROW).status_code == 200

    def test_stay_exhausted_by_immediate_retries(self, target):
        target.sandbox.settings.calls_per_minute = 1
        answers = []
        for _ in range(4):
            answers.append(target.submit(ONE_ROW).status_code)
            target.clock.move(seconds=30)
        assert answers == [200, 503, 503, 503]

    def test_may_name_the_wait_in_retry_after(self, target):
        target.sandbox.reset(calls_per_minute=1, retry_after=61)
        target.submit(ONE_ROW)
        assert target.submit(ONE_ROW).headers["Retry-After"] == "61"

    def test_do_not_concern_single_updates_fetch_and_delivery(self, target):
        target.sandbox.settings.calls_per_minute = 1
        answers = [
            target.update("mboxPC=1&profile.a=x"),
            target.deliver(),
            target.deliver(),
            target.fetch("1"),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 404]
