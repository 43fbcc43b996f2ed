"""The examples as files: their settings filled in, what they send, and the sketches compiled for this computer."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
BOARD = Path(__file__).parent / "arduino"


def configured(source: str, **settings: str | int) -> str:
    """With these constants set, as a person does it in the editor; each must be there just once."""
    for name, value in settings.items():
        written = f'"{value}"' if isinstance(value, str) else str(value)
        source, count = re.subn(
            rf'^((?:const )?(?:[\w ]+ )?{name}(?:\[\])? = )("[^"]*"|[\d_]+)',
            rf"\g<1>{written}",
            source,
            flags=re.MULTILINE,
        )
        assert count == 1, f"{count} times {name}"
    return source


def constant(sketch: str, name: str) -> str:
    """A text that a sketch declares, in as many pieces as it likes."""
    pieces = re.search(rf'^const char {name}\[\] =\s*((?:"(?:[^"\\]|\\.)*"\s*)+);', sketch, re.MULTILINE)
    assert pieces, f"no constant {name}"
    return "".join(ast.literal_eval(piece) for piece in re.findall(r'"(?:[^"\\]|\\.)*"', pieces[1]))


def compiled(sketch: str, directory: Path, *, defines: tuple[str, ...] = ()) -> Path:
    """A program that does on this computer what the sketch does on its board."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler here: the sketch is not compiled, only what it sends is looked at")
    functions = re.compile(r"^(?!struct)(\w[\w ]*[ *&]+\w+\([^)]*\)) \{$", re.MULTILINE)
    first = functions.search(sketch)
    assert first
    prototypes = "".join(f"{each};\n" for each in functions.findall(sketch))  # which the Arduino IDE adds too
    source = directory / "sketch.cpp"
    source.write_text(f'#include "Arduino.h"\n{sketch[: first.start()]}{prototypes}{sketch[first.start() :]}')
    program = directory / "sketch"
    warnings = ("-Wall", "-Wextra", "-Werror", "-Wno-format-truncation")  # what is too long is cut, on purpose
    subprocess.run(
        [compiler, "-std=c++11", "-O1", *warnings, *defines, "-I", BOARD, source, BOARD / "main.cpp", "-o", program],
        check=True,
        timeout=100,
    )
    return program
