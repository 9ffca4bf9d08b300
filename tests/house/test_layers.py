"""The house, read from the imports: rooms stand on floors, imports only go down, no circles.

The table is the plan of `docs/explanation/the_house.md`. A new file in a room needs no line here;
a new room does. Imports inside functions count.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "nestedmlm"

# files that stand at the root and belong to no folder
GROUND = frozenset(
    {
        "errors",
        "_typing",
        "callers",
        "notebook",
        "progress",
        "arguments",
        "argument_names",
        "deprecations",
        "late",
        "native_frames",
    }
)

# room -> rooms directly below it; it may import from these and from all that they may
ROOMS: dict[str, tuple[str, ...]] = {
    "ground": (),
    "covariance": ("ground",),
    "families": ("ground",),
    "formula": ("covariance",),
    "design": ("formula", "families"),
    "statistics": ("design",),
    "likelihood": ("statistics",),
    "optimum": ("likelihood",),
    "bayes": ("likelihood",),
    "inference": ("optimum",),
    "posterior": ("bayes", "inference"),
    "views": ("posterior",),
    "plots": ("views",),
    "fits": ("plots",),
    "datasets": ("ground",),
    "api": ("fits", "datasets"),
    "lme4": ("api",),
    "interop": ("api",),
    "": ("lme4", "interop"),  # the package itself gathers what users see
    "cli": ("",),
    "__main__": ("cli",),
}

# libraries that only some rooms (or files) may import
ONLY_IN = {
    "formulae": {"formula", "design"},
    "pytensor": {"likelihood", "optimum", "bayes"},
    "pymc": {"bayes"},
    "arviz": {"bayes", "posterior", "plots.posterior"},
    "nlopt": {"optimum"},
    "nutpie": {"bayes"},
    "numba": {"statistics", "likelihood", "optimum", "bayes"},
}

# own modules that may be imported inside a function, and the slow library behind each
LATE_IMPORTS = {
    "bayes.model.pymc_model": "PyMC",
    "bayes.model.numba_dispatch": "PyTensor's Numba backend",
    "bayes.sampling.left_out_rows": "PyMC",
    "bayes.sampling.posterior_dataset": "xarray",
    "posterior.deferred_arrays": "xarray",
    "bayes.sampling.pymc_samplers": "PyMC",
    "bayes.sampling.sampling": "xarray",
    "bayes.sampling.start": "xarray",
    "formula.parser": "formulae",
    "likelihood.elimination.compiled": "Numba",
    "optimum.graph": "PyTensor",
}

# what a user who only fits models must not wait for
LATE = ("nlopt", "pytensor", "pymc", "arviz", "matplotlib", "dask", "nutpie", "pooch", "polars")

MOST_ROOMS = 28  # that a newcomer has to tell apart
MOST_LINES = 400  # of a file


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room(module: str) -> str:
    """Room of a module: its folder under the package, or the file itself."""
    first = module.split(".")[0]
    return "ground" if first in GROUND else first


@cache
def below(name: str) -> frozenset[str]:
    """Rooms that a room may import from, itself among them."""
    return frozenset({name}).union(*(below(lower) for lower in ROOMS[name]))


@cache
def imports(module: str, *, late: bool = False) -> frozenset[str]:
    """Modules that a module imports, anywhere or (`late`) inside functions only.

    Imports for type checking only are left out.
    """
    path = MODULES[module]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    roots = [node for node in ast.walk(tree) if function(node)] if late else [tree]
    skipped = {id(node) for block in ast.walk(tree) if typing_only(block) for node in walk(block)}
    names: set[str] = set()
    for node in (node for root in roots for node in ast.walk(root)):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module is not None
            # `from package import module` names the module, not the package
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.add(full if own_name(full) in MODULES else node.module)
    return frozenset(names)


def walk(block: ast.AST) -> list[ast.AST]:
    return list(ast.walk(block))


def function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def own_name(name: str) -> str | None:
    """Name of a module of the package without the leading ``nestedmlm.``; None for others."""
    if name != "nestedmlm" and not name.startswith("nestedmlm."):
        return None
    return name.removeprefix("nestedmlm").lstrip(".")


def own(names: frozenset[str]) -> set[str]:
    """The package's own modules among imported names."""
    return {found for name in names if (found := own_name(name)) in MODULES}


