"""RQVAETransformer: parameters, fit, transform, inverse_transform."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_rqvae._architecture import build_module, start_module
from sklearn_rqvae._codec import SemanticIDMixin
from sklearn_rqvae._compat import CallbackSupportMixin, Interval, StrOptions, fit_context
from sklearn_rqvae._device import exact_device, resolve_device
from sklearn_rqvae._distributed import DataParallel
from sklearn_rqvae._encode import Search
from sklearn_rqvae._guards import all_or_nothing, single_precision
from sklearn_rqvae._row_source import RowSource
from sklearn_rqvae._rows import (
    closed_form_rows,
    first_rows,
    gradient_rows,
    training_rows,
)
from sklearn_rqvae._schedule import SCHEDULES
from sklearn_rqvae._stream import learn_from_more, pass_once
from sklearn_rqvae._training import TrainingSettings, plain_history, train
from sklearn_rqvae._validation import check_codebook_size
from sklearn_rqvae.callbacks._given import check_callbacks
from sklearn_rqvae.callbacks._sklearn_bridge import FitTasks, ReportEpochs
from sklearn_rqvae.nn import QuantizeForwardMode
from sklearn_rqvae.quantize._blocks import in_blocks

__all__ = ["TRUSTED_TYPES", "RQVAETransformer"]

TRUSTED_TYPES = [
    "sklearn_rqvae._estimator.RQVAETransformer",
    "sklearn_rqvae._residual_kmeans.ResidualKMeans",
    "sklearn_rqvae.embedding._ngrams.NgramEncoder",
    "sklearn_rqvae.embedding._sentence_model.SentenceModel",
    "sklearn_rqvae.embedding._text_embedder.TextEmbedder",
]
"""Names to pass to :func:`skops.io.load` as ``trusted``: fitted estimators hold no others."""

# Rows encoded or decoded at a time: bounds the memory.
_CHUNK_ROWS = 512

# The specification's sizes, for the plain architecture.
_EMBED_DIM = 32
_HIDDEN_DIMS = [512, 256, 128]

# What may change from a fit to one that goes on from it.
_CHANGES_NO_SHAPE = ("codebook_mode", "codebook_weight", "commitment_weight")

# Prefixes of parameters that reach the skorch net, as in GridSearchCV(..., {"optimizer__betas":
# [...]}).
_NET_PREFIXES = ("callbacks__", "compile__", "iterator_train__", "optimizer__")


class RQVAETransformer(CallbackSupportMixin, SemanticIDMixin, BaseEstimator):
    r"""Learn semantic IDs for items: a few discrete codes that decode back to the item's vector.

    A row :math:`x` is encoded to a latent :math:`z`, which `n_layers` codebooks quantize one after
    the other, each what the ones before have left: :math:`r_0 = z`,
    :math:`c_l = \arg\min_k \|r_l - C_l[k]\|^2`, :math:`r_{l+1} = r_l - C_l[c_l]`. The codes
    :math:`c` are the semantic ID; a decoder turns them back into a row. Items that share the first
    codes of their IDs are similar.

    By default the encoder rotates the rows to their principal axes, codebooks are found by k-means
    and least squares, and the decoder adds to the codewords a vector for each pair of codes that
    several rows share. All of it is fitted in closed form, in seconds, without gradients.

    With a `codebook_mode` the model is an RQ-VAE [1]_, [2]_ trained by gradients: an autoencoder
    around the quantizer whose MLPs correct a projection to the first principal axes, or with
    ``linear_path=False`` the textbook one, of MLPs alone.

    Parameters
    ----------
    n_layers : int, default=3
        Number of levels, hence of codes in a semantic ID.
    codebook_size : int or sequence of int, default=256
        Number of codewords, at all levels or at each. An ID has
        :math:`\sum_l \log_2 \mathrm{codebook\_size}_l` bits.
    embed_dim : int or None, default=None
        Length of a latent. None is the number of features in closed form, and 32 in gradient
        training. What lies outside the latents is lost.
    hidden_dims : sequence of int or None, default=None
        Widths of the encoder's hidden layers in gradient training; the decoder mirrors them. None
        is (512, 256, 128).
    linear_path : bool, default=True
        Whether encoder and decoder are principal axes, which MLPs correct; else they are MLPs
        alone, and gradients train them even where no `codebook_mode` is given.
    codebook_mode : QuantizeForwardMode, str, list of them, or None, default=None
        None fits in closed form. "STE", "ROTATION_TRICK", "GUMBEL_SOFTMAX" and "SINKHORN" train by
        gradients and say how codewords are chosen in training, and what gradient crosses the
        choice; at all levels or at each. Where there is no closed form, without linear path, with
        categories or a `module`, None is "STE".
    codebook_normalize : bool, default=False
        Whether the first level compares directions instead of positions. In closed form codebooks
        are then found by k-means alone, without vectors for pairs of codes.
    codebook_sim_vq : bool, default=False
        Whether gradient training moves each codebook as a whole, by a linear map (SimVQ).
    n_cat_features : int, default=0
        How many of the last columns are categories, one-hot or multi-hot with values in [0, 1].
        Their loss is the cross-entropy, and `inverse_transform` returns probabilities.
    commitment_weight : float, default=0.25
        Weight of the loss that pulls latents to their codewords.
    codebook_weight : float, default=1.0
        Weight of the loss that pulls codewords to their latents.
    n_beams : int, default=16
        Code tuples that `transform` keeps from level to level; the one with the best
        reconstruction wins. With 1 the search is greedy: faster, and some percent worse.
    max_epochs : int, default=100
        Epochs of gradient training. Without linear path the first third of them trains the
        autoencoder without quantization.
    batch_size : int, default=512
        Rows of a training step.
    lr : float, default=4e-3
        Largest learning rate of AdamW. Batches of 64 rather want half of it.
    weight_decay : float, default=0.01
        Decoupled weight decay.
    lr_schedule : {"cosine", "one_cycle", "step", "constant"}, default="cosine"
        Course of the learning rate: a short warm-up, then a cosine down to zero; a long warm-up,
        then the same; a first phase at `lr`, then a tenth of it; always `lr`.
    early_stopping : bool, default=False
        Whether gradient training holds out rows, keeps the weights with the smallest distortion on
        them, and stops when it no longer falls. Otherwise the training rows choose the weights.
    validation_fraction : float, default=0.1
        Share of the distinct rows held out by `early_stopping`.
    n_iter_no_change : int, default=10
        Epochs without improvement after which `early_stopping` stops.
    callbacks : list or None, default=None
        Callbacks of skorch for the gradient training, alone or as (name, callback); copies of them
        are used.
    module : type or None, default=None
        Subclass of :class:`sklearn_rqvae.nn.RqVae` to train by gradients, for a loss of your own.
    net_params : dict or None, default=None
        More parameters of the skorch net: ``{"optimizer__betas": (0.9, 0.95)}``. They can be set
        and searched under their own names, as ``set_params(optimizer__betas=...)``.
    compile : bool, default=False
        Whether gradient training compiles the module first, which takes half a minute or more and
        pays where there are many steps to follow.
    data_parallel : bool, default=False
        Whether the processes that ``torchrun`` or ``accelerate launch`` has started share each
        batch of gradient training; all of them call `fit` with the same rows, and all get the same
        model. Needs accelerate.
    device : str, default="auto"
        Where to compute: "auto" takes CUDA where there is one, else the CPU; "cpu", "cuda",
        "cuda:1", "mps". On MPS, which has no float64, only gradient training runs, and the rest on
        the CPU. The fitted state is the same everywhere.
    warm_start : bool, default=False
        Whether gradient training starts from the last fit's weights instead of from the data. The
        closed form has no start: it is computed anew.
    random_state : int, RandomState or None, default=None
        Draws starting codewords, weights, order and noise. Equal integers give equal models.
    verbose : int, default=0
        With 1, a line is printed for each stage of the closed form and each epoch of gradient
        training; with 2, there is a bar over an epoch's batches, too.

    Attributes
    ----------
    codebooks_ : list of ndarray of shape (codebook_size, embed_dim)
        The codewords of each level.
    code_usage_ : list of ndarray of shape (codebook_size,)
        Total weight of the distinct training rows with each code, at each level, in units of their
        mean weight.
    history_ : list of dict
        What was recorded of each epoch of gradient training, as plain numbers: losses, distortion,
        learning rate, and lists of each level's utilization and perplexity.
    n_iter_ : int
        Number of epochs of gradient training.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where `X` had some.
    architecture_ : dict
        Constructor arguments of the torch module.
    state_ : dict of str to ndarray
        Weights and buffers of the torch module.
    reservoir_ : dict of str to ndarray
        After `partial_fit` in closed form: distinct "rows" of the stream and each one's "weight".

    See Also
    --------
    ResidualKMeans : The same interface without interactions and network.
    sklearn_rqvae.nn.RqVae : The torch module.

    References
    ----------
    .. [1] Lee, D. et al. "Autoregressive image generation using residual quantization". CVPR 2022,
       arXiv:2203.01941.
    .. [2] Rajput, S. et al. "Recommender systems with generative retrieval". NeurIPS 2023,
       arXiv:2305.05065.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rqvae import RQVAETransformer
    >>> X = np.random.default_rng(0).normal(size=(100, 8))
    >>> rq = RQVAETransformer(n_layers=2, codebook_size=4, random_state=0).fit(X)
    >>> codes = rq.transform(X)
    >>> codes.shape, codes.dtype
    ((100, 2), dtype('int64'))
    >>> rq.inverse_transform(codes).shape
    (100, 8)
    >>> rq.inverse_transform(codes[:, :1]).shape
    (100, 8)
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "codebook_size": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "embed_dim": [Interval(Integral, 1, None, closed="left"), None],
        "hidden_dims": ["array-like", None],
        "linear_path": ["boolean"],
        "codebook_mode": [str, QuantizeForwardMode, "array-like", None],
        "codebook_normalize": ["boolean"],
        "codebook_sim_vq": ["boolean"],
        "n_cat_features": [Interval(Integral, 0, None, closed="left")],
        "commitment_weight": [Interval(Real, 0, None, closed="left")],
        "codebook_weight": [Interval(Real, 0, None, closed="left")],
        "n_beams": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "lr_schedule": [StrOptions(set(SCHEDULES))],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "callbacks": [list, tuple, None],
        "module": [type, None],
        "net_params": [dict, None],
        "compile": ["boolean"],
        "data_parallel": ["boolean"],
        "device": [str],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        n_layers: int = 3,
        codebook_size: int | Sequence[int] = 256,
        embed_dim: int | None = None,
        hidden_dims: Sequence[int] | None = None,
        linear_path: bool = True,
        codebook_mode: Any = None,
        codebook_normalize: bool = False,
        codebook_sim_vq: bool = False,
        n_cat_features: int = 0,
        commitment_weight: float = 0.25,
        codebook_weight: float = 1.0,
        n_beams: int = 16,
        max_epochs: int = 100,
        batch_size: int = 512,
        lr: float = 4e-3,
        weight_decay: float = 0.01,
        lr_schedule: str = "cosine",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        callbacks: Sequence[Any] | None = None,
        module: type | None = None,
        net_params: dict[str, Any] | None = None,
        compile: bool = False,
        data_parallel: bool = False,
        device: str = "auto",
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.n_layers = n_layers
        self.codebook_size = codebook_size
        self.embed_dim = embed_dim
        self.hidden_dims = hidden_dims
        self.linear_path = linear_path
        self.codebook_mode = codebook_mode
        self.codebook_normalize = codebook_normalize
        self.codebook_sim_vq = codebook_sim_vq
        self.n_cat_features = n_cat_features
        self.commitment_weight = commitment_weight
        self.codebook_weight = codebook_weight
        self.n_beams = n_beams
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.lr_schedule = lr_schedule
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.callbacks = callbacks
        self.module = module
        self.net_params = net_params
        self.compile = compile
        self.data_parallel = data_parallel
        self.device = device
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Any:
        """Learn codebooks, encoder and decoder.

        The result is a function of the weighted set of rows: neither their order nor whether a row
        is repeated or has twice the weight matters.

        `X` may be a memory map larger than memory: it is read in blocks and never copied. Of very
        many distinct rows a sample is used, which depends on the set of rows alone: in closed form
        65,536 rows, or 256 for each codeword of the largest codebook if that is more; in gradient
        training 2**27 numbers (512 MiB).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Item vectors.
        y : Ignored
            Not used, present for API consistency.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weight of each row, popularity for example.

        Returns
        -------
        self : RQVAETransformer
            The fitted transformer.
        """
        check_callbacks(self.callbacks, self.net_params)
        source, sample_weight = self._validate_fit_data(X, sample_weight)
        self.__dict__.pop("reservoir_", None)
        architecture = self._architecture(source.shape[1])
        closed_form = self._is_closed_form()
        tasks = FitTasks(
            self,
            0 if closed_form else self.max_epochs,
            verbose=int(self.verbose),
            X=X,
            y=y,
            metadata={} if sample_weight is None else {"sample_weight": sample_weight},
        )
        parallel = DataParallel(self.device) if self.data_parallel and not closed_form else None
        device = resolve_device(self.device) if parallel is None else parallel.device
        generator = _generator(self.random_state, parallel)
        stops_early = self.early_stopping and not closed_form
        held_out = self.validation_fraction if stops_early else None
        n_start = closed_form_rows(architecture["codebook_size"])
        with tasks.stage("rows"):
            training, validation = training_rows(
                source,
                sample_weight,
                held_out,
                device,
                generator,
                max_rows=self._max_training_rows(source.shape[1]),
            )
        going_on = self._goes_on(architecture)
        module = build_module(self.module, architecture, generator).to(exact_device(device))
        if going_on:
            module.load_state_dict(_tensors(self.state_))
        else:
            start = first_rows(training, n_start).to(exact_device(device))
            start_module(module, start, generator, interactions=closed_form, stage=tasks.stage)
        module.to(device)
        history = []
        if not closed_form:
            settings = self._training_settings(warm_up=not (self.linear_path or going_on))
            report = ReportEpochs(
                tasks,
                lambda net: self._fitted(module, architecture, plain_history(net.history)),
            )
            history = train(module, training, validation, generator, settings, report, parallel)
        for name, value in self._fitted(module, architecture, history).items():
            setattr(self, name, value)
        with tasks.stage("usage"):
            codes = self._encode(training.x.cpu().numpy())
            weight = training.weight.cpu().numpy().astype(np.float64)
            self._count_usage(codes, weight, closed_form)
        tasks.finish()
        return self

    @fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def partial_fit(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Any:
        """Learn from more rows, those of earlier calls included.

        In closed form the estimator keeps rows, as many as `fit` would use, in `reservoir_`; each
        call fits to these. However a stream is cut into calls, and in whatever order it comes, the
        result is that of one `fit` on all of it. A call takes the time of a `fit`: make them few
        and large. A `fit` before keeps no rows: the first call after it starts anew, and warns.

        With gradient training the first call is a `fit`; each later one passes once over its rows,
        starting from the weights that it finds.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Item vectors.
        y : Ignored
            Not used, present for API consistency.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weight of each row, popularity for example.

        Returns
        -------
        self : RQVAETransformer
            The fitted transformer.
        """
        if self._is_closed_form():
            learn_from_more(self, X, sample_weight)
        elif hasattr(self, "codebooks_"):
            pass_once(self, X, sample_weight)
        else:
            self.fit(X, sample_weight=sample_weight)
        return self

    @property
    def net_(self) -> Any:
        """The fitted torch module in evaluation mode, rebuilt from the arrays on first use."""
        with single_precision():
            return self._module()

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; with `deep` also those in `net_params` under names of their own.

        Parameters
        ----------
        deep : bool, default=True
            Whether to list the entries of `net_params`.

        Returns
        -------
        params : dict
            Names and values.
        """
        params = super().get_params(deep)
        if deep and isinstance(self.net_params, dict):
            params.update(self.net_params)
        return params

    def set_params(self, **params: Any) -> Any:
        """Set parameters; names like ``optimizer__betas`` go to `net_params`.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        self : RQVAETransformer
            The estimator.
        """
        for_net = {
            name: params.pop(name) for name in list(params) if name.startswith(_NET_PREFIXES)
        }
        super().set_params(**params)
        if for_net:
            self.net_params = {**(self.net_params or {}), **for_net}
        return self

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_holder", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "codebooks_" in self.__dict__:
            self._holder = _ModuleHolder()

    def _plain_state(self) -> dict[str, Any]:
        state = super()._plain_state()
        state.pop("_skl_callbacks", None)  # they belong to the process, not to the model
        if self.codebook_mode is not None:
            modes = QuantizeForwardMode.parse_modes(self.codebook_mode, self.n_layers)
            state["codebook_mode"] = [mode.name for mode in modes]
        return state

    def _max_training_rows(self, n_features: int) -> int:
        """Return how many distinct rows a fit takes into account."""
        if not self._is_closed_form():
            return gradient_rows(n_features)
        return closed_form_rows(check_codebook_size(self.codebook_size, self.n_layers))

    def _validate_fit_data(
        self, X: Any, sample_weight: Any, reset: bool = True
    ) -> tuple[RowSource, NDArray[np.float64] | None]:
        source, weight = super()._validate_fit_data(X, sample_weight, reset)
        n_features = source.shape[1]
        if self.n_cat_features > n_features:
            raise ValueError(
                f"n_cat_features={self.n_cat_features} should be at most the number of features, "
                f"{n_features}; it "
                "counts the last columns of X that are categories."
            )
        if self.n_cat_features:
            self._check_categories(source)
        return source, weight

    def _check_categories(self, source: RowSource) -> None:
        for _, block in source.blocks():
            categories = block[:, source.shape[1] - self.n_cat_features :]
            if not (categories.min() >= 0 and categories.max() <= 1):
                raise ValueError(
                    f"the last n_cat_features={self.n_cat_features} columns of X should be one-hot "
                    "or multi-hot, in [0, 1], but "
                    f"range from {categories.min()} to {categories.max()}; encode them with "
                    "OneHotEncoder."
                )

    def _search(self) -> Search:
        check_is_fitted(self)
        return self._holder.get(self)

    def _module(self) -> Any:
        return self._search().module

    def _n_threads(self) -> int:
        return torch.get_num_threads() if self._module().mean.device.type == "cpu" else 1

    def _chunks(self, X: NDArray[Any]) -> Iterator[torch.Tensor]:
        """Yield a few rows at a time, on the device; read-only ones are copied, as torch wants."""
        device = self._module().mean.device
        for start in range(0, len(X), _CHUNK_ROWS):
            rows = X[start : start + _CHUNK_ROWS]
            yield (torch.from_numpy(rows) if rows.flags.writeable else torch.tensor(rows)).to(
                device
            )

    def _encode(self, X: NDArray[np.float32]) -> NDArray[np.int64]:
        search = self._search()
        codes = [search.encode(chunk, self.n_beams) for chunk in self._chunks(X)]
        return torch.cat(codes).cpu().numpy()

    def _candidates(
        self, X: NDArray[np.float32], n_candidates: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        search = self._search()
        for chunk in self._chunks(X):
            codes, errors = search.candidates(chunk, n_candidates)
            yield codes.cpu().numpy(), errors.cpu().numpy()

    @torch.no_grad()
    def _decode(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        decode = self._module().decode
        return torch.cat([in_blocks(decode, chunk) for chunk in self._chunks(codes)]).cpu().numpy()

    def _check_shapes(self) -> None:
        # What is large is looked at before it is built.
        plan = self.architecture_
        widths = [plan["input_dim"], *(plan["hidden_dims"] or ()), plan["embed_dim"]]
        stored = [self.state_["mean"].shape[0], self.codebooks_[0].shape[1]]
        if plan["hidden_dims"] is not None:
            layers = range(0, 2 * len(widths) - 2, 2)
            stored[1:1] = [self.state_[f"encoder.mlp.{layer}.bias"].shape[0] for layer in layers]
            widths.append(plan["embed_dim"])
        shapes = [codebook.shape for codebook in self.codebooks_]
        if (
            widths != stored
            or self.n_features_in_ != widths[0]
            or shapes != [(size, plan["embed_dim"]) for size in plan["codebook_size"]]
        ):
            raise ValueError(f"layers of {widths} have parts of {stored}, codebooks of {shapes}")
        # Not on the parameter's device, which another machine may lack.
        module = build_module(self.module, plan, torch.Generator())
        module.load_state_dict(_tensors(self.state_))

    def _architecture(self, n_features: int) -> dict[str, Any]:
        """Return the module's constructor arguments as plain values."""
        sizes = check_codebook_size(self.codebook_size, self.n_layers)
        if self._is_closed_form():
            embed_dim, hidden_dims = n_features, None
        else:
            embed_dim, hidden_dims = _EMBED_DIM, _HIDDEN_DIMS
        embed_dim = self.embed_dim or embed_dim
        if self.linear_path:
            embed_dim = min(embed_dim, n_features)  # there are no more principal axes
        if self.hidden_dims is not None:
            given = _check_hidden_dims(self.hidden_dims)
            hidden_dims = None if hidden_dims is None else given
        mode = "STE" if self._is_closed_form() else self._mode()
        modes = QuantizeForwardMode.parse_modes(mode, self.n_layers)
        return {
            "input_dim": n_features,
            "embed_dim": int(embed_dim),
            "hidden_dims": hidden_dims,
            "codebook_size": sizes,
            "codebook_normalize": bool(self.codebook_normalize),
            "codebook_sim_vq": bool(self.codebook_sim_vq),
            "n_layers": int(self.n_layers),
            "n_cat_features": int(self.n_cat_features),
            "commitment_weight": float(self.commitment_weight),
            "codebook_mode": [mode.name for mode in modes],
            "codebook_weight": float(self.codebook_weight),
            "linear_path": bool(self.linear_path),
        }

    def _mode(self) -> Any:
        """Return the mode of gradient training, None for the closed form."""
        # Logits of categories, MLPs alone and losses of a module of one's own have no closed form.
        if self.n_cat_features or not self.linear_path or self.module is not None:
            return "STE" if self.codebook_mode is None else self.codebook_mode
        return self.codebook_mode

    def _is_closed_form(self) -> bool:
        return self._mode() is None

    def _goes_on(self, architecture: dict[str, Any]) -> bool:
        """Whether `fit` continues from the last fit: asked for, and of the same architecture."""
        if not self.warm_start or self._is_closed_form() or not hasattr(self, "architecture_"):
            return False
        changed = [
            name
            for name, value in architecture.items()
            if name not in _CHANGES_NO_SHAPE and value != self.architecture_[name]
        ]
        if changed:
            raise ValueError(
                "going on from the last fit needs a module of the same shape, but what it is built "
                f"of has changed: {', '.join(changed)}. Set it back, or start from the data by fit "
                "with warm_start=False."
            )
        architecture["interactions"] = self.architecture_["interactions"]
        return True

    def _training_settings(self, warm_up: bool) -> TrainingSettings:
        return TrainingSettings(
            max_epochs=self.max_epochs,
            n_warm_up_epochs=self.max_epochs // 3 if warm_up else None,
            batch_size=self.batch_size,
            n_beams=self.n_beams,
            lr=self.lr,
            weight_decay=self.weight_decay,
            lr_schedule=self.lr_schedule,
            patience=self.n_iter_no_change if self.early_stopping else None,
            callbacks=self.callbacks or (),
            net_params=self.net_params or {},
            compile=bool(self.compile),
            verbose=int(self.verbose),
        )

    def _fitted(
        self, module: Any, architecture: dict[str, Any], history: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Return what was learned as arrays and plain values, from which modules are rebuilt."""
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
            "_holder": _ModuleHolder(),
        }


class _ModuleHolder:
    """Hold a fitted estimator's torch module outside its state: never pickled, never copied."""

    def __init__(self) -> None:
        self.search: Search | None = None

    def get(self, estimator: RQVAETransformer) -> Search:
        """Return the search with the module on the estimator's device; build it the first time."""
        device = exact_device(resolve_device(estimator.device))
        if self.search is None or self.search.module.mean.device.type != device.type:
            module = build_module(estimator.module, estimator.architecture_, torch.Generator())
            module.load_state_dict(_tensors(estimator.state_))
            self.search = Search(module.eval().requires_grad_(False).to(device))
        return self.search


def _generator(random_state: Any, parallel: DataParallel | None) -> torch.Generator:
    """Return a torch generator seeded from a random state; torch's global one stays as it is."""
    seed = torch.tensor(check_random_state(random_state).randint(2**31 - 1), dtype=torch.int64)
    if parallel is not None:
        seed = seed.to(parallel.device)
        parallel.share([seed])
    return torch.Generator().manual_seed(int(seed))


def _tensors(state: dict[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(array) for name, array in state.items()}


def _check_hidden_dims(hidden_dims: Sequence[int]) -> list[int]:
    widths = list(hidden_dims)
    for width in widths:
        if not isinstance(width, Integral) or width < 1:
            raise ValueError(
                f"hidden_dims={hidden_dims!r} has the entry {width!r}; every layer needs a "
                "positive integer width."
            )
    return [int(width) for width in widths]
