"""Names of arguments: what other packages, and earlier versions, call what has one name here.

One concept has one name in every function (*Names* in the documentation has the table). Another
spelling is refused with the argument to write, its value converted; two are taken as they are:
``random_seed``, as PyMC's users write it, and any spelling of a method of degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from inspect import Parameter, Signature
from numbers import Real
from types import MappingProxyType
from typing import Any

from nestedmlm.errors import CallError, OldArgumentError

# other spelling -> the names here, the first that a function has being the one that is meant
OLD_ARGUMENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "alpha": ("level",),  # statsmodels, scikit-learn: one minus the level
        "ci": ("level",),
        "ci_prob": ("level",),  # ArviZ
        "conf_level": ("level",),  # broom, marginaleffects
        "hdi_prob": ("level",),
        "level": ("alpha",),  # where a test has a significance level and nothing has an interval
        "prob": ("level",),
        "progress_bar": ("progress",),
        "progressbar": ("progress",),  # PyMC
        "random_state": ("seed",),  # SciPy, scikit-learn
        "re_formula": ("re_form",),  # brms
        "reml": ("REML",),  # statsmodels
        "rng": ("seed",),
    }
)
# the same of words that have a meaning of their own in other functions
NEAR_ARGUMENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "B": ("nsim",),  # boot and other packages of R
        "FUN": ("fun",),
        "cluster": ("clusters",),
        "effects": ("beta",),  # of a study that is planned
        "n": ("nsim",),
        "n_boot": ("nsim",),
        "n_sim": ("nsim",),
        "new_data": ("newdata",),
        "sizes": ("breaks",),
        "statistic": ("fun",),  # SciPy's bootstrap
        "type": ("kind",),
    }
)
_DRAWS = "a posterior has draws; write nm.lmer(formula, data).{}({}=...)"
# by function: what others write as an argument, and where it stands here
ELSEWHERE: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "conf_int": {
            "cluster": 'write fit.tidy("fixed", conf_int=True, vcov="CR2")',
            "vcov": 'write fit.tidy("fixed", conf_int=True, vcov="CR2")',
        },
        "emmeans": {
            "adjust": 'write nm.emmeans(fit, "x").pairs(adjust="holm")',
            "contr": 'write nm.emmeans(fit, "x").contrast("pairwise")',
        },
        "icc": {"conf_int": "write level=0.95"},
        # functions of one name for both engines, of which a posterior's has fewer arguments
        **{
            name: {given: _DRAWS.format(name, given) for given in ("ddf", "vcov")}
            for name in ("contest", "cov_params", "report", "summary")
        },
        "lmer": {
            "family": "write nm.glmer(formula, data, family=...)",  # lme4's lmer once took it
            **dict.fromkeys(("dropna", "missing"), 'write na_action="omit", "exclude" or "raise"'),
            "optimizer": "write control=nm.Control(optimizer=...)",  # lme4's lmerControl
            "groups": 'groups stand in the formula, "y ~ x + (1 | g)"',  # statsmodels
            "vc_formula": 'variance components stand in the formula, "(1 | a) + (1 | b)"',
        },
        "predict": {
            **dict.fromkeys(
                ("allow_new_groups", "allow_new_levels", "sample_new_groups"),  # R, Bambi
                'write new_levels="population" (without effects of new groups), or "sample"',
            ),
            "include_group_specific": "write re_form=False",  # Bambi
            # Bambi's word, and of posteriors once
            "kind": 'write type="response" for expected values (kind="mean"), type="link" for '
            'linear predictors; for new responses (kind="response") type="prediction" of a '
            'posterior, interval="prediction" of a fit',
        },
        "pymc_lmer": {"family": "write nm.pymc_glmer(formula, data, family=...)"},
        "r2": {"conf_int": "write level=0.95"},
        "etable": {
            "digits": "digits follow each standard error; .to_frame() has all of them",
            "file": 'write nm.etable(...).save("table.docx")',  # modelsummary's output, sjPlot's
            "output": 'write nm.etable(...).save("table.docx")',
            "fit_stats": "write stats=",
            "p_values": 'write spread="p", or stars=True',
        },
    }
)
SAME_ARGUMENTS: Mapping[str, str] = MappingProxyType({"random_seed": "seed"})  # taken as they are

# lower case, without punctuation -> name of the method
_DF_METHODS = MappingProxyType(
    {
        "kr": "kenward-roger",
        "kenwardroger": "kenward-roger",
        "satterthwaite": "satterthwaite",
        "sat": "satterthwaite",
        "residual": "residual",
        "none": "none",
    }
)


def current_arguments(
    function: str, given: Mapping[str, Any], known: Collection[str]
) -> dict[str, Any]:
    """Keyword arguments of a call by the names of the function.

    Parameters
    ----------
    function : str
        Its name, for the message.
    given : mapping
        As the caller wrote them.
    known : collection of str
        Names that the function has.

    Raises
    ------
    OldArgumentError
        For another spelling, or what is no argument here; the text has what to write.

    Examples
    --------
    >>> current_arguments("sample", {"random_seed": 1}, ("draws", "seed"))
    {'seed': 1}
    >>> current_arguments("conf_int", {"alpha": 0.1}, ("parm", "level"))
    Traceback (most recent call last):
    ...
    nestedmlm.errors.OldArgumentError: conf_int has no alpha: write level=0.9
    """
    out = {}
    for name, value in given.items():
        if name not in known:
            if cure := ELSEWHERE.get(function, {}).get(name):
                raise OldArgumentError(f"{function} has no {name}: {cure}")
            for new in OLD_ARGUMENTS.get(name, NEAR_ARGUMENTS.get(name, ())):
                if new in known:
                    shown = "..." if callable(value) else repr(_value(name, value))
                    raise OldArgumentError(f"{function} has no {name}: write {new}={shown}")
            same = SAME_ARGUMENTS.get(name, name)
            name = same if same in known and same not in given else name
        out[name] = value
    return out


def _value(name: str, value: Any) -> Any:
    """A significance level is one minus a confidence level, and the other way round."""
    if name in ("alpha", "level") and isinstance(value, Real) and 0 < float(value) < 1:
        return round(1.0 - float(value), 10)
    return value


def wrong_call(
    signature: Signature, function: str, args: Sequence[Any], given: Mapping[str, Any], own: bool
) -> CallError | None:
    """Error of a call that does not fit the arguments of the function; None if it does.

    Parameters
    ----------
    signature : Signature
    function : str
        Its name, for the message.
    args, given : sequence, mapping
        Of the call.
    own : bool
        The first argument is the object whose method this is: it is not spoken of.

    Examples
    --------
    >>> from inspect import signature
    >>> print(wrong_call(signature(lambda fit, *, nsim=500: 0), "bootstrap", (), {"nsin": 9}, True))
    bootstrap has no nsin; did you mean nsim?
    """
    try:
        signature.bind(*args, **given)
    except TypeError:
        pass
    else:
        return None
    known = list(signature.parameters.values())[own:]
    listed = ", ".join(
        f"*{p.name}" if p.kind is Parameter.VAR_POSITIONAL else p.name for p in known
    )
    takes = f"it takes {listed}" if listed else "it takes no arguments"
    names = [p.name for p in known]
    places = [p for p in known if p.kind in _PLACES]
    unnamed = len(args) - own
    for name in given:
        if name not in names:
            close = get_close_matches(name, names, n=1)
            return CallError(
                f"{function} has no {name}; " + (f"did you mean {close[0]}?" if close else takes)
            )
    if unnamed > len(places):
        return CallError(
            f"{function} takes {len(places) or 'no'} arguments without their names, not {unnamed}; "
            f"{takes}"
        )
    missing = [
        p.name
        for i, p in enumerate(known)
        if p.default is Parameter.empty
        and p.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        and p.name not in given
        and not (p.kind in _PLACES and i < unnamed)
    ]
    if not missing:
        return CallError(f"{function} was given an argument twice; {takes}")
    return CallError(f"{function} needs {' and '.join(missing)}; {takes}")


_PLACES = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def df_method_name(text: str) -> str:
    """Name of a method of degrees of freedom, however it is spelled.

    Examples
    --------
    >>> df_method_name("KR"), df_method_name("Kenward-Roger"), df_method_name("Satterthwaite")
    ('kenward-roger', 'kenward-roger', 'satterthwaite')
    >>> df_method_name("kenward")  # is left alone: what is unknown, the method's table says
    'kenward'
    """
    plain = "".join(letter for letter in text.lower() if letter.isalpha())
    return _DF_METHODS.get(plain, text)
