"""Pages without a network: figures as SVG, tables, templates."""
