"""Alerts: rules over figures, evaluated by a timer, told when they fire and when they resolve."""
