"""Files in the store's folder from which a search reads only the parts that it needs."""
