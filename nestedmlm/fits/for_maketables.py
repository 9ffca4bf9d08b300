"""Names by which maketables asks a fit for its table."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from nestedmlm.late import late_imports, late_property

if TYPE_CHECKING:
    from nestedmlm.fits import maketables
else:  # each loads when it is first asked for
    property = late_property
    _NAMES = "coef_table stat depvar fixef_string vcov_info stat_labels default_stat_keys"
    maketables = SimpleNamespace(**late_imports("nestedmlm.fits", {"maketables": _NAMES}))


class ForMaketables:
    """A fit that maketables reads as it is."""

    __slots__ = ()

    __maketables_coef_table__ = property(maketables.coef_table)
    __maketables_stat__ = maketables.stat
    __maketables_depvar__ = property(maketables.depvar)
    __maketables_fixef_string__ = property(maketables.fixef_string)
    __maketables_vcov_info__ = property(maketables.vcov_info)
    __maketables_stat_labels__ = property(maketables.stat_labels)
    __maketables_default_stat_keys__ = property(maketables.default_stat_keys)
