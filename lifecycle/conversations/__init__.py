"""Sessions and their runs, which change together in one transaction: values, rules, storage and indexes."""
