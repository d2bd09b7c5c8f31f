"""Composition: builds the app's parts from settings. The only package that chooses adapters."""
