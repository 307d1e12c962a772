"""The command line ``sklearn-rqvae``: its commands, its errors and its exit status."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from sklearn_rqvae._cli._commands import (
    add_decode_command,
    add_demo_command,
    add_encode_command,
    add_fit_command,
    add_report_command,
    add_sizes_command,
)
from sklearn_rqvae._cli._index_commands import add_index_commands
from sklearn_rqvae._cli._options import in_options
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
        0 if all went well, 1 after an error in the data or files, 130 after Ctrl-C, 141 if whoever
        reads the output, such as ``head``, has stopped reading. Wrong arguments exit with 2.
    """
    _prepare_streams()
    try:
        args = _parser().parse_args(argv)
    except SystemExit:  # after --help, too
        _flush()
        raise
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            args.run(args)
    except KeyboardInterrupt:
        return _failed("interrupted", 130)
    except BrokenPipeError:
        _flush()
        return 141
    except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
        if args.traceback:
            raise
        return _failed(f"error: {_first_line(error) or type(error).__name__}", 1)
    return _flush()


def _failed(what: str, status: int) -> int:
    """Say how a command ended, after what it has printed."""
    _flush()
    print(f"sklearn-rqvae: {what}", file=sys.stderr)
    return status


def _prepare_streams() -> None:
    """Print any text anywhere, and keep the numbers of closed streams from files."""
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:
            with contextlib.suppress(OSError):
                if os.open(os.devnull, os.O_RDWR) != number:
                    break
    if sys.stderr is None:  # print would fall back to the output
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if hasattr(sys.stdout, "reconfigure"):
        # The name of a file may be no text in the terminal's encoding.
        sys.stdout.reconfigure(errors="backslashreplace")


def _flush() -> int:
    """Write out what was printed, and return the exit status if that ends the command."""
    if sys.stdout is None:
        return 0
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would try once more at its end, and complain.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 141
        what = f"can't write the standard output: {error.strerror}"
        print(f"sklearn-rqvae: error: {what}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sklearn-rqvae",
        description="Semantic IDs for items: a few codes each; similar items share the first.",
        epilog="sklearn-rqvae COMMAND --help says what a command takes, with an example.",
    )
    parser.add_argument("--version", action="version", version=f"sklearn-rqvae {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where an error arose")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add_command in (
        add_demo_command,
        add_sizes_command,
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
    return in_options(str(error).partition("\n")[0])


def _show_warning(message: Warning | str, *args: Any, **kwargs: Any) -> None:
    """Show a warning in the words of the shell, without the place in the source that it is from."""
    print(f"sklearn-rqvae: warning: {in_options(str(message))}", file=sys.stderr)
