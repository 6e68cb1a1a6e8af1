"""The settler as a program: ``python -m yiapi.calls``. A gateway starts it (``yiapi.calls.beside``); nobody else does.

It loads no more than it needs, because every gateway has one. It ends when its gateway has ended and everything is
settled, and not because somebody asks.
"""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

from yiapi.calls.beside import DATABASE
from yiapi.calls.courtesy import Courtesy
from yiapi.calls.settling import Settler
from yiapi.collector import calm_collector
from yiapi.errors import StorageUnavailable
from yiapi.logs import configure_logs, flush_logs, get_logger


def main() -> None:
    """Settle the journal of a gateway until it is gone and nothing is left."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    options = _options()
    configure_logs(options.log_level)
    calm_collector()
    settler = Settler(os.environ[DATABASE], options.folder, options.name, options.node)
    settler.run(options.fd, Courtesy())
    try:
        settler.clean()
    except StorageUnavailable as error:  # what is left is found by the next start
        get_logger().warning("journal_not_deleted", error=error.code)
    flush_logs()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m yiapi.calls", allow_abbrev=False)
    parser.add_argument("--folder", type=Path, required=True, help="where the journal is")
    parser.add_argument("--name", required=True, help="the gateway's name")
    parser.add_argument("--node", required=True, help="the gateway's start")
    parser.add_argument("--fd", type=int, required=True, help="the pipe that ends with the gateway")
    parser.add_argument("--log-level", default="info")
    return parser.parse_args()


if __name__ == "__main__":
    main()
