"""Cost reports of a day, a week or a month, with comparison and forecast, as JSON, CSV or HTML."""
