import pytest

from http_api.media import chosen

OFFERED = {"json": "application/json", "csv": "text/csv", "arrow": "application/vnd.apache.arrow.stream"}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "json"),
        ("", "json"),
        ("*/*", "json"),
        ("text/csv", "csv"),
        ("TEXT/CSV; header=present", "csv"),
        ("text/*", "csv"),
        ("application/*", "json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "json"),
        ("application/json;q=0.5, text/csv;q=0.9", "csv"),
        ("application/json;q=0, */*", "csv"),
        ("text/csv;q=0.1, application/json;q=nonsense", "csv"),
        ("text/csv;q=nan", None),
        ("application/json;q=0", None),
        ("image/png", None),
        ("," * 5000 + "text/csv", None),
        ("\x00;;;q", None),
    ],
)
def test_the_type_that_is_liked_best_is_chosen(accept: str | None, expected: str | None) -> None:
    assert chosen(accept, OFFERED) == expected
