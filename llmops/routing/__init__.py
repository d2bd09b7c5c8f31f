"""Routes: several deployments behind one model name, chosen per call by health, priority and free quota."""
