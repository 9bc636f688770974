"""Each peer's model, made from the same checkpoint by documented steps."""
