"""``python -m airflow_provider_adobe_target.cli``."""

from __future__ import annotations

import sys

from airflow_provider_adobe_target.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
