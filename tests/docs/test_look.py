"""What looks at the pages sees what is wrong with them, and formulas and tables are as they say."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae.datasets import make_residual_blobs
from sklearn_rqvae.report import report

DOCS = Path(__file__).resolve().parents[2] / "docs"


def load(path):
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def look():
    return load(DOCS / "look.py")


def page(body, title="A page"):
    return (
        f"<!DOCTYPE html><html><head><title>{title}</title></head>"
        f'<body style="margin:0"><article class="bd-article">{body}</article></body></html>'
    )


def write(folder, **pages):
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")


def test_broken_links_anchors_and_missing_titles_are_found(look, tmp_path):
    good = '<h1 id="here">Here</h1><a href="#here">a</a><a href="other.html">b</a>'
    bad = '<a href="nowhere.html">a</a><a href="good.html#there">b</a><img src="no.png">'
    away = '<a href="https://example.org/x">away</a>'
    write(tmp_path, good=page(good), other=page(away), bad=page(bad), untitled=page("", title=""))
    (tmp_path / "_static").mkdir()
    write(tmp_path / "_static", template=page(bad, title=""))
    assert sorted(look.broken_links(tmp_path)) == [
        ("bad.html", "broken link: no.png"),
        ("bad.html", "broken link: nowhere.html"),
        ("bad.html", "no such anchor: good.html#there"),
        ("untitled.html", "has no title: ''"),
    ]


@pytest.mark.parametrize("command", [None, "/bin/false"])
def test_without_a_browser_that_starts_links_are_checked(
    look, tmp_path, monkeypatch, capsys, command
):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setattr(look.shutil, "which", lambda name: command)
    monkeypatch.setattr(sys, "argv", ["look.py", str(tmp_path)])
    write(tmp_path, good=page("fine"))
    assert look.main() == 0
    assert "skipped the look" in capsys.readouterr().out
    write(tmp_path, bad=page('<a href="nowhere.html">a</a>'))
    assert look.main() == 1


# Of one pixel.
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium to look with")
@pytest.mark.slow
def test_a_browser_sees_what_a_reader_would_trip_over(look, tmp_path):
    bodies = {
        "fine": "<p>Text.</p><table><tr><td>1</td></tr></table>",
        "cut": '<div style="overflow:hidden;width:90px">'
        '<table style="width:200px"><tr><td>x</table></div>',
        "picture": '<div style="overflow:auto;width:90px"><svg></svg>'
        f'<img alt="" style="width:200px;height:9px" src="{PIXEL}"></div>',
        "wide": '<p style="width:500px">Text.</p>',
        "dark": "<style>@media (prefers-color-scheme:dark){p{color:#333;background:#222}}</style>"
        "<p>x</p>",
        "image": '<img src="no.png">',
        "script": "<script>nothing()</script>",
    }
    write(tmp_path, **{name: page(body) for name, body in bodies.items()})
    names = sorted(f"{name}.html" for name in bodies)
    found = {}
    for where, problem in look.looked_at(tmp_path, names, BROWSER, tmp_path / "shots"):
        found.setdefault(where, []).append(problem.partition(":")[0].partition(",")[0])
    everywhere = [
        f"({size}, {scheme})" for size in ("wide", "phone") for scheme in ("light", "dark")
    ]
    assert found.pop("image.html") == ["not found"]
    assert found.pop("script.html") == ["script error"]
    for where in everywhere:
        assert found.pop(f"cut.html {where}") == ["table cut"]
        assert found.pop(f"image.html {where}") == ["image doesn't load"]
    for size in ("wide", "phone"):
        assert found.pop(f"dark.html ({size}, dark)") == ["hardly legible"]
    for scheme in ("light", "dark"):
        assert found.pop(f"wide.html (phone, {scheme})") == ["scrolls sideways"]
        # On a phone it may scroll.
        assert found.pop(f"picture.html (wide, {scheme})") == ["picture cut"]
    found.pop("cut.html", None)
    assert found == {}
    assert (tmp_path / "shots" / "fine_phone_dark.png").stat().st_size > 100


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium to look with")
@pytest.mark.slow
def test_the_page_of_a_report_can_be_read_everywhere(look, tmp_path):
    pytest.importorskip("matplotlib")
    X, _ = make_residual_blobs(400, 16, n_layers=2, codebook_size=8, noise=0.3, random_state=0)
    rqvae = RQVAETransformer(n_layers=3, codebook_size=16, random_state=0).fit(X[:300])
    texts = [f"{kind} item {number}" for number in range(50) for kind in ("blue", "red")]
    judged = report(rqvae, X[300:], X_train=X[:300], texts=texts, labels=["blue", "red"] * 50)
    judged.to_html(tmp_path / "report.html")
    assert list(look.broken_links(tmp_path)) == []
    assert list(look.looked_at(tmp_path, ["report.html"], BROWSER, None)) == []


def test_formulas_are_drawn_without_a_script():
    pytest.importorskip("sphinx")
    pytest.importorskip("docutils.utils.math.latex2mathml")
    to_mathml = load(DOCS / "_ext" / "mathml.py").to_mathml
    assert "…" in to_mathml(r"l = 0, \dots, L")
    block = to_mathml(r"a &= b \\ c &= d", inline=False)
    assert block.count("<mtr>") == 2
    assert 'display="block"' in block
    assert 'display="block"' not in to_mathml("a")
