"""How the embedded default was made, and how to make it again: `slipstream-engine train-tiny`."""
