"""The command line: ``python -m nestedmlm demo`` and ``python -m nestedmlm fit``.

The commands yield blocks of text; only ``__main__`` prints.
"""

from __future__ import annotations
