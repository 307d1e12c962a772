"""Training settings reach the optimizer and the callbacks, and leave nothing else changed."""

import re

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae._learning._distortion import distortion_unit, relative_distortion
from sklearn_rqvae._learning._gradients import fast_precision
from sklearn_rqvae._learning._habits import _evenly_spaced, own_callbacks
from sklearn_rqvae._learning._rows import Rows
from sklearn_rqvae._learning._settings import TrainingSettings
from sklearn_rqvae.nn import RqVae

X = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
TRAINED = {
    "codebook_size": 8,
    "n_layers": 2,
    "codebook_mode": "STE",
    "hidden_dims": (16,),
    "embed_dim": 4,
    "n_beams": 2,
    "max_epochs": 3,
    "batch_size": 64,
    "random_state": 0,
}


class Plain(RqVae):
    """A module of one's own, for which no trial on held-out rows is made."""


class Spy(Callback):
    """Keep what a net had, outside of the copies that fits use."""

    seen: dict = {}  # noqa: RUF012

    def on_grad_computed(self, net, named_parameters=None, **kwargs):
        norm = torch.stack([p.grad.norm() for _, p in named_parameters if p.grad is not None])
        Spy.seen.setdefault("norms", []).append(float(norm.norm()))

    def on_train_end(self, net, **kwargs):
        Spy.seen["groups"] = [
            (group["weight_decay"], sorted(tuple(p.shape) for p in group["params"]))
            for group in net.optimizer_.param_groups
        ]
        Spy.seen["optimizer"] = type(net.optimizer_)
        Spy.seen["fused"] = net.optimizer_.defaults.get("fused")


@pytest.fixture
def spied():
    """Fit with settings and return what the spy saw, the last of the callbacks."""

    def fit(**params):
        Spy.seen = {}
        RQVAETransformer(**{**TRAINED, **params}, callbacks=[("spy", Spy())]).fit(X)
        return Spy.seen

    return fit


def test_codebooks_have_no_weight_decay(spied):
    seen = spied(weight_decay=0.3)
    assert {decay for decay, _ in seen["groups"]} == {0.0, 0.3}
    (undecayed,) = [shapes for decay, shapes in seen["groups"] if decay == 0.0]
    assert undecayed == [(8, 4), (8, 4)]
    assert seen["fused"] is True


def test_another_optimizer_takes_its_own_settings(spied):
    seen = spied(net_params={"optimizer": torch.optim.RMSprop, "optimizer__alpha": 0.9})
    assert seen["optimizer"] is torch.optim.RMSprop


def test_gradients_are_clipped_where_one_says(spied):
    free = max(spied(net_params={"callbacks__clip": None})["norms"])
    clipped = spied(net_params={"callbacks__clip__gradient_clip_value": free / 10})["norms"]
    assert max(clipped) == pytest.approx(free / 10, rel=1e-3)


def test_history_has_the_schedule():
    fitted = RQVAETransformer(
        **{**TRAINED, "max_epochs": 10, "lr": 1e-3, "lr_schedule": "step"}
    ).fit(X)
    rates = [epoch["lr"] for epoch in fitted.history_]
    assert rates == pytest.approx([1e-3] * 5 + [1e-4] * 5)


def test_verbose_prints_a_line_for_each_epoch(capsys):
    RQVAETransformer(**TRAINED, module=Plain, verbose=1).fit(X)
    lines = capsys.readouterr().out.splitlines()
    header = next(line for line in lines if "epoch" in line)
    assert {"train_loss", "train_distortion", "lr"} <= set(header.split())
    assert "perplexity" not in header
    assert [line.split()[0] for line in lines if line.strip()[:1].isdigit()] == ["1", "2", "3"]


def test_verbose_two_draws_a_bar(capsys):
    RQVAETransformer(**TRAINED, module=Plain, verbose=2).fit(X)
    assert "0/4" in capsys.readouterr().err


