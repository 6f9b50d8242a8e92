"""How messages travel between processes: bytes, sockets, Ray and its machines."""
