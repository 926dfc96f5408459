"""`python -m tests.docs`: rewrite the tables of defaults in docs/study-files.md."""

from tests.docs.defaults import rewrite

if __name__ == "__main__":
    rewrite()