def test_the_plan_has_every_room_and_no_other():
    assert {room(module) for module in MODULES} == set(ROOMS)
    entries = {path for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert len([path for path in entries if path.name[0] != "_"]) <= MOST_ROOMS


def test_the_page_names_every_room():
    page = (PACKAGE.parent / "docs" / "explanation" / "the_house.md").read_text(encoding="utf-8")
    named = {cell for line in page.splitlines() if line.startswith("| `")
             for cell in re.findall(r"`(\w+)`", line.split("|")[1])}  # fmt: skip
    assert set(ROOMS) - {"ground", "", "__main__"} | GROUND == named


def test_no_file_is_too_long_to_read():
    lines = {name: path.read_text("utf-8").count("\n") for name, path in MODULES.items()}
    assert not {name: count for name, count in lines.items() if count > MOST_LINES}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module):
    allowed = below(room(module))
    above = {name for name in own(imports(module)) if room(name) not in allowed}
    assert not above, f"nestedmlm.{module} imports {sorted(above)}, which {room(module)} may not"


@pytest.mark.parametrize("module", MODULES)
def test_libraries_stay_in_their_rooms(module):
    roots = {name.split(".")[0] for name in imports(module)}
    here = {room(module), module}
    misplaced = {name for name in roots & set(ONLY_IN) if not here & ONLY_IN[name]}
    assert not misplaced, f"nestedmlm.{module} imports {sorted(misplaced)}"


def test_optimum_and_bayes_do_not_know_each_other():
    assert "bayes" not in below("optimum")
    assert "optimum" not in below("bayes")


def test_no_import_circles():
    graph = {module: own(imports(module)) for module in MODULES}
    # a package runs before its modules; what it gathers from them is no circle
    for module, needed in graph.items():
        graph[module] = {name for name in needed if not f"{module}.".startswith(f"{name}.")}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("module", MODULES)
def test_late_imports_have_a_reason(module):
    late = own(imports(module, late=True)) - set(LATE_IMPORTS)
    assert not late, f"nestedmlm.{module} imports {sorted(late)} inside a function"


def test_every_late_import_is_needed():
    used = {name for module in MODULES for name in own(imports(module, late=True))}
    assert set(LATE_IMPORTS) == used


def test_import_is_light():
    code = f"import sys, nestedmlm; print([m for m in {LATE} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# what a user who fits a model and looks at it does not wait for either
LATER = (
    "formulae", "numba", "scipy.stats", "scipy.optimize", "scipy.interpolate", "scipy.sparse",
    "nestedmlm.plots", "nestedmlm.bayes.sampling", "nestedmlm.fits.simulation",
    "nestedmlm.fits.bayes_fit", "nestedmlm.posterior", "nestedmlm.inference.means",
    "nestedmlm.bayes", "nestedmlm.families", "nestedmlm.fits.generalized",
    "nestedmlm.fits.imputation", "nestedmlm.fits.summaries", "nestedmlm.inference.imputation",
    "nestedmlm.inference.effects.generalized_sandwich",
    "nestedmlm.inference.effects.cluster_robust", "nestedmlm.inference.effects.kenward_roger",
    "nestedmlm.inference.profile", "nestedmlm.inference.resampling", "nestedmlm.optimum.glmm",
    "nestedmlm.optimum.residual_optimum", "nestedmlm.statistics.pair_sums",
    "nestedmlm.statistics.cells", "nestedmlm.statistics.basis_sums",
    "nestedmlm.views.render.excel", "nestedmlm.views.render.html", "nestedmlm.views.render.word",
)  # fmt: skip

FIT = f"""
import sys, nestedmlm as nm
fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
str(fit.summary())
print([m for m in {LATER} if m in sys.modules])
"""


def test_a_fit_and_its_summary_load_only_what_they_need():
    done = subprocess.run([sys.executable, "-c", FIT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
