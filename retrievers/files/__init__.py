"""Files of the store of which a search reads only the parts that it needs."""
