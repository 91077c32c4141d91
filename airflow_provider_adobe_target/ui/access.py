"""Which DAGs the user of a request may read, by Airflow's own login and permissions."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends


def readable_dags(user: GetUserDep) -> set[str]:
    """Return the ids of the DAGs that the user may read. Without a login, Airflow responds with 401."""
    return set(get_auth_manager().get_authorized_dag_ids(user=user, method="GET"))


ReadableDags = Annotated[set[str], Depends(readable_dags)]
