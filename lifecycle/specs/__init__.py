"""What an agent is to be: its spec, tools, output format and limits."""
