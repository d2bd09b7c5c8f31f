"""The configuration framework: what agents are composed of, and how a change of it reaches them."""
