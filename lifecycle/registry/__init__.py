"""The registry of agents: declarations, records of what exists at providers, and the actor that aligns them."""
