"""How long a workspace keeps its data, what a legal hold keeps beyond that, and a workspace's data as a whole."""
