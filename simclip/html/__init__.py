"""HTML pages that need no network: pictures as SVG, tables, templates."""
