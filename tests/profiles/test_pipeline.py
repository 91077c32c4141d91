import hashlib
import re
import traceback
from collections import Counter
from urllib.parse import quote

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.values.python_values import BEYOND_PYTHON
from support.pipeline import cursor_source, run_pipeline

# ------ the pipeline, one row after another

COLUMNS = ["thirdPartyId", "a", "b", "c"]
UNSUPPORTED = (float("inf"), BEYOND_PYTHON, [["list in a list"]])


def text_of(value):
    """Write the few kinds of values that the tables below hold."""
    if value is None or value == "" or value == []:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "|".join(value)
    return str(value)


def reason_of(row, rules):
    """Tell why a row cannot be sent, or give what is sent of it: the first reason counts."""
    id_, *values = row
    if any(id_ is value for value in UNSUPPORTED):
        return "unsupported_value", None
    if id_ is None or not str(id_).strip():
        return "missing_id", None
    id_ = str(id_)
    if len(id_) > 256:
        return "id_too_long", None
    if any(character in "+/" or ord(character) < 32 or 127 <= ord(character) < 160 for character in id_):
        return "id_forbidden_character", None
    if "," in id_ and rules.on_risky_value != "encode":
        return "id_forbidden_character", None
    texts = []
    for value in values:
        if any(value is unsupported for unsupported in UNSUPPORTED):
            return "unsupported_value", None
        text = text_of(value)
        if text and rules.on_risky_value == "replace":
            parts = re.split(r" *[,\r\n][ ,\r\n]*", text)
            text = " ".join(part for part in parts if part) if len(parts) > 1 else text
        if text and rules.on_risky_value == "reject" and any(character in ",\r\n" for character in text):
            return "risky_value", None
        if text and len(text) > rules.max_value_length:
            return "value_too_long", None
        texts.append(text)
    if sum(len(name) + len(text.encode()) for name, text in zip(COLUMNS[1:], texts) if text) > 64_000:
        return "profile_too_large", None
    line = "\n" + ",".join(quote(text or "", safe="") for text in (id_, *texts))
    if len(HEADER + line) > rules.max_bytes_per_file:
        return "profile_too_large", None
    return None, line if any(texts) else ""


HEADER = "batch=" + ",".join(COLUMNS)


def reference(rows, rules):
    """Process the rows one by one: bodies, rejects as (row number, reason), empty rows; or the expected error."""
    judged = [reason_of(row, rules) for row in rows]
    rejects = [(number, reason) for number, (reason, _) in enumerate(judged) if reason]
    if rejects and not rules.skip_invalid_records:
        return f"Row {rejects[0][0]} cannot be sent: {rejects[0][1]} "
    empty = sum(line == "" for _, line in judged)
    good = {number: line for number, (_, line) in enumerate(judged) if line}
    by_id = {}
    for number in good:
        by_id.setdefault(str(rows[number][0]), []).append(number)
    winners = {numbers[-1 if rules.on_duplicate_id == "last" else 0] for numbers in by_id.values()}
    duplicates = sorted(good.keys() - winners)
    if duplicates and rules.on_duplicate_id == "fail":
        return f"Row {duplicates[0]} has the same id as an earlier row"
    if rules.max_invalid_pct is not None and len(rejects) * 100 > rules.max_invalid_pct * len(rows):
        return f"{len(rejects)} of {len(rows)} rows cannot be sent"
    bodies, room = [], 0
    for number in sorted(winners):
        if not room or len(bodies[-1] + good[number]) > rules.max_bytes_per_file:
            bodies.append(HEADER)
            room = rules.max_rows_per_file
        bodies[-1] += good[number]
        room -= 1
    return bodies, sorted(rejects + [(number, "duplicate_id") for number in duplicates]), empty


