"""Files of weights: read without loading, checked strictly, written whole."""
