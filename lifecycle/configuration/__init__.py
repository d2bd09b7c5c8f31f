"""What agents are composed of: layers, shared items and how they are merged."""
