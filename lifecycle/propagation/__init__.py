"""Propagation of changed templates and other shared items to the agents composed of them."""
