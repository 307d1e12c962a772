"""The command line ``sklearn-rqvae``: its commands, its errors and its exit status."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from sklearn_rqvae._cli._demo import add_demo_command
from sklearn_rqvae._cli._encode import add_decode_command, add_encode_command
from sklearn_rqvae._cli._fit import add_fit_command
from sklearn_rqvae._cli._index import add_index_commands
from sklearn_rqvae._cli._report import add_report_command
from sklearn_rqvae._version import __version__

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process if not given.

    Returns
    -------
    status : int
        0 if all went well, 1 after an error in the data or files, 130 after Ctrl-C. Wrong arguments
        exit with 2.
    """
    args = _parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            args.run(args)
    except KeyboardInterrupt:
        print("sklearn-rqvae: interrupted", file=sys.stderr)
        return 130
    except (ValueError, TypeError, OSError, ImportError) as error:
        if args.traceback:
            raise
        print(f"sklearn-rqvae: error: {_first_line(error)}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sklearn-rqvae",
        description="Semantic IDs for items: a few codes each; similar items share the first.",
    )
    parser.add_argument("--version", action="version", version=f"sklearn-rqvae {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where an error arose")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add_command in (
        add_demo_command,
        add_fit_command,
        add_encode_command,
        add_decode_command,
        add_report_command,
        add_index_commands,
    ):
        add_command(commands)
    return parser


def _first_line(error: BaseException) -> str:
    """Return what is wrong, without the advice or the printed array that may follow it."""
    return str(error).partition("\n")[0]


def _show_warning(message: Warning | str, *args: Any, **kwargs: Any) -> None:
    """Show a warning without the place in the source that it comes from."""
    print(f"sklearn-rqvae: warning: {message}", file=sys.stderr)
