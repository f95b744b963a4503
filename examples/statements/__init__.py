"""The statements of theory.py, each shown by an experiment."""
