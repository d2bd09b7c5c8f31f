"""Events: their catalogue, publishing, following, forwarding and retention."""
