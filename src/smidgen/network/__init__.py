"""What a network is: its spec, its exact size, and its layers, without any framework."""
