"""Facts: one immutable record of what each attempt did, and the sums over them."""
