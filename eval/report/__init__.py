"""Reports: runs as one HTML file that asks nothing of any other, and as figures."""
