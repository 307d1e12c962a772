"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["and_list", "count", "percent", "plural", "seconds"]


def percent(share: float | None) -> str:
    """Write a share as a percentage with one decimal; what isn't zero never looks like zero.

    >>> percent(0.1234), percent(0.0001), percent(0.0), percent(0.9999), percent(None)
    ('12.3%', '<0.1%', '0%', '>99.9%', '–')
    """
    if share is None:
        return "–"
    if share in (0, 1):
        return f"{share:.0%}"
    if 0 < share < 0.001:
        return "<0.1%"
    if 0.999 < share < 1:
        return ">99.9%"
    return f"{share:.1%}"


def count(number: int) -> str:
    """Write an integer with separators."""
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """Write an integer and a noun.

    >>> plural(1, "item"), plural(1200, "item")
    ('1 item', '1,200 items')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def seconds(value: float | None) -> str:
    """Write a duration in a fitting unit.

    >>> seconds(0.0123), seconds(3.21), seconds(75.0), seconds(None)
    ('12 ms', '3.2 s', '75 s', '–')
    """
    if value is None:
        return "–"
    if value < 1:
        return f"{1000 * value:.2g} ms" if value < 0.01 else f"{1000 * value:.0f} ms"
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"


def and_list(words: Sequence[str]) -> str:
    """Join words with commas and a final "and".

    >>> and_list(["a"]), and_list(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
