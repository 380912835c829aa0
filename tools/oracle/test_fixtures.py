"""The fixtures that `npm test` reads are what these versions of the packages make."""

from pathlib import Path

import fixtures


def test_fixtures_are_current(tmp_path: Path):
    fixtures.make(tmp_path)
    assert fixtures.differences(fixtures.OUT, tmp_path) == []
