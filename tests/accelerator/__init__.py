"""The course on a GPU, without one: a pretended accelerator, and all that runs under it."""
