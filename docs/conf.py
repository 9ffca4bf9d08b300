"""Sphinx: `make docs` writes docs/_build/index.html."""

from importlib import metadata

project = "nestedmlm"
author = "the nestedmlm developers"
version = release = metadata.version("nestedmlm")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "alabaster"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
