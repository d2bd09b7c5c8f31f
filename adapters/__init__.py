"""Adapters: the only package that imports SDKs of data services, behind the protocols that the core defines."""
