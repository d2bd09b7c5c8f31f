"""How agents perform: outcomes of attempts, their sums, what they say."""
