"""TaskFlow decorators for Adobe Target."""

from airflow_provider_adobe_target.decorators.bulk_profile_update import bulk_profile_update_task

__all__ = ["bulk_profile_update_task"]
