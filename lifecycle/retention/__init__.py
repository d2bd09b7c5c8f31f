"""Retention: how long a workspace keeps its data, legal holds, and the export of a workspace."""
