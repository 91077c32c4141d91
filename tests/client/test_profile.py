from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_adobe_target.client.profile import ProfileAttribute, TargetProfile

NEW_YORK = timezone(timedelta(hours=-4))


def test_a_profile_has_its_id_its_attributes_and_their_times():
    profile = TargetProfile.from_answer(
        {
            "client": "acme",
            "visitorId": "U1",
            "modifiedAt": "2017-08-18T17:53:39.003-04:00",
            "profileAttributes": {
                "tier": {"value": "gold", "modifiedAt": "2017-08-09T18:18:04.659-04:00"},
                "user.memberlevel": {"value": "0.0", "modifiedAt": "2017-08-09T22:18:04Z"},
                "odd": {"value": 7},
                "odder": "gold",
            },
        }
    )
    assert profile.profile_id == "U1"
    assert profile.modified_at == datetime(2017, 8, 18, 17, 53, 39, 3000, NEW_YORK)
    assert profile.attributes == {
        "tier": ProfileAttribute("gold", datetime(2017, 8, 9, 18, 18, 4, 659000, NEW_YORK)),
        "user.memberlevel": ProfileAttribute("0.0", datetime(2017, 8, 9, 22, 18, 4, tzinfo=timezone.utc)),
    }
    assert profile.values == {"tier": "gold", "user.memberlevel": "0.0"}
    with pytest.raises(TypeError):
        profile.attributes["tier"] = None


@pytest.mark.parametrize(
    ("content", "profile_id", "modified_at"),
    [
        ({"mboxPC": "1.01_0", "modifiedAt": "2014-02-01T10:00:00"}, "1.01_0", datetime(2014, 2, 1, 10)),
        ({"thirdPartyId": "U1", "modifiedAt": "yesterday"}, "U1", None),
        ({"visitorId": 7, "modifiedAt": 7, "profileAttributes": []}, None, None),
    ],
    ids=["older shape", "a time that is none", "nothing of its kind"],
)
def test_other_shapes_are_read_as_far_as_they_go(content, profile_id, modified_at):
    assert TargetProfile.from_answer(content) == TargetProfile(profile_id, modified_at, {})


def test_nothing_of_a_person_is_in_the_repr():
    profile = TargetProfile.from_answer({"visitorId": "PERSON", "profileAttributes": {"tier": {"value": "GOLDEN"}}})
    assert "PERSON" not in f"{profile!r}{profile.attributes['tier']!r}"
    assert "GOLDEN" not in f"{profile!r}{profile.attributes['tier']!r}"
