"""Many runs as one: submitted a few at a time, behind all conversations, within a cost."""
