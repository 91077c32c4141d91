"""``adobe-target check``."""

from __future__ import annotations

import pytest

VALID = b"batch=thirdPartyId,tier\nU1,gold\nU2,New%20York\n"
INVALID = b"batch=thirdPartyId,user.x,tier,tier\nsecret/1,50% off,a&b\nU2,a%2Cb\n"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "valid.txt").write_bytes(VALID)
    (tmp_path / "invalid.txt").write_bytes(INVALID)
    return tmp_path


def test_a_valid_file_ends_with_exit_code_0(call, files):
    outcome = call("check", "valid.txt", cwd=files, code=0)
    assert outcome.out == "valid.txt: valid; rows: 2, bytes: 46, errors: 0, warnings: 0\n"


def test_every_problem_is_listed_in_the_order_of_the_file(run, files):
    outcome = run("check", "valid.txt", "invalid.txt", cwd=files, code=1)
    lines = outcome.out.splitlines()
    assert lines[0].startswith("valid.txt: valid")
    assert [[*line.split(" ", 2)[:2], line.rpartition("[")[2]] for line in lines[1:-1]] == [
        ["invalid.txt:1:20:", "error:", "attribute_name]"],
        ["invalid.txt:1:32:", "error:", "duplicate_name]"],
        ["invalid.txt:2:1:", "error:", "id_forbidden_character]"],
        ["invalid.txt:2:12:", "error:", "bare_percent]"],
        ["invalid.txt:2:19:", "error:", "bare_ampersand]"],
        ["invalid.txt:3:5:", "warning:", "encoded_delimiter]"],
    ]
    assert lines[-1] == f"invalid.txt: not valid; rows: 2, bytes: {len(INVALID)}, errors: 5, warnings: 1"
    assert "secret" not in outcome.out + outcome.err
    assert "\x1b" not in outcome.out  # colours are for terminals


def test_json_has_the_problems_and_their_counts(call, files):
    [valid, invalid] = call("check", "--json", "valid.txt", "invalid.txt", cwd=files, code=1).json["files"]
    assert (valid["valid"], valid["rows"], valid["problems"]) == (True, 2, [])
    assert (invalid["valid"], invalid["errors"], invalid["warnings"]) == (False, 5, 1)
    assert sum(invalid["problems_by_rule"].values()) == len(invalid["problems"]) == 6
    assert invalid["problems"][4] == {
        "rule": "bare_ampersand",
        "message": "The batch file has a bare '&'.",
        "advice": "Adobe Target drops the rest of the file without a message. Write it as %26.",
        "line": 2,
        "column": 19,
        "is_error": True,
    }


def test_problems_beyond_the_limit_are_counted(call, tmp_path):
    (tmp_path / "many.txt").write_bytes(b"batch=thirdPartyId,tier\n" + b"".join(b"U%d,a+b\n" % n for n in range(5_000)))
    outcome = call("check", "many.txt", "--max-problems", 2, cwd=tmp_path, code=1)
    lines = outcome.out.splitlines()
    assert [line.partition(": ")[0] for line in lines[:2]] == ["many.txt:2:5", "many.txt:3:5"]
    assert lines[2] == "many.txt: 4,998 further problems are not listed:"
    assert lines[3].split() == ["bare_plus", "5,000"]


def test_strict_makes_errors_of_warnings(call, tmp_path):
    (tmp_path / "file.txt").write_bytes(b"batch=thirdPartyId,tier\nU1,a%2Cb")
    call("check", "file.txt", cwd=tmp_path, code=0)
    call("check", "--strict", "file.txt", cwd=tmp_path, code=1)


def test_a_hyphen_reads_standard_input(run):
    assert "standard input: valid" in run("check", "-", stdin=VALID, code=0).out


@pytest.mark.parametrize("arguments", [[], ["missing.txt"], ["--max-problems", "-1", "valid.txt"]])
def test_wrong_arguments_end_with_exit_code_2(call, files, arguments):
    outcome = call("check", *arguments, cwd=files, code=2)
    assert "Usage: adobe-target check" in outcome.err
    assert outcome.out == ""


def test_a_closed_pipe_is_not_a_traceback(start, tmp_path):
    (tmp_path / "many.txt").write_bytes(b"batch=thirdPartyId,tier\n" + b"".join(b"U%d,a+b\n" % n for n in range(5_000)))
    process = start("check", tmp_path / "many.txt", "--max-problems", 5_000)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 1
    assert process.stderr.read() == ""
