"""Operators that bring customer profiles into Adobe Target."""

from airflow_provider_adobe_target.operators.audience_flags import AudienceFlagOperator
from airflow_provider_adobe_target.operators.bulk_profile_update import BulkProfileUpdateOperator
from airflow_provider_adobe_target.operators.edge_profile_update import EdgeProfileUpdateOperator
from airflow_provider_adobe_target.operators.identity_link import IdentityLinkOperator
from airflow_provider_adobe_target.operators.profile_token import RotateProfileTokenOperator
from airflow_provider_adobe_target.operators.replay_batches import ReplayBatchesOperator
from airflow_provider_adobe_target.operators.single_profile_update import SingleProfileUpdateOperator

__all__ = [
    "AudienceFlagOperator",
    "BulkProfileUpdateOperator",
    "EdgeProfileUpdateOperator",
    "IdentityLinkOperator",
    "ReplayBatchesOperator",
    "RotateProfileTokenOperator",
    "SingleProfileUpdateOperator",
]
