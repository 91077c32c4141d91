"""Records and errors of files that are read as a source of rows."""

import pytest
from hypothesis import strategies as st

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.profiles.sources.files import read_files

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def records_of(rows, columns=None):
    return [record for batch in rows.record_batches(columns) for record in batch.to_pylist()]


def error_of(*files):
    with pytest.raises(ProfileDataError) as caught:
        records_of(read_files(files))
    return str(caught.value)
