from __future__ import annotations

import pytest

from support.sandbox_client import Ims


@pytest.fixture
def ims(target) -> Ims:
    return Ims(target)
