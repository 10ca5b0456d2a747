"""collect gathers the numbers, render writes one HTML file."""