def test_distortion_by_hand():
    # Both rows lie at a codeword of the identity model, except for the second's last coordinate.
    module = RqVae(2, embed_dim=2, hidden_dims=None, codebook_size=2, n_layers=1, linear_path=True)
    module.set_linear_path(torch.zeros(2), torch.eye(2))
    module.quantizer.levels[0].initialize(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    rows = Rows(torch.tensor([[1.0, 0.0], [-1.0, 1.0]]), torch.ones(2))
    # Squared error 1; the variance around (0, 0.5) is 2 * (1 + 0.25).
    assert distortion_unit(rows) == pytest.approx(2.5)
    assert relative_distortion(module, rows, unit=2.5) == pytest.approx(1 / 2.5)


def test_distortion_of_weighted_rows_is_that_of_repeated_ones():
    module = RqVae(6, 4, [8], 5, generator=torch.Generator().manual_seed(0))
    x = torch.from_numpy(X)
    weight = torch.arange(len(x)).remainder(3).float()
    weighted, repeated = Rows(x, weight), x.repeat_interleave(weight.long(), 0)
    repeated = Rows(repeated, torch.ones(len(repeated)))
    unit = distortion_unit(weighted)
    assert unit == pytest.approx(distortion_unit(repeated))
    ours, theirs = (relative_distortion(module, rows, unit) for rows in (weighted, repeated))
    assert ours == pytest.approx(theirs)
    assert module.training


def test_rows_that_do_not_vary_are_measured_per_row():
    assert distortion_unit(Rows(torch.ones(3, 2), torch.tensor([1.0, 2.0, 0.0]))) == 3.0


@pytest.mark.parametrize(
    ("n_rows", "n_sample", "every"), [(200, 200, 20), (3000, 1500, 10), (50_000, 2000, 1)]
)
def test_measuring_takes_no_more_than_a_twentieth_of_the_rows_per_epoch(n_rows, n_sample, every):
    rows = Rows(torch.randn(n_rows, 2), torch.ones(n_rows))
    settings = TrainingSettings(
        max_epochs=1, n_warm_up_epochs=None, batch_size=64, n_beams=1, lr=1e-3, weight_decay=0.0,
        lr_schedule="cosine", patience=None, callbacks=(), net_params={},
        verbose=0,
    )  # fmt: skip
    module = RqVae(2, embed_dim=2, hidden_dims=[4], codebook_size=2)
    assert len(_evenly_spaced(rows, 2048).x) == n_sample
    best = dict(own_callbacks(module, rows, None, settings))["best"]
    assert best.every == every
    assert n_sample / best.every <= n_rows / 20
    held_out = dict(own_callbacks(module, rows, rows, settings))["best"]
    assert (held_out.monitor, held_out.every) == ("valid_distortion", 1)


def test_epochs_without_a_measurement_lack_the_number_and_leave_a_gap_in_the_table(capsys):
    fitted = RQVAETransformer(**{**TRAINED, "max_epochs": 23}, module=Plain, verbose=1).fit(X)
    measured = [row["epoch"] for row in fitted.history_ if "train_distortion" in row]
    assert measured == [20, 23]
    printed = re.sub("\x1b\\[[0-9]+m", "", capsys.readouterr().out)  # without colors
    lines = [line for line in printed.splitlines() if line.strip()]
    header = next(number for number, line in enumerate(lines) if "train_distortion" in line)
    widths = {len(line) for line in lines[header : header + 25]}
    assert len(widths) == 1
    start = lines[header].index("train_distortion")
    cells = [line[start : start + 16].strip() for line in lines[header + 2 : header + 25]]
    assert [number for number, cell in enumerate(cells, start=1) if cell] == [20, 23]


@pytest.mark.parametrize(
    ("features", "precision"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "avx2": True}, None),
        ({}, None),
    ],
)
def test_processors_with_units_for_it_multiply_in_half_precision(monkeypatch, features, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)
    assert fast_precision(torch.device("cpu")) is precision
    assert fast_precision(torch.device("mps")) is None


def test_versions_of_torch_that_do_not_know_the_processor_train_in_single(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert fast_precision(torch.device("cpu")) is None


def test_half_precision_leaves_weights_and_codes_in_single():
    settings = {**TRAINED, "lr": 1e-2}
    mixed, single = (
        RQVAETransformer(**settings, net_params={"precision": precision}).fit(X)
        for precision in (torch.bfloat16, None)
    )
    assert all(array.dtype != np.float16 for array in mixed.state_.values())
    assert mixed.codebooks_[0].dtype == np.float32
    # The weights kept may be those of the start, the losses on the way are of the training.
    assert mixed.history_[-1]["train_loss"] != single.history_[-1]["train_loss"]
    assert mixed.score(X) == pytest.approx(single.score(X), rel=0.05)


def test_compiling_changes_names_of_weights_nowhere():
    # The eager backend compiles nothing, but wraps the module as any other does.
    settings = {**TRAINED, "lr": 1e-2}
    compiled = RQVAETransformer(
        **settings, net_params={"compile": True, "compile__backend": "eager"}
    ).fit(X)
    plain = RQVAETransformer(**settings).fit(X)
    assert set(compiled.state_) == set(plain.state_)
    np.testing.assert_array_equal(compiled.transform(X), plain.transform(X))


@pytest.mark.parametrize(
    ("settings", "trains"),
    [({"codebook_mode": "STE"}, "reconstruct"), ({"linear_path": False}, "autoencode")],
)
def test_compiling_covers_what_trains(settings, trains, monkeypatch):
    compiled = []

    def note(function, **kwargs):
        compiled.append(getattr(function, "__name__", "module"))
        return function

    monkeypatch.setattr(torch, "compile", note)
    RQVAETransformer(**{**TRAINED, **settings}, net_params={"compile": True}).fit(X)
    assert trains in compiled


@pytest.mark.slow
@pytest.mark.parametrize("changed", [{}, {"linear_path": False}])
def test_a_compiled_module_learns_the_same(changed):
    settings = {**TRAINED, "lr": 1e-2, **changed, "max_epochs": 6}
    compiled = RQVAETransformer(**settings, net_params={"compile": True}).fit(X)
    plain = RQVAETransformer(**settings).fit(X)
    assert compiled.score(X) == pytest.approx(plain.score(X), rel=0.05)
