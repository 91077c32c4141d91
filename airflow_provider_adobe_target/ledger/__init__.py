"""The profile ledger: what Adobe Target was last confirmed to hold."""

from __future__ import annotations

from airflow_provider_adobe_target.ledger.profile_ledger import ProfileLedger

__all__ = ["ProfileLedger"]
