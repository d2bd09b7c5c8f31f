"""The life of a run: submission, execution, and the record of its results."""
