"""Sphinx: `make docs` writes docs/_build/index.html, `make linkcheck` follows the links."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
from importlib import metadata
from pathlib import Path

from sphinx.util import logging

logger = logging.getLogger(__name__)
DOCS = Path(__file__).parent
ROOT = DOCS.parent

project = "nestedmlm"
author = "the nestedmlm developers"
version = release = metadata.version("nestedmlm")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
# benchmarks.md is made by `make bench-publish` and becomes a part of explanation/speed.md
exclude_patterns = ["_build", "benchmarks.md", "explanation/_*.md"]
suppress_warnings = ["mystnb.unknown_mime_type", "myst-nb.lexer"]  # pages that were not executed
default_role = "py:obj"

# --- pages and notebooks ------------------------------------------------------------------------
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True
copybutton_prompt_text = r">>> |\.\.\. |\$ |> "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

# --- reference ----------------------------------------------------------------------------------
autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say the types
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# --- looks --------------------------------------------------------------------------------------
# formulas show without a network: the package holds MathJax's files (as an extension it would
# forbid reading in parallel)
_mathjax = importlib.util.find_spec("sphinx-mathjax-offline")
MATHJAX = [f"{path}/static" for path in _mathjax.submodule_search_locations]
html_theme = "pydata_sphinx_theme"
html_title = "nestedmlm"
templates_path = ["_templates"]
html_static_path = ["_static", *MATHJAX]
mathjax_path = "mathjax/tex-chtml.js"
html_css_files = ["nestedmlm.css"]
html_show_sourcelink = False
html_sidebars = {"index": []}
html_theme_options = {
    "logo": {"text": "nestedmlm"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
html_context = {"default_mode": "auto"}
copyright = "nestedmlm developers, Apache-2.0"

# --- notebooks: examples/ holds them, without output --------------------------------------------
NOTEBOOKS = {
    "classroom": "tutorials",
    "sleepstudy": "tutorials",
    "crossed": "tutorials",
    "singular": "tutorials",
    "classroom_bayes": "tutorials",
    "prior_to_report": "tutorials",
    "reml_zero": "tutorials",
    "power": "tutorials",
    "contraception": "tutorials",
    "from_statsmodels": "coming-from",
}
NEEDS_CLASSROOM = ("classroom", "classroom_bayes")
NOT_RUN = """```{note}
These pages were built where the classroom data could not be had, so this notebook is shown without
its output. Set `NESTEDMLM_DATA` to the folder that holds `classroom.csv`, or build with a network.
```"""


def _have_classroom() -> bool:
    from nestedmlm import load_dataset

    try:
        load_dataset("classroom")
    except Exception as error:
        logger.info(f"no classroom data, the notebooks that need it are not run: {error}")
        return False
    return True


def _bring_notebooks(run: bool) -> list[str]:
    """Copy the notebooks beside the pages; name those that cannot be run."""
    left_out = []
    for name, folder in NOTEBOOKS.items():
        notebook = json.loads((ROOT / "examples" / f"{name}.ipynb").read_text(encoding="utf-8"))
        if name in NEEDS_CLASSROOM and not run:
            left_out.append(f"{folder}/{name}.ipynb")
            said = {"cell_type": "markdown", "id": "not-run", "metadata": {}, "source": NOT_RUN}
            notebook["cells"].insert(1, said)
        text = json.dumps(notebook)
        target = DOCS / folder / f"{name}.ipynb"
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")
    return left_out


nb_execution_excludepatterns = _bring_notebooks(_have_classroom())


SILENT = [
    "from nestedmlm.likelihood.elimination.compilation_notice import CompilationNotice as _Notice",
    "_Notice.on_start = _Notice.on_end",
]


def _kernel_settings() -> None:
    """Set up notebooks: sharp pictures; no notice of kernels that a new clone has to compile."""
    folder = DOCS / "_build" / "ipython"
    profile = folder / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    config = f"""c.InlineBackend.figure_formats = {{"retina"}}
c.IPKernelApp.log_level = "ERROR"
c.InteractiveShellApp.exec_lines = {SILENT!r}
"""
    (profile / "ipython_kernel_config.py").write_text(config, encoding="utf-8")
    os.environ["IPYTHONDIR"] = str(folder)


_kernel_settings()


# --- what the benchmark wrote -------------------------------------------------------------------
NO_BENCHMARK = (
    "```{note}\nThis checkout has no results: `make bench-all` measures on your machine and writes "
    "them here.\n```"
)


def _without_last_line(app, docname, source) -> None:
    """Doctests end with an empty line, which a reader need not see."""
    source[0] = re.sub(r"\n\n```(?=\n|$)", "\n```", source[0])


def _with_benchmark(app, docname, source) -> None:
    if docname != "explanation/speed":
        return
    path = DOCS / "benchmarks.md"
    text = NO_BENCHMARK
    if path.exists():
        text = path.read_text(encoding="utf-8").replace("](benchmarks.png)", "](../benchmarks.png)")
        text = re.sub(r"^#(?=#* )", "##", text, flags=re.MULTILINE)  # below the page's own title
    source[0] = source[0].replace("<!-- benchmarks.md -->", text)


# --- links --------------------------------------------------------------------------------------
linkcheck_timeout = 15
linkcheck_retries = 2
linkcheck_anchors = False


def _offline(app) -> None:
    """Without a network only the links inside the pages can be checked."""
    if app.builder.name != "linkcheck":
        return
    try:
        socket.create_connection(("github.com", 443), timeout=3).close()
    except OSError:
        logger.info("offline: links to other sites are not checked", color="yellow")
        app.config.linkcheck_ignore.append(r"https?://")


def setup(app) -> None:
    """Connect what is above."""
    app.connect("source-read", _without_last_line)
    app.connect("source-read", _with_benchmark)
    app.connect("builder-inited", _offline)
