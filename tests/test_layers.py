"""The layers of the design, read from the imports: imports only go down, and no cycles.

A new module needs a line in `LAYERS`; a package's line holds for its modules.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "nestedmlm"

LAYERS = {
    "errors": 0,
    "_typing": 0,
    "callers": 0,
    "progress": 0,
    "formula": 1,
    "modelframe": 2,
    "schema": 2,
    "design": 2,
    "kernels": 3,
    "layout": 3,
    "scaling": 3,
    "covariance": 3,
    "criterion": 3,
    "crossproducts": 3,
    "responses": 3,
    "elimination": 3,
    "parameters": 3,
    "pls": 3,
    "trailing": 3,
    "threads": 3,
    "zmatrix": 3,
    "ops": 4,
    "reml": 4,
    "bayes": 4,
    "posterior": 5,
    "inference": 5,
    "randomeffects": 5,
    "results": 5,
    "bayesestimates": 6,
    "bayesviews": 6,
    "plots": 6,
    "tables": 6,
    "varcorr": 6,
    "anova": 6,
    "profiles": 6,
    "singularity": 6,
    "estimates": 6,
    "influence": 6,
    "bayesfit": 7,
    "bayesrun": 7,
    "sidebyside": 7,
    "fit": 7,
    "interop": 7,
    "model": 7,
    "modeltable": 7,
    "components": 7,
    "simulation": 7,
    "verbs": 7,
    "marginal": 7,
    "api": 7,
    "lme4": 7,
    "datasets": 7,
    "cli": 8,
    "__main__": 8,
    "": 8,  # the package itself gathers what users see
}

# libraries that only some layers (or modules above the layers) may import
ONLY_IN = {
    "formulae": {1, 2},
    "pytensor": {4},
    "pymc": {4},
    "arviz": {4, 5, "plots.posterior"},
    "nutpie": {4},
    "pandas": {2, 5, 6, 7, 8, "bayes.priors"},  # a table of priors is a DataFrame
    "narwhals": {2, 5, 6, 7, 8},
    "numba": {3, 4},
}

# what a user who only fits models must not wait for
LATE = ("pytensor", "pymc", "arviz", "matplotlib", "dask", "nutpie", "pooch", "polars")


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def layer(module: str) -> int:
    """Layer of a module, from the longest matching line of the table."""
    parts = module.split(".")
    while parts and ".".join(parts) not in LAYERS:
        parts.pop()
    name = ".".join(parts)
    if module and not name:
        pytest.fail(f"nestedmlm.{module} is in no layer: add a line to LAYERS")
    return LAYERS[name]


def imports(path: Path, *, at_load: bool = False) -> set[str]:
    """Modules named by the imports of a file; `at_load` leaves out those inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {id(node) for block in ast.walk(tree) if typing_only(block) for node in walk(block)}
    if at_load:
        skipped |= {id(node) for block in ast.walk(tree) if function(block) for node in walk(block)}
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module is not None
            # `from package import module` names a module too
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def walk(block: ast.AST) -> list[ast.AST]:
    return list(ast.walk(block))


def function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def own(names: set[str]) -> set[str]:
    """Names of the package's modules among imported names, without the leading `nestedmlm`."""
    stripped = {n.removeprefix("nestedmlm").lstrip(".") for n in names if is_own(n)}
    found = {name for name in stripped if name in MODULES}
    # `from nestedmlm import errors` names the package itself only in passing
    return found - {""} if len(found) > 1 else found


def is_own(name: str) -> bool:
    return name == "nestedmlm" or name.startswith("nestedmlm.")


def test_the_table_names_modules_that_exist():
    assert set(LAYERS) <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module):
    here = layer(module)
    above = {name for name in own(imports(MODULES[module])) if layer(name) > here}
    assert not above, f"nestedmlm.{module} (layer {here}) imports {sorted(above)} from above"


@pytest.mark.parametrize("module", MODULES)
def test_libraries_stay_in_their_layers(module):
    here = layer(module)
    roots = {name.split(".")[0] for name in imports(MODULES[module])}
    misplaced = {name for name in roots & set(ONLY_IN) if not {here, module} & ONLY_IN[name]}
    assert not misplaced, f"nestedmlm.{module} (layer {here}) imports {sorted(misplaced)}"


def test_reml_and_bayes_do_not_know_each_other():
    for module, path in MODULES.items():
        other = {"reml": "bayes", "bayes": "reml"}.get(module.split(".")[0])
        assert not other or not any(n.split(".")[0] == other for n in own(imports(path))), module


def test_no_import_cycles():
    graph = {module: own(imports(path, at_load=True)) for module, path in MODULES.items()}
    # a package runs before its modules; what it gathers from them is no cycle
    for module, needed in graph.items():
        graph[module] = {name for name in needed if not module.startswith(f"{name}.")}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


def test_import_is_light():
    code = f"import sys, nestedmlm; print([m for m in {LATE} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
