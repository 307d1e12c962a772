"""GradientTraining: from a started module to a trained one, by a skorch net."""

from __future__ import annotations

import copy
from typing import Any

import torch
from sklearn.base import BaseEstimator
from skorch.callbacks import Callback, LoadInitState

from sklearn_rqvae._compute._device import exact_device, resolve_device
from sklearn_rqvae._guards import Interrupted
from sklearn_rqvae._learning._closed_form import ClosedForm, pair_floats, start_module
from sklearn_rqvae._learning._collapse import warn_of_narrow_latent
from sklearn_rqvae._learning._distributed import DataParallel, state_tensors
from sklearn_rqvae._learning._habits import (
    BEST,
    END,
    NOT_PRINTED,
    REPORT,
    EndAfter,
    EpochTable,
    own_callbacks,
    searches_codes,
)
from sklearn_rqvae._learning._module import build_module, check_goes_on, module_attributes
from sklearn_rqvae._learning._net import RqVaeNet, TensorBatches
from sklearn_rqvae._learning._refinement import refine_module
from sklearn_rqvae._learning._rows import (
    Rows,
    closed_form_rows,
    first_rows,
    generator_of,
    gradient_rows,
    last_rows_held_out,
    row_limit,
)
from sklearn_rqvae._learning._settings import TrainingSettings
from sklearn_rqvae._learning._tasks import FitTasks, ReportEpochs
from sklearn_rqvae._learning._units import counted_from_origin
from sklearn_rqvae._validation import check_codebook_size
from sklearn_rqvae.nn import QuantizeForwardMode, RqVae
from sklearn_rqvae.nn._config import checked_widths
from sklearn_rqvae.nn._decoder import Decoder

__all__ = ["GradientTraining", "fast_precision", "plain_history", "train", "training_net"]

# The specification's sizes, for the textbook architecture. With a linear path latents are as wide
# as the rows, and one wide layer learns at once what three that narrow learn late: a decoder begins
# with the narrowest.
_EMBED_DIM = 32
_HIDDEN_DIMS = (512, 256, 128)
_HIDDEN_DIMS_OF_LINEAR_PATH = (512,)

# Features of processors that multiply bfloat16 in vector or matrix units.
_BFLOAT16_UNITS = ("avx512_bf16", "amx_bf16")

# Learning rate of codewords that least squares have found, as a share of the decoder's.
_CODEWORDS_SHARE = 0.1

_MODEL = (
    *("n_layers", "codebook_size", "embed_dim", "hidden_dims", "linear_path", "codebook_mode"),
    *("codebook_normalize", "codebook_sim_vq", "n_cat_features"),
    *("commitment_weight", "codebook_weight"),
)


