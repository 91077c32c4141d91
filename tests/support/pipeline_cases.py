"""Cases of one cell: the text that is sent, the reason of the reject, or the error."""

import pyarrow as pa
import pytest

from airflow_provider_adobe_target.exceptions import ProfileDataError
from support.pipeline import run_pipeline


def case(name, value, sent=None, *, reject=None, error=None, **rules):
    return pytest.param(value, sent, reject, error, rules, id=name)


def broken_strings(*cells):
    """Make an Arrow string column of bytes that need not be UTF-8, as a file may hold."""
    binary = pa.array(cells, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(binary), binary.buffers())


def check_outcome(data, lines, reject, error, rules, names):
    key = rules.get("id_type", "thirdPartyId")
    if error:
        with pytest.raises(ProfileDataError, match=error):
            run_pipeline(data, **rules)
        return
    outcome = run_pipeline(data, **rules)
    assert outcome.bodies == (["\n".join([f"batch={','.join([key, *names])}", *lines])] if lines else [])
    assert outcome.reject_reasons == ([(0, reject)] if reject else [])
