"""Evaluation of answers: checks score them at once, judges afterwards."""
