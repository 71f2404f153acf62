"""Tables of answers. Oracle: what was written."""

import os

import pytest

from passerby.errors import DataError
from passerby.reviewing.answers import Answer, read_answers, to_arrays, write_answers

ANSWERS = [
    Answer("s1", "s2", "same", user="ada", time=1.5e9, reason="merge"),
    Answer('with, "comma"', "s2", "different", user="Zoë", time=2.25),
    Answer("s1", "s3", "unknown"),
]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_answers_survive_a_file(tmp_path, ending):
    path = tmp_path / f"answers.{ending}"
    assert write_answers(ANSWERS, path) == 3
    assert read_answers(path) == ANSWERS
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(DataError, match="the file exists"):
        write_answers(ANSWERS, path)


def test_no_text_of_an_answer_is_a_formula_of_a_spreadsheet(tmp_path):
    answers = [Answer("=1+1", "@b", "same", user="+eve", reason="-2+3"), Answer("'=x", "-7", "same", reason="'quoted'")]
    write_answers(answers, tmp_path / "answers.csv")
    lines = (tmp_path / "answers.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [line.split(",")[:2] for line in lines] == [["'=1+1", "'@b"], ["''=x", "-7"]]
    assert read_answers(tmp_path / "answers.csv") == answers


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_pipe_is_refused(tmp_path, ending):
    os.mkfifo(tmp_path / f"answers.{ending}")
    with pytest.raises(DataError, match="is a pipe, a device or a socket; expected a file"):
        read_answers(tmp_path / f"answers.{ending}")


def test_answers_about_other_sightings_are_left_out():
    pairs, codes = to_arrays(ANSWERS, ["s3", "s1", "s2"])
    assert pairs.tolist() == [[1, 2], [1, 0]]
    assert codes.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("first,second\na,b\n", "the column answer is missing"),
        ("first,second,answer\na,b,maybe\n", "row 1 is no answer .*expected one of same, different, unknown"),
        ("first,second,answer\na,b,same\na,a,same\n", "row 2 is no answer .*two different ids"),
        ("first,second,answer\na,,same\n", "row 1 is no answer .second missing"),
        ("first,second,answer,time\na,b,same,noon\n", "row 1 is no answer .could not convert"),
        ("first,second,answer,time\na,b,same,nan\n", "row 1 is no answer .*time is nan"),
        (f"first,second,answer\n{'a' * 300},b,same\n", "row 1 is no answer .*up to 255 printable"),
        ("first,second,answer\na\x1b[2J,b,same\n", "row 1 is no answer .*printable"),
    ],
)
def test_a_wrong_table_names_its_row(tmp_path, content, message):
    path = tmp_path / "answers.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_answers(path)


def test_other_files_are_refused(tmp_path):
    for name, content, message in (
        ("answers.txt", b"", "name it .csv or .parquet"),
        ("answers.parquet", b"no parquet", "cannot be read as a table of answers"),
        ("answers.csv", b"\xff\xfe\x00", "cannot be read as a table of answers"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_answers(tmp_path / name)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_answers(tmp_path / "missing.csv")
