"""The README's code prints what stands there, and its commands are one line each."""

import ast
import contextlib
import doctest
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# The first page of the documentation shows the same.
PAGES = {"README.md": README, "docs/index.rst": (ROOT / "docs/index.rst").read_text("utf-8")}


def outputs(text):
    """Run the examples; return what each should print beside what it prints."""
    names, pairs = {}, []
    for example in doctest.DocTestParser().get_examples(text):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(example.source, "README", "single"), names)
        pairs.append((example.want, printed.getvalue()))
    return pairs


def by_first_code(lines):
    """Return the items that share their first code, whatever codes are called."""
    groups = {}
    for line in lines.splitlines():
        semantic_id, item = re.fullmatch(r"(\[.*\]) (.*)", line).groups()
        groups.setdefault(ast.literal_eval(semantic_id)[0], set()).add(item)
    return set(map(frozenset, groups.values()))


@pytest.mark.parametrize("page", PAGES)
def test_ten_lines_show_the_groups_that_they_find(page):
    # Codes are numbered otherwise by other versions of the libraries; groups are the same.
    (table_wanted, table), (siblings_wanted, siblings) = [
        pair for pair in outputs(PAGES[page]) if pair[0]
    ]
    assert by_first_code(table) == by_first_code(table_wanted)
    assert len(set(re.findall(r"\[.*\]", table))) == len(table.splitlines())
    assert sorted(siblings.strip().split(", ")) == sorted(siblings_wanted.strip().split(", "))


def test_both_commands_are_one_line():
    commands = re.findall(r"^```sh\n(.*?)^```$", README, flags=re.M | re.S)
    assert [command.count("\n") for command in commands] == [1, 1]
    assert commands[0].rstrip().endswith("sklearn-rqvae demo")
    assert commands[1].rstrip().endswith("pytest -n 2")
    assert all("whl/cpu torch==" in command for command in commands)


def test_links_lead_to_files():
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / link).exists(), link
