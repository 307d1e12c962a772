"""Modules from plain values and back: what a fitted estimator stores of its module."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from sklearn_rqvae._guards import seeded_draws
from sklearn_rqvae.nn import RqVae

__all__ = ["build_module", "check_goes_on", "module_attributes", "restored_module"]

# What may change from a fit to one that goes on from it.
_CHANGES_NO_SHAPE = ("codebook_mode", "codebook_weight", "commitment_weight")


def build_module(
    module: type[RqVae] | None, architecture: dict[str, Any], generator: torch.Generator
) -> RqVae:
    """Build a module from its class and constructor arguments.

    Parameters
    ----------
    module : type or None
        `RqVae` or a subclass of it; None is `RqVae`.
    architecture : dict
        Plain constructor arguments.
    generator : torch.Generator
        Draws the weights.

    Returns
    -------
    module : RqVae
        The module, its weights drawn.

    Raises
    ------
    TypeError
        If `module` is another class.
    """
    if module is not None and not issubclass(module, RqVae):
        raise TypeError(
            f"module={module!r} should be a subclass of sklearn_rqvae.nn.RqVae, or None for that."
        )
    if module is None:
        return RqVae(**architecture, generator=generator).float()
    # Layers of a subclass's own draw from the global generator.
    with seeded_draws(int(torch.randint(2**31 - 1, (), generator=generator))):
        return module(**architecture, generator=generator).float()


def restored_module(
    module: type[RqVae] | None, architecture: dict[str, Any], state: dict[str, NDArray[Any]]
) -> RqVae:
    """Build the module that a fitted estimator stores, on the CPU.

    Parameters
    ----------
    module : type or None
        `RqVae` or a subclass of it; None is `RqVae`.
    architecture : dict
        Plain constructor arguments.
    state : dict of str to ndarray
        Weights and buffers.

    Returns
    -------
    module : RqVae
        The module.
    """
    restored = build_module(module, architecture, torch.Generator())
    restored.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    return restored


def module_attributes(
    module: RqVae, architecture: dict[str, Any], history: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return what was learned as arrays and plain values, from which modules are rebuilt.

    Parameters
    ----------
    module : RqVae
        The module.
    architecture : dict
        What it was built from.
    history : list of dict
        Numbers of each epoch.

    Returns
    -------
    attributes : dict
        The estimator's fitted attributes by name.
    """
    interactions = getattr(module.decoder, "interactions", None)
    return {
        "architecture_": {**architecture, "interactions": interactions and interactions.sizes},
        "state_": {
            name: tensor.detach().cpu().numpy().copy()
            for name, tensor in module.state_dict().items()
        },
        "codebooks_": [codebook.detach().cpu().numpy().copy() for codebook in module.codebooks],
        "history_": history,
        "n_iter_": len(history),
    }


def check_goes_on(last: dict[str, Any], architecture: dict[str, Any]) -> None:
    """Refuse to go on from a model of another shape.

    Parameters
    ----------
    last, architecture : dict
        What the last one was built of, and what the parameters ask for.

    Raises
    ------
    ValueError
        If they differ in anything that makes the shape.
    """
    changed = [
        name
        for name, value in architecture.items()
        if name not in _CHANGES_NO_SHAPE and value != last.get(name, value)
    ]
    if "hidden_dims" in changed and None in (last["hidden_dims"], architecture["hidden_dims"]):
        raise ValueError(
            "going on from the last fit needs a model of the same shape, but a fit in closed form "
            "has no hidden layers, and gradient training has some. Set back what chooses between "
            "them, codebook_mode, linear_path, n_cat_features or module; or start from the data "
            "by fit with warm_start=False: training starts from the closed form."
        )
    if changed:
        raise ValueError(
            "going on from the last fit needs a model of the same shape, but what it is built of "
            f"has changed: {', '.join(changed)}. Set it back, or start from the data by fit with "
            "warm_start=False."
        )
