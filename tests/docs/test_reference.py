"""docs/reference is what the code says, and every link of the documentation leads somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.page import DOCS

PAGES = sorted(DOCS.rglob("*.md"))


def test_the_reference_is_up_to_date() -> None:
    checked = subprocess.run(
        [sys.executable, DOCS / "generate.py", "--check"], capture_output=True, text=True, cwd=DOCS.parent
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
