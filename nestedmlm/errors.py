"""Typed errors and warnings.

Every error says what is wrong, where, and what to do. All share the root `NestedMLMError` and
also inherit the built-in exception that people would catch.
"""

from __future__ import annotations


class NestedMLMError(Exception):
    """Root of every error raised on purpose by nestedmlm."""


class FormulaError(NestedMLMError, ValueError):
    """A formula that cannot be understood; shows the formula with the place marked.

    Parameters
    ----------
    message : str
        What is wrong and what to do.
    formula : str, optional
        The formula as the user wrote it.
    position : int, optional
        Index into `formula` of the offending character.
    """

    def __init__(
        self, message: str, formula: str | None = None, position: int | None = None
    ) -> None:
        self.message = message
        self.formula = formula
        self.position = position
        text = message
        if formula is not None:
            text += f"\n  {formula}"
            if position is not None:
                text += "\n  " + " " * position + "^"
        super().__init__(text)

    def __reduce__(self) -> tuple[type, tuple[str, str | None, int | None]]:
        return type(self), (self.message, self.formula, self.position)


class DataError(NestedMLMError, ValueError):
    """Data that cannot be used: empty, wrong type, missing, infinite, constant, wrong length."""


class ColumnNotFoundError(DataError, KeyError):
    """A name in the formula is neither a column of the data nor a known variable."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0]) if self.args else ""


class ResponseError(DataError):
    """The response is not numeric, constant, infinite or matrix-valued."""


class WeightsError(DataError):
    """Prior weights that are negative, zero, missing, infinite or of the wrong length."""


class GroupingError(DataError):
    """A grouping factor (or its term) that cannot be estimated from the data."""


class RelationshipError(DataError):
    """Known relationships that do not fit the data, or that a question does not allow for."""


class NewLevelsError(DataError, KeyError):
    """New data hold levels that were not there when the model was fitted."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class PartitionError(DataError):
    """A partition of the data that does not fit the others, or cannot be read; says which.

    Parameters
    ----------
    message : str
    partition : str
        Which one.
    """

    def __init__(self, message: str, partition: str = "") -> None:
        super().__init__(message)
        self.partition = partition

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (str(self), self.partition)


class OverlapError(DataError):
    """Summaries that hold the same part of the data, which would count twice."""


class RowsNotHereError(NestedMLMError, ValueError):
    """Something needs the rows of the data, and the design has none; says how to give them.

    Attributes
    ----------
    verb : str
        What the user called, and the text begins with; empty where it was no function.
    """

    verb = ""

    def __str__(self) -> str:
        text = super().__str__()
        return f"{self.verb}(): {text}" if self.verb else text


class SumsNotHereError(RowsNotHereError):
    """Something needs the sums of all groups in this process, and they stay on Dask's workers.

    Also where those workers are gone.
    """


class ModelComparisonError(NestedMLMError, ValueError):
    """Models that cannot be compared with each other."""


class OptionError(NestedMLMError, ValueError):
    """An argument whose value is not one of the known ones."""


class RenamedError(NestedMLMError, AttributeError):
    """A name that is spelled otherwise now; the text has the new spelling."""


class OldArgumentError(NestedMLMError, TypeError):
    """An argument that has another name here; the text has the argument to write."""


class CallError(NestedMLMError, TypeError):
    """A call with an argument that there is not, or without one that is needed."""


class ResidualStructureError(NestedMLMError, ValueError):
    """Residuals that differ or correlate, where the data or a question do not allow for them."""


class NotDefinedError(NestedMLMError, AttributeError):
    """A number or verb that has no meaning for this kind of model; the text says what has."""


class MemoryLimitError(NestedMLMError, MemoryError):
    """The dense block of a crossed design would not fit in memory."""


class DatasetError(NestedMLMError, FileNotFoundError):
    """A data set that is not shipped and could not be found or downloaded."""


class SamplingError(NestedMLMError, RuntimeError):
    """A posterior that could not be sampled this way; the text names the way that works."""


class MissingSamplerError(SamplingError, ImportError):
    """A sampler whose package is not installed; the text has the command that installs it."""


class NestedMLMWarning(UserWarning):
    """Root of every warning issued by nestedmlm."""


class ConvergenceWarning(NestedMLMWarning):
    """The optimum could not be certified; the text says what to do."""


class NestedMLMDeprecationWarning(NestedMLMWarning, FutureWarning):
    """A name that goes away in a later version; the text says what to write instead."""


class DataWarning(NestedMLMWarning):
    """The data were usable, but something about them deserves attention."""


class SamplingWarning(NestedMLMWarning):
    """Draws that should not be trusted yet; the text says what to do."""
