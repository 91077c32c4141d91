"""A database hook over a connection that the test opened."""

from airflow.providers.common.sql.hooks.sql import DbApiHook


class Hook(DbApiHook):
    """Return one open connection."""

    conn_name_attr = "conn_id"
    default_conn_name = "warehouse"

    def __init__(self, connection):
        super().__init__()
        self._connection = connection

    def get_conn(self):
        return self._connection
