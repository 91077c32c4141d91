"""Shell completion."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_names_the_command(call, shell):
    assert "_ADOBE_TARGET_COMPLETE" in call("completion", shell, code=0).out


def test_bash_completes_commands_and_options(call, tmp_path):
    """Bash itself evaluates the script, and calls its function as on the Tab key."""
    program = tmp_path / "adobe-target"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m airflow_provider_adobe_target.cli "$@"\n')
    program.chmod(0o755)
    (tmp_path / "script").write_text(call("completion", "bash", code=0).out)

    def completed(*words):
        line = " ".join(map(shlex.quote, words))
        commands = (
            f"export PATH={shlex.quote(str(tmp_path))}:$PATH; . {shlex.quote(str(tmp_path / 'script'))}; "
            f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _adobe_target_completion adobe-target; "
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        answer = subprocess.run(["bash", "-c", commands], capture_output=True, text=True, check=True)
        return answer.stdout.split()

    assert completed("adobe-target", "s") == ["sandbox", "send", "status", "sync-log"]
    assert "--wait" in completed("adobe-target", "send", "--w")
    assert completed("adobe-target", "send", "--api-version", "") == ["v2", "v1"]


def test_an_unknown_shell_ends_with_exit_code_2(call):
    call("completion", "cmd", code=2)
