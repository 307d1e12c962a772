"""Tables that tell the style sheet what is in them: short cells, and many columns."""

from docutils import nodes

_SHORT = 14  # characters: numbers with their unit, names of one word
_WIDE, _WIDEST = 7, 11  # columns


def mark_tables(app, doctree):
    """Give short columns the class "short", tables of many columns "wide", and "widest"."""
    for table in doctree.findall(nodes.table):
        rows = [list(row.findall(nodes.entry)) for row in table.findall(nodes.row)]
        n_head = sum(len(list(head.findall(nodes.row))) for head in table.findall(nodes.thead))
        body = rows[n_head:]
        if not body or len({len(row) for row in rows}) > 1:  # cells that span columns
            continue
        if len(body[0]) > _WIDE:
            table["classes"].append("wide")
        if len(body[0]) > _WIDEST:
            table["classes"].append("widest")
        for column in range(len(body[0])):
            if all(len(row[column].astext()) <= _SHORT for row in body):
                for row in rows:
                    row[column]["classes"].append("short")


def setup(app):
    """Mark each page's tables once it is read."""
    app.connect("doctree-read", mark_tables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
