"""Reports: runs as one self-contained HTML file and as PNG figures."""
