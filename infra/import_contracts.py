"""Two kinds of import contracts beside import-linter's own, configured in pyproject.toml under [tool.importlinter].

`only`: libraries that only the named modules import; a name that no longer imports any of them is an error.
`pure`: what calls itself pure reaches no library that does I/O, neither directly nor through others.
"""

import ast
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path

from grimp import ImportGraph
from importlinter.application import output
from importlinter.domain import fields
from importlinter.domain.contract import Contract, ContractCheck

PURE = re.compile(r"\bPure\b")
"""The word by which a module's docstring says that it reads values and returns values, and nothing else."""


def matches(module: str, pattern: str) -> bool:
    """Whether a dotted name fits a pattern, in which `*` is anything without a dot and `**` anything.

    >>> matches("mail.integrity_store", "**.*_store"), matches("mail.store", "**.*_store"), matches("web.gate", "web.*")
    (True, False, True)
    """
    expression = re.escape(pattern).replace(r"\*\*\.", r"(?:.*\.)?").replace(r"\*\*", ".*").replace(r"\*", r"[^.]*")
    return re.fullmatch(expression, module) is not None


def _imports_of(graph: ImportGraph, package: str, libraries: Iterable[str]) -> dict[str, set[str]]:
    """The modules of the package that import one of the libraries themselves, without the package's name."""
    found: dict[str, set[str]] = {}
    for library in libraries:
        for imported in graph.modules:
            if imported == library or imported.startswith(f"{library}."):
                for importer in graph.find_modules_that_directly_import(imported):
                    if importer.startswith(f"{package}."):
                        found.setdefault(importer.removeprefix(f"{package}."), set()).add(library)
    return found


class OnlyContract(Contract):
    """Only modules that fit one of `importers` import one of `libraries`."""

    type_name = "only"
    package = fields.StringField()
    libraries = fields.ListField(subfield=fields.StringField())
    importers = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Broken by an importer without a pattern, and by a pattern without an importer."""
        found = _imports_of(graph, self.package, self.libraries)
        strangers = sorted(one for one in found if not any(matches(one, pattern) for pattern in self.importers))
        dead = [pattern for pattern in self.importers if not any(matches(one, pattern) for one in found)]
        told = [f"{one} imports {', '.join(sorted(found[one]))}" for one in strangers]
        told += [f"{pattern} imports none of them any more: take it out of the list" for pattern in dead]
        return ContractCheck(kept=not told, metadata={"told": told})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """One line per fault."""
        for line in check.metadata["told"]:
            output.print_error(line)


class PureContract(Contract):
    """Modules that call themselves pure reach none of `libraries`."""

    type_name = "pure"
    package = fields.StringField()
    libraries = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Broken by a chain of imports from such a module to one of the libraries."""
        specification = importlib.util.find_spec(self.package)
        (root,) = specification.submodule_search_locations if specification else ()
        pure = sorted(one for one in graph.modules if one.startswith(f"{self.package}.") and _is_pure(one, Path(root)))
        chains = [
            chain
            for module in pure
            for library in self.libraries
            if library in graph.modules and (chain := graph.find_shortest_chain(module, library))
        ]
        told = [" -> ".join(chain) for chain in chains] or ([] if pure else ["no module calls itself pure"])
        return ContractCheck(kept=not told, metadata={"told": told})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """One chain per line."""
        for line in check.metadata["told"]:
            output.print_error(line)


def _is_pure(module: str, root: Path) -> bool:
    path = root.joinpath(*module.split(".")[1:]).with_suffix(".py")
    if not path.is_file():
        return False
    return PURE.search(ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "") is not None
