"""How the whole is: what is well and what is not, and what happened over some days."""
