"""The numbers that cells of several devices work with, on the host or on a card: kept, drawn, added up."""
