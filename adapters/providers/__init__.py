"""The places where agents live and models are called; each module is one implementation of `AgentProvider`."""
