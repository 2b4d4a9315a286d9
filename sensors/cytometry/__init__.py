"""A simulated imaging flow cytometer with an event camera, and the truth about every particle."""
