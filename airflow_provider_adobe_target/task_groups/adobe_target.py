"""Task groups for Adobe Target."""

from airflow_provider_adobe_target.task_groups.profile_sync import profile_sync

__all__ = ["profile_sync"]
