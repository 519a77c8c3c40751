"""Prompts and their embeddings.

encoder.py             what the pipeline needs of a text encoder
prompts.py             caches embeddings, mixes prompts, interpolates between them
worker.py              encodes in a thread
umt5_text.py           umT5 as a text encoder
encoder_placement.py   where it computes, and whether it stays loaded
tokenizer.py           umT5's tokenizer
cleaning.py            cleans prompts before they are tokenized
embedding_cache.py     embeddings on the disk
"""
