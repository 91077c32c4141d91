import pytest

from support.ledger_simulation import Account


@pytest.fixture
def account(tmp_path):
    return Account(tmp_path / "ledger")


@pytest.fixture
def account_with(tmp_path):
    return lambda **settings: Account(tmp_path / "ledger", **settings)