class GradientTraining:
    """Learn an RQ-VAE by gradients, from the closed form's start or from scratch.

    Parameters
    ----------
    settings : TrainingSettings
        How to train.
    model : dict
        The estimator's parameters that describe the module.
    module : type or None
        Subclass of `RqVae` to train.
    held_out : float or None
        Share of the distinct rows to give up, and to choose the best epoch by; None gives up none.
    trial_fraction : float
        Share of the distinct rows by which a trial finds the number of epochs, where there is one.
    device : torch.device
        Where to train.
    parallel : DataParallel or None
        The processes that train together.
    subsample : int or None
        Distinct rows to take into account at most, all if None.
    last : tuple of (architecture, state), optional
        Plain parts of the module to go on from.
    """

    keeps_rows = False
    ignores: tuple[str, ...] = ()
    ignores_because = (
        "codebook_mode='STE' from the closed form trains on codes of beam searches, without "
        "these losses. Set another mode, or linear_path=False."
    )
    ways_out = (
        "a larger commitment_weight, another codebook_mode ('ROTATION_TRICK'), a smaller lr, a "
        "smaller codebook_size, or the closed form (codebook_mode=None, linear_path=True)"
    )

    def __init__(
        self,
        settings: TrainingSettings,
        model: dict[str, Any],
        *,
        module: type[RqVae] | None,
        held_out: float | None,
        trial_fraction: float,
        device: torch.device,
        parallel: DataParallel | None,
        subsample: int | None,
        last: tuple[dict[str, Any], dict[str, Any]] | None = None,
    ):
        self.settings = settings
        self.model = model
        self.module = module
        self.held_out = held_out
        self.trial_fraction = trial_fraction
        self.device = device
        self.parallel = parallel
        self.subsample = row_limit(subsample)
        self.last = last
        self.n_epochs = settings.max_epochs * (2 if self.has_trial else 1)
        self.n_fixed = int(model["n_cat_features"])
        if self._has_searched_codes:
            self.ignores = ("commitment_weight", "codebook_weight")
            self.ways_out = self.ways_out.removeprefix("a larger commitment_weight, ")
        # Rows must come as they are to what was learned before, and to a module that isn't ours.
        self.keeps_units = last is not None or module is not None

    @classmethod
    def of(cls, estimator: BaseEstimator) -> GradientTraining:
        """Return the training that an estimator's parameters describe."""
        parallel = DataParallel() if estimator.device == "data_parallel" else None
        goes_on = estimator.warm_start and hasattr(estimator, "architecture_")
        return cls(
            TrainingSettings.of(estimator),
            {name: getattr(estimator, name) for name in _MODEL},
            module=estimator.module,
            held_out=estimator.validation_fraction if estimator.early_stopping else None,
            trial_fraction=estimator.validation_fraction,
            device=parallel.device if parallel else resolve_device(estimator.device),
            parallel=parallel,
            subsample=estimator.subsample,
            last=(estimator.architecture_, counted_from_origin(estimator)) if goes_on else None,
        )

    @property
    def has_trial(self) -> bool:
        """Whether the number of epochs is found on rows held out, before all rows are fitted.

        Not where rows are given up anyway, and where the closed form is no rival: without linear
        path, for a loss of the user's own, and going on from weights that have met all rows.
        """
        settings = self.settings
        given = [one[1] if isinstance(one, tuple | list) else one for one in settings.callbacks]
        return (
            bool(self.model["linear_path"])
            and settings.max_epochs > 0
            and (self.held_out, self.last, self.module) == (None, None, None)
            and settings.net_params.get(f"callbacks__{BEST}", ...) is not None
            and not any(LoadInitState in (callback, type(callback)) for callback in given)
        )

    def next_pass(self, estimator: BaseEstimator) -> GradientTraining:
        """Return what passes once over rows, going on from the module that an estimator stores."""
        following = copy.copy(self)
        following.settings = self.settings._replace(max_epochs=1, patience=None)
        following.last = estimator.architecture_, counted_from_origin(estimator)
        following.held_out, following.n_epochs, following.keeps_units = None, 1, True
        return following

    def max_rows(self, n_features: int) -> int:
        """Return how many distinct rows of this length are kept at hand."""
        return min(gradient_rows(n_features), self.subsample)

    def generator(self, random_state: Any) -> torch.Generator:
        """Return what draws rows, weights and noise; all processes draw alike."""
        generator = generator_of(random_state)
        if self.parallel is None:
            return generator
        seed = torch.tensor(generator.initial_seed(), device=self.parallel.device)
        self.parallel.share([seed])
        return generator.manual_seed(int(seed))

    def learn(
        self, training: Rows, validation: Rows | None, generator: torch.Generator, tasks: FitTasks
    ) -> dict[str, Any]:
        """Start a module, train it, and return it as plain values."""
        if self.last is None and self.model["linear_path"]:
            x = training.x[:, : training.x.shape[1] - self.n_fixed]
            embed_dim = self._architecture(training.x.shape[1])["embed_dim"]
            warn_of_narrow_latent(x, training.weight, embed_dim)
        if not self.has_trial:
            return self._learn_once(training, validation, generator, tasks, self.settings)[0]
        return self._learn_after_trial(training, generator, tasks)

    def _learn_after_trial(
        self, training: Rows, generator: torch.Generator, tasks: FitTasks
    ) -> dict[str, Any]:
        """Find the number of epochs on rows held out, then learn from all rows with the same draws.

        The history is the trial's.
        """
        trial: list[dict[str, Any]] = []
        best_epoch = 0  # of a single row there is nothing to hold out
        parts = last_rows_held_out(training, self.trial_fraction)
        if parts is not None:
            draws = generator.get_state()
            learned, best_epoch = self._learn_once(*parts, generator, tasks, self.settings)
            trial = learned["history_"]
            generator.set_state(draws)
        settings = self.settings._replace(repeated=trial[:best_epoch])
        learned, _ = self._learn_once(training, None, generator, tasks, settings)
        return {**learned, "history_": trial}

    def _learn_once(
        self,
        training: Rows,
        validation: Rows | None,
        generator: torch.Generator,
        tasks: FitTasks,
        settings: TrainingSettings,
    ) -> tuple[dict[str, Any], int]:
        """Start a module and train it; return it as plain values, and which epoch's it is."""
        architecture = self._architecture(training.x.shape[1])
        if self.last is not None:
            module = build_module(self.module, architecture, generator)
            state = self.last[1]
            module.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
        else:
            module = self._started(architecture, training, generator, tasks)
        module.to(self.device)
        report = ReportEpochs(
            tasks, lambda net: module_attributes(module, architecture, plain_history(net.history))
        )
        if self.last is None and not self.model["linear_path"]:
            settings = settings._replace(n_warm_up_epochs=settings.max_epochs // 3)
        history, best_epoch = train(
            module, training, validation, generator, settings, report, self.parallel
        )
        return module_attributes(module, architecture, history), best_epoch

    def _started(
        self,
        architecture: dict[str, Any],
        training: Rows,
        generator: torch.Generator,
        tasks: FitTasks,
    ) -> RqVae:
        """Return a module that starts from the data, with a linear path from the closed form."""
        device = exact_device(self.device)
        sizes = architecture["codebook_size"]
        rows = first_rows(training, closed_form_rows(sizes)).to(device)
        if self._starts_as_closed_form:
            # Drawn as the closed form draws it: where gradients gain nothing, it is what is left.
            closed_form = ClosedForm(sizes, architecture["embed_dim"], False, device, None)
            plain = closed_form.architecture(architecture["input_dim"])
            start = build_module(None, plain, generator).to(device)
            start_module(start, rows, generator, interactions=True, stage=tasks.stage)
            if len(rows.x) < len(training.x) and start.is_rotation:
                with tasks.stage("all rows"):
                    refine_module(start, training.blocks(), pair_floats(start, training.x))
            module = build_module(None, architecture, generator).to(device)
            module.start_as(start)
            return module
        module = build_module(self.module, architecture, generator).to(device)
        with_pairs = isinstance(module.decoder, Decoder)  # others add none
        start_module(module, rows, generator, interactions=with_pairs, stage=tasks.stage)
        return module

    @property
    def _has_searched_codes(self) -> bool:
        """Whether the module is one of those that `searches_codes` tells of."""
        model = self.model
        is_ours = self.module is None and model["linear_path"] and not model["n_cat_features"]
        if not is_ours or model["codebook_mode"] is None:
            return False
        modes = QuantizeForwardMode.parse_modes(model["codebook_mode"], model["n_layers"])
        return set(modes) == {QuantizeForwardMode.STE}

    @property
    def _starts_as_closed_form(self) -> bool:
        model = self.model
        return (
            bool(model["linear_path"])
            and self.module is None
            and not (model["n_cat_features"] or model["codebook_normalize"])
        )

    def _architecture(self, n_features: int) -> dict[str, Any]:
        """Return the module's constructor arguments as plain values."""
        model = self.model
        widths = model["hidden_dims"]
        if widths is None and self.last is not None:
            widths = self.last[0]["hidden_dims"]
        if widths is None:
            widths = _HIDDEN_DIMS_OF_LINEAR_PATH if model["linear_path"] else _HIDDEN_DIMS
        embed_dim = model["embed_dim"]
        if embed_dim is None and self.last is not None:
            embed_dim = self.last[0]["embed_dim"]
        if model["linear_path"]:
            embed_dim = min(embed_dim or n_features, n_features)  # there are no more principal axes
        mode = "STE" if model["codebook_mode"] is None else model["codebook_mode"]
        modes = QuantizeForwardMode.parse_modes(mode, model["n_layers"])
        architecture = {
            "input_dim": n_features,
            "embed_dim": int(embed_dim or _EMBED_DIM),
            "hidden_dims": checked_widths(widths),
            "codebook_size": check_codebook_size(model["codebook_size"], model["n_layers"]),
            "codebook_normalize": bool(model["codebook_normalize"]),
            "codebook_sim_vq": bool(model["codebook_sim_vq"]),
            "n_layers": int(model["n_layers"]),
            "n_cat_features": int(model["n_cat_features"]),
            "commitment_weight": float(model["commitment_weight"]),
            "codebook_mode": [mode.name for mode in modes],
            "codebook_weight": float(model["codebook_weight"]),
            "linear_path": bool(model["linear_path"]),
        }
        if self.last is not None:
            check_goes_on(self.last[0], architecture)
            architecture["interactions"] = self.last[0]["interactions"]
        return architecture


def train(
    module: RqVae,
    training: Rows,
    validation: Rows | None,
    generator: torch.Generator,
    settings: TrainingSettings,
    report: Callback | None = None,
    parallel: DataParallel | None = None,
) -> tuple[list[dict[str, Any]], int]:
    """Train the module in place and return the history, and the epoch whose weights it has.

    Parameters
    ----------
    module : RqVae
        The module, started from the data.
    training, validation : Rows
        Rows to fit, and rows held out to choose the best epoch by; without these the training rows
        choose.
    generator : torch.Generator
        Draws the order of the rows.
    settings : TrainingSettings
        How to train.
    report : Callback, optional
        Told of each epoch after all other callbacks.
    parallel : DataParallel, optional
        The processes that train together; all of them call this function with the same arguments.

    Returns
    -------
    history : list of dict
        Plain numbers of each epoch.
    best_epoch : int
        The epoch whose weights the module has; 0 is the start.

    Raises
    ------
    KeyboardInterrupt
        If the user interrupts the training.
    """
    if not settings.max_epochs or settings.repeated == []:
        if settings.n_warm_up_epochs is not None:  # nothing has set the codebooks
            module.initialize_codebooks(training.x, training.weight)
        return [], 0
    if parallel is not None:
        parallel.share(state_tensors(module))
        # Noise is drawn by each process for itself, the order of the rows by all alike.
        seed = int(torch.randint(2**31 - 1, (), generator=generator))
        module.generator = torch.Generator().manual_seed(seed + parallel.rank)
    net = training_net(module, training, validation, generator, settings, report, parallel)
    net.initialize()
    try:
        net.partial_fit({"x": training.x, "sample_weight": training.weight})
    except Interrupted:
        raise KeyboardInterrupt from None
    best = dict(net.callbacks_).get(BEST)
    history = plain_history(net.history)
    return history, len(history) if best is None else best.best_epoch_


def training_net(
    module: RqVae,
    training: Rows,
    validation: Rows | None,
    generator: torch.Generator,
    settings: TrainingSettings,
    report: Callback | None = None,
    parallel: DataParallel | None = None,
) -> RqVaeNet:
    """Return the net that `train` trains, not yet initialized; the parameters are its."""
    return RqVaeNet(
        module,
        **{
            **_optimizer(module, training.x.device, settings),
            "lr": settings.lr,
            "max_epochs": settings.max_epochs,
            "batch_size": settings.batch_size,
            "iterator_train": TensorBatches,
            "iterator_train__generator": generator,
            "iterator_train__parallel": parallel,
            "parallel": parallel,
            "precision": fast_precision(training.x.device),
            "train_split": None,
            "device": None,
            "callbacks": [
                *own_callbacks(module, training, validation, settings),
                *copy.deepcopy(list(settings.callbacks)),
                *([] if report is None else [(REPORT, report)]),
                *([] if settings.repeated is None else [(END, EndAfter(len(settings.repeated)))]),
            ],
            **_printing(settings.verbose),
            **_copied_callbacks(settings.net_params),
        },
    )


def _copied_callbacks(net_params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters of the net, with copies of callbacks, which training changes."""
    return {
        name: copy.deepcopy(value) if isinstance(value, Callback) else value
        for name, value in net_params.items()
    }


def fast_precision(device: torch.device) -> torch.dtype | None:
    """Return the half precision that the device multiplies faster without overflows, if it has one.

    Mixed precision leaves the weights, the quantizer and the losses in float32; codes are searched
    in float32 after training.
    """
    if device.type == "cuda":
        has_units = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        has_units = device.type == "cpu" and any(map(_cpu_features().get, _BFLOAT16_UNITS))
    return torch.bfloat16 if has_units else None


def _cpu_features() -> dict[str, Any]:
    """Return what the processor can do; nothing is known to older versions of torch."""
    asked = getattr(torch.cpu, "get_capabilities", dict)
    return asked()


def _optimizer(module: RqVae, device: torch.device, settings: TrainingSettings) -> dict[str, Any]:
    """Return the optimizer and its settings, unless the user has chosen another one."""
    if "optimizer" in settings.net_params:
        return {}
    # Codewords are positions: pulling them to zero would only make them worse.
    of_codewords = {"weight_decay": 0.0}
    if searches_codes(module):
        of_codewords["lr"] = settings.lr * _CODEWORDS_SHARE
    return {
        "optimizer": torch.optim.AdamW,
        "optimizer__fused": device.type in ("cpu", "cuda"),
        "optimizer__weight_decay": settings.weight_decay,
        "optimizer__param_groups": [("*quantizer.*", of_codewords)],
    }


def _printing(verbose: int) -> dict[str, Any]:
    """Return what the net prints: nothing, a line for each epoch, or a bar over its batches too."""
    if not verbose:
        return {"verbose": 0, "callbacks__print_log": None}
    return {"verbose": verbose, "callbacks__print_log": EpochTable(list(NOT_PRINTED))}


def plain_history(history: Any) -> list[dict[str, Any]]:
    """Return skorch's history without its batches, as numbers and lists of numbers only.

    The time that an epoch took is left out: equal fits are to be equal bytes.
    """
    return [
        {
            name: value.item() if hasattr(value, "item") else value
            for name, value in epoch.items()
            if name not in ("batches", "dur", "event_lr") and not name.endswith("_best")
        }
        for epoch in history
    ]