ids = st.one_of(
    st.sampled_from(["U1", "U2", "U3", " U1", "u1", "ä", "00", 0, 7, "7", "a,b"]),
    st.sampled_from([None, "", " \t", "a+b", "a/b", "\0", "a\x7f", "\u0085", "x" * 257, "😀" * 256, BEYOND_PYTHON]),
    st.text(max_size=4),
).map(lambda value: next((known for known in UNSUPPORTED if value == known), value))
values = st.one_of(
    st.none(),
    st.sampled_from(["", "gold", "a,b", "a\r\nb", "\r", "50% off", "ä" * 9, "x" * 10, "x" * 11, True, 0, -7, 10**20]),
    st.sampled_from([["p", "q"], ["p,q"], [], "x" * 5_000, "x" * 5_001, "é" * 16_000, *UNSUPPORTED]),
    st.text(max_size=6),
)
rows_of_all_kinds = st.one_of(
    st.tuples(ids, values, values, values),
    st.tuples(ids, *[st.sampled_from([None, "", []])] * 3),  # says nothing
)
tables = st.lists(rows_of_all_kinds, max_size=25)
all_rules = st.builds(
    ProfileOptions,
    max_rows_per_file=st.sampled_from([1, 2, 5, 50_000]),
    max_bytes_per_file=st.sampled_from([20, 60, 100, 20_000, 49_000_000]),
    skip_invalid_records=st.sampled_from([True, True, True, False]),
    max_invalid_pct=st.sampled_from([None, None, 0, 33.3, 50, 100]),
    on_duplicate_id=st.sampled_from(["first", "first", "last", "fail"]),
    on_risky_value=st.sampled_from(["encode", "replace", "reject"]),
    max_value_length=st.sampled_from([10, 5_000, 64_000]),
)
cuts = st.lists(st.integers(1, 12), min_size=1, max_size=4)


def options(rules):
    return {name: getattr(rules, name) for name in rules.__dataclass_fields__}


@given(rows=tables, rules=all_rules, cuts=cuts)
def test_the_pipeline_equals_a_loop_over_its_rows(rows, rules, cuts):
    expected = reference(rows, rules)
    if isinstance(expected, str):
        with pytest.raises(ProfileDataError) as raised:
            run_pipeline(cursor_source(COLUMNS, rows, cuts), **options(rules))
        assert str(raised.value).startswith(expected)
        return
    outcome = run_pipeline(cursor_source(COLUMNS, rows, cuts), **options(rules))
    assert (outcome.bodies, outcome.reject_reasons, outcome.empty) == expected
    assert outcome.read == len(rows)
    assert outcome.reasons == Counter(reason for _, reason in expected[1])


@given(rows=tables, rules=all_rules)
def test_a_list_of_dicts_is_read_like_a_cursor(rows, rules):
    expected = reference(rows, rules)
    records = [dict(zip(COLUMNS, row)) for row in rows]
    if isinstance(expected, str):
        with pytest.raises(ProfileDataError):
            run_pipeline(records, **options(rules))
    else:
        assert run_pipeline(records, **options(rules)).bodies == expected[0]


def test_the_same_rows_are_the_same_bytes_however_they_are_cut():
    numbers = range(3_000)
    rows = [(f"customer-{number}", number % 7 or None, f"{number},ä" if number % 5 else "", 1.5) for number in numbers]
    sums = set()
    for cuts in ([10_000], [10_000], [1, 2, 3], [977], [1_000, 1]):
        bodies = run_pipeline(cursor_source(COLUMNS, rows, cuts), max_rows_per_file=700).bodies
        sums.add(hashlib.sha256("\0".join(bodies).encode()).hexdigest())
    assert len(sums) == 1


# ------ order of things


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((None, float("inf"), "x" * 9), "missing_id"),
        (("+" * 257, float("inf"), "x" * 9), "id_too_long"),
        (("+,", float("inf"), "x" * 9), "id_forbidden_character"),
        (("a,b", float("inf"), "x" * 9), "id_forbidden_character"),
        (("U1", float("inf"), "x" * 9), "unsupported_value"),
        (("U1", "a,b" * 9, float("inf")), "risky_value"),
        (("U1", "x" * 9, float("inf")), "value_too_long"),
    ],
)
def test_the_reason_of_the_id_precedes_those_of_values(row, reason):
    source = cursor_source(["thirdPartyId", "a", "b"], [row])
    outcome = run_pipeline(source, on_risky_value="reject", max_value_length=8)
    assert outcome.reasons == {reason: 1}


