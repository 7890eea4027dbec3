"""The configuration: a YAML file becomes one frozen `Settings`. Pure, apart from reading the file."""
