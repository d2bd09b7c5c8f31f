"""What was spent over a day, a week or a month, compared, foretold and made readable."""
