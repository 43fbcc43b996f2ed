import pytest

from http_api.answers import MAX_LINE_BYTES, line, wants_line


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/plain", True),
        ("text/plain; charset=utf-8", True),
        ("TEXT/PLAIN, */*", True),
        ("", False),
        ("*/*", False),
        ("application/json, text/plain, */*", False),  # what browsers' libraries say
        ("text/plainer", False),
    ],
)
def test_a_line_is_for_who_asks_for_plain_text_first(accept: str, *, expected: bool) -> None:
    assert wants_line(accept) is expected


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ("1755354645123456", b"422 1755354645123456\n"),
        ("temperature: Input should be less than or equal to 125, got 999", b"422 temperature: at most 125, got 999\n"),
        ("a\r\nb\x00c", b"422 a  b c\n"),
        ("x" * 100, b"422 " + b"x" * 58 + b"\n"),
        ("x" * 57 + "°C", b"422 " + b"x" * 57 + b"\n"),
        ("\ud800", b"422  \n"),
    ],
)
def test_a_line_fits_a_boards_buffer(detail: str, expected: bytes) -> None:
    assert line(422, detail) == expected
    assert len(expected) <= MAX_LINE_BYTES
