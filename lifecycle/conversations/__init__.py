"""A session and its runs, which are changed together: values, rules, storage, and where they are found."""
