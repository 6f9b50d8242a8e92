"""Recurrent networks and cells whose matrices sit on tiles."""
