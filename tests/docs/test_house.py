"""The house on one page says what the source says."""

import importlib.util
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import sklearn_rqvae
from sklearn_rqvae import RQVAETransformer

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(sklearn_rqvae.__file__).parent


def load(path):
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def drawing():
    return load(ROOT / "docs" / "_ext" / "house.py")


@pytest.fixture(scope="module")
def house(drawing):
    return drawing.read_house()


def test_drawing_has_the_arrows_that_the_law_reads(house):
    law = load(ROOT / "tests" / "test_imports.py")
    arrows = {
        (law.room_of(module), law.room_of(imported))
        for module, path in law.modules().items()
        if module not in law.NOT_JUDGED
        for imported in law.own_imports(module, path.read_text())
    }
    assert house.arrows == {(upper, lower) for upper, lower in arrows if upper != lower}
    assert house.height == law.HEIGHT
    assert not house.up


def test_carrying_arrows_reach_whatever_arrows_reach(house):
    def reached(room, arrows):
        lower = {below for above, below in arrows if above == room}
        return lower.union(*(reached(below, arrows) for below in lower))

    assert house.bearing < house.arrows
    for room in house.height:
        assert reached(room, house.bearing) == reached(room, house.arrows)


def test_every_question_is_of_a_room_that_exists(drawing, house):
    assert set(drawing.QUESTIONS) <= set(house.height)
    for room in house.height:
        assert drawing.question(house, room)


def test_no_two_rooms_overlap_and_all_stand_within_the_walls(drawing, house):
    places, _ = drawing.place(house)
    for floor in house.floors:
        edges = sorted(
            (places[room] - drawing._width(room) / 2, places[room] + drawing._width(room) / 2)
            for room in floor
        )
        assert edges[0][0] >= 0
        assert edges[-1][1] <= drawing.WIDTH
        assert all(left[1] < right[0] for left, right in pairwise(edges))


def test_arrow_up_is_drawn_as_such(drawing, house):
    planted = house._replace(arrows=house.arrows | {("quantize", "nn")})
    assert planted.up == {("quantize", "nn")}
    assert 'class="arrow up from-quantize to-nn"' in drawing.draw(planted)
    assert "1 of them up" in drawing.summary(planted)


def stays_on_page(name):
    """Read file and function of each stay from a table of the page."""
    page = (ROOT / "docs" / "developers" / "house.rst").read_text(encoding="utf-8")
    table = page.partition(f":name: {name}")[2].partition(".. list-table::")[0]
    stays = []
    for first, second in pairwise(table.splitlines()):
        if first.startswith("   * - ``"):
            stays.append((first.split("``")[1], second.split("``")[1]))
    return stays


def calls_of(work):
    """Return file and function of each call into the package, in order."""
    calls = []

    def note(frame, event, argument):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            calls.append((path.relative_to(PACKAGE).as_posix(), frame.f_code.co_name))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


@pytest.fixture
def one_thread():
    """Make all calls from this thread, which alone is watched."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_data_goes_the_way_that_the_page_says():
    X = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    rq = RQVAETransformer(n_layers=2, codebook_size=8, random_state=0)
    for name, work in (("fit", lambda: rq.fit(X)), ("transform", lambda: rq.transform(X))):
        if name == "transform":
            del rq._holder  # a first call
        stays = stays_on_page(f"stays-of-{name}")
        assert len(stays) > 10
        calls = iter(calls_of(work))
        for stay in stays:
            assert stay in calls, f"{name} doesn't go to {stay} here"