def test_a_bad_or_empty_row_does_not_take_the_place_of_a_good_one():
    rows = [("U1", b"bad"), ("U1", None), ("U1", "good"), ("U1", "late"), ("U1", b"bad"), ("U1", None)]
    first = run_pipeline(cursor_source(["thirdPartyId", "v"], rows))
    last = run_pipeline(cursor_source(["thirdPartyId", "v"], rows), on_duplicate_id="last")
    assert (first.lines, first.empty) == (["U1,good"], 2)
    assert (last.lines, last.empty) == (["U1,late"], 2)
    assert first.reject_reasons == [(0, "unsupported_value"), (3, "duplicate_id"), (4, "unsupported_value")]
    assert last.reject_reasons == [(0, "unsupported_value"), (2, "duplicate_id"), (4, "unsupported_value")]


def test_the_error_is_about_the_first_invalid_row():
    rows = [("U1", "x"), ("U2", b"x"), (None, "x"), ("U+", "x")]
    with pytest.raises(ProfileDataError, match=r"Row 1 cannot be sent: unsupported_value \(v"):
        run_pipeline(cursor_source(["thirdPartyId", "v"], rows), skip_invalid_records=False)


def test_duplicates_are_no_invalid_records():
    rows = [{"thirdPartyId": "U1", "v": "a"}] * 10
    assert run_pipeline(rows, skip_invalid_records=False, max_invalid_pct=0).lines == ["U1,a"]


@pytest.mark.parametrize(("limit", "fails"), [(9.99, True), (10, False)])
def test_the_share_of_invalid_rows_may_reach_its_limit(limit, fails):
    rows = [{"thirdPartyId": f"U{number}" if number else None, "v": 1} for number in range(10)]
    if fails:
        with pytest.raises(
            ProfileDataError, match="1 of 10 rows.*max_invalid_pct=9.99.*'missing_id': 1.*Nothing was sent"
        ):
            run_pipeline(rows, max_invalid_pct=limit)
    else:
        assert run_pipeline(rows, max_invalid_pct=limit).sent == 9


# ------ what no message may hold

CANARY = "canary-4711"
broken_ids = st.sampled_from(
    [
        CANARY,
        f"{CANARY}+",
        f"{CANARY},",
        CANARY * 30,
        f"{CANARY}\ud800",
        CANARY.encode(),
        [CANARY],
        {"x": CANARY},
        4711.5,
    ]
)
broken_values = st.sampled_from(
    [
        CANARY,
        f"{CANARY},\n",
        CANARY * 500,
        f"\ud800{CANARY}",
        CANARY.encode(),
        [[CANARY]],
        {"x": CANARY},
        {"x": {"y": CANARY.encode()}},
        {CANARY},
        [CANARY, CANARY.encode()],
        pd.Interval(4711, 4712),
    ]
)


@given(
    rows=st.lists(st.tuples(broken_ids, broken_values, broken_values), min_size=1, max_size=6),
    rules=all_rules,
    source=st.sampled_from(["list", "cursor", "pandas"]),
)
def test_no_message_detail_or_log_holds_a_value(rows, rules, source, caplog):
    caplog.clear()
    names = ["thirdPartyId", "a", "b"]
    if source == "list":
        data = [dict(zip(names, row)) for row in rows]
    elif source == "pandas":
        data = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in zip(names, zip(*rows))})
    else:
        data = cursor_source(names, rows, [2])
    try:
        said = " ".join(row["reject_detail"] for row in run_pipeline(data, **options(rules)).rejects)
    except ProfileDataError:
        said = traceback.format_exc()
    assert "4711" not in said + caplog.text
