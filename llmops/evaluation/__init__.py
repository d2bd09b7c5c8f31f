"""Evaluation of answers: checks of the text, policies of agents, scores and their comparison. Pure functions."""
