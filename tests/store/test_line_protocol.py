"""The expected words and values are InfluxDB 3 Core 3.10's."""

import math
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import line_protocol
from store.line_protocol import Parsed, parse

TRAILING = "Could not parse entire line. Found trailing content: "
NO_FIELDS = "No fields were provided"
NEED_SPACE = "Expected at least one space character, got end of input"
BACKSLASH = "Measurements, tag keys and values, and field keys may not end with a backslash"


def parsed(text: str, precision: str = "us", now_us: int = 77) -> Parsed:
    return parse(text, precision=precision, now_us=now_us)


def points(result: Parsed) -> list[tuple[int, str, dict[str, str], dict[str, Any], int]]:
    """Turn columns back into one point a line, in the order of the lines."""
    found = []
    for rows in result.rows:
        for at, number in enumerate(rows.numbers):
            tags = {name: column[at] for name, column in zip(rows.shape.tags, rows.tags, strict=True)}
            fields = {name: column[at] for (name, _), column in zip(rows.shape.fields, rows.fields, strict=True)}
            found.append((number, rows.shape.table, tags, fields, rows.times[at]))
    return sorted(found, key=lambda point: point[0])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("zz v=1 abcdefghij", TRAILING + "` abcdefghi...`"),
        ("zz v=1 5 6 7", TRAILING + "`6 7`"),
        ("zz v=1  ", TRAILING + "`  `"),
        ("zz v=1 -", TRAILING + "` -`"),
        ("zz v=1 1.5", TRAILING + "`.5`"),
        ("zz v=1 +5", TRAILING + "` +5`"),
        ("zz v=5.", TRAILING + "`.`"),
        ("zz v=1e", TRAILING + "`e`"),
        ("zz v=0x10", TRAILING + "`x10`"),
        ("zz v=1i2", TRAILING + "`2`"),
        ("zz v=1.0i", TRAILING + "`i`"),
        ("zz v=-7u", TRAILING + "`u`"),
        ("zz v=true1", TRAILING + "`1`"),
        ("zz v=tRUE", TRAILING + "`RUE`"),
        ('zz v="a"b"', TRAILING + '`b"`'),
        ("zz v=1i 5\r", TRAILING + "`\r`"),
        ("zz v=1,w=", TRAILING + "`w=`"),
        ("zz v=1,w=2,x=", TRAILING + "`,x=`"),
        ("zz v=1, w=2", TRAILING + "` w=2`"),
        ("zz v=1 99999999999999999999", "Unable to parse timestamp value `99999999999999999999`"),
        ("zz v=9223372036854775808i", "Unable to parse integer value `9223372036854775808`"),
        ("zz v=18446744073709551616u", "Unable to parse unsigned integer value `18446744073709551616`"),
        ("zz v=1e999", "Unable to parse float value `1e999`"),
        ("zz,t v=1", "Tag set malformed: could not find equals sign in `t v=1`"),
        ("zz,t=1,uuuuuuuuu v=1", "Tag set malformed: could not find equals sign in `t=1,uuuuuu...`"),
        ("zz,t= v=1", "Expected tag value, got ` v=1`"),
        ("zz,t=", "Expected tag value, got end of input"),
        ("zz,=1 v=1", "Expected tag key, got `=1 v=1`"),
        ("zz,", "Expected tag key, got end of input"),
        ("zz", NEED_SPACE),
        ("zz,t=1", NEED_SPACE),
        ("zz\tv=1 5", "Expected at least one space character, got `\tv=1 5`"),
        ("zz,t=1 ", NO_FIELDS),
        ("zz 5", NO_FIELDS),
        ('zz,t="a b" v=1', NO_FIELDS),
        (",t=1 v=1", "Invalid measurement was provided"),
        ("zz\\", BACKSLASH),
        ("zz,t=1 a=1,a=2", "invalid line protocol - multiple instances of 'a' field found"),
        (
            "zz,t=1 t=3",
            "invalid column type for column 't', expected iox::column_type::tag, got iox::column_type::field::float",
        ),
        ("zz v=1 9223372036854775807", "timestamp out of range, years 1677 to 2262"),
        *[(f"zz v={value}", NO_FIELDS) for value in (".5", "+5", "NaN", "inf", "-inf", "--1", "x", '"abc', 'abc"')],
    ],
)
def test_refused_line_is_told_in_influxdbs_words(line: str, message: str) -> None:
    result = parsed(line)

    assert [error.message for error in result.errors] == [message]
    assert points(result) == []


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("1", 1.0),
        ("-1.5E-3", -0.0015),
        ("007", 7.0),
        ("-9223372036854775808i", -(2**63)),
        ("18446744073709551615u", 2**64 - 1),
        ("T", True),
        ("False", False),
        (r'"a\"b\\c\d"', 'a"b\\c\\d'),
        ('"a, b=c\nd"', "a, b=c\nd"),
        ('""', ""),
    ],
)
def test_value_is_read_by_its_spelling(text: str, fields: float | str) -> None:
    assert points(parsed(f"m v={text} 5")) == [(1, "m", {}, {"v": fields}, 5)]


@pytest.mark.parametrize(
    ("written", "tag", "measurement"),
    [
        (r"\,x", "a,x", "a,x"),
        (r"\ x", "a x", "a x"),
        (r"\=x", "a=x", r"a\=x"),
        (r"\\x", r"a\x", r"a\x"),
        (r"\\\,x", r"a\,x", r"a\,x"),
        (r"\x", r"a\x", r"a\x"),
        (r"\"x", r"a\"x", r"a\"x"),
    ],
)
def test_escapes_are_undone(written: str, tag: str, measurement: str) -> None:
    result = parsed(f"m,k=a{written} v=1 1\na{written} v=1 2")

    assert points(result) == [(1, "m", {"k": tag}, {"v": 1.0}, 1), (2, measurement, {}, {"v": 1.0}, 2)]


