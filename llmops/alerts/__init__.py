"""Alert rules over metrics: a timer evaluates them, and their changes are sent as notifications."""
