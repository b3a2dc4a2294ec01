"""Ways through a stage, found by search without learning."""
