"""Example agents, and scripts that show the app at work."""
