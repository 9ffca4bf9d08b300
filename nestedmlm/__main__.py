"""Command line: ``nestedmlm --help``, or ``python -m nestedmlm --help``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from nestedmlm import __version__
from nestedmlm.cli.demo import demo
from nestedmlm.cli.fit import fit
from nestedmlm.errors import NestedMLMError
from nestedmlm.optimum.warmup import warmup


def build_parser() -> argparse.ArgumentParser:
    """Describe the commands and their options.

    Returns
    -------
    argparse.ArgumentParser
        Its result has ``run``, the function that carries the command out.
    """
    parser = argparse.ArgumentParser(
        prog="nestedmlm", description="Linear and generalized mixed models, as in R's lme4."
    )
    parser.add_argument("--version", action="version", version=f"nestedmlm {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="fit example models and show what they say")
    demo.add_argument(
        "--data", type=Path, metavar="FILE.csv", help="the classroom data: goes through the guide"
    )
    demo.set_defaults(run=_demo, messages=sys.stdout)

    fit = commands.add_parser(
        "fit",
        help="fit one model to a table in a file and print its summary",
        usage="nestedmlm fit formula data.csv [options]",
    )
    fit.add_argument("formula", help='such as "y ~ x + (x | school) + (1 | class)"')
    fit.add_argument(
        "data",
        type=Path,
        metavar="data.csv",
        help="a CSV file or a workbook (.xlsx) with a header; -: standard input",
    )
    fit.add_argument("--ml", action="store_true", help="maximum likelihood instead of REML")
    fit.add_argument(
        "--factor",
        nargs="+",
        action="extend",
        default=[],
        metavar="COL",
        help="numeric columns that are codes of a factor (after the file: it takes several)",
    )
    fit.add_argument("--weights", metavar="COL", help="column with prior weights")
    fit.add_argument("--dispersion", help='formula of the log residual SD, such as "~ sex"')
    fit.add_argument("--residual", help='residual correlations, such as "ar1(day | subject)"')
    fit.add_argument("--family", help="of a generalized model: binomial, poisson, ...")
    fit.add_argument("--link", help="of the family, where it is not the usual one")
    fit.add_argument(
        "--nagq", type=int, default=1, metavar="N", help="quadrature points (1: Laplace)"
    )
    fit.add_argument(
        "--ddf",
        metavar="METHOD",
        help="degrees of freedom: satterthwaite (default), kenward-roger (or KR), residual, none",
    )
    fit.add_argument("--json", type=Path, metavar="FILE", help="save the numbers to this file")
    fit.set_defaults(run=_fit, messages=sys.stderr)

    ahead = commands.add_parser("warmup", help="compile ahead what long work would compile")
    ahead.set_defaults(run=_warmup, messages=sys.stderr)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit code: 0, or 2 with one message on standard error when the input cannot be used.
    """
    arguments = build_parser().parse_args(argv)
    # what lme4 says with message() belongs into the demo's story, and beside the output of a fit
    logging.basicConfig(stream=arguments.messages, format="%(message)s", force=True)
    try:
        for block in arguments.run(arguments):
            print(block, flush=True)
    except NestedMLMError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader has seen enough: `... demo | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _demo(arguments: argparse.Namespace) -> Iterator[str]:
    return demo(arguments.data)


def _warmup(arguments: argparse.Namespace) -> Iterator[str]:
    warmup()
    yield "compiled"


def _fit(arguments: argparse.Namespace) -> Iterator[str]:
    return fit(
        arguments.formula,
        arguments.data,
        reml=not arguments.ml,
        factors=arguments.factor,
        weights=arguments.weights,
        dispersion=arguments.dispersion,
        residual=arguments.residual,
        ddf=arguments.ddf,
        family=arguments.family,
        link=arguments.link,
        nAGQ=arguments.nagq,
        json=arguments.json,
    )


if __name__ == "__main__":
    sys.exit(main())
