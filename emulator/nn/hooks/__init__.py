"""What follows a layer's forward pass from outside: listeners that are not copied, tiles that take turns."""
