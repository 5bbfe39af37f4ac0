"""The product: settings and command line."""
