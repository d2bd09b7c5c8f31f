"""Teams: which member has a conversation, and how it changes hands."""
