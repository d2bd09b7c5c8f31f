"""The parts of `bootstrap.services.Services`, by what they are about."""
