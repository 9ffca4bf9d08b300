"""Views: results that can print themselves; they format, they compute nothing.

In `render`, `rformat`, `abbreviate`, `layout` and `coefmat` know numbers and strings, `blocks`,
`view`, `html`, `markdown` and `latex` documents. `summary`, `short` and `fit_blocks` read a fit by
the members that `protocols` names.
"""

from __future__ import annotations

# Only documents are gathered here: results print themselves with them, and the views of fits
# (`nestedmlm.views.summary`) stand above the results.
from nestedmlm.views.render.blocks import Table, Text
from nestedmlm.views.render.view import View, Viewable

__all__ = ["Table", "Text", "View", "Viewable"]
