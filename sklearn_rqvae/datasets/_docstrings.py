"""The public names of an installed library with their docstrings, read from its source files.

Nothing is imported, since importing every submodule of a large library takes long and has side
effects. What no syntax tree shows (names made at run time, docstrings in compiled code) is asked of
modules that are loaded anyway, and left out elsewhere.
"""

from __future__ import annotations

import ast
import gc
import importlib.util
import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

__all__ = ["public_docstrings"]


def public_docstrings(
    library: str,
    *,
    skip: frozenset[str] = frozenset(),
    loaded: Mapping[str, ModuleType] | None = None,
) -> dict[str, str]:
    """Read the docstrings of a library's public functions and classes.

    Parameters
    ----------
    library : str
        Name of an installed top-level package.
    skip : frozenset of str, default=frozenset()
        Modules to leave out with all below them, by full name (``"torch.fx"``) or by their own
        (``"tests"``).
    loaded : mapping of str to module, optional
        Imported modules that may be asked for the docstrings of their compiled functions, by full
        name.

    Returns
    -------
    docstrings : dict of str to str
        Docstring by full public name. An object with several public names is listed under the
        shortest, or among equally short ones the first in alphabetical order.

    Raises
    ------
    ModuleNotFoundError
        If `library` isn't installed.
    """
    with _collector_paused():
        return _Library(library, skip, loaded or {}).docstrings()


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause the garbage collector: its passes over growing syntax trees take as long as parsing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Bound(NamedTuple):
    """What a name stands for: an object with a docstring, or a name in another module."""

    module: str
    name: str
    doc: str | None = None


