"""Many runs, and the figures of them: ``make chaos RUNS=1000 [SEED=…] [ONLY=…]``."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import time

from chaos.figures import run_all
from chaos.runs import Stage


def main() -> None:
    """Carry out as many runs as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--seed", default=None, help="any text; default: a new one")
    parser.add_argument("--only", type=int, default=None, help="the number of one run")
    arguments = parser.parse_args()
    numbers = range(arguments.runs) if arguments.only is None else [arguments.only]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begun = time.monotonic()
    with Stage() as stage:
        figures = run_all(stage, arguments.seed or secrets.token_hex(4), numbers)
    sys.stdout.write(f"{figures}\n{time.monotonic() - begun:.0f} s\n")
    sys.exit(bool(figures.failures))


if __name__ == "__main__":
    main()
