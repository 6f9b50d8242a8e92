"""Which layer's converters, noise, programming, drift or faults cost a model its accuracy."""
