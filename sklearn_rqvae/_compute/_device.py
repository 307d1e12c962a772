"""The device that tensors live on, by name."""

from __future__ import annotations

import torch

__all__ = ["exact_device", "resolve_device"]


def resolve_device(device: str) -> torch.device:
    """Return a device that exists: ``"auto"`` is CUDA where there is one, else the CPU.

    So is ``"data_parallel"``, which says more about training alone.

    Parameters
    ----------
    device : str
        ``"auto"``, ``"data_parallel"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.

    Returns
    -------
    device : torch.device
        The device.

    Raises
    ------
    ValueError
        If there is no such device here.
    """
    if device in ("auto", "data_parallel"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device={device!r} should be 'auto', 'cpu', 'cuda', 'cuda:<number>', 'mps' or "
            "'data_parallel'."
        ) from error
    exists = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (found.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not exists.get(found.type, False):
        raise ValueError(
            f"device={device!r} isn't available on this machine; set_params(device='auto') takes "
            "what there is."
        )
    return found


def exact_device(device: torch.device) -> torch.device:
    """Return where to compute what needs float64: the CPU in place of MPS, which has none.

    Parameters
    ----------
    device : torch.device
        A device.

    Returns
    -------
    device : torch.device
        The same one, or the CPU.
    """
    return torch.device("cpu") if device.type == "mps" else device
