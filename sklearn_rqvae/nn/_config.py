"""The constructor arguments of a module, checked once, as plain values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral
from typing import Any

from sklearn_rqvae._validation import check_codebook_size
from sklearn_rqvae.nn._modes import QuantizeForwardMode

__all__ = [
    "TRAINING_ONLY",
    "check_interactions",
    "check_strengths",
    "checked_widths",
    "counts",
    "plain_config",
]

# Constructor arguments that codes and reconstructions don't depend on once a module is trained.
TRAINING_ONLY = {
    *("commitment_weight", "codebook_weight", "codebook_mode"),
    *("gumbel_temperature", "sinkhorn_epsilon"),
}


def counts(name: str, normalizes: bool) -> bool:
    """Say whether codes and reconstructions depend on a parameter or buffer of a trained module.

    Parameters
    ----------
    name : str
        Its name in the module's state.
    normalizes : bool
        Whether the first codebook is normalized.

    Returns
    -------
    counts : bool
        False for what only training uses.
    """
    if name.endswith(".radius") and name.startswith("quantizer.levels."):
        return normalizes and name == "quantizer.levels.0.radius"
    is_usage = name.startswith("quantizer.levels.") and name.endswith(".usage")
    return not is_usage and name != "quantizer.temperature"


def plain_config(
    *,
    input_dim: int = 768,
    embed_dim: int = 32,
    hidden_dims: Any = (512, 256, 128),
    codebook_size: Any = 256,
    codebook_normalize: bool = False,
    codebook_sim_vq: bool = False,
    n_layers: int = 3,
    n_cat_features: int = 0,
    commitment_weight: float = 0.25,
    codebook_mode: Any = QuantizeForwardMode.ROTATION_TRICK,
    codebook_weight: float = 1.0,
    linear_path: bool = False,
    interactions: dict[str, int] | None = None,
    gumbel_temperature: float = 1.0,
    sinkhorn_epsilon: float = 0.03,
) -> dict[str, Any]:
    """Return the constructor arguments of `RqVae`, which see, as plain values.

    Numbers of numpy would make a checkpoint that isn't plain values.

    Returns
    -------
    config : dict
        The arguments: integers, floats, strings, None, and lists and dictionaries of them.

    Raises
    ------
    ValueError
        If an argument has a wrong value, or two don't go together.
    """
    if hidden_dims is not None:
        hidden_dims = checked_widths(hidden_dims)
    elif not linear_path:
        raise ValueError("hidden_dims=None has no MLP, which needs linear_path=True.")
    sizes = {"input_dim": input_dim, "embed_dim": embed_dim, "n_layers": n_layers}
    for name, size in sizes.items():
        if not _is_integer(size, least=1):
            raise ValueError(f"{name}={size!r} should be an integer of at least 1.")
    if not _is_integer(n_cat_features, least=0) or n_cat_features > input_dim:
        raise ValueError(
            f"n_cat_features={n_cat_features!r} should be an integer between 0 and "
            f"input_dim={input_dim}; it counts the last columns that are categories."
        )
    weights = {"commitment_weight": commitment_weight, "codebook_weight": codebook_weight}
    for name, weight in weights.items():
        if not weight >= 0:
            raise ValueError(f"{name}={weight!r} should be at least 0.")
    if interactions is not None:
        check_interactions(interactions, linear_path, embed_dim)
    check_strengths(gumbel_temperature=gumbel_temperature, sinkhorn_epsilon=sinkhorn_epsilon)
    modes = QuantizeForwardMode.parse_modes(codebook_mode, n_layers)
    return {
        "input_dim": int(input_dim),
        "embed_dim": int(embed_dim),
        "hidden_dims": hidden_dims,
        "codebook_size": check_codebook_size(codebook_size, n_layers),
        "codebook_normalize": bool(codebook_normalize),
        "codebook_sim_vq": bool(codebook_sim_vq),
        "n_layers": int(n_layers),
        "n_cat_features": int(n_cat_features),
        "commitment_weight": float(commitment_weight),
        "codebook_mode": [mode.name for mode in modes],
        "codebook_weight": float(codebook_weight),
        "linear_path": bool(linear_path),
        "interactions": interactions and {k: int(size) for k, size in interactions.items()},
        "gumbel_temperature": float(gumbel_temperature),
        "sinkhorn_epsilon": float(sinkhorn_epsilon),
    }


def check_interactions(interactions: Any, linear_path: bool, embed_dim: int) -> None:
    """Refuse sizes of interactions for which the decoder has no place."""
    if not linear_path:
        raise ValueError(
            "linear_path=False has no place for interactions; construct with linear_path=True."
        )
    if not isinstance(interactions, dict) or set(interactions) != {"n_pairs", "dim"}:
        raise ValueError(
            f"interactions={interactions!r} should be a dictionary of n_pairs and dim, or None."
        )
    if interactions["dim"] > embed_dim:
        raise ValueError(
            f"interactions have dim={interactions['dim']}, but latents only embed_dim={embed_dim} "
            "coordinates; give vectors of at most that length."
        )


def checked_widths(hidden_dims: Any) -> list[int]:
    """Return the widths of hidden layers as plain integers."""
    if not isinstance(hidden_dims, Iterable):
        raise ValueError(
            f"hidden_dims={hidden_dims!r} should be a sequence of integers: [{hidden_dims!r}] for "
            "one hidden layer."
        )
    widths = list(hidden_dims)
    for width in widths:
        if not _is_integer(width, least=1):
            raise ValueError(
                f"hidden_dims={hidden_dims!r} has the entry {width!r}; every hidden layer needs a "
                "positive integer width."
            )
    return [int(width) for width in widths]


def _is_integer(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def check_strengths(**strengths: float) -> None:
    """Check temperatures and the like.

    Parameters
    ----------
    **strengths : float
        The values, by the names of their parameters.

    Raises
    ------
    ValueError
        If one isn't a positive, finite number.
    """
    for name, value in strengths.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name}={value!r} should be positive and finite.")
