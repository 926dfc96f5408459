"""The README and the pages of docs/: every command, snippet, link, path, default and message in them."""
