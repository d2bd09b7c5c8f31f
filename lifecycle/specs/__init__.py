"""Specs of agents, teams and workflows: settings, tools, output formats and limits."""
