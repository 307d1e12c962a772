"""The four ways to train through a quantizer, by name."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["QuantizeForwardMode"]


class QuantizeForwardMode(enum.Enum):
    """Name how a level chooses codewords in training, and what gradient crosses the choice.

    In evaluation all modes choose the nearest codeword.

    Attributes
    ----------
    GUMBEL_SOFTMAX
        Sample the codeword; gradient of the softmax at a temperature.
    STE
        Nearest codeword; the gradient goes straight through.
    ROTATION_TRICK
        Nearest codeword; the gradient is turned back by the rotation from residual to codeword.
    SINKHORN
        Spread the batch evenly over the codebook; the gradient goes straight through.
    """

    GUMBEL_SOFTMAX = 1
    STE = 2
    ROTATION_TRICK = 3
    SINKHORN = 4

    @classmethod
    def parse(cls, mode: Any) -> QuantizeForwardMode:
        """Return the mode that is given as a member or as its name in any case.

        Parameters
        ----------
        mode : QuantizeForwardMode or str
            The mode.

        Returns
        -------
        mode : QuantizeForwardMode
            The member.

        Raises
        ------
        ValueError
            If it is neither.

        Examples
        --------
        >>> from sklearn_rqvae.nn import QuantizeForwardMode
        >>> QuantizeForwardMode.parse("ste")
        <QuantizeForwardMode.STE: 2>
        """
        if isinstance(mode, cls):
            return mode
        if isinstance(mode, str) and mode.upper() in cls.__members__:
            return cls[mode.upper()]
        names = ", ".join(repr(name.lower()) for name in cls.__members__)
        raise ValueError(
            f"codebook_mode={mode!r} should be a QuantizeForwardMode or one of the names {names}, "
            "or a list of them with one entry for each level."
        )

    @classmethod
    def parse_modes(cls, modes: Any, n_layers: int) -> list[QuantizeForwardMode]:
        """Return the mode of each level.

        Parameters
        ----------
        modes : QuantizeForwardMode, str, or sequence of them
            One mode for all levels, or one for each.
        n_layers : int
            Number of levels.

        Returns
        -------
        modes : list of QuantizeForwardMode of length n_layers
            The modes.

        Raises
        ------
        ValueError
            If an entry is no mode, or there are not `n_layers` of them.

        Examples
        --------
        >>> from sklearn_rqvae.nn import QuantizeForwardMode
        >>> QuantizeForwardMode.parse_modes(["STE", "Sinkhorn"], n_layers=2)
        [<QuantizeForwardMode.STE: 2>, <QuantizeForwardMode.SINKHORN: 4>]
        """
        if isinstance(modes, str) or not isinstance(modes, Sequence | np.ndarray):
            return [cls.parse(modes)] * n_layers
        if len(modes) != n_layers:
            raise ValueError(
                f"codebook_mode={modes!r} has {len(modes)} entries but n_layers={n_layers}; "
                "give one mode for all levels, or one for each level."
            )
        return [cls.parse(mode) for mode in modes]
