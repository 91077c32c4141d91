"""The command ``adobe-target-sandbox``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.sandbox import Sandbox, settings

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sandbox until Ctrl-C or SIGTERM.

    :param argv: Command-line options. Default: those of the process.
    :return: Exit code: 0, or 1 if a port is in use.
    """
    options = _parser().parse_args(argv)
    edge_port = options.edge_port
    if edge_port is None:
        edge_port = options.port + 1 if options.port else 0
    sandbox = Sandbox(port=options.port, edge_port=edge_port, **settings.from_options(options))
    stopped = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: stopped.set())
    try:
        with sandbox:
            _print(_introduction(sandbox))
            stopped.wait()
    except OSError as error:
        print(f"adobe-target-sandbox: {error.strerror}", file=sys.stderr)  # noqa: T201 - output of a command
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="adobe-target-sandbox",
        description="A local stand-in for Adobe Target, on the loopback interface only. Its page shows the calls.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--port", type=int, default=8900, metavar="VALUE", help="port of the client host; 0: any free port"
    )
    parser.add_argument("--edge-port", type=int, metavar="VALUE", help="port of the edge host; none: --port plus 1")
    settings.add_options(parser)
    return parser


def _introduction(sandbox: Sandbox) -> str:
    settings = sandbox.settings
    connection: dict[str, Any] = {"conn_type": "adobe_target", "login": settings.client_code, "host": sandbox.url}
    if settings.token is not None:
        connection["password"] = "<the token>"  # noqa: S105  # nosec B105  # a placeholder, so that the token is not printed
    if settings.client_id is not None:
        connection["extra"] = {
            "tenant_id": settings.tenant_id,
            "client_id": settings.client_id,
            "client_secret": "<the client secret>",  # nosec B105
            "ims_host": sandbox.url,
            "admin_host": sandbox.url,
            "edge_host": sandbox.url,
        }
    return (
        f"Adobe Target sandbox: {sandbox.url} (edge host: {sandbox.edge_url})\n"
        f"AIRFLOW_CONN_ADOBE_TARGET_DEFAULT='{json.dumps(connection)}'"
    )


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - output of a command


if __name__ == "__main__":
    sys.exit(main())
