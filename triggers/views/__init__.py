"""What the API answers: the models that openapi.json describes, made from the domain's values."""
