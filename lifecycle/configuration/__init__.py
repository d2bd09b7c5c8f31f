"""What an agent is to be: specs, their tools and output formats."""
