"""Makes this the package that ``from tests...`` means: some installed packages bring one of the same name."""
