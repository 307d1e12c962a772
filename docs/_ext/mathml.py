"""Formulas as MathML, which browsers draw themselves: no script, no font and no network."""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def to_mathml(formula, inline=True):
    r"""Write a TeX formula as MathML; lines end with ``\\`` and are aligned at ``&``."""
    formula = formula.strip().replace(r"\dots", r"\ldots")
    if r"\\" in formula and r"\begin{" not in formula:
        formula = rf"\begin{{aligned}}{formula}\end{{aligned}}"
    return tex2mathml(formula, as_block=not inline)


def visit_formula(writer, node):
    """Write an inline or a displayed formula."""
    inline = isinstance(node, nodes.math)
    tag = "span" if inline else "div"
    # A blank line divides a block into formulas.
    formulas = [node.astext()] if inline else node.astext().split("\n\n")
    try:
        content = "".join(to_mathml(formula, inline) for formula in formulas if formula.strip())
    except (MathError, AttributeError) as error:  # the latter for what it doesn't expect
        logger.warning("formula not understood: %s (%s)", node.astext(), error, location=node)
        content = writer.encode(node.astext())
    writer.body.append(writer.starttag(node, tag, "", CLASS="math"))
    writer.body.append(f"{content}</{tag}>" + ("" if inline else "\n"))
    raise nodes.SkipNode


def setup(app):
    """Register the renderer; ``html_math_renderer = "mathml"`` chooses it."""
    app.add_html_math_renderer("mathml", (visit_formula, None), (visit_formula, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