def test_names_may_hold_what_separates_elsewhere() -> None:
    result = parsed('m,t=1,,u==b v=1,w,x=2,"q"=3 5')

    assert points(result) == [(1, "m", {"t": "1", ",u": "=b"}, {"v": 1.0, "w,x": 2.0, '"q"': 3.0}, 5)]


def test_lines_are_numbered_among_those_that_count() -> None:
    result = parsed("# comment\n\n  m v=1 1\nbad one\n \t\nm v=2 2\nbad two\r\n")

    assert [(number, point["v"]) for number, _, _, point, _ in points(result)] == [(1, 1.0), (3, 2.0)]
    assert [(error.number, error.line) for error in result.errors] == [(2, "bad one"), (4, "bad two")]


def test_newline_in_a_string_does_not_end_the_line() -> None:
    result = parsed('m f="a\nb" 1\nm g=2i 2')

    assert points(result) == [(1, "m", {}, {"f": "a\nb"}, 1), (2, "m", {}, {"g": 2}, 2)]


def test_unclosed_quote_costs_its_own_line_only() -> None:
    result = parsed('m f="a 1\nm f=2 2')

    assert [error.number for error in result.errors] == [1]
    assert points(result) == [(2, "m", {}, {"f": 2.0}, 2)]


@pytest.mark.parametrize(
    ("precision", "stamp", "time_us"),
    [
        ("ns", "1500", 1),
        ("ns", "-1500", -2),
        ("us", "7", 7),
        ("ms", "7", 7000),
        ("s", "-7", -7_000_000),
        ("auto", "1700000000", 1_700_000_000_000_000),
        ("auto", "1700000000000", 1_700_000_000_000_000),
        ("auto", "1700000000000000", 1_700_000_000_000_000),
        ("auto", "1700000000000000000", 1_700_000_000_000_000),
    ],
)
def test_timestamp_is_read_in_its_precision(precision: str, stamp: str, time_us: int) -> None:
    assert parsed(f"m v=1 {stamp}", precision).rows[0].times == [time_us]


@pytest.mark.parametrize(
    "line",
    [
        'm,k=x s="a"b",v=1 2',
        'm,k=x s="a",v=\uff11 2',
        'm,k=x s="a",v=1e999 2',
        'm,k=x s="a",v=1 2 3',
        "m,k=x s='a',v=1 2",
    ],
)
def test_line_that_only_looks_like_the_one_before_is_refused(line: str) -> None:
    result = parsed(f'm,k=x s="a",v=1 1\n{line}\nm,k=x s="b",v=2 3')

    assert [error.number for error in result.errors] == [2]
    assert [number for number, *_ in points(result)] == [1, 3]


def test_line_without_timestamp_gets_the_servers_cut_to_the_precision() -> None:
    assert parsed("m v=1", "s", now_us=1_999_999).rows[0].times == [1_000_000]
    assert parsed("m v=1", "ns", now_us=1_999_999).rows[0].times == [1_999_999]


def test_out_of_range_time_costs_its_own_line_only() -> None:
    result = parsed("bad\nm v=1 1\nm v=2 9223372036854775807\nm v=3 3")

    assert [error.number for error in result.errors] == [1, 3]
    assert [time for *_, time in points(result)] == [1, 3]


_texts = st.text(st.sampled_from("ab,= \\\"\n#é\t'"), min_size=1, max_size=6)
_values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**65), 2**65).map(lambda n: f"{n}i"),
    st.integers(0, 2**65).map(lambda n: f"{n}u"),
    st.sampled_from(["t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE", "tRue", "", "1e999"]),
    _texts.map(lambda text: f'"{text}"'),
)
_lines = st.one_of(
    st.text(st.sampled_from('m,=v1 \\"\n#t.i-'), max_size=20),
    st.builds(
        lambda tag, first, second, stamp: f"m,k={tag} a={first},b={second} {stamp}",
        st.one_of(st.sampled_from(["x", "y", r"a\ b"]), _texts),
        _values,
        _values,
        st.one_of(st.integers(-(2**64), 2**64).map(str), st.just("")),
    ),
)


@given(st.lists(_lines, max_size=12).map("\n".join))
def test_fast_way_reads_what_the_general_parser_reads(text: str) -> None:
    by_shape = parsed(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_protocol, "_REMEMBERED_SHAPES", 0)
        line_by_line = parsed(text)

    assert points(by_shape) == points(line_by_line)
    assert by_shape.errors == line_by_line.errors
    assert by_shape.starts == line_by_line.starts


def _escaped(name: str, characters: str) -> str:
    for character in characters:
        name = name.replace(character, "\\" + character)
    return name


_SURROGATES: tuple[Literal["Cs"]] = ("Cs",)

_characters = st.characters(exclude_characters="\n\t\0", exclude_categories=_SURROGATES)
_names = st.text(_characters, min_size=1, max_size=8).filter(lambda name: not name.startswith(("#", " ")))


@given(_names, _names, st.text(st.characters(exclude_categories=_SURROGATES), max_size=20), st.floats(width=64))
def test_what_is_escaped_comes_back(measurement: str, tag: str, text: str, number: float) -> None:
    if not math.isfinite(number):
        return
    string = _escaped(text, '\\"')
    head = _escaped(measurement, "\\, ") + ",k=" + _escaped(tag, "\\,= ")
    line = f'{head} s="{string}",n={number!r} 5'

    assert points(parsed(line)) == [(1, measurement, {"k": tag}, {"s": text, "n": number}, 5)]
