"""RQVAETransformer: parameters, fit, transform, inverse_transform."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sklearn_rqvae._base import SemanticIDMixin
from sklearn_rqvae._coders import ModuleCoder, ModuleHolder
from sklearn_rqvae._compat import CallbackSupportMixin, Interval, StrOptions, fit_context
from sklearn_rqvae._files._state import check_array
from sklearn_rqvae._guards import all_or_nothing, single_precision
from sklearn_rqvae._learning._choice import choose_learner, names_closed_form
from sklearn_rqvae._learning._learner import Learner
from sklearn_rqvae._learning._module import restored_module
from sklearn_rqvae._learning._schedule import SCHEDULES
from sklearn_rqvae._rows._source import RowSource
from sklearn_rqvae.nn import QuantizeForwardMode, RqVae
from sklearn_rqvae.nn._checkpoint import check_state
from sklearn_rqvae.nn._config import TRAINING_ONLY, counts

__all__ = ["TRUSTED_TYPES", "RQVAETransformer"]

TRUSTED_TYPES = [
    "sklearn_rqvae._estimator.RQVAETransformer",
    "sklearn_rqvae._product_quantizer.ProductQuantizer",
    "sklearn_rqvae._residual_kmeans.ResidualKMeans",
    "sklearn_rqvae.embedding._fill.NeighborFill",
    "sklearn_rqvae.embedding._fill.RidgeFill",
    "sklearn_rqvae.embedding._fusion.ViewFusion",
    "sklearn_rqvae.embedding._histories.Histories",
    "sklearn_rqvae.embedding._interactions.InteractionEmbedder",
    "sklearn_rqvae.embedding._ngrams.NgramEncoder",
    "sklearn_rqvae.embedding._sentence_model.SentenceModel",
    "sklearn_rqvae.embedding._text_embedder.TextEmbedder",
    "sklearn_rqvae.semantic_id._index.SemanticIDIndex",
    "sklearn_rqvae.semantic_id._prefix_features.PrefixFeatures",
]
"""Names to pass to :func:`skops.io.load` as ``trusted``: fitted estimators hold no others."""

# Names and prefixes of parameters that reach the skorch net, as in GridSearchCV(...,
# {"optimizer__betas": [...]}); so do those that `net_params` has.
_OF_NET = ("compile", "optimizer")
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
    around the quantizer that starts from the closed form, for as many epochs as rows that a trial
    has held out gain, or with ``linear_path=False`` the textbook one, of MLPs alone.

    Parameters of gradient training alone, without effect in closed form, are `hidden_dims`,
    `codebook_sim_vq`, `commitment_weight`, `codebook_weight`, `max_epochs`, `batch_size`, `lr`,
    `weight_decay`, `lr_schedule`, `early_stopping`, `validation_fraction`, `n_iter_no_change`,
    `callbacks` and `net_params`.

    Parameters
    ----------
    n_layers : int, default=3
        Number of levels, hence of codes in a semantic ID.
    codebook_size : int or sequence of int, default=256
        Number of codewords, at all levels or at each. An ID has
        :math:`\sum_l \log_2 \mathrm{codebook\_size}_l` bits.
    embed_dim : int or None, default=None
        Length of a latent. None is the number of features, and 32 without linear path; with it
        there are no more principal axes than features, whatever is asked for. What lies outside
        the latents is lost.
    hidden_dims : sequence of int or None, default=None
        Widths of the encoder's hidden layers in gradient training; the decoder mirrors them. None
        is (512,) with a linear path, and (512, 256, 128) without.
    linear_path : bool, default=True
        Whether encoder and decoder are principal axes, which MLPs correct; else they are MLPs
        alone, and gradients train them even where no `codebook_mode` is given.
    codebook_mode : QuantizeForwardMode, str, list of them, or None, default=None
        None or "CLOSED_FORM" fits in closed form. "STE", "ROTATION_TRICK", "GUMBEL_SOFTMAX" and
        "SINKHORN" train by gradients and say how codewords are chosen in training, and what
        gradient crosses the choice; at all levels or at each. Where there is no closed form,
        without linear path, with categories or a `module`, None is "STE". Parameters of gradient
        training that are set for a fit in closed form are named in a warning.
    codebook_normalize : bool, default=False
        Whether the first level compares directions instead of positions. In closed form codebooks
        are then found by k-means alone, without vectors for pairs of codes.
    codebook_sim_vq : bool, default=False
        Whether gradient training moves each codebook as a whole, by a linear map (SimVQ).
    n_cat_features : int, default=0
        How many of the last columns are categories, one-hot or multi-hot with values in [0, 1].
        Their loss is the cross-entropy, and `inverse_transform` returns probabilities.
    commitment_weight : float, default=0.25
        Weight of the loss that pulls latents to their codewords. There is none where "STE" trains
        with linear path, from codes that a search has found.
    codebook_weight : float, default=1.0
        Weight of the loss that pulls codewords to their latents, where latents are pulled, too.
    n_beams : int, default=16
        Code tuples that `transform` keeps from level to level; the one with the best
        reconstruction wins. With 1 the search is greedy: faster, and some percent worse. Codes
        that "STE" trains from, with linear path, are searched alike.
    max_epochs : int, default=100
        Epochs of gradient training, with linear path at most. Without it the first third of them
        trains the autoencoder without quantization.
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
        them, and stops when it no longer falls. By default no row is given up: with linear path a
        trial on held-out rows finds the number of epochs, none if the start is best, and a second
        training spends them on all rows; otherwise the training rows choose the weights.
    validation_fraction : float, default=0.1
        Share of the distinct rows held out by `early_stopping`, or by the trial.
    n_iter_no_change : int, default=10
        Epochs without improvement after which `early_stopping`, or the trial, stops.
    callbacks : list or None, default=None
        Callbacks of skorch for the gradient training, alone or as (name, callback); copies of them
        are used.
    module : type or None, default=None
        Subclass of :class:`sklearn_rqvae.nn.RqVae` to train by gradients, for a loss of your own.
    net_params : dict or None, default=None
        More parameters of the skorch net: ``{"optimizer__betas": (0.9, 0.95)}``, or ``{"compile":
        True}`` to compile the module first. They can be set and searched under their own names, as
        ``set_params(optimizer__betas=...)``.
    device : str, default="auto"
        Where to compute: "auto" takes CUDA where there is one, else the CPU; "cpu", "cuda",
        "cuda:1", "mps". On MPS, which has no float64, only gradient training runs, and the rest on
        the CPU. With "data_parallel" the processes that ``torchrun`` or ``accelerate launch`` has
        started share each batch of gradient training: all of them call `fit` with the same rows,
        and all get the same model; needs accelerate. The fitted state is the same everywhere.
    subsample : int or None, default=1_048_576
        Distinct rows that a fit learns from at most; None takes all. Of more rows so many are
        drawn, in a way that depends on the set of rows alone. Codebooks are found on 65,536 of
        them, or on 256 for each codeword of the largest codebook if that is more; passes over all
        of them follow, whose time goes with their number. Gradient training takes 2**27 numbers
        (512 MiB) at most.
    warm_start : bool, default=False
        Whether to go on from the last fit instead of from the data. Gradient training starts from
        its weights. The closed form keeps its axes and units, and refits its codebooks such that
        most items keep their codes; see `stability`.
    stability : float, default=0.3
        What an item's codes under the last fit must cost before it gives them up, where the closed
        form goes on from it: by how much others have to lower its squared error, as a multiple of
        the mean error. With 0 they are only where the search starts.
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
        learning rate, and lists of each level's utilization and perplexity. Where a trial has found
        the number of epochs it is the trial's.
    n_iter_ : int
        Number of epochs of gradient training on the rows of the fit.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where `X` had some.
    architecture_ : dict
        Constructor arguments of the torch module, those of the training only where there was one.
    state_ : dict of str to ndarray
        Weights and buffers of the torch module.
    origin_ : ndarray of shape (`n_features_in_`,), dtype=float64
        Where the rows of the fit lay far from zero: their mean, which is subtracted from rows
        before they are cast to float32.
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
        "device": [str],
        "subsample": [Interval(Integral, 1, None, closed="left"), None],
        "warm_start": ["boolean"],
        "stability": [Interval(Real, 0, None, closed="left")],
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
        module: type[RqVae] | None = None,
        net_params: dict[str, Any] | None = None,
        device: str = "auto",
        subsample: int | None = 1_048_576,
        warm_start: bool = False,
        stability: float = 0.3,
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
        self.device = device
        self.subsample = subsample
        self.warm_start = warm_start
        self.stability = stability
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Any:
        """Learn codebooks, encoder and decoder.

        The result is a function of the weighted set of rows: neither their order nor whether a row
        is repeated or has twice the weight matters.

        `X` may be a memory map larger than memory: it is read in blocks and never copied. In closed
        form codebooks are found on a sample of many rows; two passes over all of them follow, or
        over `subsample` of them, each of which finds codes and fits codewords and vectors for pairs
        to them. Of a Dask array or data frame only the sample leaves the workers, and the result is
        that of the same rows in one array.

        Parameters
        ----------
        X : array-like, dask array or dask data frame of shape (n_samples, n_features)
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
        self._fit(X, y, sample_weight)
        return self

    @property
    def net_(self) -> RqVae:
        """The fitted torch module in evaluation mode, rebuilt from the arrays on first use.

        It is yours: whatever you do to it, codes of the estimator stay what they are.
        """
        with single_precision():
            check_is_fitted(self)
            return self._module_holder().net(self)

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
        """Set parameters; names like ``optimizer__betas``, or in `net_params`, go to `net_params`.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        self : RQVAETransformer
            The estimator.
        """
        own = self.get_params(deep=False)
        of_net = set(_OF_NET)
        for some in (self.net_params, params.get("net_params")):
            of_net.update(some if isinstance(some, dict) else ())  # what is none, `fit` refuses
        for_net = {
            name: params.pop(name)
            for name in list(params)
            if name not in own and (name in of_net or name.startswith(_NET_PREFIXES))
        }
        super().set_params(**params)
        if for_net:
            self.net_params = {**(self.net_params or {}), **for_net}
        return self

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_holder", None)
        state["codebook_mode"] = _mode_names(self.codebook_mode)
        return state

    def _plain_state(self) -> dict[str, Any]:
        state = super()._plain_state()
        state.pop("_skl_callbacks", None)  # they belong to the process, not to the model
        if self.codebook_mode is not None and not names_closed_form(self.codebook_mode):
            modes = QuantizeForwardMode.parse_modes(self.codebook_mode, self.n_layers)
            state["codebook_mode"] = [mode.name for mode in modes]
        return state

    def _learned_how(self) -> str:
        modes = self.architecture_.get("codebook_mode")
        return super()._learned_how() if modes is None else f"by gradients: {', '.join(modes)}"

    def _learner(self) -> Learner:
        return choose_learner(self)

    def _coder(self) -> ModuleCoder:
        check_is_fitted(self)
        return ModuleCoder(self._module_holder().search(self), self.n_beams)

    def _module_holder(self) -> ModuleHolder:
        holder: ModuleHolder = self.__dict__.setdefault("_holder", ModuleHolder())
        return holder

    def _codes_depend_on(self) -> list[Any]:
        plan = {name: v for name, v in self.architecture_.items() if name not in TRAINING_ONLY}
        normalizes = plan.get("codebook_normalize", False)
        state = {name: array for name, array in self.state_.items() if counts(name, normalizes)}
        origin = [self.origin_] if hasattr(self, "origin_") else []
        return [int(self.n_beams), self.module, plan, state, *origin]

    def _check_state(self) -> None:
        for name, array in self.state_.items():
            dtype = np.int64 if name == "decoder.interactions.keys" else np.float32
            check_array(array, name, dtype, array.ndim)
        check_state(self.architecture_, self.state_)
        shapes = [codebook.shape for codebook in self.codebooks_]
        plan = self.architecture_
        if self.n_features_in_ != plan["input_dim"] or shapes != [
            (size, plan["embed_dim"]) for size in plan["codebook_size"]
        ]:
            raise ValueError(f"{plan} has codebooks of {shapes}")
        # Not on the parameter's device, which another machine may lack.
        module = restored_module(self.module, plan, self.state_)
        for level, (codebook, same) in enumerate(
            zip(self.codebooks_, module.codebooks, strict=True)
        ):
            # Maps and lengths of codewords are computed anew, with this machine's rounding.
            if not np.allclose(codebook, same.detach().numpy(), rtol=1e-3, atol=1e-5):
                raise ValueError(f"the codebook of level {level} isn't that of the module")

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


def _mode_names(mode: Any) -> Any:
    """Return modes by their names, as plain values that every way of saving takes."""
    if isinstance(mode, list | tuple):
        return type(mode)(_mode_names(one) for one in mode)
    return mode.name if isinstance(mode, QuantizeForwardMode) else mode
