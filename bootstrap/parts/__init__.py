"""The parts of `bootstrap.services.Services`, one module each."""
