"""The two commands, run in this process and once as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import nestedmlm as nm
from nestedmlm.__main__ import build_parser, main
from nestedmlm.cli.transcript import Step, play, run
from nestedmlm.datasets import DATA_VARIABLE

SLOPES = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture
def sleep_csv(tmp_path):
    path = tmp_path / "sleep.csv"
    nm.load_dataset("sleepstudy").to_csv(path, index=False)
    return path


@pytest.fixture
def no_classroom(monkeypatch, tmp_path):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.setattr("nestedmlm.datasets._cache_folder", lambda: tmp_path / "no-cache")


# Arguments --------------------------------------------------------------------------------------


def test_arguments_of_fit():
    options = build_parser().parse_args(
        "fit y~x+(1|g) d.csv --ml --factor g h --factor k --weights w --json out.json".split()
    )
    assert options.formula == "y~x+(1|g)"
    assert str(options.data) == "d.csv"
    assert options.ml is True
    assert options.factor == ["g", "h", "k"]
    assert (options.weights, str(options.json)) == ("w", "out.json")


@pytest.mark.parametrize("argv", [[], ["fit"], ["fit", "y ~ x"], ["nonsense"], ["demo", "--what"]])
def test_wrong_arguments_exit_with_2(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"nestedmlm {nm.__version__}\n"


def test_degrees_of_freedom_and_the_files_name(sleep_csv, capsys):
    assert main(["fit", SLOPES, str(sleep_csv), "--factor", "Subject", "--ddf", "KR"]) == 0
    out = capsys.readouterr().out
    assert "Kenward-Roger's method" in out and "Data: sleep.csv" in out
    assert main(["fit", SLOPES, str(sleep_csv), "--factor", "Subject", "--ddf", "what"]) == 2
    assert "kenward-roger" in capsys.readouterr().err


def test_standard_input(sleep_csv, capsys, monkeypatch):
    with sleep_csv.open(encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert main(["fit", SLOPES, "-", "--factor", "Subject"]) == 0
    assert "Data: standard input" in capsys.readouterr().out


# Transcript -------------------------------------------------------------------------------------


def test_transcript_shows_what_it_runs():
    steps = [Step("Twice two.", "a = 2\nb = max(\n    a, 1\n)\na * b"), Step("That is all.")]
    assert list(play(steps, {})) == [
        "Twice two.",
        ">>> a = 2\n>>> b = max(\n...     a, 1\n... )\n>>> a * b",
        "4",
        "",
        "That is all.",
        "",
    ]


def test_transcript_values():
    names: dict = {}
    assert run("a = 3", names) is None
    assert run("a + 1", names) == 4


# fit --------------------------------------------------------------------------------------------


def test_fit_prints_the_summary(sleep_csv, capsys):
    assert main(["fit", SLOPES, str(sleep_csv), "--factor", "Subject"]) == 0
    out = capsys.readouterr().out
    assert "Linear mixed model fit by REML" in out
    assert "REML criterion at convergence: 1743.6" in out
    assert "Number of obs: 180, groups:  Subject, 18" in out


@pytest.mark.parametrize("kind", ["semicolons.csv", "points.csv", "tabs.tsv", "book.xlsx"])
def test_tables_as_spreadsheets_save_them(kind, tmp_path, sleep_csv, capsys):
    table, path = nm.load_dataset("sleepstudy"), tmp_path / kind
    if path.suffix == ".xlsx":
        pytest.importorskip("openpyxl")
        table.to_excel(path, index=False)
    else:
        how = {"semicolons": (";", ","), "points": (";", "."), "tabs": ("\t", ".")}[path.stem]
        table.to_csv(path, index=False, sep=how[0], decimal=how[1])
    assert main(["fit", SLOPES, str(sleep_csv), "--factor", "Subject"]) == 0
    expected = capsys.readouterr().out.replace("sleep.csv", kind)
    assert main(["fit", SLOPES, str(path), "--factor", "Subject"]) == 0
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("base", [10**17, 2**63, 0])
def test_ids_of_64_bits_with_a_missing_one_stay_apart(base, tmp_path, capsys):
    table = nm.load_dataset("sleepstudy")
    table["Subject"] = [str(base + int(subject)) for subject in table["Subject"]]
    table.loc[7, "Subject"] = None
    table["Days"] = table["Days"] * 1e20 + 0.5  # large, and no whole numbers
    table.to_csv(tmp_path / "ids.csv", sep=";", index=False)
    assert main(["fit", "Reaction ~ Days + (1 | Subject)", str(tmp_path / "ids.csv")]) == 0
    assert "Number of obs: 179, groups:  Subject, 18" in capsys.readouterr().out


def test_fit_by_ml(sleep_csv, capsys):
    assert main(["fit", SLOPES, str(sleep_csv), "--ml"]) == 0
    assert "maximum likelihood" in capsys.readouterr().out


def test_fit_with_weights(tmp_path, capsys):
    frame = nm.load_dataset("sleepstudy").assign(w=lambda d: 1.0 + d["Days"] / 10)
    frame.to_csv(tmp_path / "w.csv", index=False)
    assert main(["fit", SLOPES, str(tmp_path / "w.csv"), "--weights", "w"]) == 0
    fit = nm.lmer(SLOPES, frame, weights="w")
    assert f"{fit.criterion:.1f}" in capsys.readouterr().out


def test_fit_of_a_family(tmp_path, capsys):
    path, kept = tmp_path / "cbpp.csv", tmp_path / "out.json"
    nm.load_dataset("cbpp").to_csv(path, index=False)
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    argv = ["fit", formula, str(path), "--factor", "period", "herd", "--family", "binomial"]
    assert main([*argv, "--json", str(kept)]) == 0
    text = capsys.readouterr().out
    assert " Family: binomial  ( logit )" in text
    assert "period4      -1.5803     0.4274  -3.697 0.000218 ***" in text
    assert json.loads(kept.read_text())["criterion"] == pytest.approx(184.0526, abs=1e-4)
    assert main([*argv, "--link", "probit", "--nagq", "7"]) == 0
    text = capsys.readouterr().out
    assert "nAGQ = 7" in text
    assert "( probit )" in text


def test_fit_saves_json(sleep_csv, tmp_path, capsys):
    target = tmp_path / "fit.json"
    assert main(["fit", SLOPES, str(sleep_csv), "--json", str(target)]) == 0
    record = json.loads(target.read_text())
    assert record["criterion"] == pytest.approx(1743.62827195849, abs=1e-6)
    assert record["ngrps"] == {"Subject": 18}
    assert (record["npar"], record["nobs"], record["singular"]) == (6, 180, False)
    assert record["tables"]
    assert all(rows for rows in record["tables"].values())


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["y ~ x z", "{sleep}"], "FormulaError"),
        (["Reaction ~ Dais + (1 | Subject)", "{sleep}"], "Days"),
        ([SLOPES, "{sleep}", "--factor", "Subjekt"], "Subject"),
        ([SLOPES, "{sleep}", "--weights", "none"], "none"),
        ([SLOPES, "missing.csv"], "missing.csv"),
        ([SLOPES, "{empty}"], "empty.csv cannot be read as CSV"),
        ([SLOPES, "{sleep}", "--link", "log"], "a link is of a model with a family"),
        ([SLOPES, "{sleep}", "--json", "/nowhere/at/all.json"], "Cannot write"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(argv, message, sleep_csv, tmp_path, capsys):
    empty = tmp_path / "empty.csv"
    empty.touch()
    filled = [a.replace("{sleep}", str(sleep_csv)).replace("{empty}", str(empty)) for a in argv]
    assert main(["fit", *filled]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


# demo -------------------------------------------------------------------------------------------


def test_demo_without_the_classroom_data(no_classroom, capsys):
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "[246.990746, 246.990746, 246.990746]" in out
    assert "boundary (singular) fit" in out
    assert "refitting model(s) with ML (instead of REML)" in out
    assert "Data: sleepstudy" in out
    assert "left out" in out
    # the posterior comes last, beside the fit
    assert out.index("left out") < out.index("REML estimates and posterior means")
    assert "Pareto k" in out


def test_demo_walks_through_the_guide(shared_data, no_classroom, capsys):
    path = shared_data / "classroom.csv"
    if not path.is_file():
        pytest.skip(f"{path} not found")
    assert main(["demo", "--data", str(path)]) == 0
    out = capsys.readouterr().out
    assert "[11880.546214, 11880.546214, 11880.546214]" in out
    assert "4.6584" in out
    assert "M16: mathscore ~ ses + (ses | schoolid) + ((1 | classid) + (0 + ses | classid))" in out
    assert "left out" not in out


def test_demo_finds_the_data_folder(shared_data, monkeypatch, capsys):
    if not (shared_data / "classroom.csv").is_file():
        pytest.skip(f"no classroom.csv in {shared_data}")
    monkeypatch.setenv(DATA_VARIABLE, str(shared_data))
    assert main(["demo"]) == 0
    assert "M20" in capsys.readouterr().out


def test_demo_with_another_file(sleep_csv, capsys):
    assert main(["demo", "--data", str(sleep_csv)]) == 2
    assert "mathkind" in capsys.readouterr().err


def test_module_runs_as_a_program(sleep_csv):
    command = [sys.executable, "-m", "nestedmlm", "fit", "Reaction ~ x z", str(sleep_csv)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "^" in done.stderr


def test_a_reader_may_stop_early(no_classroom):
    demo = [sys.executable, "-m", "nestedmlm", "demo"]
    with subprocess.Popen(
        demo, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 0
