"""Exceptions of the ledger."""

from __future__ import annotations

from airflow_provider_adobe_target.exceptions import AdobeTargetError, ProfileDataError


class LedgerRefusedError(ProfileDataError):
    """The ledger cannot be used: another account, id type or format, a wrong argument, or a missing package."""


class LedgerLimitError(ProfileDataError):
    """A run would send more rows, or miss more ids, than its limits allow. Nothing was sent."""


class LedgerBusyError(AdobeTargetError):
    """Other runs changed the ledger, or had unfinished batches of the same ids, for too long. A retry may help."""


class LedgerFullDiskError(AdobeTargetError):
    """No space is left in the ledger's folder. The next run settles what was sent."""


class LedgerConflictError(Exception):
    """Another commit came first. The caller must read the table again and repeat the commit."""


class LedgerTakenOverError(AdobeTargetError):
    """Another run has settled the claim of this one, because it appeared to be dead. A retry may help."""
