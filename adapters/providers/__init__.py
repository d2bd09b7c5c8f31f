"""Agent providers: each module is one implementation of `AgentProvider`."""