class _Source:
    """What one source file binds and exports, read without running it."""

    def __init__(self, module: str, path: Path):
        self.module = module
        self.is_package = path.name == "__init__.py"
        self.package = module if self.is_package else module.rpartition(".")[0]
        self.bound: dict[str, _Bound] = {}
        self.stars: list[str] = []
        self.exports: list[ast.expr] | None = None
        self._classes: set[str] = set()
        for statement in _statements(ast.parse(path.read_bytes()).body):
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self._read_definition(statement)
            elif isinstance(statement, ast.ImportFrom):
                self._read_import(statement)
            else:
                self._read_assignment(statement)

    @property
    def reexports(self) -> bool:
        """Whether names imported from the same package count as names of this module."""
        return self.is_package or self.exports is not None

    def own_names(self) -> list[str]:
        """Return the names defined here, and those re-exported from the same package."""
        inside = f"{self.package}."
        return [
            name
            for name, bound in self.bound.items()
            if bound.module == self.module
            or (self.reexports and f"{bound.module}.".startswith(inside))
        ]

    def _read_definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        doc = ast.get_docstring(node)
        if doc is not None or node.name not in self.bound:  # an overload has no docstring
            self.bound[node.name] = _Bound(self.module, node.name, doc)
        if isinstance(node, ast.ClassDef):
            self._classes.add(node.name)

    def _read_import(self, node: ast.ImportFrom) -> None:
        n_parts = self.package.count(".") + 2 - node.level
        base = self.package.split(".")[:n_parts] if node.level else []
        origin = ".".join([*base, node.module] if node.module else base)
        for alias in node.names:
            if alias.name == "*":
                self.stars.append(origin)
            else:
                self.bound[alias.asname or alias.name] = _Bound(origin, alias.name)

    def _read_assignment(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign([ast.Name("__all__")], value):
                self.exports = [value]
            case ast.AugAssign(ast.Name("__all__"), value=value) if self.exports:
                self.exports.append(value)
            case ast.Expr(ast.Call(ast.Attribute(ast.Name("__all__"))) as call) if self.exports:
                self.exports.append(call)  # append or extend: no list to read off
            case ast.Assign([ast.Attribute(ast.Name(name), "__doc__")], value):
                if name in self.bound:
                    self.bound[name] = self.bound[name]._replace(doc=_literal(value))
            case ast.Assign([ast.Name(name)], ast.Name(other)) if other != name:
                self.bound[name] = _Bound(self.module, other)
            case ast.Assign([ast.Name(name)], ast.Call(ast.Name("_add_docstr"), [_, doc])):
                self.bound[name] = _Bound(self.module, name, _literal(doc))
            case ast.Assign([ast.Name(name)], ast.Call(ast.Name(made_by))):
                if (
                    made_by in self._classes
                ):  # `norm = norm_gen(name="norm")`: its class describes it
                    self.bound[name] = self.bound[made_by]
            case ast.Delete(targets):
                for target in targets:
                    # A private module's names live on in those taken from it.
                    if isinstance(target, ast.Name) and not target.id.startswith("_"):
                        self.bound.pop(target.id, None)


class _Library:
    """One installed library: its public modules, and which object a public name leads to."""

    def __init__(self, library: str, skip: frozenset[str], loaded: Mapping[str, ModuleType]):
        spec = importlib.util.find_spec(library)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(
                f"{library} is not installed; install it with pip.", name=library
            )
        self.library = library
        self.folder = Path(spec.origin).parent
        self.skip = skip
        self.loaded = loaded
        self._sources: dict[str, _Source | None] = {}
        self._attached = dict(self._attached_docs())

    def docstrings(self) -> dict[str, str]:
        """Return the docstring of each public object, once, by its shortest full name."""
        shortest: dict[tuple[str, str], tuple[int, str, str]] = {}
        for module in self._public_modules():
            for name in self._exported(module):
                found = self._resolve(module, name)
                if found is None or not found.doc or name.startswith("_"):
                    continue
                full = f"{module}.{name}"
                candidate = (full.count("."), full, found.doc)
                origin = (found.module, found.name)
                shortest[origin] = min(candidate, shortest.get(origin, candidate))
        return {full: doc for _, full, doc in shortest.values()}

    def _public_modules(self) -> Iterator[str]:
        pending = [(self.library, self.folder)]
        while pending:
            module, folder = pending.pop()
            yield module
            for path in sorted(folder.iterdir()):
                inner = f"{module}.{path.stem}"
                if path.name.startswith("_") or path.stem in self.skip or inner in self.skip:
                    continue
                if path.suffix == ".py":
                    yield inner
                elif (path / "__init__.py").exists():
                    pending.append((inner, path))

    def _source(self, module: str) -> _Source | None:
        """Return the parsed module, or None if it is compiled or belongs to another library."""
        if module not in self._sources:
            library, *parts = module.split(".")
            path = self.folder.joinpath(*parts)
            candidates = (path / "__init__.py", path.parent / f"{path.name}.py")
            existing = [c for c in candidates if library == self.library and c.exists()]
            self._sources[module] = _Source(module, existing[0]) if existing else None
        return self._sources[module]

    def _exported(self, module: str) -> list[str]:
        """Return what ``from module import *`` would give, as far as it can be told."""
        source = self._source(module)
        if source is None:
            return []
        names = self._listed(source)
        if names is None:
            names = source.own_names()
            if source.reexports:
                names += [name for star in source.stars for name in self._exported(star)]
        names += [name for place, name in self._attached if place == module]
        return list(dict.fromkeys(names))

    def _listed(self, source: _Source) -> list[str] | None:
        """Return ``__all__`` if it is made of lists and other modules' ``__all__``, else None."""
        if source.exports is None:
            return None
        names: list[str] = []
        pending = list(reversed(source.exports))
        while pending:
            match pending.pop():
                case ast.List(entries) | ast.Tuple(entries):
                    names += [str(e.value) for e in entries if isinstance(e, ast.Constant)]
                case ast.BinOp(left, ast.Add(), right):
                    pending += [right, left]
                case ast.Attribute(ast.Name(other), "__all__") if other in source.bound:
                    names += self._exported(".".join(source.bound[other][:2]))
                case _:
                    return None
        return names

    def _resolve(self, module: str, name: str) -> _Bound | None:
        """Follow imports and aliases from a public name to the documented object."""
        seen = set()
        pending = [(module, name)]
        while pending:
            place = pending.pop()
            if place in seen:
                continue
            seen.add(place)
            if place in self._attached:
                return _Bound(*place, self._attached[place])
            source = self._source(place[0])
            if source is None:
                continue
            bound = source.bound.get(place[1])
            if bound is None:
                pending += [(star, place[1]) for star in reversed(source.stars)]
            elif bound.doc is not None or bound[:2] == place:
                return bound
            else:
                pending.append((bound.module, bound.name))
        compiled = getattr(self.loaded.get(module), name, None)
        if not callable(compiled):
            return None
        true_name = getattr(compiled, "__name__", name)
        aliased = self._resolve(module, true_name) if true_name != name else None
        return aliased or _Bound(module, true_name, compiled.__doc__)

    def _attached_docs(self) -> Iterator[tuple[tuple[str, str], str]]:
        """Yield docstrings that are attached to compiled functions, by module and name."""
        # scipy.special and scipy.odr name their functions alone, torch's file says `torch.abs`.
        files = [*self.folder.glob("*/_add_newdocs.py"), *self.folder.glob("_torch_docs.py")]
        for path in sorted(files):
            if path.parent.name.startswith("_"):
                continue
            for statement in ast.parse(path.read_bytes()).body:
                match statement:
                    case ast.Expr(
                        ast.Call(ast.Name("add_newdoc"), [*_, ast.Constant(str() as name), doc])
                    ):
                        module = f"{self.library}.{path.parent.name}"
                    case ast.Expr(
                        ast.Call(ast.Name("add_docstr"), [ast.Attribute() as target, doc])
                    ):
                        module, _, name = ast.unparse(target).rpartition(".")
                    case _:
                        continue
                text = _literal(doc)
                if text is not None:
                    yield (module, name), text


def _statements(body: Iterable[ast.stmt | ast.ExceptHandler]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, those under ``if``, ``try`` and ``with`` included."""
    for statement in body:
        if isinstance(statement, (ast.If, ast.Try, ast.With, ast.ExceptHandler)):
            for block in ("body", "handlers", "orelse", "finalbody"):
                yield from _statements(getattr(statement, block, []))
        else:
            yield statement


def _literal(node: ast.expr) -> str | None:
    """Return the literal that an expression starts with, also a sum or ``.format`` call."""
    match node:
        case ast.Constant(str() as text):
            return inspect.cleandoc(text)
        case ast.BinOp(left, ast.Add()):
            return _literal(left)
        case ast.Call(ast.Attribute(value)):
            return _literal(value)
    return None
