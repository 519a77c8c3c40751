"""Video on its way in: jitter buffer, NACK, transport feedback, decoder queues, the camera."""
