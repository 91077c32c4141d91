"""One rate limit for many machines, through a Redis connection of Airflow."""

from __future__ import annotations

import json

import pytest

from airflow_provider_adobe_target.exceptions import ConnectionSettingsError
from airflow_provider_adobe_target.hooks.adobe_target import AdobeTargetHook
from support.real_airflow import connection

DAG = """
BulkProfileUpdateOperator(
    task_id="up", data=[{"thirdPartyId": "U1", "tier": "gold"}], poll_interval=0.1,
    deferrable=os.environ["DEFERS"] == "1",
)
"""


def redis_connection(server, **fields):
    return json.dumps({"conn_type": "redis", "host": "127.0.0.1", "port": server.port, **fields})


def calls(redis):
    with redis.client() as client:
        [key] = client.keys("adobe-target:*:calls")
        return json.loads(client.get(key))


@pytest.mark.parametrize("defers", ["0", "1"])
def test_calls_of_workers_and_triggerer_share_one_limit(run_dag, sandbox, redis, defers):
    run = run_dag(
        DAG,
        DEFERS=defers,
        AIRFLOW_CONN_ADOBE_TARGET_DEFAULT=connection(sandbox, extra={"rate_limit_conn_id": "budget"}),
        AIRFLOW_CONN_BUDGET=redis_connection(redis),
    )
    assert run.states == {"up": "success"}
    assert len(calls(redis)["ended"]) == len(sandbox.calls) > 1


@pytest.fixture
def hook(sandbox, monkeypatch):
    def make(**environment):
        monkeypatch.setenv(
            "AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", connection(sandbox, extra={"rate_limit_conn_id": "budget"})
        )
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return AdobeTargetHook()

    return make


def test_user_password_and_database_are_those_of_the_connection(hook, redis_server):
    text = redis_connection(redis_server, login="loader", password="hidden-word", extra={"db": 3, "ssl": False})
    settings = hook(AIRFLOW_CONN_BUDGET=text).settings
    assert settings.redis == {
        "host": "127.0.0.1",
        "port": redis_server.port,
        "db": 3,
        "username": "loader",
        "password": "hidden-word",
        "ssl": False,
    }
    assert "hidden-word" not in repr(settings)


def test_single_updates_count_towards_the_shared_quota(hook, redis):
    used = hook(AIRFLOW_CONN_BUDGET=redis_connection(redis))
    used.update_profile("U1", {"tier": "gold"})
    used.get_profile("U1")
    with redis.client() as client:
        assert {key.decode().rpartition(":")[2] for key in client.scan_iter()} >= {"updates", "lookups"}


def test_a_wrong_password_leaves_the_machine_its_share_and_is_not_logged(hook, redis, caplog):
    with redis.client() as client:
        client.config_set("requirepass", "right-word")
    used = hook(AIRFLOW_CONN_BUDGET=redis_connection(redis, password="hidden-word"))
    used.authenticate()
    with used.session.limits.calls.permit() as permit:
        assert permit.try_acquire() == 0
    assert "Redis (rate_limit_conn_id) cannot be used (AuthenticationError)" in caplog.text
    assert "hidden-word" not in caplog.text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"conn_type": "http"}, "must be a connection of type redis, not 'http'"),
        ({"host": ""}, "the connection has no host"),
        ({"extra": {"db": "first"}}, "db in its extra must be a whole number"),
    ],
)
def test_another_connection_is_refused_by_name(hook, redis_server, fields, message):
    with pytest.raises(ConnectionSettingsError, match=f"rate_limit_conn_id='budget'.*{message}"):
        hook(AIRFLOW_CONN_BUDGET=redis_connection(redis_server, **fields)).settings  # noqa: B018  # it is a property
