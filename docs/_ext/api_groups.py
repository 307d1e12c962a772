"""The names of the API page by its headings, for the side bar."""

import re
from pathlib import Path

API = Path(__file__).resolve().parents[1] / "api.rst"


def read_groups(text):
    """Return the headings of the API page, each with its (page, name) pairs."""
    groups, module, lines = [], None, text.splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if after and set(after) == {"-"}:
            groups.append((line, []))
        elif line.startswith(".. currentmodule:: "):
            module = line.removeprefix(".. currentmodule:: ")
        elif groups and (match := re.fullmatch(r" {3}([A-Za-z]\w*)", line)):
            groups[-1][1].append((f"generated/{module}.{match[1]}", match[1]))
    return [(heading, names) for heading, names in groups if names]


def setup(app):
    """Hand the groups to the templates."""

    def add(app, pagename, templatename, context, doctree):
        context["api_groups"] = read_groups(API.read_text(encoding="utf-8"))

    app.connect("html-page-context", add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
