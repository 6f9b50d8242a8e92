"""What a user chooses: RPU configurations and presets."""
