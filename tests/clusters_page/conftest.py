"""The real browser of the pages' tests."""

from tests.html.browser import browser, opened  # noqa: F401  fixtures
