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

    :param argv: the options; by default those of the command line.
    :returns: the exit code: 0, or 1 where a port is taken.
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
            _say(_introduction(sandbox))
            stopped.wait()
    except OSError as error:
        print(f"adobe-target-sandbox: {error.strerror}", file=sys.stderr)  # noqa: T201 - a command speaks
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="adobe-target-sandbox",
        description="A local stand-in for Adobe Target, on loopback only. Its page shows what was sent.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--port", type=int, default=8900, metavar="VALUE", help="port of the client host; 0: a free one"
    )
    parser.add_argument(
        "--edge-port", type=int, metavar="VALUE", help="port of the edge host; none: the one after --port"
    )
    settings.add_options(parser)
    return parser


def _introduction(sandbox: Sandbox) -> str:
    settings = sandbox.settings
    connection: dict[str, Any] = {"conn_type": "adobe_target", "login": settings.client_code, "host": sandbox.url}
    if settings.token is not None:
        connection["password"] = "<the token>"  # noqa: S105  # nosec B105  # the very point is not to print it
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


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command speaks


if __name__ == "__main__":
    sys.exit(main())
