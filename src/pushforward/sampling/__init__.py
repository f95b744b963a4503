"""Rows out of a model: in blocks, under a condition, balanced, streamed."""
