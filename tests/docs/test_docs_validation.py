"""docs/validation.md holds what the models say today."""

import pytest

from tools import generate_docs


@pytest.mark.slow
def test_the_page_of_validation_is_fresh() -> None:
    stale = generate_docs.difference(generate_docs.ROOT / "docs" / "validation.md", generate_docs.validation_page())
    assert not stale, f"run: python tools/generate_docs.py validation\n{stale}"
