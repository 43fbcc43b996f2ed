"""The SQL texts that the product ships outside of Grafana, read off its code and its pages, so that none is missed.

* Python: a string that begins like a query, in a module that does not speak to SQLite (the spool's SQL is its own).
* Pages, and the strings of Python, help texts above all: what stands behind ``sensorflow query``.
* Pages: blocks of ``sql``.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("bridge", "http_api", "sensorflow", "ws", "examples")

_QUERY = re.compile(r"\s*(SELECT|WITH|EXPLAIN|SHOW)\s")
_COMMAND = re.compile(r'sensorflow query "([^"]+)"')
_BLOCK = re.compile(r"^```sql\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Text:
    """One text. Where Python fills something in, the expression stands in braces: ``{kind.table}``."""

    where: str
    sql: str


def shipped() -> list[Text]:
    return sorted({*_of_code(), *_of_pages()}, key=lambda text: (text.where, text.sql))


def _of_code() -> Iterator[Text]:
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        where = str(path.relative_to(ROOT))
        tree = ast.parse(path.read_text(encoding="utf-8"))
        is_sqlite = _imports_sqlite(tree)
        for string in _strings(tree):
            if not is_sqlite and _QUERY.match(string):
                yield Text(where, string)
            yield from (Text(where, sql) for sql in _COMMAND.findall(string))


def _of_pages() -> Iterator[Text]:
    for path in sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")}):
        where, page = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        yield from (Text(where, sql) for sql in _COMMAND.findall(page))
        statements = (statement.strip() for block in _BLOCK.findall(page) for statement in block.split(";"))
        yield from (Text(where, sql) for sql in statements if sql)


def _imports_sqlite(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Import) and any(name.name == "sqlite3" for name in node.names) for node in ast.walk(tree)
    )


def _strings(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(map(_source, node.values))
    else:
        for child in ast.iter_child_nodes(node):
            yield from _strings(child)


def _source(part: ast.expr) -> str:
    if isinstance(part, ast.FormattedValue):
        return f"{{{ast.unparse(part.value)}}}"
    return str(part.value) if isinstance(part, ast.Constant) else ""
