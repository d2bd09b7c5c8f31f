"""Scoring answers: checks at once, judges afterwards."""
