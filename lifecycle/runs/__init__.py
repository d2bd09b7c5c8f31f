"""The life of a run: taking it in, carrying it out, recording what came of it."""
