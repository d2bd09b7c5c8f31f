"""What every attempt did, one fact each, and what the facts add up to."""
