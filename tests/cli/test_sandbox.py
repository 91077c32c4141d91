"""``adobe-target sandbox``."""

from __future__ import annotations

import signal

import requests


def test_the_sandbox_starts_and_ends_at_ctrl_c(start):
    process = start("sandbox", "--port", "0", "--client-code", "demo")
    url = process.stdout.readline().split()[3]
    assert requests.get(f"{url}/state.json", timeout=10).json()["settings"]["client_code"] == "demo"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_help_and_wrong_options_are_those_of_the_sandbox(call):
    assert "usage: adobe-target-sandbox" in call("sandbox", "--help", code=0).out
    assert "--nothing" in call("sandbox", "--nothing", code=2).err
