"""Teams: which member has a session, and handoffs between members."""
