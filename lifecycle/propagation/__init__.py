"""How a change of what agents are composed of reaches them."""
