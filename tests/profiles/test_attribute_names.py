"""Names of attributes: sent as the header of a file, or refused with the remedy."""

import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from support.pipeline import cursor_source, run_pipeline

BUILT_IN = "it is built into Adobe Target.*attributes="

NAMES = [
    ("profile prefix", {"profile.tier": 1}, {}, r"'profile\.tier'.*adds 'profile\.' itself.*attributes="),
    ("profile prefix by nesting", {"profile": {"tier": 1}}, {}, r"'profile\.tier'.*itself"),
    ("profile prefix by mapping", {"t": 1}, {"attributes": {"t": "profile.t"}}, "'t' cannot be.*'profile.t'"),
    ("browserTime", {"browserTime": 1}, {}, BUILT_IN),
    ("averageDaysBetweenVisits", {"averageDaysBetweenVisits": 1}, {}, BUILT_IN),
    ("sessionCount", {"sessionCount": 1}, {}, BUILT_IN),
    ("firstSessionStart", {"firstSessionStart": 1}, {}, BUILT_IN),
    ("mobile", {"mobile.deviceModel": 1}, {}, BUILT_IN),
    ("geolocation by nesting", {"geolocation": {"city": "Ulm"}}, {}, r"'geolocation\.city'.*built into"),
    ("param", {"param": 1}, {}, BUILT_IN),
    ("parameter", {"parameter.x": 1}, {}, BUILT_IN),
    ("user", {"user.level": 1}, {}, BUILT_IN),
    ("crs by mapping", {"t": 1}, {"attributes": {"t": "crs.t"}}, BUILT_IN),
    ("entity", {"entity.id": 1}, {}, BUILT_IN),
    (
        "id key as attribute",
        {"pcId": 1},
        {"id_column": "pcId", "id_type": "pcId", "attributes": ["pcId"]},
        "name of the id",
    ),
    ("begins with a digit", {"2nd": 1}, {}, "a letter or underscore"),
    ("begins with a dot", {".a": 1}, {}, "a letter or underscore"),
    ("empty", {"": 1}, {}, "a letter or underscore"),
    ("blank", {" ": 1}, {}, "a letter or underscore"),
    ("blank inside", {"a b": 1}, {}, r"'a b'.*a letter or underscore.*attributes=\{'a b'"),
    ("umlaut", {"größe": 1}, {}, "a letter or underscore"),
    ("arabic digit", {"a٣": 1}, {}, "a letter or underscore"),
    ("comma", {"a,b": 1}, {}, "a letter or underscore"),
    ("line feed at its end", {"a\n": 1}, {}, "a letter or underscore"),
    ("percent", {"a%20b": 1}, {}, "a letter or underscore"),
    ("equals", {"a=b": 1}, {}, "a letter or underscore"),
    ("byte order mark", {"\ufefftier": 1}, {}, "a letter or underscore"),
    ("129 characters", {"x" * 129: 1}, {}, "at most 127"),
    ("129 characters by nesting", {"x" * 64: {"y" * 64: 1}}, {}, "at most 127"),
    ("blank key of a dict", {"a": {"b c": 1}}, {}, r"'a\.b c'.*a letter or underscore"),
    ("twice by flattening", {"a.b": 1, "a": {"b": 2}}, {}, r"'a\.b' is used twice"),
    ("twice by mapping", {"a": 1, "b": 2}, {"attributes": {"a": "x", "b": "x"}}, "'x' is used twice, by.*'a', 'b'"),
    (
        "twice by mapping and nesting",
        {"a": 1, "b": {"c": 2}},
        {"attributes": {"a": "x.c", "b": "x"}},
        r"'x\.c' is used twice",
    ),
    ("twice in a list", {"a": 1}, {"attributes": ["a", "a"]}, "twice in attributes"),
    ("missing attribute", {"a": 1}, {"attributes": ["b"]}, "no column 'b' for attributes.*'a'"),
    (
        "attributes as one text",
        {"tier": 1},
        {"attributes": "tier"},
        r"attributes='tier' is not a list. Write \['tier'\]",
    ),
    ("missing id column", {"a": 1}, {"id_column": "b"}, "no column 'b' for id_column"),
    ("two possible ids", {"pcId": 1, "a": 1}, {}, "could each be the id.*id_column"),
    ("no attribute column", {}, {}, "no attribute column"),
]


@pytest.mark.parametrize("source", ["list", "cursor"])
@pytest.mark.parametrize(("columns", "rules", "error"), [pytest.param(*rest, id=name) for name, *rest in NAMES])
def test_an_invalid_name_ends_the_run(columns, rules, error, source):
    row = {"thirdPartyId": "SECRET", **columns}
    with pytest.raises(ProfileDataError, match=error) as raised:
        run_pipeline([row] if source == "list" else cursor_source(list(row), [tuple(row.values())]), **rules)
    assert "SECRET" not in str(raised.value)


NAMES_SENT = [
    ("id", {"id": "x"}, {}, "id", "x"),
    ("row_number", {"row_number": "x"}, {}, "row_number", "x"),
    ("reject_reason", {"reject_reason": "x"}, {}, "reject_reason", "x"),
    ("underscore", {"_": 1}, {}, "_", "1"),
    ("128 characters", {"x" * 128: 1}, {}, "x" * 128, "1"),
    ("dots and dashes", {"a.b-c_d": 1}, {}, "a.b-c_d", "1"),
    ("like a built-in one", {"users": 1}, {}, "users", "1"),
    ("profiles without the dot", {"profile": 1}, {}, "profile", "1"),
    ("a bad one, mapped", {"größe": 1}, {"attributes": {"größe": "size"}}, "size", "1"),
    ("the id too", {"t": 1}, {"attributes": {"thirdPartyId": "crm_id"}}, "crm_id", "U1"),
    ("three deep", {"a": {"b": {"c": {"d": 1}}}}, {}, "a.b.c.d", "1"),
    ("one of a dict", {"a": {"b": 1, "c": 2}}, {"attributes": ["a.c"]}, "a.c", "2"),
    ("a dict, mapped", {"a": {"b": 1}}, {"attributes": {"a": "x"}}, "x.b", "1"),
    ("a dotted column, mapped", {"a.b": 1}, {"attributes": {"a.b": "x"}}, "x", "1"),
]


@pytest.mark.parametrize("source", ["list", "cursor"])
@pytest.mark.parametrize(
    ("columns", "rules", "header", "line"), [pytest.param(*rest, id=name) for name, *rest in NAMES_SENT]
)
def test_a_valid_name_is_the_header(columns, rules, header, line, source):
    row = {"thirdPartyId": "U1", **columns}
    outcome = run_pipeline([row] if source == "list" else cursor_source(list(row), [tuple(row.values())]), **rules)
    assert outcome.bodies == [f"batch=thirdPartyId,{header}\nU1,{line}"]
