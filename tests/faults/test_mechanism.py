import re
from pathlib import Path

import pytest

from tests.faults.mechanism import CUTS, ROOT, Cut

TEXT = (ROOT / "docs" / "reliability.md").read_text()
ROW = re.compile(r"^\| (.+?) \| `(\S+\.py)` \| (.+) \|$", re.MULTILINE)
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: str(cut.name))
def test_line_of_the_mechanism_is_where_it_is_said_to_be(cut: Cut) -> None:
    text = (ROOT / cut.path).read_text()

    assert [text.count(is_there) for is_there, _ in cut.edits] == [1] * len(cut.edits)
    assert all((ROOT / test.partition("::")[0]).exists() for test in cut.tests)


def test_every_line_that_can_be_cut_is_in_the_document_with_a_test_that_failed() -> None:
    rows = ROW.findall(TEXT)

    assert [(name, path) for name, path, _ in rows] == [(cut.name, cut.path) for cut in CUTS]
    assert [name for name, _, tests in rows if "`test_" not in tests] == []


@pytest.mark.parametrize("document", ["docs/reliability.md", "SECURITY.md"])
def test_every_test_that_is_named_exists(document: str) -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / document).read_text()))

    assert len(named) > 10
    assert {
        name for name in named if f"def {name}(" not in TESTS and not Path(ROOT, f"tests/bridge/{name}.py").exists()
    } == set()
