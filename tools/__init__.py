"""The project's own tools: notebooks, front-end assets, book build, browser. Run them with ``python -m tools.NAME``."""
