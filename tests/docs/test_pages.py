"""The code on the documentation's pages runs and returns what the pages say."""

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(
    page
    for page in DOCS.rglob("*.rst")
    if not {"_build", "_templates", "generated", "auto_examples"} & set(page.parts)
    and page != DOCS / "index.rst"  # test_readme.py runs it
    and ">>> " in page.read_text(encoding="utf-8")
)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_code_on_the_page_runs(page):
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    results = doctest.testfile(
        str(page), module_relative=False, optionflags=flags, encoding="utf-8"
    )
    assert results.attempted > 0
    assert results.failed == 0


def test_each_test_that_the_promises_name_exists():
    page = (DOCS / "user_guide" / "promises.rst").read_text(encoding="utf-8")
    named = set(re.findall(r"``(test_\w+)``", page))
    files = (DOCS.parent / "tests").rglob("test_*.py")
    code = "\n".join(file.read_text(encoding="utf-8") for file in files)
    there = set(re.findall(r"def (test_\w+)", code))
    assert len(named) > 15
    assert named <= there
