from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.inputs.file_paths import path_texts, read_paths
from airflow_provider_adobe_target.operators.adobe_target import BulkProfileUpdateOperator
from airflow_provider_adobe_target.profiles.sources.file_options import FileOptions
from airflow_provider_adobe_target.version_compat import ObjectStoragePath

TWO = ["/lake/a.csv", "/lake/b c.csv"]
FORMS = [
    TWO,
    tuple(TWO),
    iter(TWO),
    [Path(path) for path in TWO],
    [ObjectStoragePath(path) for path in TWO],
    [[TWO[0]], TWO[1]],
    str(TWO),
    str(tuple(TWO)),
    json.dumps(TWO),
    json.dumps(TWO, indent=2),
    f"\n  {TWO}  ",
    str([Path(path) for path in TWO]),
    str([PurePosixPath(path) for path in TWO]),
    [str(TWO[:1]), TWO[1]],
]


@pytest.mark.parametrize("form", FORMS, ids=map(str, range(len(FORMS))))
def test_paths_are_read_in_every_form(form):
    assert path_texts(form) == TWO


@pytest.mark.parametrize("path", ["s3://c@bucket/a.csv", "file:///lake/a.csv"])
def test_an_object_storage_path_keeps_its_scheme(path):
    if path.startswith("s3"):
        pytest.importorskip("s3fs")
    assert path_texts(ObjectStoragePath(path)) == [str(ObjectStoragePath(path))]
    [text] = path_texts(str([ObjectStoragePath(path)]))
    assert text.partition("://")[0] == path.partition("://")[0]
    assert text.endswith("a.csv")


@pytest.mark.parametrize(
    "text", ["[ab].csv", "[0-9]", "[ab]*/[cd]", "['a'", "[1, 2]", "[open('x')]", "a[b]", "(a)", "[a]"]
)
def test_text_that_is_no_list_of_paths_is_one_path(text):
    assert path_texts(text) == [text]


@pytest.mark.parametrize("wrong", [7, {"a": 1}, b"a.csv", [None], [7], ["a.csv", {"b": 1}], object()])
def test_what_is_no_path_is_refused_by_its_type(wrong):
    with pytest.raises(ProfileDataError, match="path contains .*pathlib.Path"):
        path_texts(wrong)


@pytest.fixture
def two_files(tmp_path):
    (tmp_path / "a.csv").write_text("thirdPartyId,v\nU1,1\n")
    (tmp_path / "b.csv").write_text("thirdPartyId,v\nU2,2\n")
    return tmp_path


def test_a_glob_that_begins_with_a_bracket_is_a_glob(two_files, monkeypatch):
    monkeypatch.chdir(two_files)
    if not ObjectStoragePath("a.csv").exists():
        pytest.skip("this release of Airflow has no relative paths")
    assert sum(len(batch) for batch in read_paths("[ab].csv").record_batches()) == 2


def test_a_folder_is_read_in_the_named_format(two_files):
    assert sum(len(batch) for batch in read_paths(two_files, FileOptions("csv")).record_batches()) == 2
    with pytest.raises(ProfileDataError, match="file_format"):
        read_paths(two_files)


@pytest.mark.parametrize("kind", [Path, ObjectStoragePath, str])
def test_path_objects_pass_rendering_unchanged(two_files, kind):
    for path in (kind(str(two_files / "a.csv")), [kind(str(two_files / "a.csv"))]):
        operator = BulkProfileUpdateOperator(task_id="up", path=path)
        operator.render_template_fields({})
        assert path_texts(operator.path) == [str(two_files / "a.csv")]
