"""A month of sample data: `python -m examples.sample`."""
