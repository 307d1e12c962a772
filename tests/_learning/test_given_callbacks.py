"""A user's callbacks are checked before the work begins."""

import numpy as np
import pytest
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import ValidSplit

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae._learning._given_callbacks import check_callbacks
from sklearn_rqvae._learning._habits import reserved_names

X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
TEXTBOOK = {"linear_path": False, "codebook_size": 4, "n_layers": 1, "max_epochs": 3, "verbose": 2}


class Names(Callback):
    """Remember what the other callbacks are called."""

    seen: tuple = ()

    def on_train_begin(self, net, **kwargs):
        Names.seen = tuple(name for name, _ in net.callbacks_)


def test_names_of_the_estimators_own_callbacks_are_the_reserved_ones(capsys):
    # A training with a warm-up and a bar, in which each of them takes part.
    RQVAETransformer(**TEXTBOOK, callbacks=[Names()]).fit(X)
    # The end is that of a refit, for as many epochs as a trial has found; codes are searched for
    # where there is a linear path.
    assert set(Names.seen) - {"Names"} == reserved_names() - {"end", "search"}


@pytest.mark.parametrize("entry", ["early", None, ("early", 3), (1, Names()), int, [Names()]])
def test_what_is_no_callback_is_refused(entry):
    estimator = RQVAETransformer(callbacks=[Names(), entry], codebook_size=2)
    with pytest.raises(TypeError, match=r"callbacks\[1\]=.*callback of skorch.*set_callbacks"):
        estimator.fit(X)


@pytest.mark.parametrize("name", sorted(reserved_names()))
def test_names_of_the_estimators_own_callbacks_are_refused(name):
    estimator = RQVAETransformer(callbacks=[(name, Names())], codebook_size=2)
    with pytest.raises(ValueError, match=rf"callbacks\[0\].*'{name}'.*'callbacks__{name}': None"):
        estimator.fit(X)


def test_a_name_is_refused_the_second_time():
    with pytest.raises(ValueError, match=r"callbacks\[1\] has the name 'a', which another"):
        check_callbacks([("a", Names()), ["a", Names]])


def test_callbacks_of_skorch_pass_in_all_forms():
    check_callbacks(None)
    check_callbacks([Names(), Names, Names(), ("a", Names), ("b", EarlyStopping("train_loss"))])


def test_parameters_for_callbacks_that_are_not_there_are_refused():
    for name in ("dead_code", "beest", "Names_1"):
        with pytest.raises(ValueError, match=f"'callbacks__{name}.*there are Names, anneal, "):
            check_callbacks([Names()], {f"callbacks__{name}__every": 1})
    with pytest.raises(ValueError, match="'callbacks__dead_code'"):
        RQVAETransformer(**TEXTBOOK, net_params={"callbacks__dead_code": None}).fit(X)
    check_callbacks([("a", Names)], {"callbacks__a__x": 1, "callbacks__clip": None, "warm": 1.0})
    check_callbacks([Names(), Names], {"callbacks__Names_1": None, "callbacks__Names_2__x": 1})


def test_parameters_that_the_estimator_has_are_refused():
    with pytest.raises(ValueError, match="'max_epochs', which is a parameter of the estimator"):
        RQVAETransformer(**TEXTBOOK, net_params={"max_epochs": 5}).fit(X)


def test_who_splits_rows_is_sent_to_the_parameters_for_it():
    # skorch would take the rows apart, and what it makes of them is no batch of ours.
    with pytest.raises(ValueError, match=r"'train_split'.*early_stopping=True"):
        check_callbacks([], {"train_split": ValidSplit(3)})
    check_callbacks([], {"train_split": None})
