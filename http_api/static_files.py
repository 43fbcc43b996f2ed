"""What the documentation's pages load: our own scripts, and the browser libraries that ``make web`` installs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.staticfiles import StaticFiles as StarletteStaticFiles

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Scope

SCRIPTS = Path(__file__).with_name("scripts")
LIBRARIES = Path(__file__).with_name("static")

FOREVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


class StaticFiles(StarletteStaticFiles):
    """Files below these directories; where two have a file of one name, it is the first's.

    Asked for with its :meth:`digest` as ``?v=``, a file is told to be kept for ever; without, to be asked for again,
    which costs a 304. The digests are taken once: of files that change while this process runs, the old ones are known.
    """

    def __init__(self, *directories: Path) -> None:
        super().__init__()
        self.all_directories = [str(each) for each in directories]
        self._digests = {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16]
            for directory in reversed(directories)
            if directory.is_dir()
            for file in directory.iterdir()
        }

    def digest(self, name: str) -> str | None:
        """Of a file's content; None where there is no such file."""
        return self._digests.get(name)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """As Starlette does it, and say for how long the answer is good."""
        response = await super().get_response(path, scope)
        digest = self.digest(path)
        is_this_one = digest is not None and Request(scope).query_params.get("v") == digest
        response.headers["Cache-Control"] = FOREVER if is_this_one else ASK_AGAIN
        return response
