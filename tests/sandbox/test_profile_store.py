"""How writes to one profile replace or extend each other, and when a profile expires."""

from __future__ import annotations

from support.sandbox_client import counts

ONE_ROW = "batch=thirdPartyId,tier\nU1,gold"


class TestOverride:
    FIRST, SECOND = "batch=thirdPartyId,a,b\nU1,1,2", "batch=thirdPartyId,b\nU1,3"

    def test_a_second_v2_row_takes_away_what_the_first_one_wrote(self, target):
        target.load(self.FIRST)
        target.load(self.SECOND)
        assert target.sandbox.profile("U1") == {"b": "3"}

    def test_a_delivery_call_in_between_makes_the_first_row_stay(self, target):
        target.load(self.FIRST)
        target.deliver({"thirdPartyId": "U1"})
        target.load(self.SECOND)
        assert target.sandbox.profile("U1") == {"a": "1", "b": "3"}

    def test_what_others_wrote_stays(self, target):
        target.sandbox.put_profile("U1", {"visitor": "x"})
        target.load(self.FIRST)
        target.update("mbox3rdPartyId=U1&profile.single=y")
        target.load(self.SECOND)
        assert target.sandbox.profile("U1") == {"visitor": "x", "single": "y", "b": "3"}

    def test_v1_rows_merge(self, target):
        target.sandbox.put_profile("U1", {})
        target.load(self.FIRST, "v1")
        target.load(self.SECOND, "v1")
        assert target.sandbox.profile("U1") == {"a": "1", "b": "3"}

    def test_may_be_per_attribute(self, target):
        target.sandbox.settings.override = "merge"
        target.load(self.FIRST)
        target.load(self.SECOND)
        assert target.sandbox.profile("U1") == {"a": "1", "b": "3"}


class TestLifetime:
    def test_a_profile_is_gone_after_fourteen_idle_days(self, target):
        target.sandbox.put_profile("U1", {"a": "x"})
        target.clock.move(days=14)
        assert target.fetch("thirdPartyId/U1").status_code == 200
        target.clock.move(seconds=1)
        assert target.fetch("thirdPartyId/U1").status_code == 404
        assert counts(target.load(ONE_ROW, "v1")) == (1, 1, 0, 1, 0)

    def test_a_batch_does_not_prolong_it(self, target):
        target.sandbox.put_profile("U1", {"a": "x"})
        target.clock.move(days=10)
        target.load(ONE_ROW)
        target.clock.move(days=5)
        assert target.sandbox.profile("U1") is None

    def test_a_batch_may_prolong_it(self, target):
        target.sandbox.settings.batch_resets_idle_clock = True
        target.sandbox.put_profile("U1", {"a": "x"})
        target.clock.move(days=10)
        target.load(ONE_ROW)
        target.clock.move(days=5)
        assert target.sandbox.profile("U1") == {"a": "x", "tier": "gold"}

    def test_a_visit_prolongs_it(self, target):
        target.load(ONE_ROW)
        target.clock.move(days=10)
        target.deliver({"thirdPartyId": "U1"})
        target.clock.move(days=5)
        assert target.sandbox.profile("U1") == {"tier": "gold"}
